//! What all threads know of an upstream: its targets, and how they are doing.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::breaker::Breaker;
use super::load::Load;
use super::maglev::Tables;
use super::slow_start;
use super::target_state::{Health, TargetState, now};
use crate::config::resolved::{self, Target};
use crate::telemetry::metrics::Metrics;

/// An upstream as all threads share it. It outlives a reload that leaves its settings as they are; of one that changes them,
/// targets of the same address keep their health.
///
/// Threads do not read it for each request: they look at its [`version`](UpstreamState::version), and only when that has
/// moved do they make their own choice of targets anew.
#[derive(Debug)]
pub(crate) struct UpstreamState {
    pub(crate) settings: Arc<resolved::Upstream>,
    /// Whether probes are other ones than before the reload, so that the first one of each target decides alone.
    pub(super) probes_anew: bool,
    /// None where there is to be none.
    pub(crate) breaker: Option<Arc<Breaker>>,
    pub(crate) load: Arc<Load>,
    targets: ArcSwap<Vec<Listed>>,
    version: AtomicU64,
    changes: watch::Sender<()>,
    /// A bit for each [`Awaited`].
    awaited: AtomicU8,
    /// Where keys are hashed.
    pub(super) tables: Tables,
    /// Held while it is decided whether one more target may be ejected.
    pub(super) ejecting: Mutex<()>,
}

/// A target and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) target: Target,
    pub(crate) state: Arc<TargetState>,
}

/// What an upstream that has just begun does not know yet, so that the gateway had better not be sent traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Awaited {
    /// Whether each of its targets is healthy.
    Probes = 1,
    /// Which targets there are.
    Targets = 2,
    /// What addresses the names of targets have.
    Addresses = 4,
}

impl UpstreamState {
    /// An upstream with the targets of its configuration. Where they are discovered it begins with those that it had before
    /// the reload, so that it serves on until there is an answer.
    pub(crate) fn new(settings: &Arc<resolved::Upstream>, previous: Option<&UpstreamState>) -> Arc<UpstreamState> {
        let known = previous.map(|previous| previous.targets.load_full());
        let known = known.as_deref().map_or(&[][..], Vec::as_slice);
        let targets = match &settings.discovery {
            Some(_) => known.to_vec(),
            None => list(settings, settings.targets.clone(), known),
        };
        if previous.is_some_and(|previous| previous.settings.health.is_none()) {
            keep_in_use(known, &targets);
        }
        let awaited = [
            (Awaited::Probes, settings.health.is_some()),
            (Awaited::Targets, settings.discovery.is_some() && targets.is_empty()),
            (Awaited::Addresses, !are_resolved(&targets)),
        ];
        let awaited = awaited.iter().filter(|(_, is_awaited)| *is_awaited);
        let awaited = awaited.fold(0, |bits, (what, _)| bits | *what as u8);
        Arc::new(UpstreamState {
            settings: settings.clone(),
            probes_anew: previous.is_some_and(|previous| previous.settings.health != settings.health),
            breaker: settings
                .resilience
                .breaker
                .map(|settings| Arc::new(Breaker::new(settings))),
            // What is under way ends under the new settings.
            load: previous.map(|previous| previous.load.clone()).unwrap_or_default(),
            targets: ArcSwap::from_pointee(targets),
            version: AtomicU64::new(1),
            changes: watch::Sender::new(()),
            awaited: AtomicU8::new(awaited),
            tables: Tables::default(),
            ejecting: Mutex::new(()),
        })
    }

    /// Moves on whenever the targets, or the health of one of them, have changed.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The targets as they are now.
    pub(crate) fn targets(&self) -> Arc<Vec<Listed>> {
        self.targets.load_full()
    }

