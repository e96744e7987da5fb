//! What all threads know of an upstream: its targets, and how they are doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::target_state::TargetState;
use crate::config::resolved::{self, Target};

/// An upstream as all threads share it. It outlives a reload that leaves its settings as they are; of one that changes them,
/// targets of the same address keep their health.
///
/// Threads do not read it for each request: they look at its [`version`](UpstreamState::version), and only when that has
/// moved do they make their own choice of targets anew.
#[derive(Debug)]
pub(crate) struct UpstreamState {
    pub(crate) settings: Arc<resolved::Upstream>,
    targets: ArcSwap<Vec<Listed>>,
    version: AtomicU64,
}

/// A target and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) target: Target,
    pub(crate) state: Arc<TargetState>,
}

impl UpstreamState {
    /// An upstream with the targets of its configuration.
    pub(crate) fn new(settings: &Arc<resolved::Upstream>, previous: Option<&UpstreamState>) -> Arc<UpstreamState> {
        let known = previous.map(|previous| previous.targets.load_full());
        let targets = list(settings.targets.clone(), known.as_deref().map_or(&[], Vec::as_slice));
        Arc::new(UpstreamState {
            settings: settings.clone(),
            targets: ArcSwap::from_pointee(targets),
            version: AtomicU64::new(1),
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

    #[allow(dead_code, reason = "discovery and health checks come with the next commits")]
    /// Has threads look again: the health of a target has changed.
    pub(crate) fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    #[allow(dead_code, reason = "discovery and health checks come with the next commits")]
    /// These are the targets from now on. Those that were known before keep their health.
    pub(crate) fn publish(&self, targets: Vec<Target>) {
        let known = self.targets.load();
        if known.iter().map(|listed| &listed.target).eq(&targets) {
            return;
        }
        self.targets.store(Arc::new(list(targets, &known)));
        self.changed();
    }
}

/// Targets with their states, known or new. Of two with one address the first counts.
fn list(targets: Vec<Target>, known: &[Listed]) -> Vec<Listed> {
    let mut listed: Vec<Listed> = Vec::with_capacity(targets.len());
    for target in targets {
        if listed.iter().any(|other| other.target.address == target.address) {
            continue;
        }
        let same = known.iter().find(|known| known.target.address == target.address);
        let state = same.map_or_else(|| Arc::new(TargetState::new(&target)), |known| known.state.clone());
        listed.push(Listed { target, state });
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(state.version(), 1);
    }
}
