//! The path of a pattern, segment by segment.

use std::fmt;
use std::ops::Range;

use super::path;
use super::pattern::{Part, PatternError};

/// What one segment of a path must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This, in its normal form.
    Literal(String),
    /// Anything between the two; where both are empty, any segment but the empty one.
    Parameter {
        before: String,
        name: String,
        after: String,
    },
    /// This and all further segments, or none. Always last.
    Rest(String),
}

/// A request's path has at most 8 KiB; a deeper tree than this serves nobody.
const MOST_SEGMENTS: usize = 128;

/// Names that redirects and rewrites have a use for.
const RESERVED: [&str; 2] = ["host", "path"];

impl Segment {
    pub(super) fn parameter(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter { name, .. } | Self::Rest(name) => Some(name),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Parameter { before, name, after } => write!(f, "{before}{{{name}}}{after}"),
            Self::Rest(name) => write!(f, "{{{name}...}}"),
        }
    }
}

pub(super) fn parse_path(text: &str) -> Result<Vec<Segment>, PatternError> {
    let Some(inside) = text.strip_prefix('/') else {
        return Err(error(0..text.len(), "a path begins with `/`").help(format!("write `/{text}`")));
    };
    if let Some((at, char)) = text
        .char_indices()
        .find(|(_, char)| char.is_whitespace() || matches!(char, '?' | '#'))
    {
        let error = error(at..at + char.len_utf8(), format!("`{char}` is no part of a path"));
        return Err(match char {
            '?' => error.help("the query is matched by `query = { name = \"value\" }`"),
            '#' => error.help("no client sends what follows it; write `%23` for the character itself"),
            _ => error.help("write `%20` for a space"),
        });
    }
    let mut segments: Vec<Segment> = Vec::new();
    let mut at = 1;
    for text in inside.split('/') {
        let place = at..at + text.len();
        if let Some(Segment::Rest(name)) = segments.last() {
            return Err(error(at - 1..place.end, format!("nothing can follow `{{{name}...}}`")));
        }
        if segments.len() == MOST_SEGMENTS {
            return Err(error(place, format!("a path has at most {MOST_SEGMENTS} segments")));
        }
        let segment = parse_segment(text).map_err(|error| error.moved(at))?;
        if let Some(name) = segment.parameter()
            && segments.iter().any(|earlier| earlier.parameter() == Some(name))
        {
            return Err(error(place, format!("the path has two parameters named `{name}`")));
        }
        segments.push(segment);
        at += text.len() + 1;
    }
    Ok(segments)
}

fn parse_segment(text: &str) -> Result<Segment, PatternError> {
    let Some((before, after_open)) = text.split_once('{') else {
        return parse_literal(text);
    };
    let open = before.len();
    if let Some(stray) = before.find('}') {
        return Err(error(stray..stray + 1, "`}` closes nothing"));
    }
    let Some((name, after)) = after_open.split_once('}') else {
        return Err(error(open..text.len(), "`{` is not closed").help("a parameter is one segment: `/users/{id}`"));
    };
    let close = open + 1 + name.len();
    if let Some(second) = after.find(['{', '}']) {
        let second = close + 1 + second;
        let error = error(second..second + 1, "a segment has at most one parameter");
        return Err(error.help("where one would end and the next begin is not clear"));
    }
    if let Some(name) = name.strip_suffix("...") {
        check_name(name, open + 1)?;
        if !before.is_empty() || !after.is_empty() {
            let error = error(0..text.len(), format!("`{{{name}...}}` takes whole segments"));
            return Err(error.help(format!("write `/{{{name}...}}`")));
        }
        return Ok(Segment::Rest(name.to_owned()));
    }
    check_name(name, open + 1)?;
    Ok(Segment::Parameter {
        before: normal(before, 0)?,
        name: name.to_owned(),
        after: normal(after, close + 1)?,
    })
}

