//! The circuit breaker: while an upstream fails too often nothing is sent to it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::resolved;
use crate::config::units::Share;

/// Counts the tries of all threads over a sliding window, and refuses more for a while once too many of them failed.
///
/// It is closed until the share of errors is reached, then open for its time, and then half-open: a few probes are let
/// through at once. When as many have been answered well it is closed again; one that fails opens it anew.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: resolved::Breaker,
    begun: Instant,
    /// The window in parts, so that it slides instead of forgetting all at once. Each is one number: which part of all
    /// time it counts, tries, errors.
    slots: [AtomicU64; SLOTS],
    /// Milliseconds from the beginning until it is half-open; 0 while it is closed.
    open_until: AtomicU64,
    probing: AtomicU32,
    /// Probes answered well since it was open.
    well: AtomicU32,
}

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
}

const SLOTS: usize = 10;
const COUNT_BITS: u32 = 18;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// One try that a breaker let through.
pub(crate) struct Trial<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Breaker {
    pub(crate) fn new(settings: resolved::Breaker) -> Breaker {
        Breaker {
            settings,
            begun: Instant::now(),
            slots: [const { AtomicU64::new(0) }; SLOTS],
            open_until: AtomicU64::new(0),
            probing: AtomicU32::new(0),
            well: AtomicU32::new(0),
        }
    }

