//! `[route.aggregate]`: from what is written to calls that can be made.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, Method};

use super::backend::FRAMING;
use super::matches::{Matched, inside, report};
use super::names::Names;
use super::scope::Scope;
use super::settings;
use super::traffic::call_destination;
use super::upstream::Upstreams;
use crate::backend::aggregate::json::{Document, Limits, Path};
use crate::backend::aggregate::merge::{Into, Merge};
use crate::backend::aggregate::settings::{CallSettings, ForeachSettings, Known, OnError, Settings, SettingsError};
use crate::backend::aggregate::shape::ShapeSettings;
use crate::backend::aggregate::template::PathRules;
use crate::backend::aggregate::{Aggregate, Statuses};
use crate::config::file::{self, AggregateCall, Located, OneOrMany, Shorthand, Status, Written};
use crate::config::resolved::Backend;
use crate::config::settings::SettingsPlaces;

/// The most that one body may be, and all together.
const BODY: u64 = 1 << 20;
const TOTAL: u64 = 4 << 20;
const DEPTH: i64 = 64;
const ITEMS: i64 = 100;
const AT_ONCE: i64 = 8;

/// The calls of a route; none where something about them is wrong.
pub(super) fn aggregate(
    scope: &Scope<'_>,
    route: &file::Route,
    table: &Located<file::Aggregate>,
    matches: &[Matched],
    rules: PathRules,
    names: &Names<'_>,
    upstreams: &Upstreams,
) -> Option<Backend> {
    let limits = Limits {
        bytes: size(table.max_body.as_ref(), BODY),
        depth: usize::try_from(scope.number("max_depth", table.max_depth.as_ref(), 1..=512, DEPTH)).unwrap_or(64),
        ..Limits::default()
    };
    let before = scope.errors();
    let calls = table.call.0.iter();
    let calls = calls
        .filter_map(|(name, call)| self::call(scope, name, call, &limits))
        .collect();
    // One that could not be read would be unknown to all that refer to it.
    if scope.errors() > before {
        return None;
    }
    let settings = Settings {
        calls,
        allow_unsafe: table.allow_unsafe.as_ref().is_some_and(|allowed| allowed.value),
        errors: table.errors.as_ref().map(|name| name.value.clone()),
        limits,
        total: size(table.max_total.as_ref(), TOTAL),
    };
    let known: Vec<&str> = upstreams.all.iter().map(|upstream| &*upstream.name).collect();
    let first = matches.first().map(|one| one.pattern.parameters().collect::<Vec<_>>());
    let every = |name: &&str| {
        matches
            .iter()
            .all(|one| one.pattern.parameters().any(|known| known == *name))
    };
    let parameters: Vec<&str> = first.into_iter().flatten().filter(every).collect();
    let known = Known {
        upstreams: &known,
        parameters: &parameters,
        rules,
    };
    let aggregate = match Aggregate::new(&settings, &known) {
        Ok(aggregate) => aggregate,
        Err(errors) => {
            for error in errors {
                tell(scope, table, error);
            }
            return None;
        }
    };
    let to = aggregate.upstreams().map(|name| {
        names.mark_used("upstream", name);
        let index = upstreams.find(name)?;
        let upstream = upstreams.all.get(index)?;
        Some(call_destination(scope, route, (index, upstream), &table.span))
    });
    Some(Backend::Aggregate {
        to: to.collect::<Option<_>>()?,
        aggregate: Arc::new(aggregate),
    })
}

fn size(written: Option<&Located<file::Text<file::Size>>>, default: u64) -> usize {
    usize::try_from(written.map_or(default, |size| size.value.0.0)).unwrap_or(usize::MAX)
}

/// Methods, each with what is written for it.
fn targets(call: &AggregateCall) -> impl Iterator<Item = (Method, &'static str, &Located<String>)> {
    [
        (Method::GET, "get", &call.get),
        (Method::HEAD, "head", &call.head),
        (Method::POST, "post", &call.post),
        (Method::PUT, "put", &call.put),
        (Method::PATCH, "patch", &call.patch),
        (Method::DELETE, "delete", &call.delete),
    ]
    .into_iter()
    .filter_map(|(method, key, target)| Some((method, key, target.as_ref()?)))
}