fn parse_literal(text: &str) -> Result<Segment, PatternError> {
    let all = 0..text.len();
    if let Some(stray) = text.find('}') {
        return Err(error(stray..stray + 1, "`}` closes nothing"));
    }
    if matches!(text, "*" | "**") {
        let error = error(all, format!("`{text}` is not a wildcard here"));
        return Err(error.help("write `{name}` for one segment, `{rest...}` for all that follow"));
    }
    let literal = normal(text, 0)?;
    if matches!(literal.as_str(), "." | "..") || path::hides_dots(&literal) {
        let error = error(all, "a dot segment is matched by no request");
        return Err(error.help("write the path as it is when `.` and `..` are resolved"));
    }
    Ok(Segment::Literal(literal))
}

fn normal(text: &str, at: usize) -> Result<String, PatternError> {
    path::normalise_literal(text).map_err(|problem| error(at..at + text.len(), problem.to_string()))
}

fn check_name(name: &str, at: usize) -> Result<(), PatternError> {
    let place = at..at + name.len();
    let starts = name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
    if !starts
        || !name
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-'))
    {
        let error = error(place, format!("`{name}` is not a name for a parameter"));
        return Err(error.help("names have letters, digits, `_` and `-`, and begin with a letter or `_`"));
    }
    if RESERVED.contains(&name) {
        let error = error(place, format!("`{{{name}}}` is the request's own {name}"));
        return Err(error.help(format!("choose another name, such as `{{{name}_name}}`")));
    }
    Ok(())
}

fn error(at: Range<usize>, message: impl Into<String>) -> PatternError {
    PatternError::new(Part::Path, at, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, place: &str, message: &str) {
        let error = parse_path(text).expect_err(text);
        assert_eq!(
            (text.get(error.at.clone()), error.message.as_str()),
            (Some(place), message),
            "{text}"
        );
    }

    #[test]
    fn a_path_is_literals_parameters_and_a_rest() {
        let parameter = |before: &str, name: &str, after: &str| Segment::Parameter {
            before: before.into(),
            name: name.into(),
            after: after.into(),
        };
        assert_eq!(
            parse_path("/a/{b}/v{c}.x/{d...}").unwrap(),
            [
                Segment::Literal("a".into()),
                parameter("", "b", ""),
                parameter("v", "c", ".x"),
                Segment::Rest("d".into())
            ]
        );
        assert_eq!(parse_path("/").unwrap(), [Segment::Literal(String::new())]);
    }

    #[test]
    fn parameters_are_checked() {
        refused("/{", "{", "`{` is not closed");
        refused("/{a/b}", "{a", "`{` is not closed");
        refused("/a}/b", "}", "`}` closes nothing");
        refused("/{}", "", "`` is not a name for a parameter");
        refused("/{a:[0-9]+}", "a:[0-9]+", "`a:[0-9]+` is not a name for a parameter");
        refused("/{*rest}", "*rest", "`*rest` is not a name for a parameter");
        refused("/{a}-{b}", "{", "a segment has at most one parameter");
        refused("/{a}/x{a}", "x{a}", "the path has two parameters named `a`");
        refused("/{host}", "host", "`{host}` is the request's own host");
    }

    #[test]
    fn a_rest_is_whole_and_last() {
        refused("/{rest...}/a", "/a", "nothing can follow `{rest...}`");
        refused("/{rest...}/", "/", "nothing can follow `{rest...}`");
        refused("/a{rest...}", "a{rest...}", "`{rest...}` takes whole segments");
    }

    #[test]
    fn what_no_request_matches_is_refused() {
        refused("/a/../b", "..", "a dot segment is matched by no request");
        refused("/%2e", "%2e", "a dot segment is matched by no request");
        refused("/..;x", "..;x", "a dot segment is matched by no request");
        refused("/a?b=c", "?", "`?` is no part of a path");
        refused("/a b", " ", "` ` is no part of a path");
        refused("/files/*", "*", "`*` is not a wildcard here");
        refused(
            "/a%4",
            "a%4",
            "the path holds a `%` that is not followed by two hexadecimal digits",
        );
        refused("/{x}%00", "%00", "the path holds `%00`");
    }

    #[test]
    fn depth_is_limited() {
        assert!(parse_path(&"/a".repeat(MOST_SEGMENTS)).is_ok());
        assert!(parse_path(&"/a".repeat(MOST_SEGMENTS + 1)).is_err());
    }
}
