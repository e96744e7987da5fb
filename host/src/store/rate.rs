//! Counts of a rate limit over many keys: GCRA by `governor`, in a table whose size is bounded.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{InsufficientCapacity, RateLimiter};

/// How much may happen in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Quota {
    rate: NonZeroU32,
    period: Duration,
    burst: NonZeroU32,
}

impl Quota {
    /// `rate` per `period`, up to `burst` at once.
    ///
    /// # Errors
    ///
    /// A word on which of them is zero, or that the rate is finer than a nanosecond.
    pub(crate) fn new(rate: u32, period: Duration, burst: u32) -> Result<Quota, &'static str> {
        let rate = NonZeroU32::new(rate).ok_or("the rate must be 1 or more")?;
        let burst = NonZeroU32::new(burst).ok_or("the burst must be 1 or more")?;
        if period.is_zero() {
            return Err("the period must be longer than 0");
        }
        let quota = Quota { rate, period, burst };
        let governed = quota.governed().ok_or("the rate is more than one in a nanosecond")?;
        // The whole burst must fit the clock, with room to spare.
        let refill = governed.replenish_interval().as_nanos() * u128::from(burst.get());
        if refill > u128::from(u64::MAX / 4) {
            Err("the burst takes more than a century to refill")
        } else {
            Ok(quota)
        }
    }

    fn governed(&self) -> Option<governor::Quota> {
        Some(governor::Quota::with_period(self.period / self.rate.get())?.allow_burst(self.burst))
    }
}

/// What became of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) allowed: bool,
    /// How many more may happen now.
    pub(crate) remaining: u32,
    /// Until the whole burst is there again.
    pub(crate) reset: Duration,
    /// Until this attempt may be made again.
    pub(crate) retry_after: Duration,
}

/// The counts of one limit.
pub(crate) struct RateStore {
    limiter: RateLimiter<u128, Arrivals, DefaultClock, StateInformationMiddleware>,
    interval: Duration,
    burst: NonZeroU32,
    hashers: [RandomState; 2],
    clock: DefaultClock,
    start: Instant,
    used: AtomicU64,
}

impl RateStore {
    pub(crate) fn new(quota: Quota) -> RateStore {
        let governed = quota.governed().unwrap_or(governor::Quota::per_second(quota.rate));
        let clock = DefaultClock::default();
        let arrivals = Arrivals::new(clock.clone());
        RateStore {
            interval: governed.replenish_interval(),
            limiter: RateLimiter::new(governed, arrivals, clock.clone()),
            burst: quota.burst,
            hashers: [RandomState::new(), RandomState::new()],
            clock,
            start: Instant::now(),
            used: AtomicU64::new(0),
        }
    }

    /// Takes `cost` from the key's budget, if that much is there.
    pub(crate) fn take(&self, key: &[u8], cost: u32) -> Taken {
        self.used.store(self.start.elapsed().as_secs(), Ordering::Relaxed);
        let key = self.digest(key);
        let Some(cost) = NonZeroU32::new(cost) else {
            return Taken {
                allowed: true,
                remaining: self.burst.get(),
                reset: Duration::ZERO,
                retry_after: Duration::ZERO,
            };
        };
        if cost > self.burst {
            let never = self.refill(0);
            return Taken {
                allowed: false,
                remaining: 0,
                reset: never,
                retry_after: never,
            };
        }
        match self.limiter.check_key_n(&key, cost) {
            Ok(Ok(state)) => {
                let remaining = state.remaining_burst_capacity();
                Taken {
                    allowed: true,
                    remaining,
                    reset: self.refill(remaining),
                    retry_after: Duration::ZERO,
                }
            }
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(self.clock.now());
                // What is left is what the wait leaves of the cost; at least nothing.
                let missing =
                    u32::try_from(wait.as_nanos().div_ceil(self.interval.as_nanos().max(1))).unwrap_or(u32::MAX);
                let remaining = cost.get().saturating_sub(missing).min(self.burst.get());
                Taken {
                    allowed: false,
                    remaining,
                    reset: wait + self.refill(cost.get()),
                    retry_after: wait,
                }
            }
            Err(InsufficientCapacity(_)) => {
                let never = self.refill(0);
                Taken {
                    allowed: false,
                    remaining: 0,
                    reset: never,
                    retry_after: never,
                }
            }
        }
    }

    /// Whether anything was counted in the last `span`.
    pub(crate) fn was_used_within(&self, span: Duration) -> bool {
        let used = Duration::from_secs(self.used.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(used) < span
    }

    /// How long until the burst is whole, with this much of it left.
    fn refill(&self, left: u32) -> Duration {
        self.interval.saturating_mul(self.burst.get().saturating_sub(left))
    }

    /// Keys are kept as 128 bits of SipHash under secret keys, so an entry has one size however long its key is, and no
    /// client can choose two keys that meet.
    fn digest(&self, key: &[u8]) -> u128 {
        let [high, low] = &self.hashers;
        (u128::from(high.hash_one(key)) << 64) | u128::from(low.hash_one(key))
    }
}

