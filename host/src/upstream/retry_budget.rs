//! How many requests may be repeated: a token bucket for each thread.

use std::cell::Cell;
use std::time::Instant;

use crate::config::resolved::Retry;
use crate::config::units::Share;

/// Keeps retries and hedges from multiplying the load of an upstream that is doing badly. Each request pays a share of a
/// token in, time pays in a few more, and each repeated request takes one out. What is saved up is bounded: good times do
/// not pay for a storm.
///
/// Each thread has its own, so that no request touches what other threads write.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    share: u64,
    least: u64,
    most: u64,
    /// In millionths of a token.
    tokens: Cell<u64>,
    refilled: Cell<Instant>,
}

const TOKEN: u64 = Share::WHOLE.millionths() as u64;

/// Seconds of `budget_least`, and tokens in any case, that can be saved up.
const SAVED: u64 = 10;

impl RetryBudget {
    pub(crate) fn new(settings: &Retry) -> RetryBudget {
        let least = u64::from(settings.budget_least);
        RetryBudget {
            share: u64::from(settings.budget.millionths()),
            least,
            most: TOKEN * SAVED * least.max(1),
            tokens: Cell::new(TOKEN * least),
            refilled: Cell::new(Instant::now()),
        }
    }

    /// A request has come.
    pub(crate) fn deposit(&self) {
        self.tokens.set((self.tokens.get() + self.share).min(self.most));
    }

    /// Takes one out for a request that is to be repeated, if there is one.
    pub(crate) fn withdraw(&self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled.replace(now));
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        // A millionth of a token for each microsecond and token a second.
        let refill = micros.saturating_mul(self.least);
        let tokens = self.tokens.get().saturating_add(refill).min(self.most);
        let left = tokens.checked_sub(TOKEN);
        self.tokens.set(left.unwrap_or(tokens));
        left.is_some()
    }

    /// Puts one back: the request was not repeated after all.
    pub(crate) fn give_back(&self) {
        self.tokens.set((self.tokens.get() + TOKEN).min(self.most));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn budget(percent: u32, least: u32) -> RetryBudget {
        RetryBudget::new(&Retry {
            budget: Share::percent(percent),
            budget_least: least,
            ..Retry::default()
        })
    }

    fn withdrawn(budget: &RetryBudget, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.withdraw(now)).count()
    }

    #[test]
    fn requests_pay_their_share_for_retries() {
        let budget = budget(20, 0);
        let now = Instant::now();
        assert_eq!(withdrawn(&budget, now), 0);
        (0..15).for_each(|_| budget.deposit());
        assert_eq!(withdrawn(&budget, now), 3);
    }

    #[test]
    fn a_few_retries_a_second_are_free() {
        let budget = budget(0, 3);
        let now = budget.refilled.get();
        assert_eq!(withdrawn(&budget, now), 3);
        assert_eq!(withdrawn(&budget, now + Duration::from_secs(1)), 3);
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let budget = budget(20, 3);
        let now = budget.refilled.get();
        (0..100_000).for_each(|_| budget.deposit());
        assert_eq!(withdrawn(&budget, now + Duration::from_secs(3600)), 30);
    }
}
