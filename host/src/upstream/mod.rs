//! Upstreams: which target serves a request, and over which connection.

mod alarm;
mod balance;
mod body;
mod connect;
mod last_head;
mod pool;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use self::alarm::Alarm;
pub(crate) use self::balance::Balancer;
pub(crate) use self::body::UpstreamBody;
pub(crate) use self::connect::{ConnectError, Kept};
pub(crate) use self::pool::{Lease, TargetPool};
use crate::config::resolved;
use crate::telemetry::Counter;
use crate::telemetry::metrics::{Metrics, UPSTREAM_REQUESTS};

/// An upstream as one thread uses it: its own connections, its own counts.
pub(crate) struct Upstream {
    pub(crate) settings: Arc<resolved::Upstream>,
    pub(crate) targets: Vec<Rc<Target>>,
    pub(crate) balancer: Balancer,
}

/// One address of an upstream.
pub(crate) struct Target {
    /// `host:port`, as in metrics and log.
    pub(crate) name: Arc<str>,
    pub(crate) weight: u32,
    /// Exchanges in flight from this thread.
    pub(crate) active: Cell<usize>,
    pub(crate) pool: TargetPool,
    pub(crate) answered: Counter,
    pub(crate) failed: Counter,
}

impl Upstream {
    pub(crate) fn new(settings: &Arc<resolved::Upstream>, metrics: &Metrics, thread: usize) -> Rc<Upstream> {
        let targets = settings.targets.iter().map(|target| {
            let name: Arc<str> = connect::address(&target.url).into();
            let counter = |result: &str| {
                let labels = vec![
                    ("result", result.into()),
                    ("target", name.clone()),
                    ("upstream", settings.name.as_str().into()),
                ];
                metrics.counter(thread, UPSTREAM_REQUESTS, labels)
            };
            Rc::new(Target {
                weight: target.weight,
                active: Cell::new(0),
                pool: TargetPool::new(settings.keep, settings.keep_for),
                answered: counter("ok"),
                failed: counter("failed"),
                name,
            })
        });
        let targets: Vec<_> = targets.collect();
        let balancer = Balancer::new(settings.balance, &targets);
        Rc::new(Upstream {
            settings: settings.clone(),
            targets,
            balancer,
        })
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn evict_idle(&self) {
        let now = Instant::now();
        for target in &self.targets {
            target.pool.evict_idle(now);
        }
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
