//! `health` and `eject` of an upstream.

use std::ops::Range;

use http::HeaderValue;
use http::uri::{Authority, PathAndQuery};

use super::scope::Scope;
use crate::config::file::{self, Located, ProbeKind, Shorthand};
use crate::config::resolved::{Eject, Health, Probe};

/// How targets are probed.
pub(super) fn health(scope: &Scope<'_>, table: &file::Upstream) -> Option<Health> {
    let written = table.health.as_ref()?;
    let long = match &written.value {
        Shorthand::Short(text) => &short(scope, text, &written.span)?,
        Shorthand::Long(long) => long,
    };
    let kind = long.kind.as_ref().map_or(ProbeKind::Http, |kind| kind.value);
    only_for(scope, long, kind);
    let probe = match kind {
        ProbeKind::Tcp => Some(Probe::Tcp),
        ProbeKind::Grpc => Some(Probe::Grpc {
            service: long
                .service
                .as_ref()
                .map(|service| service.value.clone())
                .unwrap_or_default(),
            host: host(scope, long),
        }),
        ProbeKind::Http => http(scope, long, &written.span),
    };
    let is_whole = probe.is_some();
    let default = Health::of(probe.unwrap_or(Probe::Tcp));
    let count = |key, written: Option<&Located<i64>>, default: u32| {
        u32::try_from(scope.number(key, written, 1..=1_000, default.into())).unwrap_or(default)
    };
    let port = long
        .port
        .as_ref()
        .map(|port| scope.number("port", Some(port), 1..=65_535, 1));
    let health = Health {
        port: port.and_then(|port| u16::try_from(port).ok()),
        every: scope.duration("every", long.every.as_ref(), default.every),
        timeout: scope.duration("timeout", long.timeout.as_ref(), default.timeout),
        healthy_after: count("healthy_after", long.healthy_after.as_ref(), default.healthy_after),
        unhealthy_after: count(
            "unhealthy_after",
            long.unhealthy_after.as_ref(),
            default.unhealthy_after,
        ),
        ..default
    };
    is_whole.then_some(health)
}

fn http(scope: &Scope<'_>, long: &file::Health, table: &Range<usize>) -> Option<Probe> {
    let host = host(scope, long);
    let statuses = long.status.as_ref().map_or_else(
        || vec![200..=299],
        |list| list.0.iter().map(|range| range.value.0.0.clone()).collect(),
    );
    if let Some(list) = long
        .status
        .as_ref()
        .filter(|list| list.0.is_empty() && !scope.has_unread(&list.span))
    {
        scope.wrong(&list.span, "no status is healthy", "expected at least one");
    }
    let Some(path) = &long.path else {
        let help = "write for example `path = \"/healthz\"`, or another `kind`";
        scope.missing(table, "path", help);
        return None;
    };
    Some(Probe::Http {
        path: self::path(scope, path)?,
        host,
        statuses,
    })
}

fn short(scope: &Scope<'_>, text: &str, span: &Range<usize>) -> Option<file::Health> {
    let kind = match text {
        "tcp" => ProbeKind::Tcp,
        "grpc" => ProbeKind::Grpc,
        _ => ProbeKind::Http,
    };
    if kind == ProbeKind::Http && !text.starts_with('/') {
        let help = "write for example `health = \"/healthz\"`";
        scope.wrong_help(span, "not a way to probe", "expected a path, `tcp` or `grpc`", help);
        return None;
    }
    let located = |value| Located {
        value,
        span: span.clone(),
    };
    Some(file::Health {
        kind: Some(Located {
            value: kind,
            span: span.clone(),
        }),
        path: (kind == ProbeKind::Http).then(|| located(text.to_owned())),
        ..file::Health::default()
    })
}

/// Reports keys that mean nothing for this kind of probe.
fn only_for(scope: &Scope<'_>, long: &file::Health, kind: ProbeKind) {
    let [http, grpc] = [kind == ProbeKind::Http, kind == ProbeKind::Grpc];
    let keys = [
        ("path", long.path.as_ref().map(|path| &path.span), http, "http"),
        ("status", long.status.as_ref().map(|status| &status.span), http, "http"),
        (
            "service",
            long.service.as_ref().map(|service| &service.span),
            grpc,
            "grpc",
        ),
        ("host", long.host.as_ref().map(|host| &host.span), http || grpc, "http"),
    ];
    for (key, span, allowed, of) in keys {
        if let Some(span) = span.filter(|_| !allowed) {
            let title = format!("`{key}` means nothing for this kind of probe");
            scope.wrong(span, title, format!("expected with `kind = \"{of}\"`"));
        }
    }
}

fn path(scope: &Scope<'_>, path: &Located<String>) -> Option<PathAndQuery> {
    let parsed = path
        .parse::<PathAndQuery>()
        .ok()
        .filter(|_| path.starts_with('/') && !path.contains('#'));
    if parsed.is_none() {
        scope.wrong_help(
            &path.span,
            "not the path of a probe",
            "expected a path, and perhaps a query",
            "write for example `path = \"/healthz\"`",
        );
    }
    parsed
}

fn host(scope: &Scope<'_>, long: &file::Health) -> Option<HeaderValue> {
    let written = long.host.as_ref()?;
    let valid = written
        .parse::<Authority>()
        .is_ok_and(|authority| !authority.as_str().contains('@'));
    let value = HeaderValue::from_str(written).ok().filter(|_| valid);
    if value.is_none() {
        scope.wrong(
            &written.span,
            "not a host",
            "expected for example `internal.example` or `internal.example:8080`",
        );
    }
    value
}

/// When a target that keeps failing is left out.
pub(super) fn eject(scope: &Scope<'_>, table: &file::Upstream) -> Option<Eject> {
    let default = Eject::default();
    let Some(written) = &table.eject else {
        return Some(default);
    };
    let Shorthand::Long(long) = &written.value else {
        return None;
    };
    let after = scope.number("after", long.after.as_ref(), 1..=1_000_000, default.after.into());
    let lasts = scope.duration("for", long.lasts.as_ref(), default.lasts);
    let longest = scope.duration("longest", long.longest.as_ref(), default.longest.max(lasts));
    if let Some(span) = long
        .longest
        .as_ref()
        .map(|longest| &longest.span)
        .filter(|_| longest < lasts)
    {
        scope.wrong(
            span,
            "`longest` is shorter than `for`",
            "the first ejection would last longer",
        );
    }
    Some(Eject {
        after: u32::try_from(after).unwrap_or(default.after),
        lasts,
        longest,
        most: long.most.as_ref().map_or(default.most, |most| most.value.0),
    })
}