    /// Has threads look again: the health of a target has changed.
    pub(crate) fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
        self.changes.send_replace(());
    }

    /// Tells of all that changes from now on, for who waits in the background.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// These are the targets from now on. Those that were known before keep their health.
    pub(crate) fn publish(&self, targets: Vec<Target>) {
        let known = self.targets.load();
        let listed = list(&self.settings, targets, &known);
        if known
            .iter()
            .map(|known| &known.target)
            .eq(listed.iter().map(|listed| &listed.target))
        {
            return;
        }
        self.targets.store(Arc::new(listed));
        self.changed();
    }

    /// This is known now.
    pub(super) fn settle(&self, what: Awaited) {
        let before = self.awaited.fetch_and(!(what as u8), Ordering::AcqRel);
        if before & what as u8 != 0 {
            self.changes.send_replace(());
        }
    }

    /// Whether this is known.
    pub(super) fn is_known(&self, what: Awaited) -> bool {
        self.awaited.load(Ordering::Acquire) & what as u8 == 0
    }

    /// Discovery has had an answer, which is published. At the first one the names in it are yet to be resolved.
    pub(super) fn answered(&self) {
        if !self.is_known(Awaited::Targets) && !are_resolved(&self.targets()) {
            self.awaited.fetch_or(Awaited::Addresses as u8, Ordering::AcqRel);
        }
        self.settle(Awaited::Targets);
    }

    /// A name has been resolved for the first time.
    pub(super) fn resolved(&self) {
        if are_resolved(&self.targets()) {
            self.settle(Awaited::Addresses);
        }
        self.changes.send_replace(());
    }

    /// Whether nothing is awaited any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.awaited.load(Ordering::Acquire) == 0
    }

    /// Waits until it is known how the upstream is doing.
    pub(crate) async fn settled(&self) {
        let mut changes = self.changes();
        while self.awaited.load(Ordering::Acquire) != 0 {
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }
}

/// Forgets all that was counted for upstreams and targets that were there before a reload, and are no longer.
pub(crate) fn forget_gone(before: &[Arc<UpstreamState>], present: &[Arc<UpstreamState>], metrics: &Metrics) {
    for before in before {
        let name = before.settings.name.as_str();
        let Some(state) = present.iter().find(|state| state.settings.name == name) else {
            metrics.forget(&[("upstream", name)]);
            continue;
        };
        let targets = state.targets();
        let is_left = |target: &str| targets.iter().any(|listed| *listed.state.name == *target);
        for gone in before.targets().iter().filter(|listed| !is_left(&listed.state.name)) {
            metrics.forget(&[("target", &gone.state.name), ("upstream", name)]);
        }
    }
}

/// Targets with their states, known or new. Of two with one address the first counts.
fn list(settings: &resolved::Upstream, targets: Vec<Target>, known: &[Listed]) -> Vec<Listed> {
    let from_start = known.is_empty();
    let mut listed: Vec<Listed> = Vec::with_capacity(targets.len());
    for target in targets {
        if listed.iter().any(|other| other.target.address == target.address) {
            continue;
        }
        let same = known.iter().find(|known| known.target.address == target.address);
        let state = same.map_or_else(
            || {
                let state = TargetState::new(&target, from_start);
                if !from_start {
                    slow_start::begin(settings, &state, now());
                }
                Arc::new(state)
            },
            |known| known.state.clone(),
        );
        listed.push(Listed { target, state });
    }
    listed
}

/// Whether the addresses of all targets are known.
fn are_resolved(targets: &[Listed]) -> bool {
    targets.iter().all(|listed| listed.state.addresses.are_known())
}

/// Targets that have served without probes stay in use until the first one has decided. Who has no probes does not notice.
fn keep_in_use(known: &[Listed], targets: &[Listed]) {
    let stays = |known: &&Listed| targets.iter().any(|listed| Arc::ptr_eq(&listed.state, &known.state));
    for listed in known.iter().filter(stays) {
        listed.state.set_health(Health::Healthy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolved::{Health as Settings, Probe};
    use crate::upstream::tests::{settings, target};

    #[test]
    fn a_target_that_stays_keeps_its_state_whatever_else_changes() {
        let state = UpstreamState::new(&Arc::new(settings(vec![target(1, 1), target(2, 1)])), None);
        let before = state.targets();

        state.publish(vec![target(3, 1), target(2, 5)]);

        let after = state.targets();
        assert!(Arc::ptr_eq(&before[1].state, &after[1].state));
        assert_eq!((after.len(), after[1].target.weight, state.version()), (2, 5, 2));
    }

    #[test]
    fn the_same_targets_again_are_no_change() {
        let state = UpstreamState::new(&Arc::new(settings(vec![target(1, 1)])), None);
        state.publish(vec![target(1, 1)]);
        state.publish(vec![target(1, 1), target(1, 1)]);
        assert_eq!(state.version(), 1);
    }

    #[test]
    fn other_probes_decide_anew_and_take_nothing_out_of_use_before() {
        let plain = UpstreamState::new(&Arc::new(settings(vec![target(1, 1)])), None);
        let mut probed = settings(vec![target(1, 1), target(2, 1)]);
        probed.health = Some(Settings::of(Probe::Tcp));

        let after = UpstreamState::new(&Arc::new(probed), Some(&plain));

        assert!(after.probes_anew);
        let health = |place: usize| after.targets()[place].state.health();
        assert_eq!((health(0), health(1)), (Health::Healthy, Health::New));
    }
}
