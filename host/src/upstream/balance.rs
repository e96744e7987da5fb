//! Which target of a group is next.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::Target;
use super::lot::Lot;
use super::maglev::{Maglev, Tables};
use crate::config::resolved::Balance;
use crate::config::units::Share;

/// Chooses targets for one thread. Threads choose independently of each other.
pub(super) enum Balancer {
    /// Of two drawn at random the one with less in flight for its weight (M. Mitzenmacher, "The Power of Two Choices in
    /// Randomized Load Balancing", 2001): nearly as even as asking all, and no herd runs to the one that was idle last.
    LeastRequest(Lot),
    /// Smooth weighted round-robin: each turn a target gains its weight, the one with most is taken and pays the sum. A
    /// target of weight 2 is so spread between the others instead of taken twice in a row.
    RoundRobin,
    Random(Lot),
    /// Of two drawn at random the one that would answer sooner for its weight.
    PeakEwma(Lot),
    /// The one that a key belongs to, as long as it has no more in flight than its share and a surplus; without a key one at
    /// random.
    Hash(Arc<Maglev>, Lot, Option<Share>),
}

impl Balancer {
    pub(super) fn new(balance: &Balance, targets: &[Rc<Target>], tables: &Tables) -> Balancer {
        let lot = || Lot::new(targets.iter().map(|target| target.weight.get()));
        match balance {
            Balance::LeastRequest => Balancer::LeastRequest(lot()),
            Balance::RoundRobin => Balancer::RoundRobin,
            Balance::Random => Balancer::Random(lot()),
            Balance::PeakEwma => Balancer::PeakEwma(lot()),
            Balance::Hash(_, surplus) => {
                let places: Vec<_> = targets
                    .iter()
                    .map(|target| (&*target.name, target.weight.get()))
                    .collect();
                Balancer::Hash(tables.of(&places), lot(), *surplus)
            }
        }
    }

    /// The place of the next target that is open; none when none is.
    pub(super) fn next(
        &self,
        targets: &[Rc<Target>],
        key: Option<u64>,
        is_open: impl Fn(&Rc<Target>) -> bool,
    ) -> Option<usize> {
        if let [only] = targets {
            return is_open(only).then_some(0);
        }
        let open_at = |place: usize| targets.get(place).is_some_and(&is_open);
        match (self, key) {
            (Balancer::Hash(maglev, _, None), Some(key)) => maglev.find(key, open_at),
            (Balancer::Hash(maglev, _, Some(surplus)), Some(key)) => {
                let has_room = room(targets, *surplus);
                let with_room = maglev.find(key, |place| open_at(place) && has_room(&targets[place]));
                with_room.or_else(|| maglev.find(key, open_at))
            }
            (Balancer::Random(lot) | Balancer::Hash(_, lot, _), _) => lot.draw(open_at),
            (Balancer::RoundRobin, _) => round_robin(targets, is_open),
            (Balancer::LeastRequest(lot), _) => better_of_two(lot, targets, open_at, |target| {
                target.active.get() as f64 / f64::from(target.weight.get())
            }),
            (Balancer::PeakEwma(lot), _) => {
                let now = Instant::now();
                better_of_two(lot, targets, open_at, |target| {
                    target.latency.expected(target.active.get(), now) / f64::from(target.weight.get())
                })
            }
        }
    }
}

/// Of two drawn at random the one of less cost. Among equals the first: idle targets are so used as their weights say.
fn better_of_two(
    lot: &Lot,
    targets: &[Rc<Target>],
    is_open: impl Fn(usize) -> bool,
    cost: impl Fn(&Target) -> f64,
) -> Option<usize> {
    let first = lot.draw(&is_open)?;
    let Some(second) = lot.draw(|place| place != first && is_open(place)) else {
        return Some(first);
    };
    let is_better = cost(&targets[second]) < cost(&targets[first]);
    Some(if is_better { second } else { first })
}

/// Whether a target may have one more in flight: no more than its share of all, by weight, and this surplus (V. Mirrokni and
/// others, "Consistent Hashing with Bounded Loads", 2018). What is too much for one goes to the next in its key's order.
fn room(targets: &[Rc<Target>], surplus: Share) -> impl Fn(&Target) -> bool {
    let sums = targets.iter().fold((1.0, 0.0), |(in_flight, weights), target| {
        (
            in_flight + target.active.get() as f64,
            weights + f64::from(target.weight.get()),
        )
    });
    let (in_flight, weights) = sums;
    let most = (1.0 + surplus.fraction()) * in_flight / weights;
    move |target| (target.active.get() as f64) < (most * f64::from(target.weight.get())).ceil()
}

