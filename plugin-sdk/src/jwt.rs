//! JSON Web Tokens (RFC 7519), verified by the gateway. Capability `jwt`.
//!
//! Open the verifier in [`Filter::new`](crate::Filter::new): a key that cannot be read is then a configuration error.
//! All instances share its keys. Natively no signature is checked; a test says which tokens are good:
//!
//! ```
//! use portcullis_sdk::jwt::{Algorithm, KeySource, Verifier, VerifierOptions, VerifyError};
//! use portcullis_sdk::testing;
//!
//! let verifier = Verifier::open(VerifierOptions {
//!     keys: vec![KeySource::JwksUrl("https://id.example/jwks.json".into())],
//!     algorithms: vec![Algorithm::Rs256],
//!     issuers: vec!["https://id.example".into()],
//!     ..VerifierOptions::default()
//! })?;
//!
//! testing::accept_token("good", serde_json::json!({ "sub": "ann" }));
//! testing::refuse_token("old", VerifyError::Expired);
//!
//! assert_eq!(verifier.verify("good").unwrap().text("sub").as_deref(), Some("ann"));
//! assert_eq!(verifier.verify("old").unwrap_err(), VerifyError::Expired);
//! # Ok::<(), portcullis_sdk::SettingsError>(())
//! ```

use std::error::Error;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{SettingsError, host};

mod jwk_set;

pub use jwk_set::JwkSet;

/// Verifies tokens against one set of keys.
///
/// ```
/// use portcullis_sdk::jwt::{Verifier, VerifyError};
/// use portcullis_sdk::{Failure, Outcome, Reply, Request};
///
/// fn on_request(verifier: &Verifier, request: &mut Request) -> Result<Outcome, Failure> {
///     let given = request.header("authorization").and_then(|value| value.into_string());
///     let Some(token) = given.as_deref().and_then(|value| value.strip_prefix("Bearer ")) else {
///         return Ok(Reply::problem(401, "Unauthorized", "A token is needed.").into());
///     };
///     match verifier.verify(token) {
///         Ok(claims) => {
///             request.set_header("x-user", claims.text("sub").unwrap_or_default())?;
///             Ok(Outcome::Continue)
///         }
///         Err(VerifyError::KeysUnavailable) => {
///             Ok(Reply::problem(503, "Service Unavailable", "Tokens cannot be verified now.").into())
///         }
///         Err(_) => Ok(Reply::problem(401, "Unauthorized", "The token is not accepted.").into()),
///     }
/// }
/// # use portcullis_sdk::jwt::{Algorithm, KeySource, VerifierOptions};
/// # use portcullis_sdk::testing::{self, Exchange};
/// # use portcullis_sdk::{Filter, NoSettings, SettingsError};
/// # struct Auth(Verifier);
/// # impl Filter for Auth {
/// #     type Settings = NoSettings;
/// #     fn new(_: NoSettings) -> Result<Self, SettingsError> {
/// #         let keys = vec![KeySource::Secret(b"k".to_vec())];
/// #         let algorithms = vec![Algorithm::Hs256];
/// #         Ok(Auth(Verifier::open(VerifierOptions { keys, algorithms, ..Default::default() })?))
/// #     }
/// #     fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> { on_request(&self.0, request) }
/// # }
/// # let filter: Auth = testing::filter(serde_json::json!({}))?;
/// # testing::accept_token("good", serde_json::json!({ "sub": "ann" }));
/// # let ran = Exchange::get("/").header("authorization", "Bearer good").run(&filter);
/// # assert_eq!(ran.request().header("x-user").unwrap(), "ann");
/// # assert_eq!(Exchange::get("/").run(&filter).response().status(), 401);
/// # Ok::<(), SettingsError>(())
/// ```
pub struct Verifier {
    host: host::Verifier,
}

impl Verifier {
    /// Opens a verifier.
    ///
    /// # Errors
    /// Which option is wrong: no key, no algorithm, a key that cannot be read or does not fit the algorithms, a URL or
    /// file that does not stand in the filter's own settings.
    pub fn open(options: VerifierOptions) -> Result<Self, SettingsError> {
        host::Verifier::open(options).map(|host| Verifier { host })
    }

