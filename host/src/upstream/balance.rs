//! Which target of an upstream is next.

use std::cell::RefCell;
use std::rc::Rc;

use super::Target;
use crate::config::resolved::Balance;

/// Chooses targets for one thread. Threads choose independently of each other.
pub(crate) enum Balancer {
    /// Smooth weighted round-robin: each turn a target gains its weight, the one with most is taken and pays the sum. A
    /// target of weight 2 is so spread between the others instead of taken twice in a row.
    RoundRobin(RefCell<Vec<i64>>),
    /// The better of two drawn at random by load over weight (M. Mitzenmacher, "The Power of Two Choices in Randomized
    /// Load Balancing", 2001): nearly as even as asking all, and no herd runs to the one that was idle last.
    LeastRequest,
}

impl Balancer {
    pub(crate) fn new(balance: Balance, targets: &[Rc<Target>]) -> Balancer {
        match balance {
            // Threads begin at different targets, or all would send their first request to the same one.
            Balance::RoundRobin => Balancer::RoundRobin(RefCell::new(
                targets
                    .iter()
                    .map(|target| i64::from(fastrand::u32(0..=target.weight.get())))
                    .collect(),
            )),
            Balance::LeastRequest => Balancer::LeastRequest,
        }
    }

    /// The place of the next target that is open; none when none is.
    pub(crate) fn next(&self, targets: &[Rc<Target>], is_open: impl Fn(&Rc<Target>) -> bool) -> Option<usize> {
        match self {
            _ if targets.len() == 1 => is_open(&targets[0]).then_some(0),
            Balancer::RoundRobin(credits) => {
                let credits = &mut *credits.borrow_mut();
                let mut best: Option<usize> = None;
                let mut sum = 0;
                for (place, target) in targets.iter().enumerate().filter(|(_, target)| is_open(target)) {
                    let weight = i64::from(target.weight.get());
                    credits[place] += weight;
                    sum += weight;
                    if best.is_none_or(|best| credits[place] > credits[best]) {
                        best = Some(place);
                    }
                }
                if let Some(best) = best {
                    credits[best] -= sum;
                }
                best
            }
            Balancer::LeastRequest => {
                let first = draw(targets, &is_open, None)?;
                let Some(second) = draw(targets, &is_open, Some(first)) else {
                    return Some(first);
                };
                let load = |place: usize| {
                    (targets[place].active.get() as u64 + 1) * 1_000_000 / u64::from(targets[place].weight.get())
                };
                Some(if load(second) < load(first) { second } else { first })
            }
        }
    }
}

/// A target at random by weight that is open, and another than the first.
fn draw(targets: &[Rc<Target>], is_open: &impl Fn(&Rc<Target>) -> bool, first: Option<usize>) -> Option<usize> {
    let open = || {
        let all = targets.iter().enumerate();
        all.filter(|(place, target)| first != Some(*place) && is_open(target))
    };
    let sum: u64 = open().map(|(_, target)| u64::from(target.weight.get())).sum();
    if sum == 0 {
        return None;
    }
    let mut left = fastrand::u64(0..sum);
    for (place, target) in open() {
        match left.checked_sub(u64::from(target.weight.get())) {
            Some(rest) => left = rest,
            None => return Some(place),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::telemetry::metrics::Metrics;
    use crate::upstream::tests::{settings, target};
    use crate::upstream::{InFlight, UpstreamState};

    fn targets(weights: &[u32]) -> Vec<Rc<Target>> {
        let listed = weights
            .iter()
            .zip(1..)
            .map(|(weight, port)| target(port, *weight))
            .collect();
        let state = UpstreamState::new(&Arc::new(settings(listed)), None);
        let (listed, metrics) = (state.targets(), Metrics::default());
        listed
            .iter()
            .map(|listed| Target::new(listed, &state.settings, &metrics, 0))
            .collect()
    }

    fn counts(balancer: &Balancer, targets: &[Rc<Target>], rounds: usize) -> Vec<usize> {
        let mut counts = vec![0; targets.len()];
        for _ in 0..rounds {
            counts[balancer.next(targets, |_| true).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_follows_the_weights_exactly() {
        let targets = targets(&[1, 2, 3]);
        let balancer = Balancer::new(Balance::RoundRobin, &targets);
        let counts = counts(&balancer, &targets, 600);
        for (count, share) in counts.iter().zip([100_i64, 200, 300]) {
            assert!((*count as i64 - share).abs() <= 3, "{counts:?}");
        }
    }

    #[test]
    fn the_idle_target_wins_against_the_busy_one() {
        let targets = targets(&[1, 1]);
        let _busy: Vec<_> = (0..10).map(|_| InFlight::on(&targets[0])).collect();
        let balancer = Balancer::new(Balance::LeastRequest, &targets);
        assert_eq!(counts(&balancer, &targets, 100), [0, 100]);
    }

    #[test]
    fn among_equals_least_request_follows_the_weights() {
        let targets = targets(&[1, 1, 1, 1]);
        let balancer = Balancer::new(Balance::LeastRequest, &targets);
        let counts = counts(&balancer, &targets, 10_000);
        assert!(counts.iter().all(|count| (2_200..2_800).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_was_tried_is_not_tried_again() {
        let targets = targets(&[1, 1, 1]);
        for balance in [Balance::RoundRobin, Balance::LeastRequest] {
            let balancer = Balancer::new(balance, &targets);
            let second = |target: &Rc<Target>| Rc::ptr_eq(target, &targets[1]);
            assert!((0..50).all(|_| balancer.next(&targets, second) == Some(1)));
            assert_eq!(balancer.next(&targets, |_| false), None);
        }
    }
}
