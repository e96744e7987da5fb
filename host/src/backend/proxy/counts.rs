//! What one thread counts of an upstream's tries.

use super::failure::Cause;
use crate::rejection::Rejection;
use crate::telemetry::Counter;
use crate::telemetry::metrics::{Metrics, UPSTREAM_HEDGES, UPSTREAM_OVER_BUDGET, UPSTREAM_REFUSED, UPSTREAM_RETRIES};

/// What one thread counts of an upstream's tries.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamCounts {
    retries: [Counter; REASONS.len()],
    pub(super) over_budget: Counter,
    pub(super) hedges: Counter,
    pub(super) hedges_won: Counter,
    refused_requests: Counter,
    refused_pending: Counter,
    pub(super) refused_by_breaker: Counter,
}

/// Why a request was sent again, as in `retry.on`.
const REASONS: [&str; 5] = ["connect", "reset", "timeout", "status", "unavailable"];

impl UpstreamCounts {
    pub(crate) fn new(upstream: &str, metrics: &Metrics, thread: usize) -> UpstreamCounts {
        let counter = |name, more: Option<(&'static str, &str)>| {
            let more = more.map(|(label, value)| (label, value.into()));
            let labels = more.into_iter().chain([("upstream", upstream.into())]);
            metrics.counter(thread, name, labels.collect())
        };
        UpstreamCounts {
            retries: REASONS.map(|reason| counter(UPSTREAM_RETRIES, Some(("reason", reason)))),
            over_budget: counter(UPSTREAM_OVER_BUDGET, None),
            hedges: counter(UPSTREAM_HEDGES, Some(("result", "sent"))),
            hedges_won: counter(UPSTREAM_HEDGES, Some(("result", "won"))),
            refused_requests: counter(UPSTREAM_REFUSED, Some(("reason", "requests"))),
            refused_pending: counter(UPSTREAM_REFUSED, Some(("reason", "pending"))),
            refused_by_breaker: counter(UPSTREAM_REFUSED, Some(("reason", "circuit-open"))),
        }
    }

    pub(super) fn retried(&self, cause: Cause) {
        let reason = match cause {
            Cause::Connect | Cause::ConnectTimeout => 0,
            Cause::Reset => 1,
            Cause::Timeout => 2,
            Cause::Status => 3,
            Cause::Unavailable => 4,
            Cause::Final => return,
        };
        self.retries[reason].add(1);
    }

    /// As many requests are under way as may be.
    pub(super) fn refuse_requests(&self) -> Rejection {
        self.refused_requests.add(1);
        Rejection::UpstreamBusy
    }

    /// As many requests wait for a connection as may.
    pub(super) fn refuse_pending(&self) -> Rejection {
        self.refused_pending.add(1);
        Rejection::UpstreamBusy
    }
}
