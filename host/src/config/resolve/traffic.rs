//! `to`, `mirror` and `fault` of a route: which upstreams get its requests, and what goes wrong on purpose.

use std::ops::Range;
use std::time::Duration;

use http::StatusCode;

use super::names::Names;
use super::resilience::{hedge, hedge_within, retry, says_budget, share, try_timeout};
use super::scope::Scope;
use super::upstream::Upstreams;
use crate::config::file::{self, Located, OneOrMany, Shorthand};
use crate::config::resolved::{Destination, Fault, Mirror, Upstream};
use crate::config::units::Share;

/// Bytes of bodies that copies may hold on one thread.
const MIRROR_BUFFER: u64 = 16 << 20;

/// The upstreams that answer; none where something about them is wrong.
pub(super) fn destinations(
    scope: &Scope<'_>,
    route: &file::Route,
    to: &Located<OneOrMany<Located<Shorthand<file::Destination>>>>,
    names: &Names<'_>,
    upstreams: &Upstreams,
) -> Option<Vec<Destination>> {
    let mut all = Vec::new();
    let mut wrong = false;
    for written in &to.0 {
        let (name, span, weight) = match &written.value {
            Shorthand::Short(name) => (name, &written.span, 1),
            Shorthand::Long(table) => {
                let weight = scope.number("weight", table.weight.as_ref(), 0..=1_000_000, 1);
                let Some(name) = &table.upstream else {
                    scope.missing(&written.span, "upstream", "write for example `upstream = \"users\"`");
                    wrong = true;
                    continue;
                };
                (&name.value, &name.span, u32::try_from(weight).unwrap_or(1))
            }
        };
        match upstream(scope, name, span, names, upstreams) {
            Some((upstream, _)) if all.iter().any(|one: &Destination| one.upstream == upstream) => {
                let help = "for a larger share write a larger `weight`";
                scope.wrong_help(span, "an upstream is listed twice", "listed again here", help);
            }
            Some((index, settings)) => all.push(destination(scope, route, (index, settings), weight, span)),
            None => wrong = true,
        }
    }
    if all.is_empty() && !wrong && !scope.has_unread(&to.span) {
        let help = "write for example `to = \"users\"`";
        scope.wrong_help(&to.span, "`to` names no upstream", "expected at least one", help);
    } else if !wrong && all.iter().all(|one| one.weight == 0) {
        let help = "give at least one of them a `weight` of more than 0";
        scope.wrong_help(&to.span, "nothing goes to any upstream", "all weights are 0", help);
    }
    (!wrong && !all.is_empty()).then_some(all)
}

/// One of them, with what the route says over the upstream's own settings.
fn destination(
    scope: &Scope<'_>,
    route: &file::Route,
    (index, upstream): (usize, &Upstream),
    weight: u32,
    span: &Range<usize>,
) -> Destination {
    let outer = &upstream.resilience;
    let own_try_timeout = try_timeout(scope, route.try_timeout.as_ref());
    let try_timeout = own_try_timeout.or(outer.try_timeout);
    let timeout = route.timeout.as_ref().map(|timeout| timeout.value.0);
    let hedge = hedge(scope, route.hedge.as_ref(), outer.hedge);
    let limit = timeout.unwrap_or(super::route::TIMEOUT);
    if let Some(one) = try_timeout.filter(|one| *one > limit && !limit.is_zero()) {
        let label = format!("`try_timeout` is {one:?}, `timeout` is {limit:?}");
        let written = route.try_timeout.as_ref().or(route.timeout.as_ref());
        let help = match (own_try_timeout, timeout) {
            (_, None) => "write a `timeout` for the route that is at least its `try_timeout`",
            (Some(_), _) => "make `try_timeout` at most `timeout`",
            (None, _) => "the upstream says so: write a shorter `try_timeout` for this route",
        };
        let span = written.map_or(span, |written| &written.span);
        scope.wrong_help(span, "a try may last longer than the whole request", label, help);
    }
    let (limit, limited_by) = match try_timeout {
        Some(one) if one < limit => (one, "try_timeout"),
        _ => (limit, "timeout"),
    };
    hedge_within(scope, route.hedge.as_ref(), hedge, limit, limited_by);
    Destination {
        upstream: index,
        weight,
        try_timeout,
        retry: retry(scope, route.retry.as_ref(), outer.retry),
        own_budget: says_budget(route.retry.as_ref()),
        hedge,
    }
}

/// The upstream of one call of an aggregate.
pub(super) fn call_destination(
    scope: &Scope<'_>,
    route: &file::Route,
    upstream: (usize, &Upstream),
    span: &Range<usize>,
) -> Destination {
    destination(scope, route, upstream, 1, span)
}

/// The upstream of a name, which is used then.
fn upstream<'u>(
    scope: &Scope<'_>,
    name: &str,
    span: &Range<usize>,
    names: &Names<'_>,
    upstreams: &'u Upstreams,
) -> Option<(usize, &'u Upstream)> {
    if !names.is_declared("upstream", name) {
        names.unknown_upstream(scope, name, span);
        return None;
    }
    names.mark_used("upstream", name);
    let index = upstreams.find(name)?;
    Some((index, upstreams.all.get(index)?))
}

/// Who gets copies of requests.
pub(super) fn mirror(
    scope: &Scope<'_>,
    written: Option<&Located<Shorthand<file::Mirror>>>,
    names: &Names<'_>,
    upstreams: &Upstreams,
) -> Option<Mirror> {
    let written = written?;
    let (name, span, share, buffer) = match &written.value {
        Shorthand::Short(name) => (name, &written.span, Share::WHOLE, MIRROR_BUFFER),
        Shorthand::Long(table) => {
            let buffer = table.buffer.as_ref().map_or(MIRROR_BUFFER, |size| size.value.0.0);
            let Some(to) = &table.to else {
                scope.missing(&written.span, "to", "write for example `to = \"shadow\"`");
                return None;
            };
            (&to.value, &to.span, share(table.share.as_ref(), Share::WHOLE), buffer)
        }
    };
    let (upstream, _) = upstream(scope, name, span, names, upstreams)?;
    Some(Mirror {
        upstream,
        share,
        buffer,
    })
}

/// What goes wrong on purpose.
pub(super) fn fault(scope: &Scope<'_>, table: &Located<file::Fault>) -> Fault {
    let delay = table.delay.as_ref().map(|_| {
        let delay = scope.duration("delay", table.delay.as_ref(), Duration::ZERO);
        (delay, share(table.delay_share.as_ref(), Share::WHOLE))
    });
    let abort = table.abort.as_ref().map(|_| {
        let status = scope.number("abort", table.abort.as_ref(), 400..=599, 503);
        let status = u16::try_from(status)
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok());
        (
            status.unwrap_or_default(),
            share(table.abort_share.as_ref(), Share::WHOLE),
        )
    });
    for (key, given, share) in [
        ("delay", delay.is_some(), &table.delay_share),
        ("abort", abort.is_some(), &table.abort_share),
    ] {
        if let Some(written) = share.as_ref().filter(|_| !given) {
            let title = format!("`{key}_share` without `{key}`");
            let help = format!("write `{key}` as well, or leave both out");
            scope.wrong_help(&written.span, title, format!("no `{key}` to have a share of"), help);
        }
    }
    if delay.is_none() && abort.is_none() && !scope.has_unread(&table.span) {
        let help = "write for example `fault = { delay = \"200ms\", delay_share = \"10%\" }`";
        scope.wrong_help(
            &table.span,
            "`fault` in which nothing goes wrong",
            "expected `delay` or `abort`",
            help,
        );
    }
    Fault { delay, abort }
}
