//! What probes in a row mean for a target.

use crate::config::resolved;
use crate::upstream::target_state::{Health, TargetState};

/// Hears what probes say of one target. One that contradicts what is known changes nothing; several in a row do.
#[derive(Debug)]
pub(super) struct Judge {
    /// Probes in a row against what is known.
    against: u32,
    /// Whether the next one decides alone.
    decides: bool,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fit,
    Unfit,
}

impl Judge {
    /// `anew`: these are other probes than those that what is known comes from.
    pub(super) fn new(anew: bool) -> Judge {
        Judge {
            against: 0,
            decides: anew,
        }
    }

    /// Hears of one more probe; what it changes, if anything.
    pub(super) fn hear(&mut self, passed: bool, target: &TargetState, settings: &resolved::Health) -> Option<Verdict> {
        let known = target.health();
        let decides = std::mem::take(&mut self.decides) || known == Health::New;
        if passed == (known == Health::Healthy) && known != Health::New {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if passed {
            settings.healthy_after
        } else {
            settings.unhealthy_after
        };
        if !decides && self.against < needed {
            return None;
        }
        self.against = 0;
        target.set_health(match (passed, known) {
            (true, _) => Health::Healthy,
            (false, Health::New | Health::Refused) => Health::Refused,
            (false, Health::Healthy | Health::Unhealthy) => Health::Unhealthy,
        });
        Some(if passed { Verdict::Fit } else { Verdict::Unfit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolved::Probe;
    use crate::upstream::tests::target;

    /// What a target's health is after each of these probes.
    fn told(target: &TargetState, probes: &[bool]) -> Vec<Option<Verdict>> {
        let settings = resolved::Health::of(Probe::Tcp);
        let mut judge = Judge::new(target.health() == Health::Healthy);
        probes
            .iter()
            .map(|passed| judge.hear(*passed, target, &settings))
            .collect()
    }

    #[test]
    fn the_first_probe_decides_at_once() {
        let new = || TargetState::new(&target(1, 1), true);
        let (good, bad) = (new(), new());
        assert_eq!(told(&good, &[true, true]), [Some(Verdict::Fit), None]);
        assert_eq!(
            told(&bad, &[false, false, true, true]),
            [Some(Verdict::Unfit), None, None, Some(Verdict::Fit)]
        );
    }

    #[test]
    fn later_only_several_in_a_row_count() {
        let target = TargetState::new(&target(1, 1), true);
        let probes = [true, false, false, true, false, false, false, true, false, true, true];
        let told = told(&target, &probes);
        let changes: Vec<usize> = (0..told.len()).filter(|probe| told[*probe].is_some()).collect();
        assert_eq!(changes, [0, 6, 10]);
        assert_eq!(target.health(), Health::Healthy);
    }

    #[test]
    fn a_target_that_was_healthy_once_is_not_unproven_again() {
        let target = TargetState::new(&target(1, 1), true);
        told(&target, &[false, true, true]);
        assert_eq!(target.health(), Health::Healthy);
        told(&target, &[false, false, false]);
        assert_eq!(target.health(), Health::Unhealthy);
    }

    #[test]
    fn the_first_of_other_probes_decides_at_once_as_well() {
        let target = TargetState::new(&target(1, 1), true);
        target.set_health(Health::Healthy);
        assert_eq!(told(&target, &[false]), [Some(Verdict::Unfit)]);
    }
}
