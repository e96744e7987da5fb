//! Upstreams: which target serves a request, and over which connection.
//!
//! What all threads share of an upstream is its [`UpstreamState`]: the targets that configuration or discovery list, and
//! their health. Each thread has an [`Upstream`] of its own: connections, and a choice of targets that it makes anew when the
//! state has changed.

mod addresses;
mod affinity;
mod alarm;
mod balance;
mod body;
mod breaker;
mod choice;
mod connect;
mod connection;
mod connection_counters;
mod dial;
mod discovery;
mod ejection;
mod groups;
mod health;
mod http2_io;
mod in_vain;
mod interim;
mod last_head;
mod latency;
mod life;
mod load;
mod lot;
mod maglev;
mod pool;
mod proxy_header;
mod reach;
pub(crate) mod response_head;
mod retry_budget;
mod slots;
mod slow_start;
mod state;
mod sticky;
mod target;
mod target_state;
mod tasks;
mod tending;
pub(crate) mod tls;
mod upgraded;
mod verdict;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use self::affinity::Affinity;
pub(crate) use self::alarm::Alarm;
pub(crate) use self::body::UpstreamBody;
pub(crate) use self::breaker::{Breaker, Trial};
use self::choice::Choice;
pub(crate) use self::connect::ConnectError;
pub(crate) use self::connection::Kept;
use self::connection_counters::Counting;
pub(crate) use self::in_vain::{was_closed, was_refused};
pub(crate) use self::load::{Load, Permit};
pub(crate) use self::pool::Lease;
pub(crate) use self::proxy_header::Ends;
pub(crate) use self::retry_budget::RetryBudget;
pub(crate) use self::state::{UpstreamState, forget_gone};
pub(crate) use self::target::{Asked, InFlight, Target};
pub(crate) use self::tending::Tending;
pub(crate) use self::upgraded::{Duplex, Released, Upgraded};
pub(crate) use self::verdict::Verdict;
use crate::config::resolved;
use crate::pipeline::Exchange;
use crate::telemetry::metrics::Metrics;

/// An upstream as one thread uses it.
pub(crate) struct Upstream {
    pub(crate) settings: Arc<resolved::Upstream>,
    /// What routes share that have no budget of their own.
    pub(crate) retry_budget: Rc<RetryBudget>,
    state: Arc<UpstreamState>,
    /// The version of the state that the choice was made of.
    version: Cell<u64>,
    choice: RefCell<Choice>,
    counting: Counting,
}

impl Upstream {
    /// An upstream on this thread. Of the previous one it takes over the targets that are still there, with their connections.
    pub(crate) fn new(
        state: &Arc<UpstreamState>,
        previous: Option<&Upstream>,
        metrics: &Metrics,
        thread: usize,
    ) -> Rc<Upstream> {
        let known = previous.filter(|previous| previous.settings.connections == state.settings.connections);
        let known = known.map_or_else(Vec::new, |known| known.choice.borrow().targets.clone());
        let (version, counting) = (state.version(), Counting::new(metrics, thread, &state.settings.name));
        Rc::new(Upstream {
            settings: state.settings.clone(),
            retry_budget: Rc::new(RetryBudget::new(&state.settings.resilience.retry)),
            state: state.clone(),
            version: Cell::new(version),
            choice: RefCell::new(Choice::new(state, &known, &counting)),
            counting,
        })
    }

    /// Whether it is the thread's part of this state.
    pub(crate) fn is_of(&self, state: &Arc<UpstreamState>) -> bool {
        Arc::ptr_eq(&self.state, state)
    }

    /// What of a request speaks for one target. To be asked before its fields are sent away.
    pub(crate) fn affinity(&self, exchange: &Exchange) -> Affinity {
        Affinity::of(exchange, &self.settings)
    }

    /// What says whether anything may be sent at all.
    pub(crate) fn breaker(&self) -> Option<&Arc<Breaker>> {
        self.state.breaker.as_ref()
    }

    /// What is under way on all threads.
    pub(crate) fn load(&self) -> &Arc<Load> {
        &self.state.load
    }

    /// The next target to ask that is none of `tried`.
    pub(crate) fn next(&self, tried: &[Rc<Target>], affinity: Affinity) -> Option<Rc<Target>> {
        self.refresh();
        self.choice.borrow().next(tried, affinity)
    }

    /// Has the client come back to the target whose response is in the exchange, where clients are to.
    pub(crate) fn stick(&self, target: &Target, affinity: Affinity, exchange: &mut Exchange) {
        if let Some(sticky) = &self.settings.sticky {
            sticky::stick(sticky, target, affinity, exchange);
        }
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn evict_idle(&self) {
        self.refresh();
        let now = Instant::now();
        for target in &self.choice.borrow().targets {
            target.pool.evict_idle(now);
        }
    }

    /// Others stand for it from now on. What it keeps for targets that none of them has is closed.
    pub(crate) fn gives_way_to(&self, others: &[Rc<Upstream>]) {
        let choice = self.choice.borrow();
        let is_kept = |target: &Rc<Target>| others.iter().any(|other| other.choice.borrow().has(target));
        for target in choice.targets.iter().filter(|target| !is_kept(target)) {
            target.pool.close();
        }
    }

    /// Makes the choice anew if the state has changed.
    fn refresh(&self) {
        let version = self.state.version();
        if version != self.version.get() {
            let choice = Choice::new(&self.state, &self.choice.borrow().targets, &self.counting);
            let before = self.choice.replace(choice);
            self.version.set(version);
            close_those_gone(&before, &self.choice.borrow());
        }
    }
}

/// Closes what is kept for targets that were listed and are no more.
fn close_those_gone(before: &Choice, now: &Choice) {
    for target in before.targets.iter().filter(|target| !now.has(target)) {
        target.pool.close();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::units::Share;

    /// An upstream with these targets and nothing else of note.
    pub(crate) fn settings(targets: Vec<resolved::Target>) -> resolved::Upstream {
        resolved::Upstream {
            name: "users".to_owned(),
            targets,
            discovery: None,
            resolver: None,
            balance: resolved::Balance::LeastRequest,
            sticky: None,
            prefer_zone: None,
            panic: Share::percent(50),
            slow_start: None,
            health: None,
            eject: Some(resolved::Eject::default()),
            connections: resolved::Connections::default(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            resilience: resolved::Resilience::default(),
        }
    }

    /// A target at this port of this machine.
    pub(crate) fn target(port: u16, weight: u32) -> resolved::Target {
        let address = resolved::Address::Tcp {
            host: "127.0.0.1".into(),
            port,
        };
        resolved::Target {
            weight,
            ..resolved::Target::at(address)
        }
    }

    #[test]
    fn a_thread_sees_new_targets_and_keeps_those_it_knows() {
        let state = UpstreamState::new(&Arc::new(settings(vec![target(1, 1)])), None);
        let upstream = Upstream::new(&state, None, &Metrics::default(), 0);
        let first = upstream.next(&[], Affinity::default()).unwrap();

        state.publish(vec![target(2, 1), target(1, 1)]);

        let second = upstream
            .next(std::slice::from_ref(&first), Affinity::default())
            .unwrap();
        assert_eq!(&*second.name, "127.0.0.1:2");
        assert!(Rc::ptr_eq(
            &upstream.next(&[second], Affinity::default()).unwrap(),
            &first
        ));
    }
}
