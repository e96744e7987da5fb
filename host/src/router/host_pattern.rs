//! The host of a pattern.

use std::fmt;
use std::net::Ipv6Addr;
use std::ops::Range;

use super::pattern::{Part, PatternError};

/// Which hosts a pattern matches. In lower case, without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostPattern {
    Any,
    Exact(String),
    /// What follows the `*`: `.example.com`. One or more labels stand before it.
    Wildcard(String),
}

impl HostPattern {
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |at: Range<usize>, message: &str| PatternError::new(Part::Host, at, message);
        let all = 0..text.len();
        if let Some(address) = text.strip_prefix('[') {
            let address = address
                .strip_suffix(']')
                .and_then(|address| address.parse::<Ipv6Addr>().ok());
            return match address {
                Some(address) => Ok(Self::Exact(format!("[{address}]"))),
                None => Err(error(all, "this is not an IPv6 address in brackets").help("a port is left out")),
            };
        }
        if let Some(colon) = text.find(':') {
            let (host, after) = text.split_at(colon);
            return Err(if after == ":" && matches!(host, "http" | "https") {
                error(all, "a scheme is not matched").help(format!("leave out `{text}//`"))
            } else {
                error(colon..text.len(), "a port is not matched").help(format!("write `{host}`"))
            });
        }
        if text == "*" {
            return Err(error(all, "`*` alone is not a host").help("without a host, any matches"));
        }
        let wildcard = text.strip_prefix('*').filter(|suffix| suffix.starts_with('.'));
        let name = wildcard.map_or(text, |suffix| suffix.trim_start_matches('.'));
        let mut at = if wildcard.is_some() { 2 } else { 0 };
        for label in wildcard
            .map_or(text, |suffix| suffix.get(1..).unwrap_or_default())
            .split('.')
        {
            if label.is_empty() {
                return Err(error(at..at, "an empty label is no part of a host"));
            }
            if let Some((odd, char)) = label.char_indices().find(|(_, char)| !is_label_char(*char)) {
                let error = error(
                    at + odd..at + odd + char.len_utf8(),
                    &format!("`{char}` is no part of a host"),
                );
                return Err(match char {
                    '*' => error.help("a wildcard is the whole first label: `*.example.com`"),
                    '{' | '}' => error.help("parameters are for the path"),
                    _ if !char.is_ascii() => error.help("write the name as DNS does: `xn--...`"),
                    _ => error,
                });
            }
            at += label.len() + 1;
        }
        let name = name.to_ascii_lowercase();
        Ok(if wildcard.is_some() {
            Self::Wildcard(format!(".{name}"))
        } else {
            Self::Exact(name)
        })
    }
}

/// As in names that are looked up in DNS; `_` is used inside clusters.
fn is_label_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_')
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_exact_or_begin_with_a_wildcard() {
        assert_eq!(
            HostPattern::parse("A-1.example.COM"),
            Ok(HostPattern::Exact("a-1.example.com".into()))
        );
        assert_eq!(
            HostPattern::parse("*.Example.com"),
            Ok(HostPattern::Wildcard(".example.com".into()))
        );
        assert_eq!(
            HostPattern::parse("10.0.0.1"),
            Ok(HostPattern::Exact("10.0.0.1".into()))
        );
        assert_eq!(HostPattern::parse("[::1]"), Ok(HostPattern::Exact("[::1]".into())));
    }

    #[test]
    fn what_is_no_host_is_refused_with_its_place() {
        for (text, place, message) in [
            ("example.com:8080", ":8080", "a port is not matched"),
            ("https:", "https:", "a scheme is not matched"),
            ("*", "*", "`*` alone is not a host"),
            ("*.", "", "an empty label is no part of a host"),
            ("*..a", "", "an empty label is no part of a host"),
            ("a.*.b", "*", "`*` is no part of a host"),
            ("*a.b", "*", "`*` is no part of a host"),
            ("{x}.b", "{", "`{` is no part of a host"),
            ("a.ü", "ü", "`ü` is no part of a host"),
            ("a.", "", "an empty label is no part of a host"),
            (".a", "", "an empty label is no part of a host"),
            ("[::1]:80", "[::1]:80", "this is not an IPv6 address in brackets"),
        ] {
            let error = HostPattern::parse(text).expect_err(text);
            assert_eq!(
                (text.get(error.at.clone()), error.message.as_str()),
                (Some(place), message),
                "{text}"
            );
        }
    }
}