impl std::fmt::Debug for RateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateStore")
            .field("burst", &self.burst)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// The theoretical arrival time of each key (GCRA's whole state), in shards.
struct Arrivals {
    shards: Box<[Mutex<HashMap<u128, Nanos>>]>,
    clock: DefaultClock,
    start: <DefaultClock as Clock>::Instant,
}

const SHARDS: usize = 64;
/// Keys at most, over all shards: about 48 MiB of table.
const KEYS: usize = 1 << 20;

impl Arrivals {
    fn new(clock: DefaultClock) -> Arrivals {
        let start = clock.now();
        Arrivals {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            clock,
            start,
        }
    }

    /// Makes room in a full shard. A key whose arrival time has passed is as good as new, so nothing is lost with it;
    /// where all keys are in use, those nearest to being so go, the eighth part of the range.
    fn make_room(&self, shard: &mut HashMap<u128, Nanos>) {
        let now: Nanos = governor::clock::Reference::duration_since(&self.clock.now(), self.start);
        shard.retain(|_, arrival| *arrival > now);
        if shard.len() < KEYS / SHARDS * 7 / 8 {
            return;
        }
        let least = shard.values().map(|arrival| arrival.as_u64()).min().unwrap_or_default();
        let most = shard.values().map(|arrival| arrival.as_u64()).max().unwrap_or_default();
        let bar = least + (most - least) / 8;
        shard.retain(|_, arrival| arrival.as_u64() > bar);
    }
}

impl StateStore for Arrivals {
    type Key = u128;

    fn measure_and_replace<T, F, E>(&self, key: &u128, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let shard = (*key % SHARDS as u128) as usize;
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, arrival) = measure(shard.get(key).copied())?;
        if shard.len() >= KEYS / SHARDS && !shard.contains_key(key) {
            self.make_room(&mut shard);
        }
        shard.insert(*key, arrival);
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn five_a_minute() -> RateStore {
        RateStore::new(Quota::new(5, Duration::from_secs(60), 5).unwrap())
    }

    #[test]
    fn a_burst_passes_and_then_no_more() {
        let store = five_a_minute();
        for left in (0..5).rev() {
            let taken = store.take(b"ada", 1);
            assert!(taken.allowed);
            assert_eq!(taken.remaining, left);
        }
        let refused = store.take(b"ada", 1);
        assert!(!refused.allowed);
        assert_eq!(refused.remaining, 0);
        assert!(refused.retry_after > Duration::from_secs(11) && refused.retry_after <= Duration::from_secs(12));
        assert!(refused.reset > Duration::from_secs(58) && refused.reset <= Duration::from_secs(60));
    }

    #[test]
    fn keys_do_not_share() {
        let store = five_a_minute();
        assert!(store.take(b"ada", 5).allowed);
        assert!(store.take(b"bob", 5).allowed);
        assert!(!store.take(b"ada", 1).allowed);
    }

    #[test]
    fn a_cost_above_the_burst_is_never_allowed() {
        assert!(!five_a_minute().take(b"ada", 6).allowed);
    }

    #[test]
    fn the_table_is_bounded_however_many_keys_are_seen() {
        let arrivals = Arrivals::new(DefaultClock::default());
        let in_an_hour = Nanos::from(Duration::from_secs(3600));
        for key in 0..(KEYS + KEYS / 4) as u128 {
            let _ = arrivals.measure_and_replace(&key, |_| Ok::<_, ()>(((), in_an_hour + Nanos::new(key as u64))));
        }
        let kept: usize = arrivals.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= KEYS && kept > KEYS / 2, "{kept}");
    }

    #[test]
    fn a_quota_without_a_rate_is_refused() {
        assert!(Quota::new(0, Duration::from_secs(1), 1).is_err());
        assert!(Quota::new(1, Duration::ZERO, 1).is_err());
        assert!(Quota::new(1, Duration::from_secs(1), 0).is_err());
        assert!(Quota::new(u32::MAX, Duration::from_nanos(1), 1).is_err());
    }
}
