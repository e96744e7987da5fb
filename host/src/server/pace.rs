//! Whether a body moves at all fast enough: who sends or takes a byte now and then never stalls, and never ends.

use std::cell::Cell;
use std::time::Duration;

use crate::config::resolved::LeastPace;

/// How long a client has been waited for, in one direction of one body or one connection.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    waited: Cell<Duration>,
    /// Bytes that had moved when this began.
    before: Cell<u64>,
}

impl Pace {
    /// The client has been waited for so much longer, and so many bytes have moved so far. True when these are too few.
    /// Time in which nobody waited for the client does not count.
    pub(crate) fn is_too_slow(&self, longer: Duration, moved: u64, least: &LeastPace) -> bool {
        let Some(rate) = least.rate else { return false };
        let waited = self.waited.get() + longer;
        self.waited.set(waited);
        let counted = waited.saturating_sub(least.grace).as_secs_f64();
        (moved.saturating_sub(self.before.get()) as f64) < rate as f64 * counted
    }

    /// What has been so far is forgotten.
    pub(crate) fn begin_anew(&self, moved: u64) {
        self.waited.set(Duration::ZERO);
        self.before.set(moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: LeastPace = LeastPace {
        rate: Some(100),
        grace: Duration::from_secs(5),
    };
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nothing_is_expected_within_the_grace() {
        let pace = Pace::default();
        assert!((0..5).all(|_| !pace.is_too_slow(SECOND, 0, &LEAST)));
        assert!(pace.is_too_slow(SECOND, 99, &LEAST));
    }

    #[test]
    fn just_fast_enough_goes_on() {
        let pace = Pace::default();
        assert!((1..100).all(|second: u64| !pace.is_too_slow(SECOND, 100 * second.saturating_sub(5), &LEAST)));
        assert!(pace.is_too_slow(SECOND, 9400, &LEAST));
    }

    #[test]
    fn what_came_fast_may_be_followed_by_what_comes_slowly() {
        let pace = Pace::default();
        assert!((0..1000).all(|_| !pace.is_too_slow(SECOND, 1 << 20, &LEAST)));
    }

    #[test]
    fn what_was_before_does_not_count() {
        let pace = Pace::default();
        assert!((0..6).any(|_| pace.is_too_slow(SECOND, 50, &LEAST)));
        pace.begin_anew(50);
        assert!((0..5).all(|_| !pace.is_too_slow(SECOND, 50, &LEAST)));
        assert!(pace.is_too_slow(SECOND, 149, &LEAST));
    }

    #[test]
    fn it_can_be_switched_off() {
        let off = LeastPace { rate: None, ..LEAST };
        assert!(!Pace::default().is_too_slow(1000 * SECOND, 0, &off));
    }
}
