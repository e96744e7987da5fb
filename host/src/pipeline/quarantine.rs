//! Takes a filter out of service after failures in a row, for longer and longer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Phase;
use crate::config::resolved::Quarantine;

/// How one filter has been doing, over all threads. A call that goes well costs one load.
#[derive(Debug)]
pub(crate) struct QuarantineState {
    settings: Quarantine,
    start: Instant,
    /// Failures since the last call that went well, for each phase: a filter that fails in one is not made good by
    /// another.
    in_a_row: [AtomicU32; Phase::ALL.len()],
    /// Quarantines since the last call that went well.
    times: AtomicU32,
    /// Milliseconds after `start`; 0: in service.
    until: AtomicU64,
}

impl QuarantineState {
    pub(crate) fn new(settings: Quarantine) -> QuarantineState {
        QuarantineState {
            settings,
            start: Instant::now(),
            in_a_row: Default::default(),
            times: AtomicU32::new(0),
            until: AtomicU64::new(0),
        }
    }

    /// What quarantine means for the filter.
    pub(crate) fn settings(&self) -> Quarantine {
        self.settings
    }

    /// How much longer the filter is out of service. When its time is over the next call is a trial: everybody else waits
    /// for its end no longer than one more first pause.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        let until = self.until.load(Ordering::Relaxed);
        if until == 0 {
            return None;
        }
        let now = self.now();
        if now < until {
            return Some(Duration::from_millis(until - now));
        }
        let trial = now + millis(self.settings.first);
        let won = self
            .until
            .compare_exchange(until, trial, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if won { None } else { Some(self.settings.first) }
    }

    /// Whether it is out of service.
    pub(crate) fn is_on(&self) -> bool {
        self.until.load(Ordering::Relaxed) != 0
    }

    /// A call went well.
    pub(crate) fn went_well(&self, phase: Phase) {
        let in_a_row = &self.in_a_row[phase as usize];
        if in_a_row.load(Ordering::Relaxed) == 0 && self.until.load(Ordering::Relaxed) == 0 {
            return;
        }
        in_a_row.store(0, Ordering::Relaxed);
        // Another phase may be what it is out of service for.
        if self
            .in_a_row
            .iter()
            .all(|failures| failures.load(Ordering::Relaxed) == 0)
        {
            self.times.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// A call failed. Gives the pause, if this failure began one.
    pub(crate) fn failed(&self, phase: Phase) -> Option<Duration> {
        if self.settings.after == 0 {
            return None;
        }
        let in_a_row = self.in_a_row[phase as usize].fetch_add(1, Ordering::Relaxed) + 1;
        let on_trial = self.times.load(Ordering::Relaxed) > 0;
        if in_a_row < self.settings.after && !on_trial {
            return None;
        }
        let times = self.times.fetch_add(1, Ordering::Relaxed).min(31);
        let pause = self
            .settings
            .first
            .saturating_mul(1 << times)
            .min(self.settings.longest);
        self.until.store((self.now() + millis(pause)).max(1), Ordering::Relaxed);
        Some(pause)
    }

    fn now(&self) -> u64 {
        millis(self.start.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(failures: u32) -> QuarantineState {
        let (first, longest) = (Duration::from_millis(20), Duration::from_millis(80));
        QuarantineState::new(Quarantine {
            after: failures,
            first,
            longest,
        })
    }

    #[test]
    fn failures_in_a_row_lead_to_quarantine() {
        let state = after(3);
        assert_eq!(
            (state.failed(Phase::Request), state.failed(Phase::Request)),
            (None, None)
        );
        assert_eq!(state.failed(Phase::Request), Some(Duration::from_millis(20)));
        assert!(state.remaining().is_some());
    }

    #[test]
    fn a_call_that_goes_well_starts_the_count_again() {
        let state = after(2);
        state.failed(Phase::Request);
        state.went_well(Phase::Request);
        assert_eq!(state.failed(Phase::Request), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test's own thread waits for the clock")]
    fn one_trial_follows_and_a_second_failure_lasts_twice_as_long() {
        let state = after(1);
        state.failed(Phase::Request);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(state.remaining(), None, "the trial");
        assert!(state.remaining().is_some(), "everybody else");
        assert_eq!(state.failed(Phase::Request), Some(Duration::from_millis(40)));
        state.went_well(Phase::Request);
        assert_eq!(state.remaining(), None);
    }

    #[test]
    fn another_phase_that_goes_well_changes_nothing() {
        let state = after(2);
        state.failed(Phase::Request);
        state.went_well(Phase::Complete);
        assert!(state.failed(Phase::Request).is_some());
    }

    #[test]
    fn it_can_be_switched_off() {
        let state = after(0);
        assert!((0..100).all(|_| state.failed(Phase::Request).is_none()));
    }
}
