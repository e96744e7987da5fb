//! Lets a request pass only with one of the tokens that the settings list.

use portcullis_sdk::serde_json::json;
use portcullis_sdk::{Failure, Filter, HeaderName, Outcome, Reply, Request, Secret, SettingsError, register_filter};
use schemars::JsonSchema;
use serde::Deserialize;

/// What an operator writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The field that carries the token.
    #[serde(default = "default_header")]
    header: HeaderName,
    /// The word before the token, as in `Authorization: Bearer ...`. None: the token is the whole value.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._~+-]+$"))]
    scheme: Option<String>,
    /// The tokens that are accepted.
    #[schemars(length(min = 1))]
    tokens: Vec<Secret>,
    /// The answer where there is no token: by default 401 and `Token is missing!`.
    #[serde(default)]
    missing: Refusal,
    /// The answer to a token that is not accepted: by default 401 and `Token is invalid!`.
    #[serde(default)]
    invalid: Refusal,
    /// Whether the token is taken out before the request goes on.
    #[serde(default = "yes")]
    strip: bool,
}

/// How a request is refused.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The status: 401 by default.
    #[schemars(range(min = 400, max = 499))]
    status: Option<u16>,
    /// The `message` of the JSON body.
    message: Option<String>,
}

/// The filter.
pub struct TokenAuth {
    settings: Settings,
    challenge: String,
}

impl Filter for TokenAuth {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        if settings.tokens.is_empty() {
            return Err("`tokens` is empty: nothing could pass".into());
        }
        if settings.tokens.iter().any(|token| token.expose().is_empty()) {
            return Err("`tokens` holds an empty token".into());
        }
        for refusal in [&settings.missing, &settings.invalid] {
            if refusal.status.is_some_and(|status| !(400..500).contains(&status)) {
                return Err("`status` of a refusal is not from 400 to 499".into());
            }
        }
        // RFC 9110 section 11.6.1 wants a challenge with every 401. Without a scheme of the operator's, the challenge
        // names the field.
        let challenge = match &settings.scheme {
            Some(scheme) => scheme.clone(),
            None => format!("Token header=\"{}\"", settings.header),
        };
        Ok(TokenAuth { settings, challenge })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        let header = &self.settings.header;
        let Some(value) = request.header(header) else {
            return Ok(self.refuse(&self.settings.missing, "Token is missing!"));
        };
        let Some(token) = self.token(value.as_bytes()) else {
            return Ok(self.refuse(&self.settings.missing, "Token is missing!"));
        };
        // Every token is compared, so that the time taken does not tell which one was nearly right.
        let accepted = self
            .settings
            .tokens
            .iter()
            .fold(false, |found, accepted| accepted.matches(token) | found);
        // A second value that the upstream would see, but that nobody checked.
        let ambiguous = !self.settings.strip && request.header_values(header).len() > 1;
        if !accepted || ambiguous {
            return Ok(self.refuse(&self.settings.invalid, "Token is invalid!"));
        }
        if self.settings.strip {
            request.remove_header(header)?;
        }
        Ok(Outcome::Continue)
    }
}

impl TokenAuth {
    /// The token in a field's value: what follows the scheme, or all of it.
    fn token<'value>(&self, value: &'value [u8]) -> Option<&'value [u8]> {
        let token = match &self.settings.scheme {
            None => value,
            Some(scheme) => {
                let (word, rest) = value.split_at_checked(scheme.len())?;
                // Schemes are compared without regard to case: RFC 9110 section 11.1.
                let rest = rest
                    .strip_prefix(b" ")
                    .filter(|_| word.eq_ignore_ascii_case(scheme.as_bytes()))?;
                rest.trim_ascii()
            }
        };
        (!token.is_empty()).then_some(token)
    }

    fn refuse(&self, refusal: &Refusal, message: &str) -> Outcome {
        let status = refusal.status.unwrap_or(401);
        let reply = Reply::json(
            status,
            json!({ "message": refusal.message.as_deref().unwrap_or(message) }),
        );
        match status {
            401 => reply.header("www-authenticate", self.challenge.as_str()).into(),
            _ => reply.into(),
        }
    }
}

fn default_header() -> HeaderName {
    HeaderName::new("x-access-tokens").expect("it is a token")
}

fn yes() -> bool {
    true
}

register_filter!(TokenAuth);

#[cfg(test)]
mod tests;
