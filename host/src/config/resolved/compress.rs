//! `compress`, of `[server]` and of routes.

/// How responses are compressed.
#[derive(Debug, Clone, PartialEq)]
pub struct Compress {
    /// The first one wins where the client likes several equally.
    pub encodings: Vec<Encoding>,
    /// Bytes; what is known to be smaller goes as it is. 1 KiB by default.
    pub least: u64,
    /// What is worth it.
    pub types: Vec<MediaPattern>,
    /// How hard each encoder tries.
    pub levels: Levels,
    /// Responses at once on each thread. 256 by default.
    pub at_once: usize,
}

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 8878
    Zstd,
    /// RFC 7932
    Brotli,
    /// RFC 1952
    Gzip,
}

impl Encoding {
    /// All, the one first that makes the least work for what it saves.
    pub const ALL: [Encoding; 3] = [Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];

    /// Its name in `Content-Encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Zstd => "zstd",
            Encoding::Brotli => "br",
            Encoding::Gzip => "gzip",
        }
    }
}

/// How hard each encoder tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// 3 by default.
    pub zstd: i32,
    /// 4 by default.
    pub brotli: i32,
    /// 5 by default.
    pub gzip: i32,
}

/// `text/*`, `application/json`, `application/*+json`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPattern {
    /// With its slash: `text/`.
    pub(crate) kind: String,
    pub(crate) rest: MediaRest,
}

/// What stands behind the slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MediaRest {
    /// `*`
    Any,
    /// `json`
    Exact(String),
    /// `*+json`; with its plus.
    Suffix(String),
}

impl MediaPattern {
    /// The pattern that is written so.
    pub(crate) fn parse(text: &str) -> Option<MediaPattern> {
        let text = text.to_ascii_lowercase();
        let (kind, rest) = text.split_once('/')?;
        let is_token = |text: &str| {
            let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
            !text.is_empty() && text.bytes().all(fine)
        };
        let rest = match rest.strip_prefix('*') {
            Some("") => MediaRest::Any,
            Some(suffix) if suffix.len() > 1 && suffix.starts_with('+') && is_token(suffix) => {
                MediaRest::Suffix(suffix.to_owned())
            }
            None if is_token(rest) => MediaRest::Exact(rest.to_owned()),
            _ => return None,
        };
        is_token(kind).then(|| MediaPattern {
            kind: format!("{kind}/"),
            rest,
        })
    }

    /// Whether a media type, without its parameters, is one of these.
    pub(crate) fn matches(&self, media_type: &[u8]) -> bool {
        let Some((kind, rest)) = media_type.split_at_checked(self.kind.len()) else {
            return false;
        };
        kind.eq_ignore_ascii_case(self.kind.as_bytes())
            && match &self.rest {
                MediaRest::Any => !rest.is_empty(),
                MediaRest::Exact(exact) => rest.eq_ignore_ascii_case(exact.as_bytes()),
                MediaRest::Suffix(suffix) => rest
                    .len()
                    .checked_sub(suffix.len())
                    .is_some_and(|at| at > 0 && rest[at..].eq_ignore_ascii_case(suffix.as_bytes())),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        let matches = |pattern, media_type: &str| MediaPattern::parse(pattern).unwrap().matches(media_type.as_bytes());
        assert!(matches("text/*", "TEXT/html") && !matches("text/*", "text/") && !matches("text/*", "image/png"));
        assert!(matches("application/json", "application/json") && !matches("application/json", "application/json5"));
        assert!(matches("application/*+json", "application/problem+json"));
        assert!(
            !matches("application/*+json", "application/json") && !matches("application/*+json", "application/+json")
        );
        for wrong in [
            "",
            "text",
            "/",
            "text/",
            "*/*",
            "text/**",
            "text/h*",
            "text/*json",
            "text/*+",
            "te xt/a",
        ] {
            assert_eq!(MediaPattern::parse(wrong), None, "{wrong}");
        }
    }
}
