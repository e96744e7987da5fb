//! `to`, `redirect` and `respond`: what answers a route.

use std::ops::Range;

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::aggregate::aggregate;
use super::balance::needs_parameter;
use super::matches::{Matched, inside, report};
use super::names::Names;
use super::scope::Scope;
use super::settings;
use super::traffic::{destinations, mirror};
use super::upstream::Upstreams;
use crate::backend::aggregate::template::PathRules;
use crate::config::file::{self, Located, OneOrMany, Shorthand};
use crate::config::resolved::Backend;
use crate::config::settings::SettingsPlaces;
use crate::config::suggest::any_of;
use crate::router::Template;

/// What answers `route`, which matches `matches`.
pub(super) fn backend(
    scope: &Scope<'_>,
    route: &Located<file::Route>,
    matches: &[Matched],
    names: &Names<'_>,
    upstreams: &Upstreams,
    rules: PathRules,
) -> Option<Backend> {
    only_one(scope, route)?;
    if let Some(table) = &route.aggregate {
        only_for_forwarding(scope, route);
        return aggregate(scope, route, table, matches, rules, names, upstreams);
    }
    if let Some(to) = &route.to {
        return proxy(scope, route, to, matches, names, upstreams);
    }
    only_for_upstreams(scope, route);
    if let Some(redirect) = &route.redirect {
        return self::redirect(scope, redirect, matches);
    }
    route.respond.as_ref().map(|respond| fixed(scope, respond))
}

/// Reports keys that mean nothing where no upstream answers.
fn only_for_upstreams(scope: &Scope<'_>, route: &file::Route) {
    let spans = [
        ("rewrite", route.rewrite.as_ref().map(|written| &written.span)),
        ("try_timeout", route.try_timeout.as_ref().map(|written| &written.span)),
        ("retry", route.retry.as_ref().map(|written| &written.span)),
        ("hedge", route.hedge.as_ref().map(|written| &written.span)),
        ("mirror", route.mirror.as_ref().map(|written| &written.span)),
    ];
    for (key, span) in spans {
        if let Some(span) = span {
            let help = match key {
                "rewrite" => "`rewrite` changes what an upstream sees; `redirect` and `respond` see nothing".to_owned(),
                key => format!("`{key}` is about upstreams; `redirect` and `respond` have none"),
            };
            scope.wrong_help(span, format!("`{key}` without `to`"), "nothing is forwarded here", help);
        }
    }
}

/// Reports keys that mean nothing where an answer is put together from several.
fn only_for_forwarding(scope: &Scope<'_>, route: &file::Route) {
    let spans = [
        ("rewrite", route.rewrite.as_ref().map(|written| &written.span)),
        ("mirror", route.mirror.as_ref().map(|written| &written.span)),
    ];
    for (key, span) in spans {
        if let Some(span) = span {
            let help = format!("`{key}` is about what is forwarded; a call says itself what it asks for");
            scope.wrong_help(
                span,
                format!("`{key}` beside `aggregate`"),
                "nothing is forwarded here",
                help,
            );
        }
    }
}

/// Reports a route with no backend or with several.
fn only_one(scope: &Scope<'_>, route: &Located<file::Route>) -> Option<()> {
    let spans = [
        ("to", route.to.as_ref().map(|to| &to.span)),
        ("aggregate", route.aggregate.as_ref().map(|aggregate| &aggregate.span)),
        ("redirect", route.redirect.as_ref().map(|redirect| &redirect.span)),
        ("respond", route.respond.as_ref().map(|respond| &respond.span)),
    ];
    let given: Vec<_> = spans
        .iter()
        .filter_map(|(name, span)| span.map(|span| (*name, span)))
        .collect();
    match given.as_slice() {
        [] => {
            if !spans.iter().any(|(name, _)| scope.is_unread(&route.span, name)) {
                let help = "write one of `to = \"UPSTREAM\"`, `[route.aggregate]`, `redirect = \"URL\"` and `respond = { .. }`";
                scope.wrong_help(
                    &route.span,
                    "a route that nothing answers",
                    "no `to`, `aggregate`, `redirect` or `respond`",
                    help,
                );
            }
            None
        }
        [_] => Some(()),
        [(first, _), (second, span), ..] => {
            let label = format!("this route has `{first}` already");
            scope.wrong(span, format!("a route has one of `{first}` and `{second}`"), label);
            None
        }
    }
}

