//! What a request must look like for a route to take it.

use std::fmt;
use std::ops::Range;

use http::{HeaderName, Method};

use super::host_pattern::HostPattern;
use super::segment::{self, Segment};
use super::value_match::{ValueMatch, ValueTest};

/// What a request must look like: methods, host, path, headers and query.
///
/// ```
/// use portcullis::router::Pattern;
///
/// let pattern = Pattern::parse("POST,GET Example.com/users/{id}")?;
/// assert_eq!(pattern.to_string(), "GET,POST example.com/users/{id}");
/// assert!(pattern.parameters().eq(["id"]));
///
/// let error = Pattern::parse("get /").unwrap_err();
/// assert_eq!(error.help.as_deref(), Some("write `GET`"));
/// # Ok::<(), portcullis::router::PatternError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Sorted; empty for any method.
    pub(super) methods: Vec<Method>,
    pub(super) host: HostPattern,
    /// One for each `/` of the path.
    pub(super) segments: Vec<Segment>,
    pub(super) headers: Vec<(HeaderName, ValueTest)>,
    pub(super) query: Vec<(String, ValueTest)>,
}

/// A pattern as its long form is written, each part by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PatternParts {
    /// In upper case; empty for any method. `GET` answers `HEAD` too.
    pub methods: Vec<String>,
    /// `example.com`, `*.example.com` (one or more labels before it), or `None` for any host. Without a port.
    pub host: Option<String>,
    /// `/users/{id}`: see [`Pattern::parse`].
    pub path: String,
    /// Names, in any case, and what their values must be. All must match.
    pub headers: Vec<(String, ValueMatch)>,
    /// Names, decoded, and what their decoded values must be. All must match.
    pub query: Vec<(String, ValueMatch)>,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// The part that is wrong.
    pub part: Part,
    /// Bytes of the text that was parsed; after [`Pattern::from_parts`], of the text of `part`.
    pub at: Range<usize>,
    /// In one line, without a full stop.
    pub message: String,
    /// What to write instead, where that is known.
    pub help: Option<String>,
}

/// A part of a pattern. Numbers are indices into the lists of [`PatternParts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// One of the methods.
    Method(usize),
    /// The host.
    Host,
    /// The path.
    Path,
    /// The name of a header.
    HeaderName(usize),
    /// The regular expression for a header.
    HeaderValue(usize),
    /// The regular expression for a query parameter.
    QueryValue(usize),
}

impl Pattern {
    /// Reads the short form: `[METHOD[,METHOD]... ][HOST]/PATH`.
    ///
    /// A path is made of literals, of parameters `{name}` that match one segment that is not empty or, with text around them
    /// (`/v{major}`, `/{name}.json`), a part of one, and last, perhaps, of `{rest...}`, which matches all further
    /// segments: `/files/{rest...}` takes `/files/a/b`, `/files/` and `/files`. A slash at the end counts otherwise.
    /// Literals are brought into the same normal form as the paths of requests.
    ///
    /// # Errors
    /// With the place in `text`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let trimmed = text.trim_start();
        let start = text.len() - trimmed.len();
        let trimmed = trimmed.trim_end();
        let (methods, target) = trimmed.split_once(char::is_whitespace).unwrap_or(("", trimmed));
        let target = target.trim_start();
        let target_at = start + trimmed.len() - target.len();

