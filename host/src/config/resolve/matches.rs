//! `match`: what a route matches.

use std::ops::Range;

use super::scope::Scope;
use crate::config::file::{self, Located, Named, Shorthand};
use crate::router::{Part, Pattern, PatternParts, ValueMatch};

type Written = Located<Shorthand<file::Match>>;

/// A pattern, and the text it is named by.
pub(super) struct Matched {
    pub(super) pattern: Pattern,
    pub(super) text: String,
    /// Whether some of it came from `${..}`, so that it must not be shown.
    pub(super) secret: bool,
}

/// The patterns of a route, without those that are wrong.
pub(super) fn matches(scope: &Scope<'_>, route: &Located<file::Route>) -> Vec<Matched> {
    let example = "write for example `match = \"GET /users/{id}\"`";
    let Some(list) = &route.matches else {
        scope.missing(&route.span, "match", example);
        return Vec::new();
    };
    if list.0.is_empty() && !scope.has_unread(&list.span) {
        scope.wrong_help(
            &list.span,
            "a route that matches nothing",
            "expected at least one match",
            example,
        );
    }
    list.0.iter().filter_map(|written| matched(scope, written)).collect()
}

fn matched(scope: &Scope<'_>, written: &Written) -> Option<Matched> {
    let span = written.span.clone();
    match &written.value {
        Shorthand::Short(text) => match Pattern::parse(text) {
            Ok(pattern) => {
                let secret = scope.secrets.at(&span);
                let text = secret.map_or_else(|| pattern.to_string(), |secret| secret.written.clone());
                Some(Matched {
                    pattern,
                    text,
                    secret: secret.is_some(),
                })
            }
            Err(error) => {
                report(scope, text, &span, &error.at, &error.message, error.help, "not a match");
                None
            }
        },
        Shorthand::Long(table) => long(scope, table, span),
    }
}

fn long(scope: &Scope<'_>, table: &file::Match, span: Range<usize>) -> Option<Matched> {
    let Some(path) = &table.path else {
        scope.missing(
            &span,
            "path",
            "write for example `path = \"/users/{id}\"`; `\"/{rest...}\"` is every path",
        );
        return None;
    };
    let methods = table
        .methods
        .as_ref()
        .map(|methods| methods.0.as_slice())
        .unwrap_or_default();
    let headers = values(scope, &table.headers);
    let query = values(scope, &table.query);
    let parts = PatternParts {
        methods: methods.iter().map(|method| method.value.clone()).collect(),
        host: table.host.as_ref().map(|host| host.value.clone()),
        path: path.value.clone(),
        headers: headers
            .iter()
            .map(|(name, value, _)| (name.value.clone(), value.clone()))
            .collect(),
        query: query
            .iter()
            .map(|(name, value, _)| (name.value.clone(), value.clone()))
            .collect(),
    };
    let spans = || {
        methods
            .iter()
            .map(|method| &method.span)
            .chain(table.host.as_ref().map(|host| &host.span))
    };
    let mut spans = spans()
        .chain([&path.span])
        .chain(headers.iter().chain(&query).map(|(_, _, span)| *span));
    let secret = spans.any(|span| scope.secrets.at(span).is_some());
    match Pattern::from_parts(parts) {
        Ok(pattern) if secret => Some(Matched {
            pattern,
            text: scope.place(&span).text().to_owned(),
            secret,
        }),
        Ok(pattern) => Some(Matched {
            text: pattern.to_string(),
            pattern,
            secret,
        }),
        Err(error) => {
            let place = match error.part {
                Part::Method(index) => text_at(methods.get(index)),
                Part::Host => text_at(table.host.as_ref()),
                Part::Path => text_at(Some(path)),
                Part::HeaderName(index) => text_at(headers.get(index).map(|(name, ..)| *name)),
                Part::HeaderValue(index) => headers
                    .get(index)
                    .map(|(_, value, span)| (regex(value), (*span).clone())),
                Part::QueryValue(index) => query.get(index).map(|(_, value, span)| (regex(value), (*span).clone())),
            };
            let (text, at) = place.unwrap_or(("", span));
            report(scope, text, &at, &error.at, &error.message, error.help, "not a match");
            None
        }
    }
}

fn text_at(written: Option<&Located<String>>) -> Option<(&str, Range<usize>)> {
    written.map(|text| (text.value.as_str(), text.span.clone()))
}

/// A name, what its value must be, and where that is written.
type Value<'a> = (&'a Located<String>, ValueMatch, &'a Range<usize>);

fn values<'a>(scope: &Scope<'_>, table: &'a Named<Shorthand<file::ValueMatch>>) -> Vec<Value<'a>> {
    let values = table.0.iter().filter_map(|(name, written)| match &written.value {
        Shorthand::Short(text) => Some((name, ValueMatch::Exact(text.clone()), &written.span)),
        Shorthand::Long(one) => value(scope, one, &written.span).map(|(value, span)| (name, value, span)),
    });
    values.collect()
}

fn value<'a>(
    scope: &Scope<'_>,
    written: &'a file::ValueMatch,
    span: &'a Range<usize>,
) -> Option<(ValueMatch, &'a Range<usize>)> {
    let text = |text: &'a Option<Located<String>>, kind: fn(String) -> ValueMatch| {
        text.as_ref().map(|text| (kind(text.value.clone()), &text.span))
    };
    let present = written
        .present
        .as_ref()
        .map(|present| (ValueMatch::Present, &present.span));
    let all = [
        text(&written.exact, ValueMatch::Exact),
        text(&written.prefix, ValueMatch::Prefix),
        text(&written.regex, ValueMatch::Regex),
        present,
    ];
    let mut given = all.into_iter().flatten();
    let first = given.next();
    if first.is_none() && scope.has_unread(span) {
        return None;
    }
    if first.is_none() || given.next().is_some() {
        let title = "exactly one of `exact`, `prefix`, `regex` and `present` says what a value must be";
        scope.wrong(
            span,
            title,
            if first.is_none() {
                "none of them here"
            } else {
                "more than one here"
            },
        );
        return None;
    }
    if let Some(present) = written.present.as_ref().filter(|present| !present.value) {
        let help = "a match cannot ask that something is absent: a route without this match is taken then";
        scope.wrong_help(
            &present.span,
            "`present` is `true` or is left out",
            "expected `true`",
            help,
        );
        return None;
    }
    first
}

fn regex(value: &ValueMatch) -> &str {
    if let ValueMatch::Regex(text) = value { text } else { "" }
}

/// Reports an error inside `text`, which is written at `span`. Parsers quote what they read: for a secret they may not.
pub(super) fn report(
    scope: &Scope<'_>,
    text: &str,
    span: &Range<usize>,
    at: &Range<usize>,
    message: &str,
    help: Option<String>,
    about_secret: &str,
) {
    if scope.secrets.at(span).is_some() {
        scope.wrong(span, about_secret, "what was filled in does not fit here");
        return;
    }
    // The regex crate draws its own picture of several lines; its last line is the message.
    let message = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
    scope.report(scope.problem(&inside(scope, text, span, at), message, "").help(help));
}

/// The bytes of the file for the bytes `at` of `text`, which is written at `span`; all of `span` where escapes make
/// that unclear.
pub(super) fn inside(scope: &Scope<'_>, text: &str, span: &Range<usize>, at: &Range<usize>) -> Range<usize> {
    match scope.place(span).text().find(text) {
        Some(start) if !text.is_empty() && at.start <= at.end && at.end <= text.len() => {
            let start = span.start + start;
            start + at.start..start + at.end
        }
        _ => span.clone(),
    }
}
