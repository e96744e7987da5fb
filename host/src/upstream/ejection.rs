//! Leaves a target out for a while after failures in a row: passive health.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::UpstreamState;
use super::slow_start;
use super::target_state::{TargetState, now};
use crate::config::resolved::Eject;
use crate::config::units::Share;

impl UpstreamState {
    /// A request to this target has failed. True where that has it ejected.
    pub(super) fn failed(&self, target: &TargetState) -> bool {
        let Some(settings) = &self.settings.eject else {
            return false;
        };
        let failures = target.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        failures >= settings.after && self.eject(target, settings, now())
    }

    fn eject(&self, target: &TargetState, settings: &Eject, now: u64) -> bool {
        // One at a time, or threads would eject more than may be together. Who comes second need not wait: if its target
        // goes on failing, the next failure asks again.
        let Ok(_deciding) = self.ejecting.try_lock() else {
            return false;
        };
        let targets = self.targets();
        let ejected = targets.iter().filter(|listed| listed.state.is_ejected(now)).count();
        let share = settings.most.millionths() as usize;
        let may_be = targets.len() * share / Share::WHOLE.millionths() as usize;
        // One whose time is over is still to be taken back, with nothing that it did before.
        if target.ejected_until.load(Ordering::Relaxed) != 0 || ejected >= may_be.max(1) {
            return false;
        }
        let times = ejections_of_late(target, settings, now) + 1;
        let pause = settings.lasts.saturating_mul(times).min(settings.longest);
        target.ejections.store(times, Ordering::Relaxed);
        target
            .ejected_until
            .store(now.saturating_add(millis(pause)), Ordering::Relaxed);
        tracing::warn!(
            upstream = self.settings.name, target = %target.name, seconds = pause.as_secs_f64(), times,
            "target ejected after repeated failures"
        );
        self.changed();
        true
    }

    /// Ends the ejections whose time is over. Gives when the next one is.
    pub(super) fn end_ejections(&self, now: u64) -> Option<u64> {
        let (mut next, mut ended) = (None, false);
        for listed in self.targets().iter() {
            let target = &listed.state;
            match target.ejected_until.load(Ordering::Relaxed) {
                0 => {}
                until if until > now => next = Some(next.map_or(until, |next: u64| next.min(until))),
                _ => {
                    target.failures.store(0, Ordering::Relaxed);
                    target.ejection_ended.store(now, Ordering::Relaxed);
                    target.ejected_until.store(0, Ordering::Relaxed);
                    slow_start::begin(&self.settings, target, now);
                    tracing::info!(upstream = self.settings.name, target = %target.name, "target is back after its ejection");
                    ended = true;
                }
            }
        }
        if ended {
            self.changed();
        }
        next
    }
}

/// The ejections that are not forgiven yet: one is for each time of `for` without another.
fn ejections_of_late(target: &TargetState, settings: &Eject, now: u64) -> u32 {
    let well = now.saturating_sub(target.ejection_ended.load(Ordering::Relaxed));
    let forgiven = well / millis(settings.lasts).max(1);
    let ejections = target.ejections.load(Ordering::Relaxed);
    ejections.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::upstream::tests::{settings, target};

    fn upstream(targets: u16, eject: Option<Eject>) -> Arc<UpstreamState> {
        let mut settings = settings((1..=targets).map(|port| target(port, 1)).collect());
        settings.eject = eject;
        UpstreamState::new(&Arc::new(settings), None)
    }

    fn after(failures: u32) -> Option<Eject> {
        Some(Eject {
            after: failures,
            ..Eject::default()
        })
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
        let upstream = upstream(3, after(3));
        let target = upstream.targets()[0].state.clone();
        assert!(!upstream.failed(&target) && !upstream.failed(&target));
        target.failures.store(0, Ordering::Relaxed);
        assert!(!upstream.failed(&target) && !upstream.failed(&target));
        assert!(upstream.failed(&target));
        assert!(target.is_ejected(now()));
        assert!(!upstream.failed(&target), "once");
    }

    #[test]
    fn one_may_always_be_ejected_and_half_of_them_at_most() {
        let ejected = |targets, most| {
            let eject = Eject {
                after: 1,
                most,
                ..Eject::default()
            };
            let upstream = upstream(targets, Some(eject));
            let targets = upstream.targets();
            targets.iter().filter(|listed| upstream.failed(&listed.state)).count()
        };
        let half = Share::percent(50);
        assert_eq!([1, 2, 3, 4, 9].map(|targets| ejected(targets, half)), [1, 1, 1, 2, 4]);
        assert_eq!(ejected(10, Share::percent(0)), 1);
        assert_eq!(ejected(10, Share::percent(100)), 10);
    }

    #[test]
    fn each_ejection_lasts_longer_until_the_target_has_been_well_for_a_while() {
        let upstream = upstream(1, after(1));
        let (settings, target) = (Eject::default(), upstream.targets()[0].state.clone());
        let mut at = 1_000;
        for seconds in [10, 20, 30] {
            assert!(upstream.eject(&target, &settings, at));
            let until = target.ejected_until.load(Ordering::Relaxed);
            assert_eq!(until, at + seconds * 1_000);
            assert_eq!(upstream.end_ejections(until - 1), Some(until));
            assert_eq!(upstream.end_ejections(until), None);
            assert!(!target.is_ejected(until));
            at = until;
        }
        at += 25_000;
        assert!(upstream.eject(&target, &settings, at), "two of three are forgiven");
        assert_eq!(target.ejected_until.load(Ordering::Relaxed), at + 20_000);
        target.ejections.store(1_000, Ordering::Relaxed);
        at += 20_000;
        upstream.end_ejections(at);
        assert!(upstream.eject(&target, &settings, at));
        assert_eq!(
            target.ejected_until.load(Ordering::Relaxed),
            at + 300_000,
            "the longest"
        );
    }

    #[test]
    fn it_can_be_switched_off() {
        let upstream = upstream(2, None);
        let target = upstream.targets()[0].state.clone();
        assert!((0..100).all(|_| !upstream.failed(&target)));
    }
}
