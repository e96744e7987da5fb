//! `retry`, `hedge`, `limits`, `breaker` and the timeouts of tries: of an upstream, and of a route over them.

use std::time::Duration;

use http::HeaderName;

use super::backend::FRAMING;
use super::scope::Scope;
use crate::config::file::{self, Located, Shorthand, Text};
use crate::config::resolved::{Breaker, Hedge, Resilience, Retry, RetryOn, UpstreamLimits};
use crate::config::suggest::did_you_mean;
use crate::config::units::Share;

/// What `[upstream.NAME]` says.
pub(super) fn resilience(scope: &Scope<'_>, table: &file::Upstream) -> Resilience {
    let try_timeout = try_timeout(scope, table.try_timeout.as_ref());
    let hedge = hedge(scope, table.hedge.as_ref(), None);
    if let Some(limit) = try_timeout {
        not_beyond(scope, "connect_timeout", table.connect_timeout.as_ref(), limit);
        not_beyond(scope, "response_timeout", table.response_timeout.as_ref(), limit);
        hedge_within(scope, table.hedge.as_ref(), hedge, limit, "try_timeout");
    }
    Resilience {
        try_timeout,
        deadline_header: table
            .deadline_header
            .as_ref()
            .and_then(|name| deadline_header(scope, name)),
        retry: retry(scope, table.retry.as_ref(), Retry::default()),
        hedge,
        limits: table
            .limits
            .as_ref()
            .map_or_else(UpstreamLimits::default, |limits| upstream_limits(scope, limits)),
        breaker: table.breaker.as_ref().map(|table| breaker(scope, table)),
    }
}

/// What is written, over `outer`.
pub(super) fn retry(scope: &Scope<'_>, written: Option<&Located<Shorthand<file::Retry>>>, outer: Retry) -> Retry {
    let table = match written.map(|written| (&written.value, &written.span)) {
        None => return outer,
        Some((Shorthand::Short(text), span)) => {
            if text != "off" {
                let help = "write `retry = \"off\"`, or for example `retry = { tries = 2 }`";
                scope.wrong_help(span, "unknown value for `retry`", "expected `off` or a table", help);
            }
            return Retry { tries: 1, ..outer };
        }
        Some((Shorthand::Long(table), _)) => table,
    };
    let tries = scope.number("tries", table.tries.as_ref(), 1..=100, i64::from(outer.tries));
    let least = scope.number(
        "budget_least",
        table.budget_least.as_ref(),
        0..=1_000_000,
        i64::from(outer.budget_least),
    );
    let retry = Retry {
        tries: u32::try_from(tries).unwrap_or(outer.tries),
        on: table.on.as_ref().map_or(outer.on, |on| retry_on(scope, &on.0)),
        backoff: scope.duration("backoff", table.backoff.as_ref(), outer.backoff),
        longest_backoff: scope.duration("longest_backoff", table.longest_backoff.as_ref(), outer.longest_backoff),
        budget: share(table.budget.as_ref(), outer.budget),
        budget_least: u32::try_from(least).unwrap_or(outer.budget_least),
        body: retry_body(scope, table.body.as_ref(), outer.body),
    };
    let either = table.longest_backoff.as_ref().or(table.backoff.as_ref());
    if let Some(written) = either.filter(|_| retry.backoff > retry.longest_backoff) {
        let label = format!(
            "`backoff` is {:?}, `longest_backoff` is {:?}",
            retry.backoff, retry.longest_backoff
        );
        let title = "the first back-off is longer than the longest";
        scope.wrong_help(&written.span, title, label, "make `longest_backoff` at least `backoff`");
    }
    retry
}

/// Whether `retry` of a route says anything about the budget.
pub(super) fn says_budget(written: Option<&Located<Shorthand<file::Retry>>>) -> bool {
    matches!(
        written.map(|written| &written.value),
        Some(Shorthand::Long(table)) if table.budget.is_some() || table.budget_least.is_some()
    )
}

const CONDITIONS: [&str; 5] = ["connect", "reset", "timeout", "unavailable", "5xx"];

fn retry_on(scope: &Scope<'_>, written: &[Located<String>]) -> RetryOn {
    let mut on = RetryOn::default();
    for condition in written {
        match condition.as_str() {
            "connect" => on.connect = true,
            "reset" => on.reset = true,
            "timeout" => on.timeout = true,
            "unavailable" => on.unavailable = true,
            "5xx" => (500..600).for_each(|status| on.add_status(status)),
            text => match text.parse() {
                Ok(status @ 400..=599) if text.len() == 3 => on.add_status(status),
                _ => {
                    let help = did_you_mean(text, CONDITIONS).filter(|_| scope.secrets.at(&condition.span).is_none());
                    let label =
                        "expected `connect`, `reset`, `timeout`, `unavailable`, `5xx` or a status of 400 to 599";
                    let problem = scope.problem(&condition.span, "not a reason to send a request again", label);
                    scope.report(problem.help(help));
                }
            },
        }
    }
    on
}