        if methods.contains('/') {
            let at = start + methods.len();
            return Err(PatternError::new(Part::Path, at..at + 1, "a path has no space in it").help("write `%20`"));
        }
        let path_at = target
            .find('/')
            .ok_or_else(|| missing_path(methods, target, target_at))?;
        let (host, path) = target.split_at(path_at);
        Ok(Self {
            methods: if methods.is_empty() {
                Vec::new()
            } else {
                parse_methods(methods.split(','), start)?
            },
            host: if host.is_empty() {
                HostPattern::Any
            } else {
                HostPattern::parse(host).map_err(|error| error.moved(target_at))?
            },
            segments: segment::parse_path(path).map_err(|error| error.moved(target_at + path_at))?,
            headers: Vec::new(),
            query: Vec::new(),
        })
    }

    /// Checks the long form.
    ///
    /// # Errors
    /// With the place in the text of the part that is wrong.
    pub fn from_parts(parts: PatternParts) -> Result<Self, PatternError> {
        let methods = parse_methods(parts.methods.iter().map(String::as_str), 0).map_err(|mut error| {
            if let Part::Method(index) = error.part {
                error.at = 0..parts.methods.get(index).map_or(0, String::len);
            }
            error
        })?;
        let host = parts.host.as_deref().map_or(Ok(HostPattern::Any), HostPattern::parse)?;
        let segments = segment::parse_path(&parts.path)?;
        let compile = |written: ValueMatch, part: Part| {
            let length = if let ValueMatch::Regex(text) = &written {
                text.len()
            } else {
                0
            };
            ValueTest::compile(written).map_err(|error| PatternError::new(part, 0..length, error.to_string()))
        };
        let mut headers = Vec::with_capacity(parts.headers.len());
        for (index, (name, written)) in parts.headers.into_iter().enumerate() {
            let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                PatternError::new(
                    Part::HeaderName(index),
                    0..name.len(),
                    format!("`{name}` is not the name of a header"),
                )
            })?;
            headers.push((known, compile(written, Part::HeaderValue(index))?));
        }
        let mut query = Vec::with_capacity(parts.query.len());
        for (index, (name, written)) in parts.query.into_iter().enumerate() {
            query.push((name, compile(written, Part::QueryValue(index))?));
        }
        Ok(Self {
            methods,
            host,
            segments,
            headers,
            query,
        })
    }

    /// The names of the path's parameters, from left to right.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::parameter)
    }
}

/// The canonical short form, methods sorted; headers and query, which it has no place for, follow in brackets:
/// `GET /users/{id} (x-tenant: a, ?debug)`.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, method) in self.methods.iter().enumerate() {
            write!(f, "{}{method}", if index == 0 { "" } else { "," })?;
        }
        if !self.methods.is_empty() {
            f.write_str(" ")?;
        }
        write!(f, "{}", self.host)?;
        for segment in &self.segments {
            write!(f, "/{segment}")?;
        }
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}{}", value.written));
        let query = self
            .query
            .iter()
            .map(|(name, value)| format!("?{name}{}", value.written));
        let fields: Vec<String> = headers.chain(query).collect();
        if fields.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", fields.join(", "))
        }
    }
}

