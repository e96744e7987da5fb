//! What `[plugin]`, `[filter]` and the entries of `filters` say about limits and failures: the nearer one wins, key by
//! key.

use std::time::Duration;

use super::scope::Scope;
use super::server::shown;
use crate::config::file::{self, FilterRules, Located, Text};
use crate::config::resolved::{FilterLimits, OnFailure, Quarantine};

/// Limits and failures of one filter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) limits: FilterLimits,
    pub(super) on_failure: OnFailure,
    pub(super) reuse: u32,
    pub(super) quarantine: Quarantine,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            limits: FilterLimits {
                memory: 16 << 20,
                cpu: Duration::from_millis(10),
                time: Duration::from_secs(1),
                body: 1 << 20,
            },
            on_failure: OnFailure::Reject,
            reuse: 100_000,
            quarantine: Quarantine {
                after: 10,
                first: Duration::from_secs(1),
                longest: Duration::from_secs(60),
            },
        }
    }
}

/// What is written, over `outer`.
pub(super) fn rules(scope: &Scope<'_>, written: FilterRules<'_>, outer: Rules) -> Rules {
    let reuse = scope.number("reuse", written.reuse, 1..=1_000_000_000, i64::from(outer.reuse));
    Rules {
        limits: written
            .limits
            .map_or(outer.limits, |limits| filter_limits(scope, limits, outer.limits)),
        on_failure: match written.on_failure.map(|on_failure| on_failure.value) {
            Some(file::OnFailure::Reject) => OnFailure::Reject,
            Some(file::OnFailure::Skip) => OnFailure::Skip,
            None => outer.on_failure,
        },
        reuse: u32::try_from(reuse).unwrap_or(outer.reuse),
        quarantine: written
            .quarantine
            .map_or(outer.quarantine, |table| quarantine(scope, table, outer.quarantine)),
    }
}

fn filter_limits(scope: &Scope<'_>, table: &Located<file::FilterLimits>, outer: FilterLimits) -> FilterLimits {
    let size = |key: &str, written: Option<&Located<Text<file::Size>>>, least: u64, most: u64, outer: u64| {
        let Some(written) = written else { return outer };
        let bytes = written.value.0.0;
        if (least..=most).contains(&bytes) {
            return bytes;
        }
        let least = i64::try_from(least).map(shown).unwrap_or_default();
        let most = i64::try_from(most).map(shown).unwrap_or_default();
        scope.wrong(
            &written.span,
            format!("`{key}` is out of range"),
            format!("expected {least} to {most}"),
        );
        outer
    };
    let memory = size(
        "memory",
        table.memory.as_ref(),
        64 << 10,
        256 << 20,
        outer.memory as u64,
    );
    let limits = FilterLimits {
        memory: usize::try_from(memory).unwrap_or(outer.memory),
        cpu: milliseconds(scope, "cpu", table.cpu.as_ref(), outer.cpu),
        time: milliseconds(scope, "time", table.time.as_ref(), outer.time),
        body: size("body", table.body.as_ref(), 0, 1 << 30, outer.body),
    };
    if let Some(written) = table
        .cpu
        .as_ref()
        .or(table.time.as_ref())
        .filter(|_| limits.cpu > limits.time)
    {
        let label = format!("`cpu` is {:?}, `time` is {:?}", limits.cpu, limits.time);
        let title = "a call may compute for longer than it may last";
        scope.wrong_help(
            &written.span,
            title,
            label,
            "`time` includes computing: make it at least `cpu`",
        );
    }
    limits
}

/// The clock that stops filters ticks once a millisecond.
fn milliseconds(scope: &Scope<'_>, key: &str, written: Option<&Located<Text<Duration>>>, outer: Duration) -> Duration {
    let duration = scope.duration(key, written, outer);
    if let Some(written) = written.filter(|_| !duration.subsec_nanos().is_multiple_of(1_000_000)) {
        scope.wrong(
            &written.span,
            format!("`{key}` is finer than a millisecond"),
            "expected whole milliseconds",
        );
    }
    duration
}

fn quarantine(scope: &Scope<'_>, table: &Located<file::Quarantine>, outer: Quarantine) -> Quarantine {
    let after = scope.number("after", table.after.as_ref(), 0..=1_000_000, i64::from(outer.after));
    let quarantine = Quarantine {
        after: u32::try_from(after).unwrap_or(outer.after),
        first: scope.duration("first", table.first.as_ref(), outer.first),
        longest: scope.duration("longest", table.longest.as_ref(), outer.longest),
    };
    if let Some(written) = table
        .longest
        .as_ref()
        .or(table.first.as_ref())
        .filter(|_| quarantine.first > quarantine.longest)
    {
        let label = format!(
            "`first` is {:?}, `longest` is {:?}",
            quarantine.first, quarantine.longest
        );
        scope.wrong(&written.span, "the first quarantine is longer than the longest", label);
    }
    quarantine
}