fn proxy(
    scope: &Scope<'_>,
    route: &file::Route,
    to: &Located<OneOrMany<Located<Shorthand<file::Destination>>>>,
    matches: &[Matched],
    names: &Names<'_>,
    upstreams: &Upstreams,
) -> Option<Backend> {
    let rewrite = route.rewrite.as_ref();
    if let Some(rewrite) = rewrite.filter(|rewrite| rewrite.path.is_none() && rewrite.host.is_none())
        && !scope.has_unread(&rewrite.span)
    {
        scope.wrong(
            &rewrite.span,
            "`rewrite` that rewrites nothing",
            "expected `path` or `host`",
        );
    }
    let path = rewrite.and_then(|rewrite| rewrite.path.as_ref()).and_then(|path| {
        if !path.starts_with('/') {
            let help = "write for example `rewrite = { path = \"/api/{id}\" }`";
            scope.wrong_help(&path.span, "a path begins with `/`", "does not begin with `/`", help);
            return None;
        }
        if path.contains(['?', '#']) {
            scope.wrong(
                &path.span,
                "a path has no `?` and no `#`",
                "the request's query is kept as it is",
            );
            return None;
        }
        template(scope, path, matches)
    });
    let host = rewrite.and_then(|rewrite| rewrite.host.as_ref()).and_then(|host| {
        let valid = host
            .parse::<http::uri::Authority>()
            .is_ok_and(|authority| !authority.as_str().contains('@'));
        let value = HeaderValue::from_str(host).ok().filter(|_| valid);
        if value.is_none() {
            scope.wrong(
                &host.span,
                "not a host",
                "expected for example `internal.example` or `internal.example:8080`",
            );
        }
        value
    });
    let mirror = mirror(scope, route.mirror.as_ref(), names, upstreams);
    let destinations = destinations(scope, route, to, names, upstreams)?;
    for one in &destinations {
        needs_parameter(scope, &to.span, &upstreams.all[one.upstream], matches);
    }
    Some(Backend::Proxy {
        to: destinations,
        path,
        host,
        mirror,
    })
}

fn redirect(scope: &Scope<'_>, written: &Located<Shorthand<file::Redirect>>, matches: &[Matched]) -> Option<Backend> {
    let (to, status, keep_query) = match &written.value {
        Shorthand::Short(text) => (
            Located {
                value: text.clone(),
                span: written.span.clone(),
            },
            None,
            None,
        ),
        Shorthand::Long(table) => match &table.to {
            Some(to) => (to.clone(), table.status.as_ref(), table.keep_query),
            None => {
                scope.missing(
                    &written.span,
                    "to",
                    "write for example `to = \"https://example.com/{rest}\"`",
                );
                return None;
            }
        },
    };
    let status = status.map_or(Some(StatusCode::PERMANENT_REDIRECT), |status| {
        let code = u16::try_from(status.value)
            .ok()
            .filter(|code| [301, 302, 303, 307, 308].contains(code));
        if code.is_none() {
            scope.wrong(
                &status.span,
                "not the status of a redirect",
                "expected 301, 302, 303, 307 or 308",
            );
        }
        code.and_then(|code| StatusCode::from_u16(code).ok())
    });
    let is_target = to.starts_with(['/', '{']) || to.contains("://");
    if !is_target || to.contains(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        let help = "write a URL (`https://example.com/`) or a path (`/users/{id}`), with `%20` for a space";
        scope.wrong_help(
            &to.span,
            "not the target of a redirect",
            "expected a URL or a path",
            help,
        );
        return None;
    }
    Some(Backend::Redirect {
        to: template(scope, &to, matches)?,
        status: status?,
        keep_query: keep_query.unwrap_or(true),
    })
}

