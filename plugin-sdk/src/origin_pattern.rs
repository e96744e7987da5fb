//! Origins of web pages, and patterns of them: RFC 6454.

use std::str::FromStr;

use crate::SettingsError;
use crate::settings::text::text_setting;

/// Origins of web pages, for settings: `"https://shop.example"`, `"https://*.shop.example"`, `"http://localhost:*"`,
/// `"null"`, or `"*"` for any.
///
/// A `*` in the place of subdomains stands for one label or more, in the place of the port for any that is written. It
/// stands nowhere else, since somebody else's site would match `https://shop.*` or `https://*shop.example`.
///
/// ```
/// use portcullis_sdk::{OriginPattern, SettingsError};
///
/// let pattern: OriginPattern = "https://*.shop.example".parse()?;
/// assert!(pattern.matches("https://a.shop.example"));
/// assert!(!pattern.matches("https://shop.example"));
/// assert!(!pattern.matches("https://a.shop.example:8443"));
/// # Ok::<(), SettingsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    before: String,
    wild: Wild,
}

/// What a `*` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wild {
    Nothing,
    /// With what follows it.
    Subdomains(String),
    Port,
    Everything,
}

impl OriginPattern {
    /// Whether an origin is one of these, as it stands in the field `origin`.
    pub fn matches(&self, origin: &str) -> bool {
        let Some(rest) = origin.strip_prefix(&self.before) else {
            return false;
        };
        let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        match &self.wild {
            Wild::Everything => true,
            Wild::Nothing => rest.is_empty(),
            Wild::Port => !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()),
            Wild::Subdomains(after) => rest
                .strip_suffix(after)
                .is_some_and(|labels| !labels.is_empty() && labels.bytes().all(is_label)),
        }
    }

    /// Whether it matches every origin: `"*"`.
    pub fn is_any(&self) -> bool {
        self.wild == Wild::Everything
    }
}

impl FromStr for OriginPattern {
    type Err = SettingsError;

    fn from_str(written: &str) -> Result<Self, SettingsError> {
        let pattern = |before: &str, wild| {
            let before = before.to_owned();
            Ok(OriginPattern { before, wild })
        };
        match written {
            "*" => return pattern("", Wild::Everything),
            // What sandboxed pages and files send.
            "null" => return pattern(written, Wild::Nothing),
            _ => {}
        }
        let Some((scheme, host)) = written.split_once("://") else {
            return Err("write `https://shop.example`".into());
        };
        if scheme.is_empty() || scheme.contains('*') || host.is_empty() {
            return Err("write `https://shop.example`".into());
        }
        if host.contains(['/', '?', '#', '@']) {
            return Err("it is more than an origin, which ends with the host or with the port".into());
        }
        if written
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii_graphic())
        {
            return Err("browsers send it in lower case, and international names in Punycode".into());
        }
        let Some((before, after)) = host.split_once('*') else {
            return pattern(written, Wild::Nothing);
        };
        let (start, _) = written.split_at(scheme.len() + "://".len() + before.len());
        if before.is_empty() && after.len() > 1 && after.starts_with('.') && !after.contains('*') {
            return pattern(start, Wild::Subdomains(after.to_owned()));
        }
        if before.len() > 1 && before.ends_with(':') && after.is_empty() {
            return pattern(start, Wild::Port);
        }
        Err("it may have one `*`, in the place of subdomains (`https://*.example.com`) or of the port".into())
    }
}

text_setting!(OriginPattern, "origin", { "type": "string", "examples": ["https://shop.example"] });

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, origin: &str) -> bool {
        pattern.parse::<OriginPattern>().unwrap().matches(origin)
    }

    #[test]
    fn a_pattern_matches_subdomains_and_ports_and_nothing_else() {
        for (pattern, origin) in [
            ("https://*.shop.example", "https://a.shop.example"),
            ("https://*.shop.example", "https://a.b-1.shop.example"),
            ("http://localhost:*", "http://localhost:3000"),
            ("https://shop.example:8443", "https://shop.example:8443"),
            ("null", "null"),
            ("*", "anything"),
        ] {
            assert!(matches(pattern, origin), "{pattern} {origin}");
        }
        for (pattern, origin) in [
            ("https://*.shop.example", "https://.shop.example"),
            ("https://*.shop.example", "https://evilshop.example"),
            ("https://*.shop.example", "https://a.shop.example.evil.example"),
            ("https://*.shop.example", "https://evil.example:1.shop.example"),
            ("https://*.shop.example", "https://evil.example/.shop.example"),
            ("https://*.shop.example", "http://a.shop.example"),
            ("https://*.shop.example", "https://a.shop.example:8443"),
            ("https://shop.example", "https://shop.example:443"),
            ("https://shop.example", "HTTPS://SHOP.EXAMPLE"),
            ("http://localhost:*", "http://localhost"),
            ("http://localhost:*", "http://localhost:"),
            ("http://localhost:*", "http://localhost:3000.evil.example"),
        ] {
            assert!(!matches(pattern, origin), "{pattern} {origin}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for (wrong, why) in [
            ("a.example", "write `https://shop.example`"),
            ("://a", "write `https://shop.example`"),
            ("https://", "write `https://shop.example`"),
            ("https://a.example/", "more than an origin"),
            ("https://A.example", "in lower case"),
            ("https://a.*", "may have one `*`"),
            ("https://*", "may have one `*`"),
            ("https://*.", "may have one `*`"),
            ("https://:*", "may have one `*`"),
            ("https://*a.example", "may have one `*`"),
            ("https://*.*.example", "may have one `*`"),
            ("h*://a.example", "write `https://shop.example`"),
        ] {
            let error = serde_json::from_value::<OriginPattern>(wrong.into())
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!("`{wrong}` is no origin: ")) && error.contains(why),
                "{error}"
            );
        }
    }
}