fn call(
    scope: &Scope<'_>,
    name: &Located<String>,
    call: &Located<AggregateCall>,
    limits: &Limits,
) -> Option<CallSettings> {
    scope.name(name, &name.span);
    let mut targets = targets(call);
    let Some((method, first, target)) = targets.next() else {
        if !["get", "head", "post", "put", "patch", "delete"]
            .iter()
            .any(|key| scope.is_unread(&call.span, key))
        {
            let help = "write for example `get = \"users:/users/${path.id}\"`";
            scope.wrong_help(
                &call.span,
                "a call that asks for nothing",
                "no `get`, `post` or the like",
                help,
            );
        }
        return None;
    };
    for (_, second, other) in targets {
        let label = format!("this call has `{first}` already");
        scope.wrong(
            &other.span,
            format!("a call has one of `{first}` and `{second}`"),
            label,
        );
    }
    plain(scope, target);
    let fields = call.headers.0.iter().filter_map(|(name, value)| {
        let name = field_name(scope, name)?;
        filled_in(scope, &value.value, &value.span);
        Some((name, value.value.clone()))
    });
    let fields: Vec<_> = fields.collect();
    let pass = match &call.pass_headers {
        Some(names) => names.0.iter().filter_map(|name| field_name(scope, name)).collect(),
        None => vec![http::header::ACCEPT_LANGUAGE],
    };
    let mut settings = CallSettings::get(name, target);
    settings.method = method;
    settings.fields = fields;
    settings.pass = pass;
    settings.body = call.body.as_ref().and_then(|body| document(scope, body, limits));
    settings.timeout = call
        .timeout
        .as_ref()
        .map(|_| scope.duration("timeout", call.timeout.as_ref(), super::route::TIMEOUT));
    settings.foreach = call.foreach.as_ref().and_then(|foreach| self::foreach(scope, foreach));
    settings.shape = ShapeSettings {
        target: call.target.as_ref().map(|target| target.value.clone()),
        allow: call.allow.as_ref().map(texts),
        deny: call.deny.as_ref().map(texts).unwrap_or_default(),
        rename: call
            .rename
            .0
            .iter()
            .map(|(path, to)| (path.value.clone(), to.value.clone()))
            .collect(),
    };
    settings.into = call
        .into
        .as_ref()
        .map_or(Some(Into::Root), |into| self::into(scope, into))?;
    settings.merge = call.merge.as_ref().and_then(|merge| self::merge(scope, merge));
    settings.required = call.required.as_ref().is_none_or(|required| required.value);
    if let Some(on_error) = &call.on_error {
        if settings.required {
            let help = "write `required = false` as well, or leave `on_error` out";
            scope.wrong_help(
                &on_error.span,
                "`on_error` of a required call",
                "its failure is the answer's",
                help,
            );
        }
        settings.on_error = self::on_error(scope, on_error, limits)?;
    }
    if let Some(success) = &call.success {
        settings.success = statuses(scope, success);
    }
    if let Some(passed) = &call.pass_status {
        settings.pass_status = statuses(scope, passed);
    }
    Some(settings)
}

fn texts(list: &Located<OneOrMany<Located<String>>>) -> Vec<String> {
    list.0.iter().map(|text| text.value.clone()).collect()
}

/// A target is shown by `explain`, and told in logs.
fn plain(scope: &Scope<'_>, text: &Located<String>) {
    if scope.secrets.at(&text.span).is_some() {
        let help = "send it in `headers`, which are never shown";
        scope.wrong_help(&text.span, "a secret in a target", "targets are shown and logged", help);
    }
}

/// What was filled in is text and no reference.
fn filled_in(scope: &Scope<'_>, text: &str, span: &Range<usize>) {
    if scope
        .secrets
        .at(span)
        .is_some_and(|secret| text.matches("${").count() > secret.written.matches("$${").count())
    {
        scope.wrong(
            span,
            "what was filled in has `${` in it",
            "it would be taken for a reference",
        );
    }
}

