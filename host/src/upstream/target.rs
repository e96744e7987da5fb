//! One target as one thread uses it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::pool::TargetPool;
use super::state::Listed;
use super::target_state::TargetState;
use crate::config::resolved::{self, Address};
use crate::telemetry::Counter;
use crate::telemetry::metrics::{Metrics, UPSTREAM_REQUESTS};

/// One target as one thread uses it: its own connections, its own counts. It is gone when its upstream no longer lists it
/// and the last exchange with it has ended.
pub(crate) struct Target {
    /// As in metrics and log.
    pub(crate) name: Arc<str>,
    pub(crate) address: Address,
    pub(crate) weight: Cell<u32>,
    /// Exchanges in flight from this thread.
    pub(crate) active: Cell<usize>,
    pub(crate) pool: TargetPool,
    pub(crate) state: Arc<TargetState>,
    answered: Counter,
    failed: Counter,
}

impl Target {
    pub(super) fn new(listed: &Listed, settings: &resolved::Upstream, metrics: &Metrics, thread: usize) -> Rc<Target> {
        let name = listed.state.name.clone();
        let counter = |result: &str| {
            let labels = vec![
                ("result", result.into()),
                ("target", name.clone()),
                ("upstream", settings.name.as_str().into()),
            ];
            metrics.counter(thread, UPSTREAM_REQUESTS, labels)
        };
        Rc::new(Target {
            address: listed.target.address.clone(),
            weight: Cell::new(listed.target.weight),
            active: Cell::new(0),
            pool: TargetPool::new(settings.keep, settings.keep_for),
            answered: counter("ok"),
            failed: counter("failed"),
            state: listed.state.clone(),
            name,
        })
    }

    /// It has answered.
    pub(crate) fn answered(&self) {
        self.answered.add(1);
    }

    /// It could not be reached, or gave no answer that could be used.
    pub(crate) fn failed(&self) {
        self.failed.add(1);
    }
}

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
