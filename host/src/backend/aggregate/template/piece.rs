//! Text with references in it.

use std::borrow::Cow;
use std::ops::Range;

use super::reference::{Scope, Source};
use super::values::{Unfilled, Values};
use crate::backend::aggregate::misread::Misread;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text as it is.
    Text(String),
    /// A value to come.
    Insert(Insert),
}

/// A reference in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Insert {
    /// What it is to.
    pub(crate) source: Source,
    /// What to do where there is no value.
    pub(crate) missing: Missing,
    /// Whether the value is several segments of a path: `${path.rest...}`.
    pub(crate) segments: bool,
    /// All of `${..}`, in the text that was read.
    pub(crate) at: Range<usize>,
    /// What stands between the braces, for those who look for a mistake.
    pub(crate) written: String,
}

/// What to do where there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The call fails.
    Fails,
    /// Nothing is inserted.
    LeftOut,
    /// This is inserted.
    Default(String),
}

/// A filled-in text.
pub(crate) enum Filled {
    /// As it is.
    Text,
    /// All of the template's references were optional, and had no value.
    Nothing,
}

impl Piece {
    /// Reads text with references. Neighbouring texts are one piece.
    pub(crate) fn parse(text: &str, scope: &Scope<'_>) -> Result<Vec<Piece>, Misread> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some((before, _)) = text.get(at..).and_then(|rest| rest.split_once("${")) {
            let start = at + before.len();
            at = start + 2;
            if let Some(before) = before.strip_suffix('$') {
                literal.push_str(before);
                literal.push_str("${");
                continue;
            }
            literal.push_str(before);
            let (insert, end) = Insert::parse(text, start, scope)?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Insert(insert));
            at = end;
        }
        literal.push_str(text.get(at..).unwrap_or_default());
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(pieces)
    }

    /// The reference, if it is one.
    pub(crate) fn insert(&self) -> Option<&Insert> {
        match self {
            Piece::Text(_) => None,
            Piece::Insert(insert) => Some(insert),
        }
    }
}

impl Insert {
    /// Reads `${..}` at `start`; gives where it ends.
    fn parse(text: &str, start: usize, scope: &Scope<'_>) -> Result<(Self, usize), Misread> {
        let space = |at: usize| {
            let rest = text.get(at..).unwrap_or_default();
            at + (rest.len() - rest.trim_start_matches(' ').len())
        };
        let from = space(start + 2);
        let starts_with = |at: usize, what: &str| text.get(at..).is_some_and(|rest| rest.starts_with(what));
        if !text.get(start..).is_some_and(|rest| rest.contains('}')) {
            let help = "write `}` after the reference, or `$${` for `${` itself".to_owned();
            return Err(Misread::new(start..text.len(), "`${` is not closed").help(help));
        }
        let (source, end) = Source::parse(text, from, scope)?;
        let mut at = end;
        let segments = starts_with(at, "...");
        if segments {
            at += 3;
            if !matches!(source, Source::Path(_)) {
                return Err(Misread::new(end..at, "only a path parameter can be several segments"));
            }
        }
        at = space(at);
        let missing = if starts_with(at, "??") {
            let from = space(at + 2);
            let rest = text.get(from..).unwrap_or_default();
            let Some((default, _)) = rest.split_once('}') else {
                return Err(Misread::new(start..text.len(), "`${` is not closed"));
            };
            at = from + default.len();
            Missing::Default(default.trim_end().to_owned())
        } else if starts_with(at, "?") {
            at = space(at + 1);
            Missing::LeftOut
        } else {
            Missing::Fails
        };
        if !starts_with(at, "}") {
            let odd = text.get(at..).and_then(|rest| rest.chars().next());
            let odd_end = at + odd.map_or(0, char::len_utf8);
            let message = format!("`{}` cannot stand here in a reference", odd.unwrap_or(' '));
            let help = "expected `}`, `?}` or `?? DEFAULT}`".to_owned();
            return Err(Misread::new(at..odd_end, message).help(help));
        }
        let written = text.get(from..at).unwrap_or_default().to_owned();
        let insert = Self {
            source,
            missing,
            segments,
            at: start..at + 1,
            written,
        };
        Ok((insert, at + 1))
    }

    /// Its value as text; `None` where there is none and none is needed.
    pub(crate) fn text<'v>(&'v self, values: &Values<'v>) -> Result<Option<Cow<'v, [u8]>>, Unfilled> {
        let found = values.find(&self.source);
        let found = match found {
            Some(found) => found.text().map_err(|why| self.unfilled(why))?,
            None => None,
        };
        match (found, &self.missing) {
            (Some(text), _) => Ok(Some(text)),
            (None, Missing::Default(default)) => Ok(Some(Cow::Borrowed(default.as_bytes()))),
            (None, Missing::LeftOut) => Ok(None),
            (None, Missing::Fails) => Err(self.unfilled(super::Unfit::Missing)),
        }
    }

    /// That it cannot be filled in.
    pub(crate) fn unfilled(&self, why: super::Unfit) -> Unfilled {
        Unfilled {
            reference: self.written.clone(),
            clients: self.source.is_clients(),
            why,
        }
    }
}