fn field_name(scope: &Scope<'_>, name: &Located<String>) -> Option<HeaderName> {
    let Ok(parsed) = name.parse::<HeaderName>() else {
        scope.wrong(
            &name.span,
            format!("`{}` is not the name of a header", name.value),
            "not allowed in HTTP",
        );
        return None;
    };
    if FRAMING.contains(&parsed) {
        let title = format!("`{}` cannot be set", name.value);
        scope.wrong(&name.span, title, "the gateway sets it, since it frames the message");
        return None;
    }
    Some(parsed)
}

/// A value of the file as JSON.
fn document(scope: &Scope<'_>, written: &Located<Written>, limits: &Limits) -> Option<Document> {
    let mut places = SettingsPlaces::new(scope.place(&written.span));
    let (value, _) = settings::json(scope, written, "", &mut places);
    let text = match &written.value {
        Written::Text(text) => {
            filled_in(scope, text, &written.span);
            text.clone()
        }
        _ => value.to_string(),
    };
    match Document::parse(Bytes::from(text.clone()), limits) {
        Ok(document) => Some(document),
        Err(malformed) => {
            report(
                scope,
                &text,
                &written.span,
                &(0..0),
                &malformed.to_string(),
                None,
                "not JSON",
            );
            None
        }
    }
}

fn foreach(scope: &Scope<'_>, written: &Located<Shorthand<file::Foreach>>) -> Option<ForeachSettings> {
    let count = |key, written: Option<&Located<i64>>, most, default| {
        usize::try_from(scope.number(key, written, 1..=most, default)).unwrap_or(1)
    };
    match &written.value {
        Shorthand::Short(over) => Some(ForeachSettings {
            over: over.clone(),
            items: count("items", None, ITEMS, ITEMS),
            at_once: count("at_once", None, AT_ONCE, AT_ONCE),
        }),
        Shorthand::Long(table) => {
            let Some(over) = &table.over else {
                scope.missing(
                    &written.span,
                    "over",
                    "write for example `over = \"${call.orders.body.items}\"`",
                );
                return None;
            };
            Some(ForeachSettings {
                over: over.value.clone(),
                items: count("items", table.items.as_ref(), 10_000, ITEMS),
                at_once: count("at_once", table.at_once.as_ref(), 1_000, AT_ONCE),
            })
        }
    }
}

fn into(scope: &Scope<'_>, written: &Located<Written>) -> Option<Into> {
    match &written.value {
        Written::Bool(false) => Some(Into::Nowhere),
        Written::Text(text) => match Path::parse(text) {
            Ok(path) => match path.names() {
                Some(names) if !names.is_empty() => Some(Into::At(names)),
                _ => {
                    let help = "write for example `into = \"history.orders\"`";
                    scope.wrong_help(
                        &written.span,
                        "not a place in the answer",
                        "expected names with dots",
                        help,
                    );
                    None
                }
            },
            Err(misread) => {
                report(
                    scope,
                    text,
                    &written.span,
                    &misread.at,
                    &misread.message,
                    misread.help,
                    "not a place",
                );
                None
            }
        },
        _ => {
            scope.wrong(
                &written.span,
                "not a place in the answer",
                "expected names with dots, or `false`",
            );
            None
        }
    }
}

fn merge(scope: &Scope<'_>, written: &Located<String>) -> Option<Merge> {
    match written.value.as_str() {
        "deep" => Some(Merge::Deep),
        "append" => Some(Merge::Append),
        "overwrite" => Some(Merge::Overwrite),
        _ => {
            scope.wrong(
                &written.span,
                "unknown way to merge",
                "expected `deep`, `append` or `overwrite`",
            );
            None
        }
    }
}

fn on_error(scope: &Scope<'_>, written: &Located<Written>, limits: &Limits) -> Option<OnError> {
    match &written.value {
        Written::Text(text) if text == "omit" => Some(OnError::Omit),
        Written::Text(text) if text == "null" => Some(OnError::Null),
        Written::Text(_) => {
            let help = "a default that is a text is written `on_error = { default = \"..\" }`";
            scope.wrong_help(&written.span, "unknown `on_error`", "expected `omit` or `null`", help);
            None
        }
        Written::Table(table) if matches!(table.0.as_slice(), [(key, _)] if key.value == "default") => {
            let (_, default) = table.0.first()?;
            value(scope, default, limits).map(OnError::Default)
        }
        _ => value(scope, written, limits).map(OnError::Default),
    }
}

