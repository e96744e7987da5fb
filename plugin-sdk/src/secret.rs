//! A setting that nobody may see.

use std::borrow::Cow;
use std::fmt;
use std::hint::black_box;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A text in the settings that must not be printed: a token, a password, a key.
///
/// `Debug` shows `…`, there is no `Display`, and it cannot be serialized. The gateway fills it from `${env:NAME}` or
/// `${file:path}`.
///
/// ```
/// use portcullis_sdk::Secret;
///
/// let token = Secret::from("open sesame".to_owned());
/// assert!(token.matches(b"open sesame"));
/// assert!(!token.matches(b"open barley"));
/// assert_eq!(format!("{token:?}"), "…");
/// ```
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a candidate is this secret, in a time that depends on the candidate's length alone.
    ///
    /// The empty secret matches nothing: it is a forgotten one.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let mut difference = self.0.len() ^ candidate.len();
        for (own, other) in self.0.bytes().cycle().zip(candidate) {
            // Opaque, or the compiler may leave the loop at the first difference.
            difference = black_box(difference | usize::from(own ^ other));
        }
        difference == 0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "writeOnly": true })
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn only_the_very_same_bytes_match() {
        let secret = Secret::from("abab".to_owned());
        assert!(secret.matches(b"abab"));
        for other in [&b""[..], b"a", b"ab", b"abac", b"ababab", b"abababab"] {
            assert!(!secret.matches(other), "{other:?}");
        }
        assert!(!Secret::from(String::new()).matches(b""));
    }
}
