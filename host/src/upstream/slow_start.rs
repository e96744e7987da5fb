//! A target that comes back begins with a small share of its load.

use std::sync::atomic::Ordering;

use super::UpstreamState;
use super::target_state::TargetState;
use crate::config::resolved::Upstream;

/// Per cent of its weight that count at first.
const FIRST: u64 = 10;
/// Steps from there to all of it.
const STEPS: u64 = 10;

/// A target is available from now on.
pub(super) fn begin(settings: &Upstream, target: &TargetState, now: u64) {
    if settings.slow_start.is_some() {
        target.share.store(FIRST as u32, Ordering::Relaxed);
        target.started.store(now, Ordering::Relaxed);
    }
}

impl UpstreamState {
    /// Takes targets to the shares that they have by now. Gives when the next step is due.
    pub(super) fn step_slow_starts(&self, now: u64) -> Option<u64> {
        let lasts = self.settings.slow_start;
        let lasts = lasts.map_or(0, |lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
        let (mut next, mut stepped) = (None, false);
        for listed in self.targets().iter() {
            let target = &listed.state;
            let started = target.started.load(Ordering::Relaxed);
            if started == 0 {
                continue;
            }
            let step = now.saturating_sub(started).saturating_mul(STEPS).checked_div(lasts);
            let step = step.unwrap_or(STEPS).min(STEPS);
            let share = FIRST + (100 - FIRST) * step / STEPS;
            stepped |= u64::from(target.share.swap(share as u32, Ordering::Relaxed)) != share;
            if step == STEPS {
                target.started.store(0, Ordering::Relaxed);
            } else {
                let due = started.saturating_add((lasts.saturating_mul(step + 1)).div_ceil(STEPS));
                next = Some(next.map_or(due, |next: u64| next.min(due)));
            }
        }
        if stepped {
            self.changed();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::upstream::tests::{settings, target};

    #[test]
    fn the_share_grows_from_a_tenth_to_all_of_it() {
        let mut settings = settings(vec![target(1, 1)]);
        settings.slow_start = Some(Duration::from_secs(10));
        let upstream = UpstreamState::new(&Arc::new(settings), None);
        let target = &upstream.targets()[0].state;
        assert_eq!(upstream.step_slow_starts(5), None, "not at the start");

        begin(&upstream.settings, target, 1_000);
        let mut shares = vec![];
        let mut due = Some(1_000);
        while let Some(at) = due {
            due = upstream.step_slow_starts(at);
            shares.push(target.share.load(Ordering::Relaxed));
        }

        assert_eq!(shares, [10, 19, 28, 37, 46, 55, 64, 73, 82, 91, 100]);
        assert_eq!(upstream.version(), 11, "one change a step");
    }

    #[test]
    fn a_target_that_is_added_later_begins_slowly() {
        let mut settings = settings(vec![target(1, 1)]);
        settings.slow_start = Some(Duration::from_secs(10));
        let upstream = UpstreamState::new(&Arc::new(settings), None);
        upstream.publish(vec![target(1, 1), target(2, 1)]);
        assert!(upstream.step_slow_starts(super::super::target_state::now()).is_some());
        let shares = upstream
            .targets()
            .iter()
            .map(|one| one.state.share.load(Ordering::Relaxed))
            .collect::<Vec<_>>();
        assert_eq!(shares, [100, 10]);
    }
}