/// A template whose parameters every match of the route has.
fn template(scope: &Scope<'_>, text: &Located<String>, matches: &[Matched]) -> Option<Template> {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => {
            report(
                scope,
                text,
                &text.span,
                &error.at,
                &error.message,
                error.help,
                "not a template",
            );
            return None;
        }
    };
    for parameter in template.parameters() {
        let without = matches
            .iter()
            .find(|one| !one.pattern.parameters().any(|known| known == parameter));
        if let Some(without) = without {
            unknown_parameter(scope, text, parameter, without);
            return None;
        }
    }
    Some(template)
}

fn unknown_parameter(scope: &Scope<'_>, text: &Located<String>, parameter: &str, matched: &Matched) {
    if scope.secrets.at(&text.span).is_some() || matched.secret {
        scope.wrong(
            &text.span,
            "a parameter that the match does not have",
            "names a parameter that is not matched",
        );
        return;
    }
    let at = text
        .find(&format!("{{{parameter}"))
        .map_or(0..0, |at| at + 1..at + 1 + parameter.len());
    let span = if at.is_empty() {
        text.span.clone()
    } else {
        inside(scope, text, &text.span, &at)
    };
    let known: Vec<&str> = matched.pattern.parameters().collect();
    let label = match known.as_slice() {
        [] => format!("`{}` has no parameters", matched.text),
        known => format!("`{}` has {}", matched.text, any_of(known).replace(" or ", " and ")),
    };
    let help = crate::config::suggest::did_you_mean(parameter, known.iter().copied());
    scope.report(
        scope
            .problem(&span, format!("unknown parameter `{parameter}`"), label)
            .help(help),
    );
}

/// Fields that say how a message is framed, which is for the gateway alone to say.
pub(super) const FRAMING: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

fn fixed(scope: &Scope<'_>, respond: &Located<file::Respond>) -> Backend {
    let code = scope.number("status", respond.status.as_ref(), 200..=599, 200);
    let status = u16::try_from(code)
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok())
        .unwrap_or_default();
    let (body, content_type) = body(scope, respond);
    if let Some(span) = respond
        .body
        .as_ref()
        .map(|body| &body.span)
        .or(respond.json.as_ref().map(|json| &json.span))
        && [204, 205, 304].contains(&code)
    {
        scope.wrong(
            span,
            format!("an answer with status {code} has no body"),
            "leave it out, or choose another status",
        );
    }
    let mut headers: Vec<_> = respond
        .headers
        .0
        .iter()
        .filter_map(|(name, value)| field(scope, name, value))
        .collect();
    if let Some(content_type) = content_type
        && !headers.iter().any(|(name, _)| *name == header::CONTENT_TYPE)
    {
        headers.push((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
    }
    Backend::Fixed { status, headers, body }
}

fn body(scope: &Scope<'_>, respond: &Located<file::Respond>) -> (bytes::Bytes, Option<&'static str>) {
    match (&respond.body, &respond.json) {
        (Some(_), Some(json)) => {
            scope.wrong(
                &json.span,
                "an answer has one of `body` and `json`",
                "this one has `body` already",
            );
            (bytes::Bytes::new(), None)
        }
        (Some(body), None) => (body.value.clone().into(), Some("text/plain; charset=utf-8")),
        (None, Some(json)) => {
            let mut places = SettingsPlaces::new(scope.place(&json.span));
            let (value, _): (Value, Value) = settings::json(scope, json, "", &mut places);
            (value.to_string().into(), Some("application/json"))
        }
        (None, None) => (bytes::Bytes::new(), None),
    }
}

fn field(scope: &Scope<'_>, name: &Located<String>, value: &Located<String>) -> Option<(HeaderName, HeaderValue)> {
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
    Some((parsed, field_value(scope, value, &value.span)?))
}

fn field_value(scope: &Scope<'_>, text: &str, span: &Range<usize>) -> Option<HeaderValue> {
    match HeaderValue::from_str(text) {
        Ok(mut value) => {
            value.set_sensitive(scope.secrets.at(span).is_some());
            Some(value)
        }
        Err(_) => {
            scope.wrong(
                span,
                "not the value of a header",
                "control characters are not allowed in HTTP",
            );
            None
        }
    }
}
