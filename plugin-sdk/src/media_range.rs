//! Media types, and patterns of them: RFC 9110 sections 8.3.1 and 12.5.1.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::settings::text;
use crate::{HeaderValue, SettingsError};

/// A media type or a range of them, for settings: `"text/*"`, `"application/json"`, `"application/*+json"`.
///
/// One `*` stands for anything that is not empty.
///
/// ```
/// use portcullis_sdk::{HeaderValue, MediaRange, SettingsError};
///
/// let json: MediaRange = "application/*+json".parse()?;
/// assert!(json.holds(&HeaderValue::from("application/problem+json; charset=utf-8")));
/// assert!(!json.holds(&HeaderValue::from("application/json")));
/// # Ok::<(), SettingsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRange {
    before: String,
    /// What follows the `*`, where there is one.
    after: Option<String>,
}

impl MediaRange {
    /// Whether a `content-type` is one of these, whatever its parameters.
    pub fn holds(&self, content_type: &HeaderValue) -> bool {
        let essence = content_type.as_bytes().split(|&byte| byte == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        let Some((start, rest)) = essence.split_at_checked(self.before.len()) else {
            return false;
        };
        start.eq_ignore_ascii_case(self.before.as_bytes())
            && match &self.after {
                None => rest.is_empty(),
                Some(after) => match rest.len().checked_sub(after.len()) {
                    None => false,
                    Some(at) => !rest.is_empty() && rest.split_at(at).1.eq_ignore_ascii_case(after.as_bytes()),
                },
            }
    }
}

impl FromStr for MediaRange {
    type Err = SettingsError;

    fn from_str(written: &str) -> Result<Self, SettingsError> {
        let is_text = |byte: u8| byte.is_ascii_graphic() && byte != b';' && byte != b',';
        if !written.contains('/') || !written.bytes().all(is_text) || written.matches('*').count() > 1 {
            return Err("write `text/*` or `application/json`".into());
        }
        let (before, after) = match written.split_once('*') {
            Some((before, after)) => (before, Some(after.to_owned())),
            None => (written, None),
        };
        let before = before.to_owned();
        Ok(MediaRange { before, after })
    }
}

impl fmt::Display for MediaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.after {
            Some(after) => write!(f, "{}*{after}", self.before),
            None => f.write_str(&self.before),
        }
    }
}

impl Serialize for MediaRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MediaRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::parsed(deserializer, "media range")
    }
}

impl JsonSchema for MediaRange {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MediaRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["text/*"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_types_without_regard_to_case_or_parameters() {
        let holds = |range: &str, value: &str| range.parse::<MediaRange>().unwrap().holds(&value.into());
        for (range, value) in [
            ("text/*", "TEXT/HTML;charset=x"),
            ("Text/CSV", "text/csv"),
            ("application/*+json", "application/problem+JSON ; a=b"),
            ("*/xml", "text/xml"),
        ] {
            assert!(holds(range, value), "{range} {value}");
        }
        for (range, value) in [
            ("text/*", "text/"),
            ("text/*", "application/json"),
            ("text/csv", "text/csv2"),
            ("text/csv", "text/cs"),
            ("application/*+json", "application/json"),
            ("application/*+json", "application/js+jso"),
        ] {
            assert!(!holds(range, value), "{range} {value}");
        }
        for written in ["text/*", "application/*+json", "Text/CSV"] {
            assert_eq!(written.parse::<MediaRange>().unwrap().to_string(), written);
        }
        for wrong in ["json", "*/*", "", "text/html; charset=x", "text/ html"] {
            assert!(wrong.parse::<MediaRange>().is_err(), "{wrong}");
        }
    }
}
