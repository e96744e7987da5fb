//! The circuit breaker: while an upstream fails too often nothing is sent to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::resolved;
use crate::config::units::Share;

/// Counts the tries of all threads over a sliding window, and refuses more for a while once too many of them failed.
///
/// It is closed until the share of errors is reached, then open for its time, and then half-open: a few probes are let
/// through at once. When as many have been answered well it is closed again; one that fails opens it anew. Probes that take
/// longer than it was open keep no others out.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: resolved::Breaker,
    begun: Instant,
    /// The window in parts, so that it slides instead of forgetting all at once. Each is one number: which part of all
    /// time it counts, tries, errors.
    slots: [AtomicU64; SLOTS],
    /// Milliseconds from the beginning until it is half-open; 0 while it is closed.
    open_until: AtomicU64,
    /// How often it has been opened. What was let through before is news no more.
    openings: AtomicU64,
    /// Looked at by probes only, which are few.
    probing: Mutex<Probing>,
}

/// How it goes while it is half-open.
#[derive(Debug, Default)]
struct Probing {
    /// Which time of its kind it is: places are given out anew once it has lasted as long as the breaker was open.
    round: u64,
    /// Places of this round that are taken.
    taken: u32,
    /// Probes answered well since it was open.
    well: u32,
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
/// The last part of all time that fits.
const TICKS: u64 = (1 << (64 - 2 * COUNT_BITS)) - 1;

/// One try that a breaker let through.
pub(crate) struct Trial {
    breaker: Arc<Breaker>,
    /// How often it had been opened by then.
    openings: u64,
    /// The round that it has a place in, if it is a probe.
    round: Option<u64>,
}

impl Breaker {
    pub(crate) fn new(settings: resolved::Breaker) -> Breaker {
        Breaker {
            settings,
            begun: Instant::now(),
            slots: [const { AtomicU64::new(0) }; SLOTS],
            open_until: AtomicU64::new(0),
            openings: AtomicU64::new(0),
            probing: Mutex::default(),
        }
    }

    /// Lets a try through, or says how long to wait.
    pub(crate) fn enter(self: &Arc<Breaker>, now: Instant) -> Result<Trial, Duration> {
        let openings = self.openings.load(Ordering::Acquire);
        match self.stands(now) {
            Stands::Closed => Ok(self.trial(openings, None)),
            Stands::Open => Err(self.left(now)),
            Stands::HalfOpen => self.probe(now),
        }
    }

    /// A place for one more probe, if there is one. What one of the others has decided meanwhile counts.
    fn probe(self: &Arc<Breaker>, now: Instant) -> Result<Trial, Duration> {
        let mut probing = self.probing();
        let openings = self.openings.load(Ordering::Acquire);
        match self.stands(now) {
            Stands::Closed => return Ok(self.trial(openings, None)),
            Stands::Open => return Err(self.left(now)),
            Stands::HalfOpen => {}
        }
        let since = self
            .milliseconds(now)
            .saturating_sub(self.open_until.load(Ordering::Acquire));
        let round = since / self.open_for();
        if probing.round != round {
            (probing.round, probing.taken) = (round, 0);
        }
        if probing.taken >= self.settings.probes {
            // The probes decide, soon.
            return Err(self.settings.open.min(Duration::from_secs(1)));
        }
        probing.taken += 1;
        Ok(self.trial(openings, Some(round)))
    }

    fn trial(self: &Arc<Breaker>, openings: u64, round: Option<u64>) -> Trial {
        Trial {
            breaker: self.clone(),
            openings,
            round,
        }
    }

    /// How long it is open yet.
    fn left(&self, now: Instant) -> Duration {
        let until = self.open_until.load(Ordering::Acquire);
        Duration::from_millis(until.saturating_sub(self.milliseconds(now)))
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
            if tick.wrapping_sub(counted) & TICKS < SLOTS as u64 {
                tries += its_tries;
                errors += its_errors;
            }
        }
        let whole = u64::from(Share::WHOLE.millionths());
        tries >= u64::from(self.settings.least)
            && errors * whole >= tries * u64::from(self.settings.errors.millionths())
    }

    fn open(&self, now: Instant) {
        // Until it is open nobody is given a place, which nobody would take back.
        let mut probing = self.probing();
        *probing = Probing::default();
        for slot in &self.slots {
            slot.store(0, Ordering::Release);
        }
        let until = self.milliseconds(now).saturating_add(self.open_for());
        self.openings.fetch_add(1, Ordering::AcqRel);
        self.open_until.store(until, Ordering::Release);
    }

