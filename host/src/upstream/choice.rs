//! The targets of an upstream that one thread may choose, until something about them changes.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::affinity::Affinity;
use super::balance::Balancer;
use super::connection_counters::Counting;
use super::groups::{Standing, groups};
use super::state::Listed;
use super::target_state::now;
use super::{Target, UpstreamState};
use crate::config::resolved;

/// The targets that may be chosen.
pub(super) struct Choice {
    /// All that are listed.
    pub(super) targets: Vec<Rc<Target>>,
    /// In the order in which they are used.
    groups: Vec<Group>,
    /// Those that may be used, by what names them in a cookie. Empty where the upstream is not sticky.
    by_token: FxHashMap<u64, Rc<Target>>,
}

/// Targets that stand in for each other.
struct Group {
    /// The shares of all requests that it gets and those before it, 0 to 1.
    up_to: f64,
    targets: Vec<Rc<Target>>,
    balancer: Balancer,
}

impl Choice {
    /// The choice as things are now. Targets that are known already are the same ones, with their connections.
    pub(super) fn new(state: &Arc<UpstreamState>, known: &[Rc<Target>], counting: &Counting) -> Choice {
        let (listed, settings) = (state.targets(), &state.settings);
        let targets = listed.iter().map(|listed| {
            let same = known.iter().find(|known| Arc::ptr_eq(&known.state, &listed.state));
            if let Some(known) = same {
                known.adopt(listed, state);
            }
            same.cloned().unwrap_or_else(|| Target::new(listed, state, counting))
        });
        let targets: Vec<Rc<Target>> = targets.collect();
        let mut up_to = 0.0;
        let group = |group: super::groups::Group| {
            up_to += group.load;
            let targets: Vec<Rc<Target>> = group.members.iter().map(|place| targets[*place].clone()).collect();
            Group {
                up_to,
                balancer: Balancer::new(&settings.balance, &targets, &state.tables),
                targets,
            }
        };
        let groups: Vec<Group> = groups(&standings(&listed, settings), settings.panic)
            .into_iter()
            .map(group)
            .collect();
        let tokens = groups.iter().flat_map(|group| &group.targets);
        Choice {
            by_token: tokens
                .filter(|_| settings.sticky.is_some())
                .map(|target| (target.token.get(), target.clone()))
                .collect(),
            groups,
            targets,
        }
    }

    /// Whether the target is listed here.
    pub(super) fn has(&self, target: &Rc<Target>) -> bool {
        self.targets.iter().any(|listed| Rc::ptr_eq(listed, target))
    }

    /// The next target to ask that is none of `tried`.
    pub(super) fn next(&self, tried: &[Rc<Target>], affinity: Affinity) -> Option<Rc<Target>> {
        let is_open = |target: &Rc<Target>| !tried.iter().any(|tried| Rc::ptr_eq(tried, target));
        if let Some(asked) = affinity.asked
            && let Some(target) = self.by_token.get(&asked).filter(|target| is_open(target))
        {
            return Some(target.clone());
        }
        let next = |group: &Group| {
            let place = group.balancer.next(&group.targets, affinity.key, is_open)?;
            group.targets.get(place).cloned()
        };
        let chosen = match self.groups.as_slice() {
            [] => return None,
            [only] => return next(only),
            [first, ..] if first.up_to >= 1.0 => 0,
            groups => {
                let drawn = affinity.fraction().unwrap_or_else(fastrand::f64);
                groups.iter().position(|group| drawn < group.up_to).unwrap_or_default()
            }
        };
        let others = self.groups.iter().enumerate().filter(|(place, _)| *place != chosen);
        next(&self.groups[chosen]).or_else(|| others.map(|(_, group)| group).find_map(next))
    }
}

fn standings(listed: &[Listed], settings: &resolved::Upstream) -> Vec<Standing> {
    let now = now();
    listed
        .iter()
        .map(|listed| (settings.rank(&listed.target), listed.state.fitness(settings, now)))
        .collect()
}

impl UpstreamState {
    /// Whether so few targets are available that others are used as well.
    pub(super) fn panics(&self) -> bool {
        let standings = standings(&self.targets(), &self.settings);
        groups(&standings, self.settings.panic).iter().any(|group| group.panics)
    }
}

impl resolved::Upstream {
    /// When a target is used: the lower, the sooner.
    fn rank(&self, target: &resolved::Target) -> super::groups::Rank {
        let elsewhere = self.prefer_zone.is_some() && self.prefer_zone != target.zone;
        (target.priority, elsewhere)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::telemetry::metrics::Metrics;
    use crate::upstream::tests::{settings, target};

    fn choice(state: &Arc<UpstreamState>) -> Choice {
        Choice::new(state, &[], &Counting::new(&Metrics::default(), 0, "users"))
    }

    /// How often each port is chosen in a thousand requests.
    fn counts(choice: &Choice, ports: usize) -> Vec<usize> {
        let mut counts = vec![0; ports];
        for _ in 0..1_000 {
            let target = choice.next(&[], Affinity::default()).unwrap();
            let port: usize = target.name.rsplit(':').next().unwrap().parse().unwrap();
            counts[port - 1] += 1;
        }
        counts
    }

    fn eject(state: &UpstreamState, place: usize) {
        state.targets()[place]
            .state
            .ejected_until
            .store(u64::MAX, Ordering::Relaxed);
    }

    #[test]
    fn the_second_priority_gets_what_the_first_cannot_take_and_stands_by_for_the_rest() {
        let mut targets: Vec<_> = (1..=4).map(|port| target(port, 1)).collect();
        targets[2].priority = 1;
        targets[3].priority = 1;
        let state = UpstreamState::new(&Arc::new(settings(targets)), None);
        let all = choice(&state);
        let counted = counts(&all, 4);
        assert_eq!((counted[2], counted[3]), (0, 0), "{counted:?}");
        let tried: Vec<_> = all.targets[..2].to_vec();
        assert!(all.next(&tried, Affinity::default()).is_some(), "the others stand by");

        eject(&state, 0);
        let counted = counts(&choice(&state), 4);
        assert_eq!(counted[0], 0);
        assert!((640..760).contains(&counted[1]), "1.4 times a half: {counted:?}");
    }

    #[test]
    fn a_zone_is_preferred() {
        let mut targets = vec![target(1, 1), target(2, 1)];
        targets[1].zone = Some("near".into());
        let mut settings = settings(targets);
        settings.prefer_zone = Some("near".into());
        let state = UpstreamState::new(&Arc::new(settings), None);
        assert_eq!(counts(&choice(&state), 2), [0, 1_000]);
        eject(&state, 1);
        assert_eq!(counts(&choice(&state), 2), [1_000, 0]);
    }

    #[test]
    fn a_share_that_grows_is_a_share_of_the_requests() {
        let mut settings = settings(vec![target(1, 1), target(2, 1)]);
        settings.slow_start = Some(std::time::Duration::from_secs(10));
        settings.balance = resolved::Balance::Random;
        let state = UpstreamState::new(&Arc::new(settings), None);
        state.targets()[0].state.share.store(10, Ordering::Relaxed);
        let counted = counts(&choice(&state), 2);
        assert!((60..125).contains(&counted[0]), "one in eleven: {counted:?}");
    }
}