impl PatternError {
    pub(super) fn new(part: Part, at: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            part,
            at,
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn moved(mut self, by: usize) -> Self {
        self.at = self.at.start + by..self.at.end + by;
        self
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl std::error::Error for PatternError {}

fn missing_path(methods: &str, target: &str, at: usize) -> PatternError {
    let error = PatternError::new(Part::Path, at..at + target.len(), "a path is missing");
    let is_method = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b',');
    match (target, is_method && methods.is_empty()) {
        ("", _) => error.help("`/` is the root, `/{rest...}` is every path"),
        (_, true) => error.help(format!("write `{target} /`")),
        (_, false) => error.help(format!("write `{target}/`")),
    }
}

fn parse_methods<'a>(methods: impl Iterator<Item = &'a str>, start: usize) -> Result<Vec<Method>, PatternError> {
    let mut known: Vec<Method> = Vec::new();
    let mut at = start;
    for (index, text) in methods.enumerate() {
        let error = |message| PatternError::new(Part::Method(index), at..at + text.len(), message);
        if text.is_empty() {
            return Err(error("a method is missing".to_owned()).help("write `GET,POST`, without spaces"));
        }
        if matches!(text, "*" | "ANY" | "ALL") {
            return Err(error(format!("`{text}` is not a method")).help("without methods, any matches"));
        }
        let method = Method::from_bytes(text.as_bytes()).map_err(|_| error(format!("`{text}` is not a method")))?;
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let help = format!("write `{}`", text.to_ascii_uppercase());
            return Err(error("methods are in upper case".to_owned()).help(help));
        }
        if matches!(method, Method::CONNECT | Method::TRACE) {
            let help = "CONNECT would make a tunnel of the gateway; TRACE would show what filters add to requests";
            return Err(error(format!("`{text}` is never served")).help(help));
        }
        if known.contains(&method) {
            return Err(error(format!("`{text}` stands here twice")));
        }
        known.push(method);
        at += text.len() + 1;
    }
    known.sort_unstable_by(|one, two| one.as_str().cmp(two.as_str()));
    Ok(known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn canonical(text: &str, expected: &str) {
        assert_eq!(
            Pattern::parse(text).map(|pattern| pattern.to_string()).as_deref(),
            Ok(expected),
            "{text}"
        );
    }

    #[track_caller]
    fn refused(text: &str, place: &str, message: &str) {
        let error = Pattern::parse(text).expect_err(text);
        assert_eq!(
            (text.get(error.at.clone()), error.message.as_str()),
            (Some(place), message),
            "{text}"
        );
    }

    #[test]
    fn the_short_form_has_a_canonical_form() {
        canonical("POST,GET Example.COM/users/{id}", "GET,POST example.com/users/{id}");
        canonical("  GET   / ", "GET /");
        canonical("*.example.com/", "*.example.com/");
        canonical("/files/{rest...}", "/files/{rest...}");
        canonical("/v{n}/{name}.json", "/v{n}/{name}.json");
        canonical("[2001:DB8:0::1]/", "[2001:db8::1]/");
        canonical("PROPFIND /a//b/", "PROPFIND /a//b/");
    }

    #[test]
    fn literals_are_normalised_like_paths() {
        canonical("/%7euser/%c3%a9/é/%2f", "/~user/%C3%A9/%C3%A9/%2F");
    }

    #[test]
    fn methods_are_checked() {
        refused("get /", "get", "methods are in upper case");
        refused("GET,,PUT /", "", "a method is missing");
        refused("GET, PUT /", "", "a method is missing");
        refused("GET,PUT,GET /", "GET", "`GET` stands here twice");
        refused("G@T /", "G@T", "`G@T` is not a method");
        refused("ANY /", "ANY", "`ANY` is not a method");
        refused("GET,TRACE /", "TRACE", "`TRACE` is never served");
    }

    #[test]
    fn a_path_is_needed() {
        refused("", "", "a path is missing");
        refused("GET", "GET", "a path is missing");
        refused("GET example.com", "example.com", "a path is missing");
        refused("/a b", " ", "a path has no space in it");
        assert_eq!(
            Pattern::parse("GET").unwrap_err().help.as_deref(),
            Some("write `GET /`")
        );
    }

    #[test]
    fn parts_are_checked_one_by_one() {
        let parts = PatternParts {
            path: "/{id}".into(),
            ..PatternParts::default()
        };
        let check = |change: fn(&mut PatternParts)| {
            let mut parts = parts.clone();
            change(&mut parts);
            Pattern::from_parts(parts)
                .map(|pattern| pattern.to_string())
                .map_err(|error| (error.part, error.at))
        };
        assert_eq!(check(|_| {}).as_deref(), Ok("/{id}"));
        assert_eq!(
            check(|p| p.methods = vec!["GET".into(), "a".into()]),
            Err((Part::Method(1), 0..1))
        );
        assert_eq!(check(|p| p.host = Some("a..b".into())), Err((Part::Host, 2..2)));
        assert_eq!(check(|p| p.path = "/a/{".into()), Err((Part::Path, 3..4)));
        assert_eq!(check(|p| p.path = "a".into()), Err((Part::Path, 0..1)));
        assert_eq!(
            check(|p| p.headers = vec![("a b".into(), ValueMatch::Present)]),
            Err((Part::HeaderName(0), 0..3))
        );
        assert_eq!(
            check(|p| p.query = vec![("a".into(), ValueMatch::Regex("(".into()))]),
            Err((Part::QueryValue(0), 0..1))
        );
        assert_eq!(
            check(|p| {
                p.headers = vec![("X-Tenant".into(), ValueMatch::Exact("a".into()))];
                p.query = vec![("debug".into(), ValueMatch::Present)];
            })
            .as_deref(),
            Ok("/{id} (x-tenant: a, ?debug)")
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Pattern::parse(&text);
        }

        #[test]
        fn the_canonical_form_is_its_own(text in "(GET|PUT,GET| )? ?(a\\.b|\\*\\.A)?(/|a|\\{x\\}|\\{y\\.\\.\\.\\}|%41|%2f|é|:){1,8}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                let canonical = pattern.to_string();
                prop_assert_eq!(Pattern::parse(&canonical).map(|again| again.to_string()), Ok(canonical));
            }
        }

        #[test]
        fn errors_point_into_the_text(text in "[GETget,*. /a:{}?%é]{0,12}") {
            if let Err(error) = Pattern::parse(&text) {
                prop_assert!(text.get(error.at.clone()).is_some(), "{:?} in {:?}", error, text);
            }
        }
    }
}