/// Whether a text is nothing but references that may be left out.
pub(crate) fn is_optional(pieces: &[Piece]) -> bool {
    let optional = |piece: &Piece| matches!(piece, Piece::Insert(insert) if insert.missing == Missing::LeftOut);
    !pieces.is_empty() && pieces.iter().all(optional)
}

/// Fills in a text, piece by piece.
pub(crate) fn fill_text<'v>(
    pieces: &'v [Piece],
    values: &Values<'v>,
    mut take: impl FnMut(&[u8], Option<&Insert>) -> Result<(), Unfilled>,
) -> Result<Filled, Unfilled> {
    let mut any = !is_optional(pieces);
    for piece in pieces {
        match piece {
            Piece::Text(text) => take(text.as_bytes(), None)?,
            Piece::Insert(insert) => {
                if let Some(text) = insert.text(values)? {
                    any = true;
                    take(&text, Some(insert))?;
                }
            }
        }
    }
    Ok(if any { Filled::Text } else { Filled::Nothing })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCOPE: Scope<'static> = Scope {
        calls: &["user", "many"],
        many: &[false, true],
        parameters: &["id", "rest"],
        item: false,
    };

    fn only(text: &str) -> Insert {
        match Piece::parse(text, &SCOPE).expect(text).as_slice() {
            [Piece::Insert(insert)] => insert.clone(),
            pieces => panic!("{pieces:?}"),
        }
    }

    #[test]
    fn references_are_read() {
        assert_eq!(only("${path.id}").source, Source::Path("id".into()));
        assert!(only("${path.rest...}").segments);
        assert_eq!(only("${query[\"a[b]\"]}").source, Source::Query("a[b]".into()));
        assert_eq!(only("${ client.ip }").source, Source::Client);
        assert_eq!(only("${header.X-Id}").source.to_string(), "header.x-id");
        assert_eq!(
            only("${call.user.body.a[0]['b c']}").source.to_string(),
            "call[0].body.a[0][\"b c\"]"
        );
        assert_eq!(only("${call.many.body[3]}").source.to_string(), "call[1].body[3]");
        assert_eq!(
            only("${call.user.header.etag}").source.to_string(),
            "call[0].header.etag"
        );
        assert_eq!(only("${query.a?}").missing, Missing::LeftOut);
        assert_eq!(only("${query.a ?? x y }").missing, Missing::Default("x y".into()));
        assert_eq!(only("${query.a??}").missing, Missing::Default(String::new()));
        assert_eq!(
            Piece::parse("a$${b}${path.id}c", &SCOPE).unwrap().first(),
            Some(&Piece::Text("a${b}".into()))
        );
    }

    #[test]
    fn malformed_references_are_refused_with_their_place() {
        for (text, place, message, help) in [
            (
                "a${path.id",
                "${path.id",
                "`${` is not closed",
                "write `}` after the reference, or `$${` for `${` itself",
            ),
            (
                "${pth.id}",
                "pth",
                "`pth` is nothing to refer to",
                "did you mean `path`?",
            ),
            (
                "${}",
                "",
                "`` is nothing to refer to",
                "a reference begins with `path`, `query`, `header`, `client`, `call` or `item`",
            ),
            (
                "${path.rst}",
                "rst",
                "unknown path parameter `rst`",
                "did you mean `rest`?",
            ),
            (
                "${path}",
                "path",
                "`path` is not complete",
                "write for example `path.id`",
            ),
            (
                "${call.usr.body.id}",
                "usr",
                "unknown call `usr`",
                "did you mean `user`?",
            ),
            ("${call.zz}", "zz", "unknown call `zz`", "known is `user` or `many`"),
            (
                "${call.user}",
                "call.user",
                "`call.user` is not complete",
                "write for example `call.user.body.id`",
            ),
            (
                "${call.many.status}",
                "call.many.status",
                "`many` has many answers",
                "`call.many.body` is the array of all its answers",
            ),
            (
                "${call.user.body.a[]}",
                "call.user.body.a[]",
                "`[]` is not one value",
                "write `[0]` for one element, or use `foreach` for all",
            ),
            (
                "${item.id}",
                "item.id",
                "there is no item here",
                "give the call a `foreach`",
            ),
            (
                "${client.port}",
                "client.port",
                "`client.port` is not complete",
                "write for example `client.ip`",
            ),
            (
                "${query.a:b}",
                ":",
                "`:` cannot stand here in a reference",
                "expected `}`, `?}` or `?? DEFAULT}`",
            ),
        ] {
            let error = Piece::parse(text, &SCOPE).expect_err(text);
            assert_eq!(
                (
                    text.get(error.at.clone()),
                    error.message.as_str(),
                    error.help.as_deref()
                ),
                (Some(place), message, Some(help)),
                "{text}"
            );
        }
        let error = Piece::parse("${query.a...}", &SCOPE).unwrap_err();
        assert_eq!(error.at, 10..11);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_errors_point_into_it(
            text in "(\\PC|\\$\\{|\\}|\\$|path|\\.id|call|\\.user|\\.body|item|query|\\?|\\[|\"|\\]|é){0,10}"
        ) {
            if let Err(error) = Piece::parse(&text, &Scope { item: true, ..SCOPE }) {
                prop_assert!(text.get(error.at.clone()).is_some(), "{:?}", error);
            }
        }
    }
}
