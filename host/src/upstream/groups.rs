//! Which targets get requests, and how many of them: by priority and zone, and by who is available.

use std::collections::BTreeMap;

use super::target_state::Fitness;
use crate::config::units::Share;

/// Targets that stand in for each other: of one priority, and of the preferred zone or not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    /// Its share of all requests, 0 to 1.
    pub(super) load: f64,
    /// The places of the targets that may be used.
    pub(super) members: Vec<usize>,
    /// Whether those that are not available are used as well, since so few are.
    pub(super) panics: bool,
}

/// What decides about one target: the lower its rank, the sooner it is used.
pub(super) type Standing = (Rank, Fitness);
/// Its priority, and whether it is outside the preferred zone.
pub(super) type Rank = (u32, bool);

/// A group that keeps this part of its targets can take its whole load (1 / 1.4, as Envoy has it): services have room to
/// spare, and moving load away from a zone or a site has a price.
const SPARE: f64 = 1.4;

/// The groups in the order in which they are used. Those without load stand by for requests that the others failed.
///
/// Load goes to the first group as far as that can take it, and what is left over to the next. Where all together cannot
/// take it, each takes more than it should, and one with a smaller share of its targets available than `panic` uses all
/// of them: it is better to try them than to put everything on the last ones. A target is never used before its first
/// probe has passed, and counts for nothing before its first probe.
pub(super) fn groups(targets: &[Standing], panic: Share) -> Vec<Group> {
    let mut ranks: BTreeMap<Rank, Vec<usize>> = BTreeMap::new();
    let known = |(_, (_, fitness)): &(usize, &Standing)| *fitness != Fitness::Unknown;
    for (place, (rank, _)) in targets.iter().enumerate().filter(known) {
        ranks.entry(*rank).or_default().push(place);
    }
    let all: Vec<Vec<usize>> = ranks.into_values().collect();
    let with = |group: &[usize], unfit: bool| -> Vec<usize> {
        let fits = |place: &&usize| match targets[**place].1 {
            Fitness::Available => true,
            Fitness::Unfit => unfit,
            Fitness::Unproven | Fitness::Unknown => false,
        };
        group.iter().filter(fits).copied().collect()
    };
    let available: Vec<Vec<usize>> = all.iter().map(|group| with(group, false)).collect();
    let shares: Vec<f64> = all
        .iter()
        .zip(&available)
        .map(|(group, available)| available.len() as f64 / group.len() as f64)
        .collect();
    let capacity = |share: &f64| (share * SPARE).min(1.0);
    let sum: f64 = shares.iter().map(capacity).sum();
    let mut left = 1.0;
    let mut groups: Vec<Group> = if sum >= 1.0 {
        let take = |(members, share): (Vec<usize>, &f64)| {
            let load = capacity(share).min(left);
            left -= load;
            Group {
                load,
                members,
                panics: false,
            }
        };
        available.into_iter().zip(&shares).map(take).collect()
    } else {
        let strained = |((group, available), share): ((&Vec<usize>, Vec<usize>), &f64)| {
            let members = if *share < panic.fraction() {
                with(group, true)
            } else {
                available.clone()
            };
            Group {
                load: if sum > 0.0 { capacity(share) / sum } else { 0.0 },
                panics: members.len() > available.len(),
                members,
            }
        };
        all.iter().zip(available).zip(&shares).map(strained).collect()
    };
    if sum == 0.0 {
        let members: usize = groups.iter().map(|group| group.members.len()).sum();
        for group in groups.iter_mut().filter(|_| members > 0) {
            group.load = group.members.len() as f64 / members as f64;
        }
    }
    groups.retain(|group| !group.members.is_empty());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Rank = (0, false);
    const OTHER_ZONE: Rank = (0, true);
    const SECOND: Rank = (1, false);
    const HALF: Share = Share::percent(50);

    /// So many targets of a rank, of which so many are available.
    fn some(rank: Rank, all: usize, available: usize, rest: Fitness) -> impl Iterator<Item = Standing> {
        (0..all).map(move |place| (rank, if place < available { Fitness::Available } else { rest }))
    }

    fn loads(targets: impl Iterator<Item = Standing>, panic: Share) -> Vec<(u32, usize, bool)> {
        let targets: Vec<Standing> = targets.collect();
        groups(&targets, panic)
            .iter()
            .map(|group| ((group.load * 100.0).round() as u32, group.members.len(), group.panics))
            .collect()
    }

    #[test]
    fn load_spills_over_as_the_first_group_sinks() {
        for (available, first) in [(10, 100), (8, 100), (7, 98), (5, 70), (1, 14)] {
            let targets = some(FIRST, 10, available, Fitness::Unfit).chain(some(SECOND, 10, 10, Fitness::Unfit));
            let expected = [(first, available, false), (100 - first, 10, false)];
            assert_eq!(loads(targets, HALF), expected, "{available} available");
        }
        let targets = some(FIRST, 10, 0, Fitness::Unfit).chain(some(SECOND, 10, 10, Fitness::Unfit));
        assert_eq!(loads(targets, HALF), [(100, 10, false)]);
    }

    #[test]
    fn the_preferred_zone_comes_before_others_of_its_priority() {
        let all = |available| {
            some(FIRST, 4, available, Fitness::Unfit)
                .chain(some(OTHER_ZONE, 4, 4, Fitness::Unfit))
                .chain(some(SECOND, 4, 4, Fitness::Unfit))
        };
        assert_eq!(loads(all(4), HALF), [(100, 4, false), (0, 4, false), (0, 4, false)]);
        assert_eq!(loads(all(2), HALF), [(70, 2, false), (30, 4, false), (0, 4, false)]);
    }

    #[test]
    fn with_too_few_available_all_are_used_but_never_an_unproven_one() {
        assert_eq!(loads(some(FIRST, 10, 5, Fitness::Unfit), HALF), [(100, 5, false)]);
        assert_eq!(loads(some(FIRST, 10, 4, Fitness::Unfit), HALF), [(100, 10, true)]);
        assert_eq!(loads(some(FIRST, 10, 0, Fitness::Unfit), HALF), [(100, 10, true)]);
        assert_eq!(loads(some(FIRST, 10, 4, Fitness::Unproven), HALF), [(100, 4, false)]);
        assert_eq!(loads(some(FIRST, 10, 0, Fitness::Unproven), HALF), []);
    }

    #[test]
    fn a_target_that_was_never_asked_moves_no_load() {
        let all = |rest| some(FIRST, 10, 3, rest).chain(some(SECOND, 3, 3, Fitness::Unfit));
        assert_eq!(loads(all(Fitness::Unknown), HALF), [(100, 3, false), (0, 3, false)]);
        assert_eq!(loads(all(Fitness::Unproven), HALF), [(42, 3, false), (58, 3, false)]);
        assert_eq!(loads(some(FIRST, 10, 0, Fitness::Unknown), HALF), []);
    }

    #[test]
    fn panic_may_be_forbidden() {
        let never = Share::percent(0);
        assert_eq!(loads(some(FIRST, 10, 1, Fitness::Unfit), never), [(100, 1, false)]);
        assert_eq!(loads(some(FIRST, 10, 0, Fitness::Unfit), never), []);
    }

    #[test]
    fn groups_that_are_all_strained_share_the_load() {
        let targets = some(FIRST, 10, 2, Fitness::Unfit).chain(some(SECOND, 10, 4, Fitness::Unfit));
        assert_eq!(loads(targets, HALF), [(33, 10, true), (67, 10, true)]);
        let targets = some(FIRST, 10, 0, Fitness::Unfit).chain(some(SECOND, 30, 0, Fitness::Unfit));
        assert_eq!(loads(targets, HALF), [(25, 10, true), (75, 30, true)]);
    }
}
