//! What an operator writes, and what the gateway's verifier makes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_sdk::jwt::{Algorithm, KeySource, VerifierOptions};
use portcullis_sdk::serde_json::{Map, Value};
use portcullis_sdk::{HeaderName, Secret, SettingsError};
use schemars::JsonSchema;
use serde::Deserialize;

/// What an operator writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The signature algorithms that are accepted. A token's own header never widens this.
    #[schemars(length(min = 1))]
    algorithms: Vec<Algorithm>,
    /// A shared secret, for the HS algorithms.
    secret: Option<Secret>,
    /// A public key or certificate in PEM, for the other algorithms.
    pem: Option<String>,
    /// A JWK Set (RFC 7517): its URL, the path of a file, or the set itself.
    jwks: Option<Jwks>,
    /// `iss` must be this, or one of these.
    issuer: Option<OneOrMore>,
    /// `aud` must be or hold this, or one of these.
    audience: Option<OneOrMore>,
    /// How far clocks may differ, for `exp` and `nbf`.
    #[serde(default = "default_leeway")]
    #[schemars(regex(pattern = "^[0-9]{1,6}[smh]$"))]
    leeway: String,
    /// Claims that must be there.
    #[serde(default)]
    required_claims: Vec<String>,
    /// The field that carries the token: after `Bearer` in `authorization`, with or without it in any other.
    #[serde(default = "default_header")]
    pub(crate) header: HeaderName,
    /// A cookie that carries the token where the field is not there.
    #[schemars(length(min = 1))]
    pub(crate) cookie: Option<String>,
    /// Fields that tell the upstream what a claim holds. A client's own are always removed.
    #[serde(default)]
    pub(crate) claims_to_headers: BTreeMap<String, HeaderName>,
    /// The claims that become notes beside `sub`. Where this is not set: every one that is text, a number or a boolean.
    pub(crate) notes: Option<Vec<String>>,
    /// Whether a request without a token passes. One with a bad token never does.
    #[serde(default)]
    pub(crate) optional: bool,
    /// Whether the token is taken out before the request goes on.
    #[serde(default = "yes")]
    pub(crate) strip: bool,
}

/// A JWK Set, as text or as a table.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Jwks {
    /// A URL that begins with `https://` or `http://`, JSON that begins with `{`, or else the path of a file.
    Text(String),
    /// The set itself: `{ keys = [ ... ] }`.
    Set(Map<String, Value>),
}

/// One text, or a list of them.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMore {
    /// `"shop"`
    One(String),
    /// `["shop", "office"]`
    More(Vec<String>),
}

impl Settings {
    /// What the gateway's verifier is asked for.
    pub(crate) fn verifier_options(&self) -> Result<VerifierOptions, SettingsError> {
        if self.algorithms.is_empty() {
            return Err("`algorithms` is empty: no token could verify".into());
        }
        let secret = self
            .secret
            .as_ref()
            .map(|secret| KeySource::Secret(secret.expose().as_bytes().to_vec()));
        let pem = self.pem.clone().map(KeySource::Pem);
        let keys: Vec<_> = secret
            .into_iter()
            .chain(pem)
            .chain(self.jwks.as_ref().map(Jwks::source))
            .collect();
        if keys.is_empty() {
            return Err("a key is needed: `secret`, `pem` or `jwks`".into());
        }
        Ok(VerifierOptions {
            keys,
            algorithms: self.algorithms.clone(),
            issuers: OneOrMore::list(self.issuer.as_ref(), "issuer")?,
            audiences: OneOrMore::list(self.audience.as_ref(), "audience")?,
            required_claims: self.required_claims.clone(),
            leeway: duration(&self.leeway).ok_or_else(|| format!("`leeway`: `{}` is not like `60s`", self.leeway))?,
        })
    }
}

impl Jwks {
    // A URL or path goes on letter for letter: the gateway reaches only what it finds in the settings.
    fn source(&self) -> KeySource {
        match self {
            Jwks::Set(set) => KeySource::Jwks(Value::Object(set.clone()).to_string()),
            Jwks::Text(text) if text.starts_with("https://") || text.starts_with("http://") => {
                KeySource::JwksUrl(text.clone())
            }
            Jwks::Text(text) if text.trim_start().starts_with('{') => KeySource::Jwks(text.clone()),
            Jwks::Text(text) => KeySource::JwksFile(text.clone()),
        }
    }
}

impl OneOrMore {
    /// The list; none at all accepts any value. An empty one that was written down would too, which nobody means by it.
    fn list(written: Option<&OneOrMore>, setting: &str) -> Result<Vec<String>, SettingsError> {
        let list = match written {
            None => return Ok(Vec::new()),
            Some(OneOrMore::One(one)) => vec![one.clone()],
            Some(OneOrMore::More(list)) => list.clone(),
        };
        if list.is_empty() || list.iter().any(String::is_empty) {
            return Err(format!("`{setting}` is empty: leave it out to accept any").into());
        }
        Ok(list)
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (number, seconds) = match text.split_at_checked(text.len().checked_sub(1)?)? {
        (number, "s") => (number, 1),
        (number, "m") => (number, 60),
        (number, "h") => (number, 3600),
        _ => return None,
    };
    Some(Duration::from_secs(u64::from(number.parse::<u32>().ok()?) * seconds))
}

fn default_leeway() -> String {
    "60s".into()
}

fn default_header() -> HeaderName {
    HeaderName::new("authorization").expect("it is a token")
}

fn yes() -> bool {
    true
}