    /// Gives the claims of a good token.
    ///
    /// # Errors
    /// Why the token was refused.
    pub fn verify(&self, token: &str) -> Result<Claims, VerifyError> {
        self.host.verify(token).map(Claims)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// What a token must satisfy.
///
/// ```
/// use std::time::Duration;
///
/// use portcullis_sdk::jwt::{Algorithm, KeySource, Verifier, VerifierOptions};
///
/// let options = VerifierOptions {
///     keys: vec![KeySource::JwksUrl("https://id.example/jwks.json".into())],
///     algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
///     audiences: vec!["shop".into()],
///     required_claims: vec!["sub".into()],
///     leeway: Duration::from_secs(60),
///     ..VerifierOptions::default()
/// };
/// assert!(Verifier::open(options).is_ok());
///
/// // Neither keys nor algorithms have a default.
/// assert!(Verifier::open(VerifierOptions::default()).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifierOptions {
    /// At least one source.
    pub keys: Vec<KeySource>,
    /// The algorithms that are accepted, at least one. The token's own header never widens this.
    pub algorithms: Vec<Algorithm>,
    /// `iss` must be one of these; empty: any.
    pub issuers: Vec<String>,
    /// `aud` must hold one of these; empty: any.
    pub audiences: Vec<String>,
    /// Claims that must be there.
    pub required_claims: Vec<String>,
    /// How far clocks may differ, for `exp` and `nbf`; in whole seconds, what is less is dropped.
    pub leeway: Duration,
}

/// A signature algorithm of RFC 7518 section 3.1 or RFC 8037, in settings by its registered name: `"RS256"`.
///
/// `none` does not exist here.
///
/// ```
/// use portcullis_sdk::jwt::Algorithm;
///
/// let written: Vec<Algorithm> = serde_json::from_str(r#"["RS256", "EdDSA"]"#)?;
/// assert_eq!(written, [Algorithm::Rs256, Algorithm::EdDsa]);
/// assert!(serde_json::from_str::<Algorithm>(r#""none""#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
#[allow(missing_docs, reason = "each is its registered name")]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Where keys come from.
///
/// A URL or file must stand in the filter's own settings, letter for letter: a plugin cannot make the gateway fetch or
/// read what its operator did not write.
///
/// Keys are not printed:
///
/// ```
/// use portcullis_sdk::jwt::KeySource;
///
/// let secret = KeySource::Secret(b"a long random text".to_vec());
/// assert_eq!(format!("{secret:?}"), "Secret(…)");
/// assert_eq!(format!("{:?}", KeySource::JwksFile("keys.json".into())), r#"JwksFile("keys.json")"#);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A shared secret for the HS algorithms.
    Secret(Vec<u8>),
    /// A public key or certificate in PEM, for all other algorithms.
    Pem(String),
    /// A JWK Set (RFC 7517) as JSON.
    Jwks(String),
    /// The path of a file that holds a JWK Set; read again when it changes.
    JwksFile(String),
    /// A URL that serves a JWK Set; fetched in the background, and the last good set is kept.
    JwksUrl(String),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::Secret(_) => f.write_str("Secret(…)"),
            KeySource::Pem(_) => f.write_str("Pem(…)"),
            // A JWK may be symmetric.
            KeySource::Jwks(_) => f.write_str("Jwks(…)"),
            KeySource::JwksFile(path) => f.debug_tuple("JwksFile").field(path).finish(),
            KeySource::JwksUrl(url) => f.debug_tuple("JwksUrl").field(url).finish(),
        }
    }
}

/// The claims of a token that was verified.
///
/// ```
/// use portcullis_sdk::jwt::Claims;
/// use serde_json::json;
///
/// let claims = Claims(json!({ "sub": "ann", "roles": ["admin"] }).as_object().cloned().unwrap());
/// let roles = claims.get("roles").and_then(|roles| roles.as_array());
/// assert!(roles.is_some_and(|roles| roles.contains(&json!("admin"))));
/// assert_eq!(claims.iter().count(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims(pub Map<String, Value>);