/// Each body under way may take so much memory.
fn retry_body(scope: &Scope<'_>, written: Option<&Located<Text<file::Size>>>, outer: u64) -> u64 {
    let Some(written) = written else { return outer };
    let bytes = written.value.0.0;
    if bytes > 16 << 20 {
        scope.wrong(&written.span, "`body` is out of range", "expected 16MiB at most");
        return outer;
    }
    bytes
}

/// What is written, over `outer`.
pub(super) fn hedge(
    scope: &Scope<'_>,
    written: Option<&Located<Shorthand<file::Hedge>>>,
    outer: Option<Hedge>,
) -> Option<Hedge> {
    let Some(written) = written else { return outer };
    let table = match &written.value {
        Shorthand::Short(text) => {
            if text != "off" {
                let help = "write `hedge = \"off\"`, or for example `hedge = { after = \"50ms\" }`";
                scope.wrong_help(
                    &written.span,
                    "unknown value for `hedge`",
                    "expected `off` or a table",
                    help,
                );
            }
            return None;
        }
        Shorthand::Long(table) => table,
    };
    if table.after.is_none() {
        scope.missing(&written.span, "after", "write for example `after = \"50ms\"`");
    }
    let most = scope.number("most", table.most.as_ref(), 1..=10, 1);
    Some(Hedge {
        after: scope.duration("after", table.after.as_ref(), Duration::from_millis(50)),
        most: u32::try_from(most).unwrap_or(1),
    })
}

/// Reports a hedge that would come when all is over.
pub(super) fn hedge_within(
    scope: &Scope<'_>,
    written: Option<&Located<Shorthand<file::Hedge>>>,
    hedge: Option<Hedge>,
    limit: Duration,
    limited_by: &str,
) {
    if let (Some(written), Some(hedge)) = (written, hedge.filter(|hedge| hedge.after >= limit)) {
        let label = format!("`after` is {:?}, `{limited_by}` is {limit:?}", hedge.after);
        let help = format!("make `after` shorter than `{limited_by}`");
        scope.wrong_help(&written.span, "a hedge that is never sent", label, help);
    }
}

/// `try_timeout`, of an upstream or a route.
pub(super) fn try_timeout(scope: &Scope<'_>, written: Option<&Located<Text<Duration>>>) -> Option<Duration> {
    let limit = scope.duration("try_timeout", written, Duration::ZERO);
    Some(limit).filter(|limit| !limit.is_zero())
}

/// Reports a part of a try that may last longer than the whole of it.
fn not_beyond(scope: &Scope<'_>, key: &str, written: Option<&Located<Text<Duration>>>, limit: Duration) {
    if let Some(written) = written.filter(|written| written.value.0 > limit) {
        let label = format!("`{key}` is {:?}, `try_timeout` is {limit:?}", written.value.0);
        let title = format!("`{key}` is longer than the whole try");
        let help = format!("make `{key}` at most `try_timeout`, or leave it out");
        scope.wrong_help(&written.span, title, label, help);
    }
}

fn deadline_header(scope: &Scope<'_>, written: &Located<String>) -> Option<HeaderName> {
    let name = written.parse::<HeaderName>().ok();
    let name = name.filter(|name| !FRAMING.contains(name) && *name != http::header::HOST);
    if name.is_none() {
        let help = "write for example `deadline_header = \"x-request-timeout-ms\"`";
        scope.wrong_help(
            &written.span,
            "not a header that may be set",
            "expected the name of a field",
            help,
        );
    }
    name
}

fn upstream_limits(scope: &Scope<'_>, table: &Located<file::UpstreamLimits>) -> UpstreamLimits {
    let number = |key, written: Option<&Located<i64>>, least| {
        let number = scope.number(key, written, least..=10_000_000, least);
        written.and_then(|_| usize::try_from(number).ok())
    };
    UpstreamLimits {
        requests: number("requests", table.requests.as_ref(), 1),
        pending: number("pending", table.pending.as_ref(), 0),
    }
}

fn breaker(scope: &Scope<'_>, table: &Located<file::Breaker>) -> Breaker {
    let default = Breaker::default();
    let number = |key, written: Option<&Located<i64>>, most, default: u32| {
        u32::try_from(scope.number(key, written, 1..=most, i64::from(default))).unwrap_or(default)
    };
    let errors = share(table.errors.as_ref(), default.errors);
    if let Some(written) = table.errors.as_ref().filter(|_| errors == Share::default()) {
        let help = "write for example `errors = \"50%\"`, or leave `breaker` out";
        scope.wrong_help(
            &written.span,
            "a breaker that is always open",
            "expected more than nothing",
            help,
        );
    }
    Breaker {
        errors,
        least: number("least", table.least.as_ref(), 1_000_000, default.least),
        window: scope.duration("window", table.window.as_ref(), default.window),
        open: scope.duration("open", table.open.as_ref(), default.open),
        probes: number("probes", table.probes.as_ref(), 1_000, default.probes),
    }
}

/// What is written, or `default`.
pub(super) fn share(written: Option<&Located<Text<Share>>>, default: Share) -> Share {
    written.map_or(default, |written| written.value.0)
}