    fn probing(&self) -> MutexGuard<'_, Probing> {
        self.probing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In milliseconds.
    fn open_for(&self) -> u64 {
        u64::try_from(self.settings.open.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Which part of all time it is. From the last one on they are counted from 0 again.
    fn tick(&self, now: Instant) -> u64 {
        let window = u64::try_from(self.settings.window.as_millis()).unwrap_or(u64::MAX);
        let slot = (window / SLOTS as u64).max(1);
        (self.milliseconds(now) / slot + 1) & TICKS
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Trial {
    /// How it went. A trial that is dropped without a word, since its client has gone, says nothing about the upstream.
    pub(crate) fn ended(self, failed: bool, now: Instant) {
        let breaker = &*self.breaker;
        if !self.is_news() {
            return;
        }
        match breaker.stands(now) {
            Stands::Closed => breaker.record(failed, now),
            Stands::HalfOpen if failed => breaker.open(now),
            Stands::HalfOpen => {
                let mut probing = breaker.probing();
                probing.well += 1;
                if probing.well >= breaker.settings.probes {
                    *probing = Probing::default();
                    breaker.open_until.store(0, Ordering::Release);
                }
            }
            Stands::Open => {}
        }
    }

    /// Whether the breaker has not been opened since.
    fn is_news(&self) -> bool {
        self.breaker.openings.load(Ordering::Acquire) == self.openings
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.round.is_some() && self.is_news() {
            let mut probing = self.breaker.probing();
            if Some(probing.round) == self.round {
                probing.taken = probing.taken.saturating_sub(1);
            }
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

    fn breaker() -> Arc<Breaker> {
        Arc::new(Breaker::new(resolved::Breaker {
            least: 10,
            probes: 2,
            ..resolved::Breaker::default()
        }))
    }

    fn after(breaker: &Breaker, milliseconds: u64) -> Instant {
        breaker.begun + Duration::from_millis(milliseconds)
    }

    fn tries(breaker: &Arc<Breaker>, milliseconds: u64, well: usize, badly: usize) {
        let now = after(breaker, milliseconds);
        for failed in std::iter::repeat_n(false, well).chain(std::iter::repeat_n(true, badly)) {
            if let Ok(trial) = breaker.enter(now) {
                trial.ended(failed, now);
            }
        }
    }

    #[test]
    fn what_failed_long_ago_is_forgotten_however_long_it_runs() {
        let breaker = Arc::new(Breaker::new(resolved::Breaker {
            least: 10,
            window: Duration::from_millis(10),
            ..resolved::Breaker::default()
        }));
        // The parts of all time have been counted from 0 again, after three days.
        let wrapped = TICKS + 1;
        tries(&breaker, TICKS - 4, 0, 9);
        tries(&breaker, wrapped + SLOTS as u64, 1, 1);
        assert_eq!(breaker.stands(after(&breaker, wrapped + SLOTS as u64)), Stands::Closed);
        // A window that reaches over that moment counts as any other.
        tries(&breaker, 2 * wrapped - 4, 0, 5);
        tries(&breaker, 2 * wrapped + 1, 0, 5);
        assert_eq!(breaker.stands(after(&breaker, 2 * wrapped + 1)), Stands::Open);
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
    fn probes_that_hang_keep_others_out_no_longer_than_it_was_open() {
        let breaker = breaker();
        tries(&breaker, 0, 0, 10);
        let enter = |milliseconds| breaker.enter(after(&breaker, milliseconds));
        let hanging = [enter(5_000).ok().unwrap(), enter(5_000).ok().unwrap()];
        assert!(enter(9_999).is_err());
        let second = enter(10_000).ok().unwrap();
        drop(hanging);
        let third = enter(10_000).ok().unwrap();
        assert!(enter(10_000).is_err(), "their places were of another round");
        second.ended(false, after(&breaker, 10_001));
        third.ended(false, after(&breaker, 10_001));
        assert_eq!(breaker.stands(after(&breaker, 10_001)), Stands::Closed);
    }

    #[test]
    fn what_was_sent_before_it_opened_is_no_news_afterwards() {
        let breaker = breaker();
        let early: Vec<_> = (0..10)
            .map(|_| breaker.enter(after(&breaker, 0)).ok().unwrap())
            .collect();
        tries(&breaker, 0, 0, 10);
        let hanging = breaker.enter(after(&breaker, 5_000)).ok().unwrap();
        tries(&breaker, 5_000, 0, 1);
        tries(&breaker, 10_000, 2, 0);
        let now = after(&breaker, 10_000);
        assert_eq!(breaker.stands(now), Stands::Closed);

        for trial in early.into_iter().chain([hanging]) {
            trial.ended(true, now);
        }

        assert_eq!(breaker.stands(now), Stands::Closed);
        tries(&breaker, 10_000, 0, 9);
        assert_eq!(breaker.stands(now), Stands::Closed, "none of them was counted");
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
