//! A limiter on the test's clock: GCRA as ITU-T I.371 has it, over a map.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use super::clock;
use crate::SettingsError;
use crate::rate_limit::{Decision, Limit};

/// For each key, in nanoseconds, when its budget will be full again: the theoretical arrival time of the GCRA.
type Counts = Rc<RefCell<HashMap<Vec<u8>, u128>>>;

thread_local! {
    static NAMED: RefCell<Vec<(Limit, Counts)>> = const { RefCell::new(Vec::new()) };
}

pub(crate) struct Limiter {
    limit: Limit,
    counts: Counts,
}

impl Limiter {
    pub(crate) fn open(limit: Limit) -> Result<Self, SettingsError> {
        if limit.rate == 0 || limit.burst == 0 {
            return Err("a limiter's rate and burst are 1 or more".into());
        }
        if limit.period < Duration::from_millis(1) {
            return Err("a limiter's period is 1 ms or more".into());
        }
        let counts = if limit.name.is_empty() {
            Counts::default()
        } else {
            shared(&limit)
        };
        Ok(Limiter { limit, counts })
    }

    pub(crate) fn check(&self, key: &[u8], cost: u32) -> Decision {
        let now = clock::now().as_nanos();
        let step = self.limit.period.as_nanos() / u128::from(self.limit.rate);
        let whole = step * u128::from(self.limit.burst);

        let mut counts = self.counts.borrow_mut();
        let before = counts.get(key).copied().unwrap_or_default().max(now);
        let after = before + step * u128::from(cost);
        let allowed = after <= now + whole;
        let full = if allowed { after } else { before };
        if allowed && cost > 0 {
            counts.insert(key.to_vec(), full);
        }
        Decision {
            allowed,
            // A budget is at most `burst` steps, which is a u32.
            remaining: u32::try_from((now + whole - full) / step.max(1)).unwrap_or(u32::MAX),
            reset: whole_milliseconds(full - now),
            retry_after: whole_milliseconds(after.saturating_sub(now + whole)).min(whole_milliseconds(whole)),
        }
    }
}

/// The counts of every limiter of this name and these options.
fn shared(limit: &Limit) -> Counts {
    NAMED.with_borrow_mut(|named| match named.iter().find(|(own, _)| own == limit) {
        Some((_, counts)) => Rc::clone(counts),
        None => {
            let counts = Counts::default();
            named.push((limit.clone(), Rc::clone(&counts)));
            counts
        }
    })
}

fn whole_milliseconds(nanoseconds: u128) -> Duration {
    Duration::from_millis(nanoseconds.div_ceil(1_000_000).try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::advance;

    fn limiter(limit: Limit) -> Limiter {
        Limiter::open(limit).unwrap()
    }

    #[test]
    fn a_burst_passes_and_then_one_at_a_time() {
        let limiter = limiter(Limit::per(60, Duration::from_secs(60)).burst(3));
        for remaining in [2, 1, 0] {
            let decision = limiter.check(b"a", 1);
            assert!(decision.allowed);
            assert_eq!(
                (decision.remaining, decision.reset.as_secs()),
                (remaining, 3 - u64::from(remaining))
            );
        }
        let refused = limiter.check(b"a", 1);
        assert_eq!((refused.allowed, refused.remaining), (false, 0));
        assert_eq!(
            (refused.retry_after, refused.reset),
            (Duration::from_secs(1), Duration::from_secs(3))
        );

        advance(Duration::from_millis(999));
        assert_eq!(limiter.check(b"a", 1).retry_after, Duration::from_millis(1));
        advance(Duration::from_millis(1));
        assert!(limiter.check(b"a", 1).allowed);
        assert!(!limiter.check(b"a", 1).allowed);
        advance(Duration::from_secs(100));
        assert_eq!(limiter.check(b"a", 1).remaining, 2);
    }

    #[test]
    fn keys_are_counted_apart() {
        let limiter = limiter(Limit::per(1, Duration::from_secs(1)));
        assert!(limiter.check(b"a", 1).allowed);
        assert!(limiter.check(b"b", 1).allowed);
        assert!(!limiter.check(b"a", 1).allowed);
    }

    #[test]
    fn a_cost_takes_as_much_and_one_beyond_the_burst_is_never_paid() {
        let limiter = limiter(Limit::per(10, Duration::from_secs(10)));
        assert_eq!(limiter.check(b"a", 0).remaining, 10);
        assert_eq!(limiter.check(b"a", 7).remaining, 3);
        assert_eq!(limiter.check(b"a", 4).retry_after, Duration::from_secs(1));
        assert!(limiter.check(b"a", 3).allowed);
        advance(Duration::from_secs(1000));
        assert!(!limiter.check(b"a", 11).allowed);
    }

    #[test]
    fn a_name_shares_the_counts() {
        let limit = Limit::per(1, Duration::from_secs(1)).name("shared");
        assert!(limiter(limit.clone()).check(b"a", 1).allowed);
        assert!(!limiter(limit.clone()).check(b"a", 1).allowed);
        assert!(limiter(limit.name("other")).check(b"a", 1).allowed);
    }

    #[test]
    fn a_limit_of_nothing_does_not_open() {
        let second = Duration::from_secs(1);
        for wrong in [
            Limit::per(0, second),
            Limit::per(1, second).burst(0),
            Limit::per(1, Duration::ZERO),
        ] {
            assert!(Limiter::open(wrong).is_err());
        }
    }
}
