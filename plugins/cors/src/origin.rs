//! Origins: `https://shop.example:8443`, and patterns of them.

use portcullis_sdk::SettingsError;

/// The origins that are allowed.
pub(crate) enum Origins {
    /// `*`
    Any,
    /// These, and those that fit.
    Listed(Vec<Pattern>),
}

/// An origin, or one with a `*` in it.
pub(crate) enum Pattern {
    Exact(String),
    /// What stands before and after the `*`.
    Wild(String, String),
}

impl Origins {
    pub(crate) fn parse(written: &[String]) -> Result<Self, SettingsError> {
        match written {
            [] => Err("`allow_origins` is empty: no page could read anything".into()),
            [star] if star == "*" => Ok(Origins::Any),
            list => list
                .iter()
                .map(|origin| Pattern::parse(origin))
                .collect::<Result<_, _>>()
                .map(Origins::Listed),
        }
    }

    pub(crate) fn any(&self) -> bool {
        matches!(self, Origins::Any)
    }

    /// The value of `Access-Control-Allow-Origin` for a request's `Origin`, or none where it is not allowed.
    pub(crate) fn allowed<'origin>(&self, origin: &'origin str) -> Option<&'origin str> {
        match self {
            Origins::Any => Some("*"),
            Origins::Listed(patterns) => patterns.iter().any(|pattern| pattern.fits(origin)).then_some(origin),
        }
    }
}

impl Pattern {
    fn parse(written: &str) -> Result<Self, SettingsError> {
        let wrong = |why: &str| Err(SettingsError::new(format!("`allow_origins`: `{written}` {why}")));
        // What sandboxed pages and files send.
        if written == "null" {
            return Ok(Pattern::Exact(written.into()));
        }
        if written == "*" {
            return wrong("stands alone or not at all");
        }
        let Some((scheme, host)) = written
            .split_once("://")
            .filter(|(scheme, host)| !scheme.is_empty() && !host.is_empty())
        else {
            return wrong("is no origin: write `https://shop.example`");
        };
        if host.contains(['/', '?', '#', '@']) {
            return wrong("is more than an origin: that ends with the host, or with the port");
        }
        if written
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii_graphic())
        {
            return wrong("is not as browsers send it: in lower case, and international names in Punycode");
        }
        match written.split_once('*') {
            None => Ok(Pattern::Exact(written.into())),
            Some((before, after)) => {
                // Anywhere else, somebody else's site would fit: `https://shop.*`, `https://*shop.example`.
                let subdomain = before.len() == scheme.len() + 3 && after.len() > 1 && after.starts_with('.');
                let port = before.ends_with(':') && before.len() > scheme.len() + 4 && after.is_empty();
                if after.contains('*') || !(subdomain || port) {
                    return wrong(
                        "may have one `*`: in the place of subdomains (`https://*.example.com`) or of the port",
                    );
                }
                Ok(Pattern::Wild(before.into(), after.into()))
            }
        }
    }

    fn fits(&self, origin: &str) -> bool {
        match self {
            Pattern::Exact(exact) => origin == exact,
            Pattern::Wild(before, after) => {
                let inside = origin
                    .strip_prefix(before.as_str())
                    .and_then(|rest| rest.strip_suffix(after.as_str()));
                let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
                let in_port = after.is_empty();
                inside.is_some_and(|inside| {
                    !inside.is_empty()
                        && inside
                            .bytes()
                            .all(|byte| if in_port { byte.is_ascii_digit() } else { is_label(byte) })
                })
            }
        }
    }
}
