//! One target as one thread uses it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::connect::ConnectError;
use super::connection_counters::{ConnectionCounters, Counting};
use super::latency::Latency;
use super::pool::TargetPool;
use super::state::{Listed, UpstreamState};
use super::sticky;
use super::target_state::TargetState;
use crate::config::resolved::{self, Address, Balance};
use crate::telemetry::Counter;
use crate::telemetry::metrics::{UPSTREAM_EJECTIONS, UPSTREAM_REQUESTS};

/// One target as one thread uses it: its own connections, its own counts. It is gone when its upstream no longer lists it
/// and the last exchange with it has ended.
pub(crate) struct Target {
    /// As in metrics and log.
    pub(crate) name: Arc<str>,
    pub(crate) address: Address,
    /// Hundredths of the weight that is configured, as much as counts at present.
    pub(crate) weight: Cell<u32>,
    /// Exchanges in flight from this thread.
    pub(crate) active: Cell<usize>,
    pub(crate) pool: TargetPool,
    /// How it is connected to.
    pub(super) settings: Arc<resolved::Upstream>,
    pub(super) connections: Rc<ConnectionCounters>,
    warned: Cell<Option<Instant>>,
    pub(crate) state: Arc<TargetState>,
    /// What round-robin owes it.
    pub(super) credit: Cell<i64>,
    pub(super) latency: Latency,
    /// What names it in a cookie, where its upstream is sticky.
    pub(super) token: Cell<u64>,
    is_timed: Cell<bool>,
    upstream: RefCell<Arc<UpstreamState>>,
    answered: Counter,
    failed: Counter,
    outpaced: Counter,
    ejected: Counter,
}

/// How long a thread waits before it warns of the same target again.
const WARN_AGAIN: Duration = Duration::from_secs(10);

impl Target {
    pub(super) fn new(listed: &Listed, upstream: &Arc<UpstreamState>, counting: &Counting) -> Rc<Target> {
        let Counting { metrics, thread, .. } = counting;
        let (name, settings) = (listed.state.name.clone(), &upstream.settings);
        let labels = || vec![("target", name.clone()), ("upstream", settings.name.as_str().into())];
        let requests = |result: &str| {
            let mut labels = labels();
            labels.insert(0, ("result", result.into()));
            metrics.counter(*thread, UPSTREAM_REQUESTS, labels)
        };
        let target = Target {
            address: listed.target.address.clone(),
            weight: Cell::new(0),
            active: Cell::new(0),
            pool: TargetPool::new(&settings.connections, listed.state.slots(&settings.connections)),
            settings: settings.clone(),
            connections: counting.connections.clone(),
            warned: Cell::new(None),
            answered: requests("ok"),
            failed: requests("failed"),
            outpaced: requests("outpaced"),
            ejected: metrics.counter(*thread, UPSTREAM_EJECTIONS, labels()),
            state: listed.state.clone(),
            // Threads begin at different targets, or all would send their first request to the same one.
            credit: Cell::new(i64::from(fastrand::u32(0..=listed.target.weight * 100))),
            latency: Latency::default(),
            token: Cell::new(0),
            is_timed: Cell::new(false),
            upstream: RefCell::new(upstream.clone()),
            name,
        };
        target.adopt(listed, upstream);
        Rc::new(target)
    }

    /// It is listed so from now on.
    pub(super) fn adopt(&self, listed: &Listed, upstream: &Arc<UpstreamState>) {
        let settings = &upstream.settings;
        let share = match settings.slow_start {
            Some(_) => listed.state.share.load(Ordering::Relaxed),
            None => 100,
        };
        self.weight.set(listed.target.weight * share);
        self.is_timed.set(settings.balance == Balance::PeakEwma);
        if let Some(sticky) = &settings.sticky {
            self.token.set(sticky::token(sticky, &settings.name, &self.name));
        }
        *self.upstream.borrow_mut() = upstream.clone();
    }

    /// A request is on its way to it: what [`answered`](Target::answered) and [`failed`](Target::failed) are told then.
    pub(crate) fn asked(&self) -> Asked {
        Asked(self.is_timed.get().then(Instant::now))
    }

    /// It has answered. How well is [another matter](Target::did).
    pub(crate) fn answered(&self, asked: Asked) {
        self.answered.add(1);
        if let Some(asked) = asked.0 {
            self.latency.took(asked.elapsed(), Instant::now());
        }
    }

    /// What it has answered is a failure, or is none.
    pub(crate) fn did(&self, fail: bool) {
        if fail {
            self.count_failure();
        } else if self.state.failures.load(Ordering::Relaxed) != 0 {
            self.state.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Says why its certificate, or ours, was refused: only an operator can mend that. Not for each request.
    pub(super) fn warn(&self, error: &ConnectError) {
        let now = Instant::now();
        let lately = |warned: Instant| now.saturating_duration_since(warned) < WARN_AGAIN;
        if let ConnectError::Tls(reason) = error
            && !self.warned.get().is_some_and(lately)
        {
            self.warned.set(Some(now));
            tracing::warn!(upstream = self.settings.name, target = %self.name, reason, "the TLS handshake failed");
        }
    }

    /// It could not be reached, or gave no answer that could be used.
    pub(crate) fn failed(&self, asked: Asked) {
        self.failed.add(1);
        if let Some(asked) = asked.0 {
            self.latency.failed(asked.elapsed(), Instant::now());
        }
        self.count_failure();
    }

    /// Another target has answered before it could: all that is known is that it takes longer.
    pub(crate) fn outpaced(&self, asked: Asked) {
        self.outpaced.add(1);
        if let Some(asked) = asked.0 {
            self.latency.takes_longer(asked.elapsed(), Instant::now());
        }
    }

    /// There was no answer, and it is not to blame.
    pub(crate) fn spared(&self) {
        self.failed.add(1);
    }

    fn count_failure(&self) {
        if self.upstream.borrow().failed(&self.state) {
            self.ejected.add(1);
        }
    }
}

/// When a target was asked, where its latency counts for anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked(Option<Instant>);

/// Counts an exchange as in flight on a target, for as long as it lives.
pub(crate) struct InFlight(Rc<Target>);

impl InFlight {
    pub(crate) fn on(target: &Rc<Target>) -> InFlight {
        target.active.set(target.active.get() + 1);
        InFlight(target.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
    }
}
