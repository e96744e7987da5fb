//! What an operator writes, and what the gateway's verifier makes of it.

use std::collections::BTreeMap;

use portcullis_sdk::jwt::{Algorithm, JwkSet, KeySource, VerifierOptions};
use portcullis_sdk::{HeaderName, OneOrMany, Secret, SettingsError, TimeSpan};
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
    jwks: Option<JwkSet>,
    /// `iss` must be this, or one of these.
    issuer: Option<OneOrMany<String>>,
    /// `aud` must be or hold this, or one of these.
    audience: Option<OneOrMany<String>>,
    /// How far clocks may differ, for `exp` and `nbf`.
    #[serde(default = "default_leeway")]
    leeway: TimeSpan,
    /// Claims that must be there.
    #[serde(default)]
    required_claims: Vec<String>,
    /// The field that carries the token: after `Bearer` in `authorization`, with or without it in any other.
    #[serde(default = "default_header")]
    pub(crate) header: HeaderName,
    /// A cookie that may carry the token instead of the field.
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

impl Settings {
    /// What the gateway's verifier is asked for.
    pub(crate) fn verifier_options(&self) -> Result<VerifierOptions, SettingsError> {
        let secret = |secret: &Secret| KeySource::Secret(secret.expose().into());
        let secret = self.secret.iter().map(secret);
        let pem = self.pem.iter().cloned().map(KeySource::Pem);
        let jwks = self.jwks.iter().cloned().map(KeySource::from);
        let keys: Vec<_> = secret.chain(pem).chain(jwks).collect();
        match (self.algorithms.is_empty(), keys.is_empty()) {
            (true, _) => Err("`algorithms` is empty: no token could verify".into()),
            (_, true) => Err("a key is needed: `secret`, `pem` or `jwks`".into()),
            _ => Ok(VerifierOptions {
                keys,
                algorithms: self.algorithms.clone(),
                issuers: accepted("issuer", self.issuer.as_ref())?,
                audiences: accepted("audience", self.audience.as_ref())?,
                required_claims: self.required_claims.clone(),
                leeway: self.leeway.duration(),
            }),
        }
    }
}

/// The list; none at all accepts any value. An empty one that was written down would too, which nobody means by it.
fn accepted(setting: &str, written: Option<&OneOrMany<String>>) -> Result<Vec<String>, SettingsError> {
    let list = written.cloned().map_or_else(Vec::new, OneOrMany::into_vec);
    match (written.is_some() && list.is_empty()) || list.iter().any(String::is_empty) {
        true => Err(format!("`{setting}` is empty: leave it out to accept any").into()),
        false => Ok(list),
    }
}

fn default_leeway() -> TimeSpan {
    TimeSpan::from_seconds(60)
}

fn default_header() -> HeaderName {
    HeaderName::new("authorization").expect("it is a token")
}

fn yes() -> bool {
    true
}
