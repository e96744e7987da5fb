//! How long a target takes to answer, as one thread sees it.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A moving average that jumps to every peak and forgets it over time ("peak EWMA", as Finagle and Linkerd have it): a
/// target that turns slow is avoided after one answer, and trusted again little by little.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    seconds: Cell<f64>,
    at: Cell<Option<Instant>>,
}

/// In this time an average loses all but a third of its weight.
const DECAY: Duration = Duration::from_secs(10);

/// What a failure counts as, at least: a target that fails at once must not look fast.
const FAILURE: Duration = Duration::from_secs(1);

/// What is assumed of a target that has not answered yet, from its second request in flight on.
const UNKNOWN: f64 = 1.0;

impl Latency {
    /// An answer took so long.
    pub(super) fn took(&self, duration: Duration, now: Instant) {
        let seconds = duration.as_secs_f64();
        let average = match self.at.get() {
            None => seconds,
            // A peak counts at once, and is forgotten slowly.
            Some(_) if seconds >= self.seconds.get() => seconds,
            Some(at) => {
                let kept = kept(at, now);
                self.seconds.get() * kept + seconds * (1.0 - kept)
            }
        };
        self.seconds.set(average);
        self.at.set(Some(now));
    }

    /// There was no answer, after so long.
    pub(super) fn failed(&self, duration: Duration, now: Instant) {
        self.took(duration.max(FAILURE), now);
    }

    /// There is no answer yet, after so long.
    pub(super) fn takes_longer(&self, duration: Duration, now: Instant) {
        if duration.as_secs_f64() > self.expected(0, now) {
            self.took(duration, now);
        }
    }

    /// How long one more request would take, as far as can be told.
    pub(super) fn expected(&self, in_flight: usize, now: Instant) -> f64 {
        let average = self.at.get().map_or(0.0, |at| self.seconds.get() * kept(at, now));
        let in_flight = in_flight as f64;
        if self.at.get().is_none() && in_flight > 0.0 {
            // It gets one request to show what it can do.
            UNKNOWN + in_flight
        } else {
            average * (in_flight + 1.0)
        }
    }
}

/// How much of an old average counts.
fn kept(at: Instant, now: Instant) -> f64 {
    (-now.saturating_duration_since(at).as_secs_f64() / DECAY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_over_time() {
        let (latency, start) = (Latency::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        latency.took(Duration::from_millis(10), start);
        latency.took(Duration::from_millis(500), after(1));
        assert_eq!(latency.expected(0, after(1)), 0.5);
        assert_eq!(latency.expected(1, after(1)), 1.0, "what is in flight is waited for");
        latency.took(Duration::from_millis(10), after(2));
        assert!((0.4..0.5).contains(&latency.expected(0, after(2))));
        assert!(latency.expected(0, after(60)) < 0.01);
    }

    #[test]
    fn a_target_that_fails_at_once_does_not_look_fast() {
        let (latency, now) = (Latency::default(), Instant::now());
        latency.failed(Duration::from_micros(50), now);
        assert_eq!(latency.expected(0, now), 1.0);
    }

    #[test]
    fn an_answer_that_was_not_waited_for_makes_a_target_slower_and_never_faster() {
        let (latency, now) = (Latency::default(), Instant::now());
        latency.takes_longer(Duration::from_millis(100), now);
        assert_eq!(latency.expected(0, now), 0.1);
        latency.took(Duration::from_millis(500), now);
        latency.takes_longer(Duration::from_millis(100), now + Duration::from_millis(1));
        assert!(latency.expected(0, now) > 0.4);
    }

    #[test]
    fn a_target_of_which_nothing_is_known_gets_one_request() {
        let (latency, now) = (Latency::default(), Instant::now());
        assert_eq!(latency.expected(0, now), 0.0);
        assert!(latency.expected(1, now) > 1.0);
    }
}