impl Claims {
    /// A claim as JSON.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Every claim, in the token's order or by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A claim as text, ready for a header: a string as it is, a number or boolean as JSON writes it. Else none.
    ///
    /// ```
    /// use portcullis_sdk::jwt::Claims;
    /// use serde_json::json;
    ///
    /// let claims = Claims(json!({ "sub": "ann", "age": 30, "roles": ["admin"] }).as_object().cloned().unwrap());
    /// assert_eq!(claims.text("sub").as_deref(), Some("ann"));
    /// assert_eq!(claims.text("age").as_deref(), Some("30"));
    /// assert_eq!(claims.text("roles"), None);
    /// ```
    pub fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) => Some(text.clone()),
            plain @ (Value::Number(_) | Value::Bool(_)) => Some(plain.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A claim as text, whatever it is: as [`text`](Claims::text), and a list or an object as JSON, in which one item
    /// cannot pass for two. None where it is not there, or is `null`.
    ///
    /// ```
    /// use portcullis_sdk::jwt::Claims;
    /// use serde_json::json;
    ///
    /// let claims = Claims(json!({ "sub": "ann", "roles": ["a", "b"] }).as_object().cloned().unwrap());
    /// assert_eq!(claims.written("sub").as_deref(), Some("ann"));
    /// assert_eq!(claims.written("roles").as_deref(), Some(r#"["a","b"]"#));
    /// ```
    pub fn written(&self, name: &str) -> Option<String> {
        let as_json = || self.get(name).filter(|claim| !claim.is_null()).map(Value::to_string);
        self.text(name).or_else(as_json)
    }
}

/// Why a token was refused.
///
/// ```
/// use portcullis_sdk::Reply;
/// use portcullis_sdk::jwt::VerifyError;
///
/// fn refusal(error: &VerifyError) -> Reply {
///     match error {
///         VerifyError::KeysUnavailable => Reply::problem(503, "Service Unavailable", "Try again later."),
///         error => Reply::problem(401, "Unauthorized", &format!("Not let in: {error}.")),
///     }
/// }
///
/// assert_eq!(refusal(&VerifyError::Expired).status(), 401);
/// assert_eq!(refusal(&VerifyError::KeysUnavailable).status(), 503);
/// assert_eq!(VerifyError::MissingClaim("sub".into()).to_string(), "the claim `sub` is missing");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// Not a compact JWS with a JSON object for its claims.
    Malformed,
    /// The token's `alg` is not accepted, or is not one its key may be used with.
    Algorithm,
    /// No key fits the token.
    UnknownKey,
    /// The signature does not verify.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// `iss` is not accepted.
    Issuer,
    /// `aud` is not accepted.
    Audience,
    /// This required claim is missing.
    MissingClaim(String),
    /// No key has been fetched yet. The token may be good: answer with 503 rather than 401.
    KeysUnavailable,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VerifyError::Malformed => "the token is malformed",
            VerifyError::Algorithm => "the token's algorithm is not accepted",
            VerifyError::UnknownKey => "no key fits the token",
            VerifyError::Signature => "the signature does not verify",
            VerifyError::Expired => "the token has expired",
            VerifyError::NotYetValid => "the token is not valid yet",
            VerifyError::Issuer => "the issuer is not accepted",
            VerifyError::Audience => "the audience is not accepted",
            VerifyError::MissingClaim(name) => return write!(f, "the claim `{name}` is missing"),
            VerifyError::KeysUnavailable => "no key has been fetched yet",
        })
    }
}

impl Error for VerifyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_goes_by_its_registered_name() {
        for (name, algorithm) in [
            ("HS256", Algorithm::Hs256),
            ("PS512", Algorithm::Ps512),
            ("ES384", Algorithm::Es384),
            ("EdDSA", Algorithm::EdDsa),
        ] {
            assert_eq!(serde_json::from_value::<Algorithm>(name.into()).unwrap(), algorithm);
        }
        for name in ["none", "hs256", "Hs256", "EDDSA"] {
            assert!(serde_json::from_value::<Algorithm>(name.into()).is_err(), "{name}");
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let options = VerifierOptions {
            keys: vec![KeySource::Secret(b"xyzzy".to_vec())],
            ..VerifierOptions::default()
        };
        assert!(format!("{options:?}").contains("[Secret(…)]"));
    }
}
