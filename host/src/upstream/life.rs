//! How long a connection serves, and what ended it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use super::connection_counters::ConnectionCounters;
use super::slots::Slot;
use crate::config::resolved::Connections;

/// What is known of a connection from its beginning to its end, where it is counted.
pub(crate) struct Life {
    /// When it is too old to serve another request.
    expires: Instant,
    requests: Cell<u64>,
    ended_by: Cell<Option<EndedBy>>,
    /// None for a connection that serves no requests.
    counters: Option<Rc<ConnectionCounters>>,
    /// Its place among those that the target may have.
    _slot: Option<Slot>,
}

/// What ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// The target closed it, or said that it would.
    Target,
    /// It broke.
    Error,
    /// Nobody had needed it for a while.
    Idle,
    /// It had served for long enough, or often enough.
    Age,
    /// More were idle than are kept.
    Surplus,
    /// Another thread waited for its place.
    Yielded,
    /// Its exchange ended before request and response had.
    Aborted,
    /// The target sent too many frames of a kind.
    Flood,
    /// The target is listed no more, or is connected to in another way.
    Gone,
}

impl EndedBy {
    pub(super) const ALL: [EndedBy; 9] = [
        EndedBy::Target,
        EndedBy::Error,
        EndedBy::Idle,
        EndedBy::Age,
        EndedBy::Surplus,
        EndedBy::Yielded,
        EndedBy::Aborted,
        EndedBy::Flood,
        EndedBy::Gone,
    ];

    /// Its word in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            EndedBy::Target => "target",
            EndedBy::Error => "error",
            EndedBy::Idle => "idle",
            EndedBy::Age => "age",
            EndedBy::Surplus => "surplus",
            EndedBy::Yielded => "yielded",
            EndedBy::Aborted => "aborted",
            EndedBy::Flood => "flood",
            EndedBy::Gone => "gone",
        }
    }
}

impl Life {
    pub(super) fn new(
        settings: &Connections,
        counters: Option<Rc<ConnectionCounters>>,
        slot: Option<Slot>,
    ) -> Rc<Life> {
        // Those that began together are not to end together.
        let age = settings.reuse_for.mul_f64(1.0 - 0.1 * fastrand::f64());
        let now = Instant::now();
        Rc::new(Life {
            expires: now.checked_add(age).unwrap_or(now),
            requests: Cell::new(settings.requests.unwrap_or(u64::MAX)),
            ended_by: Cell::new(None),
            counters,
            _slot: slot,
        })
    }

    /// One more request is sent.
    pub(super) fn serves(&self) {
        self.requests.set(self.requests.get().saturating_sub(1));
    }

    /// Whether it should serve no other request.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.requests.get() == 0 || now >= self.expires
    }

    /// The connection is given up; the first reason counts.
    pub(super) fn end(&self, by: EndedBy) {
        if self.ended_by.get().is_none() {
            self.ended_by.set(Some(by));
        }
    }

    /// The connection has ended, by itself if nobody has given it up.
    pub(super) fn ended(&self, ended: hyper::Result<()>) {
        if let Err(error) = &ended {
            // What ends a connection is told to the exchange on it; this is for whoever debugs idle ones.
            tracing::debug!(%error, "upstream connection ended");
        }
        let by_itself = if ended.is_ok() { EndedBy::Target } else { EndedBy::Error };
        if let Some(counters) = &self.counters {
            counters.closed(self.ended_by.get().unwrap_or(by_itself));
        }
    }
}
