//! A JWK Set as an operator writes it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::KeySource;

/// A JWK Set (RFC 7517), for settings: its URL, the path of a file, or the set itself.
///
/// ```
/// use portcullis_sdk::jwt::{JwkSet, KeySource};
/// use serde_json::{from_value, json};
///
/// let url: JwkSet = from_value(json!("https://id.example/jwks.json"))?;
/// assert_eq!(KeySource::from(url), KeySource::JwksUrl("https://id.example/jwks.json".into()));
///
/// let set: JwkSet = from_value(json!({ "keys": [] }))?;
/// assert_eq!(KeySource::from(set), KeySource::Jwks(r#"{"keys":[]}"#.into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum JwkSet {
    /// A URL that begins with `https://` or `http://`, JSON that begins with `{`, or else the path of a file.
    Text(String),
    /// The set itself: `{ keys = [ ... ] }`.
    Set(Map<String, Value>),
}

impl From<JwkSet> for KeySource {
    // A URL or path goes on letter for letter: the gateway reaches only what it finds in the settings.
    fn from(set: JwkSet) -> Self {
        match set {
            JwkSet::Set(set) => KeySource::Jwks(Value::Object(set).to_string()),
            JwkSet::Text(text) if text.starts_with("https://") || text.starts_with("http://") => {
                KeySource::JwksUrl(text)
            }
            JwkSet::Text(text) if text.trim_start().starts_with('{') => KeySource::Jwks(text),
            JwkSet::Text(text) => KeySource::JwksFile(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_url_a_set_or_else_a_path() {
        let source = |text: &str| KeySource::from(JwkSet::Text(text.into()));
        assert!(matches!(source("http://id.example/jwks"), KeySource::JwksUrl(_)));
        assert!(matches!(source(" {\"keys\":[]}"), KeySource::Jwks(_)));
        assert!(matches!(source("keys/jwks.json"), KeySource::JwksFile(path) if path == "keys/jwks.json"));
    }
}
