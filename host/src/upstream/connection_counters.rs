//! What is counted of the connections to an upstream.

use std::rc::Rc;
use std::time::Duration;

use super::connect::ConnectError;
use super::life::EndedBy;
use crate::telemetry::metrics::{
    Metrics, UPSTREAM_CONNECT_DURATION, UPSTREAM_CONNECT_FAILURES, UPSTREAM_CONNECTIONS_CLOSED,
    UPSTREAM_CONNECTIONS_OPENED, UPSTREAM_CONNECTIONS_REUSED,
};
use crate::telemetry::{Counter, Histogram};

/// Where one thread counts for one upstream.
pub(super) struct Counting {
    pub(super) metrics: Metrics,
    pub(super) thread: usize,
    /// Of all targets together.
    pub(super) connections: Rc<ConnectionCounters>,
}

/// What one thread counts of the connections to one upstream.
pub(crate) struct ConnectionCounters {
    opened: Counter,
    reused: Counter,
    closed: [Counter; EndedBy::ALL.len()],
    failed: [Counter; ConnectError::REASONS.len()],
    durations: Histogram,
}

impl Counting {
    pub(super) fn new(metrics: &Metrics, thread: usize, upstream: &str) -> Counting {
        let labels = || vec![("upstream", upstream.into())];
        let reason = |name, reason: &str| {
            let labels = vec![("reason", reason.into()), ("upstream", upstream.into())];
            metrics.counter(thread, name, labels)
        };
        let connections = ConnectionCounters {
            opened: metrics.counter(thread, UPSTREAM_CONNECTIONS_OPENED, labels()),
            reused: metrics.counter(thread, UPSTREAM_CONNECTIONS_REUSED, labels()),
            closed: EndedBy::ALL.map(|by| reason(UPSTREAM_CONNECTIONS_CLOSED, by.as_str())),
            failed: ConnectError::REASONS.map(|word| reason(UPSTREAM_CONNECT_FAILURES, word)),
            durations: metrics.histogram(thread, UPSTREAM_CONNECT_DURATION, labels()),
        };
        Counting {
            metrics: metrics.clone(),
            thread,
            connections: Rc::new(connections),
        }
    }
}

impl ConnectionCounters {
    /// A connection was made, in this time.
    pub(super) fn opened(&self, took: Duration) {
        self.opened.add(1);
        self.durations.record(took);
    }

    /// No connection was made.
    pub(super) fn failed(&self, error: &ConnectError) {
        self.failed[error.place()].add(1);
    }

    /// A request is sent over a connection that has served before.
    pub(super) fn reused(&self) {
        self.reused.add(1);
    }

    pub(super) fn closed(&self, by: EndedBy) {
        self.closed[by as usize].add(1);
    }
}