fn round_robin(targets: &[Rc<Target>], is_open: impl Fn(&Rc<Target>) -> bool) -> Option<usize> {
    let mut best: Option<(usize, &Target)> = None;
    let mut sum = 0;
    for (place, target) in targets.iter().enumerate().filter(|(_, target)| is_open(target)) {
        let weight = i64::from(target.weight.get());
        target.credit.set(target.credit.get() + weight);
        sum += weight;
        if best.is_none_or(|(_, best)| target.credit.get() > best.credit.get()) {
            best = Some((place, target));
        }
    }
    let (place, best) = best?;
    best.credit.set(best.credit.get() - sum);
    Some(place)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::*;
    use crate::config::resolved::HashKey;
    use crate::telemetry::metrics::Metrics;
    use crate::upstream::connection_counters::Counting;
    use crate::upstream::tests::{settings, target};
    use crate::upstream::{InFlight, UpstreamState};

    const ALL: [Balance; 5] = [
        Balance::LeastRequest,
        Balance::RoundRobin,
        Balance::Random,
        Balance::PeakEwma,
        Balance::Hash(HashKey::ClientAddress, None),
    ];

    fn targets(weights: &[u32]) -> Vec<Rc<Target>> {
        let listed = weights
            .iter()
            .zip(1..)
            .map(|(weight, port)| target(port, *weight))
            .collect();
        let state = UpstreamState::new(&Arc::new(settings(listed)), None);
        let counting = Counting::new(&Metrics::default(), 0, "users");
        let listed = state.targets();
        listed
            .iter()
            .map(|listed| Target::new(listed, &state, &counting))
            .collect()
    }

    fn new(balance: &Balance, targets: &[Rc<Target>]) -> Balancer {
        Balancer::new(balance, targets, &Tables::default())
    }

    fn counts(balancer: &Balancer, targets: &[Rc<Target>], rounds: usize) -> Vec<usize> {
        let mut counts = vec![0; targets.len()];
        for round in 0..rounds as u64 {
            counts[balancer
                .next(targets, Some(round.wrapping_mul(0x9e37_79b9_7f4a_7c15)), |_| true)
                .unwrap()] += 1;
        }
        counts
    }

    /// The counts while so many requests are in flight at any time, each ended by the next.
    fn counts_under_load(balancer: &Balancer, targets: &[Rc<Target>], in_flight: usize) -> Vec<usize> {
        let (mut counts, mut under_way) = (vec![0; targets.len()], VecDeque::new());
        for _ in 0..20_000 {
            let place = balancer.next(targets, None, |_| true).unwrap();
            counts[place] += 1;
            under_way.push_back(InFlight::on(&targets[place]));
            if under_way.len() > in_flight {
                under_way.pop_front();
            }
        }
        counts
    }

    fn near(count: usize, all: usize, share: f64, tolerated: f64) -> bool {
        (count as f64 / all as f64 - share).abs() <= tolerated
    }

    #[test]
    fn round_robin_follows_the_weights_exactly() {
        let targets = targets(&[1, 2, 3]);
        let balancer = new(&Balance::RoundRobin, &targets);
        let counts = counts(&balancer, &targets, 600);
        for (count, share) in counts.iter().zip([100_i64, 200, 300]) {
            assert!((*count as i64 - share).abs() <= 3, "{counts:?}");
        }
    }

    #[test]
    fn every_policy_follows_the_weights_of_idle_targets_within_two_percent() {
        for balance in ALL {
            let targets = targets(&[1, 3, 6]);
            let counts = counts(&new(&balance, &targets), &targets, 20_000);
            let mut fits = counts.iter().zip([0.1, 0.3, 0.6]);
            assert!(
                fits.all(|(count, share)| near(*count, 20_000, share, 0.02)),
                "{balance}: {counts:?}"
            );
        }
    }

    #[test]
    fn least_request_follows_the_weights_under_load_within_five_percent() {
        let targets = targets(&[1, 3, 6]);
        let balancer = new(&Balance::LeastRequest, &targets);
        let counts = counts_under_load(&balancer, &targets, 200);
        let mut fits = counts.iter().zip([0.1, 0.3, 0.6]);
        assert!(
            fits.all(|(count, share)| near(*count, 20_000, share, 0.05)),
            "{counts:?}"
        );
    }

    #[test]
    fn the_idle_target_wins_against_the_busy_one() {
        let targets = targets(&[1, 1]);
        let _busy: Vec<_> = (0..10).map(|_| InFlight::on(&targets[0])).collect();
        let balancer = new(&Balance::LeastRequest, &targets);
        assert_eq!(counts(&balancer, &targets, 100), [0, 100]);
    }

    #[test]
    fn peak_ewma_prefers_fast_targets_until_they_are_too_busy() {
        let targets = targets(&[1, 1, 1]);
        let balancer = new(&Balance::PeakEwma, &targets);
        let now = Instant::now();
        for (target, milliseconds) in targets.iter().zip([10, 10, 200]) {
            target.latency.took(Duration::from_millis(milliseconds), now);
        }
        let counted = counts(&balancer, &targets, 3_000);
        assert_eq!(counted[2], 0, "{counted:?}");
        // Under load the slow one gets some: those that are fast and busy would take as long.
        let _busy: Vec<_> = (0..80).map(|place| InFlight::on(&targets[place % 2])).collect();
        assert!(counts(&balancer, &targets, 3_000)[2] > 0);
    }

    #[test]
    fn a_key_has_one_target_and_no_key_has_any() {
        let targets = targets(&[1, 1, 1]);
        let balancer = new(&Balance::Hash(HashKey::ClientAddress, None), &targets);
        let of_one_key = balancer.next(&targets, Some(7), |_| true);
        assert!((0..50).all(|_| balancer.next(&targets, Some(7), |_| true) == of_one_key));
        let mut counts = [0; 3];
        for _ in 0..3_000 {
            counts[balancer.next(&targets, None, |_| true).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_key_that_everybody_asks_for_is_shared_by_as_many_as_it_takes() {
        let targets = targets(&[1, 1, 2, 1, 1, 1, 1, 1, 1]);
        let bounded = new(
            &Balance::Hash(HashKey::ClientAddress, Some(Share::percent(25))),
            &targets,
        );
        let mut in_flight = Vec::new();
        for _ in 0..400 {
            let place = bounded.next(&targets, Some(7), |_| true).unwrap();
            in_flight.push(InFlight::on(&targets[place]));
        }
        let counts: Vec<usize> = targets.iter().map(|target| target.active.get()).collect();
        let over = |(count, target): (&usize, &Rc<Target>)| {
            *count as f64 - 400.0 * 1.25 * f64::from(target.weight.get()) / 1_000.0
        };
        let over: Vec<f64> = counts.iter().zip(&targets).map(over).collect();
        assert!(over.iter().all(|over| *over <= 1.0), "{counts:?}");
        assert!(
            over.iter().any(|over| *over >= -1.0),
            "its own has as much as it may: {counts:?}"
        );
    }

    #[test]
    fn a_surplus_moves_few_of_many_keys() {
        let targets = targets(&[1; 10]);
        let plain = new(&Balance::Hash(HashKey::ClientAddress, None), &targets);
        let bounded = new(
            &Balance::Hash(HashKey::ClientAddress, Some(Share::percent(25))),
            &targets,
        );
        let (mut moved, mut under_way) = (0, VecDeque::new());
        for _ in 0..20_000 {
            let key = Some(fastrand::u64(..));
            let place = bounded.next(&targets, key, |_| true).unwrap();
            moved += usize::from(plain.next(&targets, key, |_| true) != Some(place));
            under_way.push_back(InFlight::on(&targets[place]));
            if under_way.len() > 500 {
                under_way.pop_front();
            }
        }
        assert!(moved < 2_000, "a tenth at most: {moved}");
    }

    #[test]
    fn what_was_tried_is_not_tried_again() {
        let targets = targets(&[1, 1, 1]);
        for balance in ALL {
            let balancer = new(&balance, &targets);
            let second = |target: &Rc<Target>| Rc::ptr_eq(target, &targets[1]);
            assert!((0..50).all(|_| balancer.next(&targets, Some(1), second) == Some(1)));
            assert_eq!(balancer.next(&targets, Some(1), |_| false), None);
        }
    }
}
