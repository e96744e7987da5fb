//! Media types, and patterns of them: RFC 9110 sections 8.3.1 and 12.5.1.

use std::fmt;
use std::str::FromStr;

use crate::settings::text::{shown_as_text, text_setting};
use crate::{HeaderValue, SettingsError};

/// A media type or a range of them, for settings: `"text/*"`, `"application/json"`, `"application/*+json"`, `"*/*"`.
///
/// One `*` stands for anything that is not empty; `*/*` is every type.
///
/// ```
/// use portcullis_sdk::{HeaderValue, MediaRange, SettingsError};
///
/// let json: MediaRange = "application/*+json".parse()?;
/// assert!(json.matches(&HeaderValue::from("application/problem+json; charset=utf-8")));
/// assert!(!json.matches(&HeaderValue::from("application/json")));
/// # Ok::<(), SettingsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRange {
    written: String,
}

/// The range of every media type: RFC 9110 section 12.5.1.
const EVERY: &str = "*/*";

impl MediaRange {
    /// Whether a `content-type` is one of these, whatever its parameters.
    pub fn matches(&self, content_type: &HeaderValue) -> bool {
        let essence = content_type.as_bytes().split(|&byte| byte == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        if self.written == EVERY {
            return essence.contains(&b'/');
        }
        let Some((before, after)) = self.written.split_once('*') else {
            return essence.eq_ignore_ascii_case(self.written.as_bytes());
        };
        let Some((start, rest)) = essence.split_at_checked(before.len()) else {
            return false;
        };
        let Some((middle, end)) = rest.len().checked_sub(after.len()).map(|at| rest.split_at(at)) else {
            return false;
        };
        start.eq_ignore_ascii_case(before.as_bytes())
            && end.eq_ignore_ascii_case(after.as_bytes())
            && !middle.is_empty()
    }
}

impl FromStr for MediaRange {
    type Err = SettingsError;

    fn from_str(written: &str) -> Result<Self, SettingsError> {
        let is_text = |byte: u8| byte.is_ascii_graphic() && byte != b';' && byte != b',';
        let stars = written.matches('*').count();
        if !written.contains('/') || !written.bytes().all(is_text) || (stars > 1 && written != EVERY) {
            return Err("write `text/*` or `application/json`".into());
        }
        let written = written.to_owned();
        Ok(MediaRange { written })
    }
}

impl fmt::Display for MediaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

text_setting!(MediaRange, "media range", { "type": "string", "examples": ["text/*"] });
shown_as_text!(MediaRange);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_matches_types_without_regard_to_case_or_parameters() {
        let matches = |range: &str, value: &str| range.parse::<MediaRange>().unwrap().matches(&value.into());
        for (range, value) in [
            ("text/*", "TEXT/HTML;charset=x"),
            ("Text/CSV", "text/csv"),
            ("application/*+json", "application/problem+JSON ; a=b"),
            ("*/xml", "text/xml"),
            ("*/*", "image/png"),
            ("*/*", "text/html; charset=x"),
        ] {
            assert!(matches(range, value), "{range} {value}");
        }
        for (range, value) in [
            ("text/*", "text/"),
            ("*/*", ""),
            ("*/*", "text"),
            ("text/a*a", "text/a"),
            ("text/*", "application/json"),
            ("text/csv", "text/csv2"),
            ("text/csv", "text/cs"),
            ("application/*+json", "application/json"),
            ("application/*+json", "application/js+jso"),
        ] {
            assert!(!matches(range, value), "{range} {value}");
        }
        for written in ["text/*", "application/*+json", "Text/CSV", "*/*"] {
            assert_eq!(written.parse::<MediaRange>().unwrap().to_string(), written);
        }
        for wrong in ["json", "*", "*/*+*", "", "text/html; charset=x", "text/ html"] {
            assert!(wrong.parse::<MediaRange>().is_err(), "{wrong}");
        }
    }
}
