//! What is counted of the connections to an upstream.

use std::time::Duration;

use super::connect::ConnectError;
use super::life::EndedBy;
use crate::telemetry::metrics::{
    Metrics, UPSTREAM_CONNECT_DURATION, UPSTREAM_CONNECT_FAILURES, UPSTREAM_CONNECTIONS_CLOSED,
    UPSTREAM_CONNECTIONS_OPENED, UPSTREAM_CONNECTIONS_REUSED,
};
use crate::telemetry::{Counter, Histogram};

/// What one thread counts of the connections to one upstream.
pub(crate) struct ConnectionCounters {
    metrics: Metrics,
    thread: usize,
    upstream: String,
    opened: Counter,
    reused: Counter,
    closed: [Counter; EndedBy::ALL.len()],
    durations: Histogram,
}

impl ConnectionCounters {
    pub(super) fn new(metrics: &Metrics, thread: usize, upstream: &str) -> ConnectionCounters {
        let labels = || vec![("upstream", upstream.into())];
        ConnectionCounters {
            metrics: metrics.clone(),
            thread,
            upstream: upstream.to_owned(),
            opened: metrics.counter(thread, UPSTREAM_CONNECTIONS_OPENED, labels()),
            reused: metrics.counter(thread, UPSTREAM_CONNECTIONS_REUSED, labels()),
            closed: EndedBy::ALL.map(|by| {
                let labels = vec![("reason", by.as_str().into()), ("upstream", upstream.into())];
                metrics.counter(thread, UPSTREAM_CONNECTIONS_CLOSED, labels)
            }),
            durations: metrics.histogram(thread, UPSTREAM_CONNECT_DURATION, labels()),
        }
    }

    /// A connection was made, in this time.
    pub(super) fn opened(&self, took: Duration) {
        self.opened.add(1);
        self.durations.record(took);
    }

    /// No connection was made.
    pub(super) fn failed(&self, error: &ConnectError) {
        let labels = vec![
            ("reason", error.reason().into()),
            ("upstream", self.upstream.as_str().into()),
        ];
        self.metrics
            .counter(self.thread, UPSTREAM_CONNECT_FAILURES, labels)
            .add(1);
    }

    /// A request is sent over a connection that has served before.
    pub(super) fn reused(&self) {
        self.reused.add(1);
    }

    pub(super) fn closed(&self, by: EndedBy) {
        self.closed[by as usize].add(1);
    }
}