    /// Lets a try through, or says how long to wait.
    pub(crate) fn enter(&self, now: Instant) -> Result<Trial<'_>, Duration> {
        let probe = match self.stands(now) {
            Stands::Closed => false,
            Stands::Open => {
                let left = self
                    .open_until
                    .load(Ordering::Acquire)
                    .saturating_sub(self.milliseconds(now));
                return Err(Duration::from_millis(left));
            }
            Stands::HalfOpen => {
                let more = |probing: u32| (probing < self.settings.probes).then_some(probing + 1);
                let taken = self.probing.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
                // The probes decide, soon.
                taken.map_err(|_| self.settings.open.min(Duration::from_secs(1)))?;
                true
            }
        };
        Ok(Trial { breaker: self, probe })
    }

    pub(crate) fn stands(&self, now: Instant) -> Stands {
        match self.open_until.load(Ordering::Acquire) {
            0 => Stands::Closed,
            until if self.milliseconds(now) < until => Stands::Open,
            _ => Stands::HalfOpen,
        }
    }

    fn record(&self, failed: bool, now: Instant) {
        let tick = self.tick(now);
        let slot = &self.slots[(tick % SLOTS as u64) as usize];
        let add = |packed: u64| {
            let (counted, mut tries, mut errors) = unpack(packed);
            if counted != tick {
                (tries, errors) = (0, 0);
            } else if tries == COUNT {
                // The share stays what it is.
                (tries, errors) = (tries / 2, errors / 2);
            }
            Some(pack(tick, tries + 1, errors + u64::from(failed)))
        };
        _ = slot.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        if failed && self.is_bad(tick) {
            self.open(now);
        }
    }

    fn is_bad(&self, tick: u64) -> bool {
        let (mut tries, mut errors) = (0, 0);
        for slot in &self.slots {
            let (counted, its_tries, its_errors) = unpack(slot.load(Ordering::Acquire));
            if counted + SLOTS as u64 > tick {
                tries += its_tries;
                errors += its_errors;
            }
        }
        let whole = u64::from(Share::WHOLE.millionths());
        tries >= u64::from(self.settings.least)
            && errors * whole >= tries * u64::from(self.settings.errors.millionths())
    }

    fn open(&self, now: Instant) {
        self.well.store(0, Ordering::Release);
        for slot in &self.slots {
            slot.store(0, Ordering::Release);
        }
        let open = u64::try_from(self.settings.open.as_millis()).unwrap_or(u64::MAX);
        let until = self.milliseconds(now).saturating_add(open.max(1));
        self.open_until.store(until, Ordering::Release);
    }

    /// Which part of all time it is, from 1 on.
    fn tick(&self, now: Instant) -> u64 {
        let window = u64::try_from(self.settings.window.as_millis()).unwrap_or(u64::MAX);
        let slot = (window / SLOTS as u64).max(1);
        // What does not fit would take years.
        (self.milliseconds(now) / slot + 1) & ((1 << (64 - 2 * COUNT_BITS)) - 1)
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Trial<'_> {
    /// How it went. A trial that is dropped without a word, since its client has gone, says nothing about the upstream.
    pub(crate) fn ended(self, failed: bool, now: Instant) {
        let breaker = self.breaker;
        if !self.probe {
            // What was sent before it opened is not news.
            if breaker.stands(now) == Stands::Closed {
                breaker.record(failed, now);
            }
        } else if failed {
            breaker.open(now);
        } else if breaker.well.fetch_add(1, Ordering::AcqRel) + 1 >= breaker.settings.probes {
            breaker.open_until.store(0, Ordering::Release);
        }
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.probing.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn pack(tick: u64, tries: u64, errors: u64) -> u64 {
    tick << (2 * COUNT_BITS) | tries << COUNT_BITS | errors
}

fn unpack(packed: u64) -> (u64, u64, u64) {
    (packed >> (2 * COUNT_BITS), packed >> COUNT_BITS & COUNT, packed & COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(resolved::Breaker {
            least: 10,
            probes: 2,
            ..resolved::Breaker::default()
        })
    }

    fn after(breaker: &Breaker, milliseconds: u64) -> Instant {
        breaker.begun + Duration::from_millis(milliseconds)
    }

    fn tries(breaker: &Breaker, milliseconds: u64, well: usize, badly: usize) {
        let now = after(breaker, milliseconds);
        for failed in std::iter::repeat_n(false, well).chain(std::iter::repeat_n(true, badly)) {
            if let Ok(trial) = breaker.enter(now) {
                trial.ended(failed, now);
            }
        }
    }

    #[test]
    fn it_opens_when_the_share_of_errors_is_reached() {
        let breaker = breaker();
        tries(&breaker, 0, 10, 9);
        assert_eq!(breaker.stands(after(&breaker, 0)), Stands::Closed);
        tries(&breaker, 0, 0, 1);
        assert_eq!(breaker.stands(after(&breaker, 0)), Stands::Open);
        assert_eq!(
            breaker.enter(after(&breaker, 1_000)).err(),
            Some(Duration::from_millis(4_000))
        );
    }

    #[test]
    fn a_few_errors_are_no_share() {
        let breaker = breaker();
        tries(&breaker, 0, 0, 9);
        assert_eq!(breaker.stands(after(&breaker, 0)), Stands::Closed);
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let breaker = breaker();
        tries(&breaker, 0, 0, 9);
        tries(&breaker, 10_500, 0, 9);
        assert_eq!(breaker.stands(after(&breaker, 10_500)), Stands::Closed);
        tries(&breaker, 19_000, 0, 1);
        assert_eq!(breaker.stands(after(&breaker, 19_000)), Stands::Open);
    }

    #[test]
    fn probes_close_it_and_one_that_fails_opens_it_again() {
        let breaker = breaker();
        tries(&breaker, 0, 0, 10);
        let now = after(&breaker, 5_000);
        assert_eq!(breaker.stands(now), Stands::HalfOpen);
        let probes = [breaker.enter(now).ok().unwrap(), breaker.enter(now).ok().unwrap()];
        assert!(breaker.enter(now).is_err(), "a third one at once");
        for probe in probes {
            probe.ended(true, now);
        }
        assert_eq!(breaker.stands(now), Stands::Open);

        tries(&breaker, 10_000, 1, 0);
        assert_eq!(breaker.stands(after(&breaker, 10_000)), Stands::HalfOpen);
        tries(&breaker, 10_000, 1, 0);
        assert_eq!(breaker.stands(after(&breaker, 10_000)), Stands::Closed);
    }

    #[test]
    fn a_probe_that_says_nothing_makes_room_for_another() {
        let breaker = breaker();
        tries(&breaker, 0, 0, 10);
        let now = after(&breaker, 5_000);
        for _ in 0..10 {
            assert!(breaker.enter(now).is_ok());
        }
        assert_eq!(breaker.stands(now), Stands::HalfOpen);
    }

    #[test]
    fn counts_that_are_full_keep_their_share() {
        let breaker = breaker();
        let now = after(&breaker, 0);
        breaker.slots[1].store(pack(1, COUNT, COUNT / 4), Ordering::Release);
        breaker.record(true, now);
        let (_, tries, errors) = unpack(breaker.slots[1].load(Ordering::Acquire));
        assert_eq!((tries, errors), (COUNT / 2 + 1, COUNT / 8 + 1));
        assert_eq!(breaker.stands(now), Stands::Closed);
    }
}
