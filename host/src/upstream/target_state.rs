//! What all threads know of one target.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use super::addresses::Addresses;
use super::slots::Slots;
use crate::config::resolved::{self, Target};

/// What all threads know of one target, for as long as it is listed.
#[derive(Debug)]
pub(crate) struct TargetState {
    /// Its address, as in metrics and log.
    pub(crate) name: Arc<str>,
    /// Where it is reached.
    pub(crate) addresses: Addresses,
    health: AtomicU8,
    /// Whether it has been there from the beginning: then its first request is no reason to be careful.
    pub(super) from_start: bool,
    /// Failures in a row, over all threads.
    pub(super) failures: AtomicU32,
    /// When its ejection ends; 0: it is not ejected.
    pub(super) ejected_until: AtomicU64,
    /// Ejections of late.
    pub(super) ejections: AtomicU32,
    /// When the last ejection ended.
    pub(super) ejection_ended: AtomicU64,
    /// When its slow start began; 0: it is at full share.
    pub(super) started: AtomicU64,
    /// Per cent of its weight that counts.
    pub(super) share: AtomicU32,
    /// The connections that it may have; none while nobody has limited them.
    slots: Mutex<Option<Arc<Slots>>>,
}

/// What probes say of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Health {
    /// Not asked yet.
    New,
    /// Asked, and never healthy so far.
    Refused,
    Healthy,
    /// Not any more.
    Unhealthy,
}

/// What a target may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fitness {
    /// Everything.
    Available,
    /// Nothing, unless too few others are available.
    Unfit,
    /// Nothing at all: no probe has passed so far.
    Unproven,
    /// Nothing yet: there was no probe. It is not missed either, since it has never taken load.
    Unknown,
}

impl TargetState {
    /// A target of which nothing is known.
    pub(crate) fn new(target: &Target, from_start: bool) -> TargetState {
        TargetState {
            name: target.address.to_string().into(),
            addresses: Addresses::of(&target.address),
            health: AtomicU8::new(Health::New as u8),
            from_start,
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            ejection_ended: AtomicU64::new(0),
            started: AtomicU64::new(0),
            share: AtomicU32::new(100),
            slots: Mutex::default(),
        }
    }

    /// The connections that it may have by these settings. Where settings have changed, connections of before do not count.
    pub(super) fn slots(&self, settings: &resolved::Connections) -> Option<Arc<Slots>> {
        let most = settings.most?;
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.as_ref().is_none_or(|slots| !slots.are_of(most, settings.pending)) {
            *slots = Some(Arc::new(Slots::new(most, settings.pending)));
        }
        slots.clone()
    }

    /// What probes say of it.
    pub(crate) fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            0 => Health::New,
            1 => Health::Refused,
            2 => Health::Healthy,
            _ => Health::Unhealthy,
        }
    }

    pub(super) fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }

    /// Whether it is left out for having failed.
    pub(crate) fn is_ejected(&self, now: u64) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > now
    }

    /// What it may be used for.
    pub(super) fn fitness(&self, settings: &resolved::Upstream, now: u64) -> Fitness {
        match self.health() {
            Health::New if settings.health.is_some() => Fitness::Unknown,
            Health::Refused if settings.health.is_some() => Fitness::Unproven,
            Health::Unhealthy if settings.health.is_some() => Fitness::Unfit,
            _ if settings.eject.is_some() && self.is_ejected(now) => Fitness::Unfit,
            _ => Fitness::Available,
        }
    }
}

/// The time in a form that fits into an atomic: milliseconds since the process first asked, and never 0.
pub(crate) fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolved::{Health as Settings, Probe};
    use crate::upstream::tests::{settings, target};

    #[test]
    fn a_target_serves_nobody_until_a_probe_passes_and_only_where_there_are_probes() {
        let (state, mut settings) = (TargetState::new(&target(1, 1), true), settings(vec![]));
        assert_eq!(state.fitness(&settings, 1), Fitness::Available);
        settings.health = Some(Settings::of(Probe::Tcp));
        assert_eq!(state.fitness(&settings, 1), Fitness::Unknown);
        for (health, fitness) in [
            (Health::Refused, Fitness::Unproven),
            (Health::Healthy, Fitness::Available),
            (Health::Unhealthy, Fitness::Unfit),
        ] {
            state.set_health(health);
            assert_eq!((state.health(), state.fitness(&settings, 1)), (health, fitness));
        }
    }
}