/// A value as it is, where a text is a text.
fn value(scope: &Scope<'_>, written: &Located<Written>, limits: &Limits) -> Option<Document> {
    if matches!(written.value, Written::Text(_)) {
        let mut places = SettingsPlaces::new(scope.place(&written.span));
        let (value, _) = settings::json(scope, written, "", &mut places);
        return Document::parse(Bytes::from(value.to_string()), limits).ok();
    }
    document(scope, written, limits)
}

fn statuses(scope: &Scope<'_>, list: &Located<OneOrMany<Located<Status>>>) -> Statuses {
    let mut all = Statuses::default();
    for written in &list.0 {
        let text = &written.value.0;
        if let Err(misread) = all.add(text) {
            report(
                scope,
                text,
                &written.span,
                &misread.at,
                &misread.message,
                misread.help,
                "not a status",
            );
        }
    }
    all
}

/// Reports what is wrong with a call at the key that it is wrong with.
fn tell(scope: &Scope<'_>, table: &Located<file::Aggregate>, error: SettingsError) {
    let named = error.call.as_deref();
    let call = table.call.0.iter().find(|(name, _)| Some(name.value.as_str()) == named);
    let (text, span) = match call {
        None => (
            None,
            table
                .errors
                .as_ref()
                .filter(|_| error.key == "errors")
                .map_or(&table.span, |name| &name.span),
        ),
        Some((name, call)) => written(call, &error.key).map_or((None, &name.span), |(text, span)| (text, span)),
    };
    let misread = error.misread;
    if scope.secrets.at(span).is_some() {
        scope.wrong(
            span,
            "a call that cannot be made",
            "what was filled in does not fit here",
        );
        return;
    }
    let place = match text {
        Some(text) if !misread.at.is_empty() => inside(scope, text, span, &misread.at),
        _ => span.clone(),
    };
    scope.report(scope.problem(&place, misread.message, "").help(misread.help));
}

/// The text at a key of a call, and its place.
fn written<'c>(call: &'c AggregateCall, key: &str) -> Option<(Option<&'c str>, &'c Range<usize>)> {
    fn text(text: &Located<String>) -> (Option<&str>, &Range<usize>) {
        (Some(text.value.as_str()), &text.span)
    }
    let (name, place) = match key.split_once('[') {
        Some((name, place)) => (name, place.trim_end_matches(']').parse::<usize>().ok()),
        None => (key, None),
    };
    let element = |list: &'c Option<Located<OneOrMany<Located<String>>>>| {
        let list = list.as_ref()?;
        match place.and_then(|place| list.0.get(place)) {
            Some(element) => Some(text(element)),
            None => Some((None, &list.span)),
        }
    };
    if let Some((_, _, target)) = targets(call).find(|(_, method, _)| *method == name) {
        return Some(text(target));
    }
    if let Some(field) = name.strip_prefix("headers.") {
        let (_, value) = call
            .headers
            .0
            .iter()
            .find(|(name, _)| name.value.eq_ignore_ascii_case(field))?;
        return Some(text(value));
    }
    if name == "body" || name.starts_with("body.") {
        return call.body.as_ref().map(|body| (None, &body.span));
    }
    match name {
        "target" => call.target.as_ref().map(text),
        "allow" => element(&call.allow),
        "deny" => element(&call.deny),
        "pass_headers" => element(&call.pass_headers),
        "rename" => call.rename.0.get(place?).map(|(path, _)| text(path)),
        "into" => call.into.as_ref().map(|into| (None, &into.span)),
        "merge" => call.merge.as_ref().map(text),
        "on_error" => call.on_error.as_ref().map(|on_error| (None, &on_error.span)),
        "required" => call.required.as_ref().map(|required| (None, &required.span)),
        "foreach" => call.foreach.as_ref().map(|foreach| match &foreach.value {
            Shorthand::Short(over) => (Some(over.as_str()), &foreach.span),
            Shorthand::Long(table) => table.over.as_ref().map_or((None, &foreach.span), text),
        }),
        _ => None,
    }
}
