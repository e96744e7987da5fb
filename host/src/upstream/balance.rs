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
                    .map(|target| i64::from(fastrand::u32(0..=target.weight)))
                    .collect(),
            )),
            Balance::LeastRequest => Balancer::LeastRequest,
        }
    }

    /// The next target that is not in `tried`; none when all are.
    pub(crate) fn next(&self, targets: &[Rc<Target>], tried: &[usize]) -> Option<usize> {
        match self {
            _ if targets.len() == 1 => tried.is_empty().then_some(0),
            Balancer::RoundRobin(credits) => {
                let credits = &mut *credits.borrow_mut();
                let mut best: Option<usize> = None;
                let mut sum = 0;
                for (place, target) in targets.iter().enumerate().filter(|(place, _)| !tried.contains(place)) {
                    credits[place] += i64::from(target.weight);
                    sum += i64::from(target.weight);
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
                let first = draw(targets, tried, None)?;
                let Some(second) = draw(targets, tried, Some(first)) else {
                    return Some(first);
                };
                let load = |place: usize| {
                    (targets[place].active.get() as u64 + 1) * 1_000_000 / u64::from(targets[place].weight)
                };
                Some(if load(second) < load(first) { second } else { first })
            }
        }
    }
}

/// A target at random by weight, not one of `tried`, and another than the first.
fn draw(targets: &[Rc<Target>], tried: &[usize], first: Option<usize>) -> Option<usize> {
    let is_open = |place: &usize| !tried.contains(place) && first != Some(*place);
    let open = || targets.iter().enumerate().filter(|(place, _)| is_open(place));
    let sum: u64 = open().map(|(_, target)| u64::from(target.weight)).sum();
    if sum == 0 {
        return None;
    }
    let mut left = fastrand::u64(0..sum);
    for (place, target) in open() {
        match left.checked_sub(u64::from(target.weight)) {
            Some(rest) => left = rest,
            None => return Some(place),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{InFlight, TargetPool};

    fn targets(weights: &[u32]) -> Vec<Rc<Target>> {
        let target = |weight: &u32| {
            Rc::new(Target {
                name: "t".into(),
                weight: *weight,
                active: std::cell::Cell::new(0),
                pool: TargetPool::new(1, std::time::Duration::from_secs(1)),
                answered: Default::default(),
                failed: Default::default(),
            })
        };
        weights.iter().map(target).collect()
    }

    fn counts(balancer: &Balancer, targets: &[Rc<Target>], rounds: usize) -> Vec<usize> {
        let mut counts = vec![0; targets.len()];
        for _ in 0..rounds {
            counts[balancer.next(targets, &[]).unwrap()] += 1;
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
            assert!((0..50).all(|_| balancer.next(&targets, &[0, 2]) == Some(1)));
            assert_eq!(balancer.next(&targets, &[0, 1, 2]), None);
        }
    }
}
