//! Upstreams: which target serves a request, and over which connection.
//!
//! What all threads share of an upstream is its [`UpstreamState`]: the targets that configuration or discovery list, and
//! their health. Each thread has an [`Upstream`] of its own: connections, and a choice of targets that it makes anew when the
//! state has changed.

mod alarm;
mod balance;
mod body;
mod connect;
mod last_head;
mod pool;
mod state;
mod target;
mod target_state;
mod tending;
mod upgraded;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use self::alarm::Alarm;
use self::balance::Balancer;
pub(crate) use self::body::UpstreamBody;
pub(crate) use self::connect::{ConnectError, Kept};
pub(crate) use self::pool::Lease;
pub(crate) use self::state::UpstreamState;
pub(crate) use self::target::{InFlight, Target};
pub(crate) use self::tending::Tending;
pub(crate) use self::upgraded::{Duplex, Released, Upgraded};
use crate::config::resolved;
use crate::telemetry::metrics::Metrics;

/// An upstream as one thread uses it.
pub(crate) struct Upstream {
    pub(crate) settings: Arc<resolved::Upstream>,
    state: Arc<UpstreamState>,
    /// The version of the state that the choice was made of.
    version: Cell<u64>,
    choice: RefCell<Choice>,
    metrics: Metrics,
    thread: usize,
}

/// The targets that may be chosen.
struct Choice {
    targets: Vec<Rc<Target>>,
    balancer: Balancer,
}

impl Upstream {
    /// An upstream on this thread. Of the previous one it takes over the targets that are still there, with their connections.
    pub(crate) fn new(
        state: &Arc<UpstreamState>,
        previous: Option<&Upstream>,
        metrics: &Metrics,
        thread: usize,
    ) -> Rc<Upstream> {
        let known = previous.filter(|previous| previous.settings.connects_as(&state.settings));
        let known = known.map_or_else(Vec::new, |known| known.choice.borrow().targets.clone());
        let version = state.version();
        Rc::new(Upstream {
            settings: state.settings.clone(),
            state: state.clone(),
            version: Cell::new(version),
            choice: RefCell::new(Choice::new(state, &known, metrics, thread)),
            metrics: metrics.clone(),
            thread,
        })
    }

    /// Whether it is the thread's part of this state.
    pub(crate) fn is_of(&self, state: &Arc<UpstreamState>) -> bool {
        Arc::ptr_eq(&self.state, state)
    }

    /// The next target to ask that is none of `tried`.
    pub(crate) fn next(&self, tried: &[Rc<Target>]) -> Option<Rc<Target>> {
        self.refresh();
        let choice = self.choice.borrow();
        let is_open = |target: &Rc<Target>| !tried.iter().any(|tried| Rc::ptr_eq(tried, target));
        let place = choice.balancer.next(&choice.targets, is_open)?;
        choice.targets.get(place).cloned()
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn evict_idle(&self) {
        self.refresh();
        let now = Instant::now();
        for target in &self.choice.borrow().targets {
            target.pool.evict_idle(now);
        }
    }

    /// Makes the choice anew if the state has changed.
    fn refresh(&self) {
        let version = self.state.version();
        if version != self.version.get() {
            let choice = Choice::new(&self.state, &self.choice.borrow().targets, &self.metrics, self.thread);
            *self.choice.borrow_mut() = choice;
            self.version.set(version);
        }
    }
}

impl Choice {
    fn new(state: &UpstreamState, known: &[Rc<Target>], metrics: &Metrics, thread: usize) -> Choice {
        let targets = state.targets();
        let targets = targets.iter().map(|listed| {
            let same = known.iter().find(|known| Arc::ptr_eq(&known.state, &listed.state));
            same.map_or_else(
                || Target::new(listed, &state.settings, metrics, thread),
                |known| {
                    known.weight.set(listed.target.weight);
                    known.clone()
                },
            )
        });
        let targets: Vec<_> = targets.collect();
        Choice {
            balancer: Balancer::new(state.settings.balance, &targets),
            targets,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    /// An upstream with these targets and nothing else of note.
    pub(crate) fn settings(targets: Vec<resolved::Target>) -> resolved::Upstream {
        resolved::Upstream {
            name: "users".to_owned(),
            targets,
            balance: resolved::Balance::LeastRequest,
            http2: false,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            keep: 1,
            keep_for: Duration::from_secs(1),
            tries: 1,
        }
    }

    /// A target at this port of this machine.
    pub(crate) fn target(port: u16, weight: u32) -> resolved::Target {
        let address = resolved::Address::Tcp {
            host: "127.0.0.1".into(),
            port,
        };
        resolved::Target { address, weight }
    }

    #[test]
    fn a_thread_sees_new_targets_and_keeps_those_it_knows() {
        let state = UpstreamState::new(&Arc::new(settings(vec![target(1, 1)])), None);
        let upstream = Upstream::new(&state, None, &Metrics::default(), 0);
        let first = upstream.next(&[]).unwrap();

        state.publish(vec![target(2, 1), target(1, 1)]);

        let second = upstream.next(std::slice::from_ref(&first)).unwrap();
        assert_eq!(&*second.name, "127.0.0.1:2");
        assert!(Rc::ptr_eq(&upstream.next(&[second]).unwrap(), &first));
    }
}
