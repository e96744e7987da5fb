//! Text with parameters to fill in: what a path is rewritten to, where a redirect leads.

use std::fmt;
use std::ops::Range;

/// Text with `{name}` in it, for rewrites and redirects.
///
/// ```
/// use portcullis::router::Template;
///
/// let template = Template::parse("https://{host}/v2/{rest...}")?;
/// assert!(template.parameters().eq(["host", "rest"]));
///
/// let mut location = String::new();
/// template.fill(&mut location, |name| match name {
///     "host" => Some("example.com"),
///     "rest" => Some("a%20b/c"),
///     _ => None,
/// });
/// assert_eq!(location, "https://example.com/v2/a%20b/c");
/// # Ok::<(), portcullis::router::TemplateError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Parameter(String),
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Bytes of the text that was parsed.
    pub at: Range<usize>,
    /// In one line, without a full stop.
    pub message: String,
    /// What to write instead, where that is known.
    pub help: Option<String>,
}

impl Template {
    /// Reads a template. `{rest...}` is the same as `{rest}` here; all other text may be anything but `{` and `}`.
    ///
    /// # Errors
    /// For brackets that do not match, and for what no parameter can be called. Whether the parameters exist is for the
    /// caller to check.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let literal = rest
                .get(..rest.find(['{', '}']).unwrap_or(rest.len()))
                .unwrap_or_default();
            if !literal.is_empty() {
                pieces.push(Piece::Text(literal.to_owned()));
                at += literal.len();
                continue;
            }
            let Some(inside) = rest.strip_prefix('{') else {
                return Err(error(at..at + 1, "`}` closes nothing").help("write `%7D` for the character itself"));
            };
            let Some((name, _)) = inside.split_once('}') else {
                return Err(error(at..text.len(), "`{` is not closed").help("write `%7B` for the character itself"));
            };
            let place = at + 1..at + 1 + name.len();
            at = place.end + 1;
            let bare = name.strip_suffix("...").unwrap_or(name);
            if bare.is_empty()
                || !bare
                    .chars()
                    .all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-'))
            {
                return Err(error(place, &format!("`{name}` is not the name of a parameter")));
            }
            pieces.push(Piece::Parameter(bare.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The names in it, from left to right, as often as they are used.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Parameter(name) => Some(name.as_str()),
        })
    }

    /// Appends the text with each parameter's value in its place, as it is; nothing, where there is no value.
    ///
    /// Values cannot turn a path into another host's URL: a `//` at the beginning that is not the template's own becomes
    /// `/`. (`/{rest}` with `/evil.example` for the rest would lead a browser there: RFC 3986, section 4.2.)
    pub fn fill<'v>(&self, out: &mut String, value: impl Fn(&str) -> Option<&'v str>) {
        let start = out.len();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Parameter(name) => out.push_str(value(name).unwrap_or_default()),
            }
        }
        let own = matches!(self.pieces.first(), Some(Piece::Text(text)) if text.starts_with("//"));
        let slashes = out.bytes().skip(start).take_while(|&byte| byte == b'/').count();
        if slashes > 1 && !own {
            out.replace_range(start..start + slashes - 1, "");
        }
    }
}

/// As it is written, `{rest...}` as `{rest}`.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Parameter(name) => write!(f, "{{{name}}}"),
        })
    }
}

impl TemplateError {
    fn help(mut self, help: &str) -> Self {
        self.help = Some(help.to_owned());
        self
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl std::error::Error for TemplateError {}

fn error(at: Range<usize>, message: &str) -> TemplateError {
    TemplateError {
        at,
        message: message.to_owned(),
        help: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(template: &str, values: &[(&str, &'static str)]) -> String {
        let mut out = String::new();
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        Template::parse(template).unwrap().fill(&mut out, value);
        out
    }

    #[test]
    fn values_are_filled_in_as_they_are() {
        assert_eq!(
            filled("/api/{id}/{rest...}?a=b#c", &[("id", "4%20"), ("rest", "x/y")]),
            "/api/4%20/x/y?a=b#c"
        );
        assert_eq!(filled("{a}{b}{a}", &[("a", "1")]), "11");
        assert_eq!(filled("", &[]), "");
    }

    #[test]
    fn values_do_not_lead_to_another_host() {
        assert_eq!(filled("/{rest}", &[("rest", "/evil.example/x")]), "/evil.example/x");
        assert_eq!(filled("{path}", &[("path", "///evil.example")]), "/evil.example");
        assert_eq!(filled("//{host}/", &[("host", "own.example")]), "//own.example/");
        assert_eq!(filled("/a/{rest}", &[("rest", "/b")]), "/a//b");
    }

    #[test]
    fn malformed_templates_are_refused_with_their_place() {
        for (text, place, message) in [
            ("/a}", "}", "`}` closes nothing"),
            ("/{a", "{a", "`{` is not closed"),
            ("/{}", "", "`` is not the name of a parameter"),
            ("/{...}", "...", "`...` is not the name of a parameter"),
            ("/{{a}}", "{a", "`{a` is not the name of a parameter"),
            ("/${a b}", "a b", "`a b` is not the name of a parameter"),
        ] {
            let error = Template::parse(text).expect_err(text);
            assert_eq!(
                (text.get(error.at.clone()), error.message.as_str()),
                (Some(place), message),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_errors_point_into_it(text in "(\\PC|[{}.a/]){0,16}") {
            match Template::parse(&text) {
                Ok(template) => prop_assert_eq!(Template::parse(&template.to_string()), Ok(template)),
                Err(error) => prop_assert!(text.get(error.at).is_some()),
            }
        }
    }
}
