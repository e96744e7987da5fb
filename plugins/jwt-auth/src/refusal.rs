//! Why a request is refused, and with what answer: RFC 6750 section 3.

use portcullis_sdk::Reply;
use portcullis_sdk::jwt::VerifyError;

/// Why a request does not pass.
pub(crate) enum Refusal {
    /// There is no token. Section 3: the challenge then says no more than `Bearer`.
    Missing,
    /// More than one token, or one that is not text.
    Request,
    /// The token does not verify.
    Token(VerifyError),
    /// The token verifies, but a claim cannot be handed on.
    Claim,
}

impl Refusal {
    pub(crate) fn reply(self) -> Reply {
        let detail = match self {
            Refusal::Missing => {
                return Reply::problem(401, "Unauthorized", "A bearer token is needed.")
                    .header("www-authenticate", "Bearer");
            }
            Refusal::Request => {
                return Reply::problem(
                    400,
                    "Bad Request",
                    "The request has more than one token, or a malformed one.",
                )
                .header("www-authenticate", r#"Bearer error="invalid_request""#);
            }
            Refusal::Token(VerifyError::KeysUnavailable) => {
                return Reply::problem(
                    503,
                    "Service Unavailable",
                    "The keys to verify tokens with are not there yet.",
                )
                .header("retry-after", "5");
            }
            Refusal::Token(error) => invalid(&error),
            Refusal::Claim => "a claim of it cannot be handed on",
        };
        // Section 3 allows no `"` and no `\` in a description: these texts are all our own.
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{detail}\"");
        Reply::problem(401, "Unauthorized", &format!("The token is not accepted: {detail}."))
            .header("www-authenticate", challenge)
    }
}

fn invalid(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::Malformed => "it is malformed",
        VerifyError::Algorithm => "its algorithm is not accepted",
        VerifyError::UnknownKey => "its key is not known",
        VerifyError::Signature => "its signature is wrong",
        VerifyError::Expired => "it has expired",
        VerifyError::NotYetValid => "it is not valid yet",
        VerifyError::Issuer => "its issuer is not accepted",
        VerifyError::Audience => "it is meant for another audience",
        VerifyError::MissingClaim(_) => "a required claim is missing",
        VerifyError::KeysUnavailable => "its key is not there yet",
    }
}
