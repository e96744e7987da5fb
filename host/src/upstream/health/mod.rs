//! Active health: every target is asked how it is, again and again.

mod grpc;
mod judge;
mod probe;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use self::judge::{Judge, Verdict};
use self::probe::ProbeError;
use super::state::{Awaited, Listed};
use super::target_state::Health;
use super::tasks::Tasks;
use super::tending::TENDING_THREAD;
use super::{UpstreamState, slow_start, target_state};
use crate::config::resolved;
use crate::telemetry::metrics::{
    Labels, Metrics, UPSTREAM_PANIC, UPSTREAM_PROBES, UPSTREAM_TARGET_EJECTED, UPSTREAM_TARGET_HEALTHY,
};

/// Probes the targets of an upstream for as long as it is polled; does nothing where it has no probes.
pub(super) async fn probe(state: &Arc<UpstreamState>, metrics: &Metrics) {
    let Some(settings) = &state.settings.health else { return };
    let mut changes = state.changes();
    let mut probed = Tasks::default();
    let begin = |listed: &Listed| {
        let probing = probe_target(state.clone(), listed.clone(), settings.clone(), metrics.clone());
        spawn_local(probing).abort_handle()
    };
    loop {
        changes.mark_unchanged();
        let targets = state.targets();
        probed.follow(targets.iter(), |listed| &listed.state, begin);
        if state.is_known(Awaited::Targets) && targets.iter().all(|listed| listed.state.health() != Health::New) {
            state.settle(Awaited::Probes);
        }
        // The sender lives as long as `state`.
        let _ = changes.changed().await;
    }
}

/// Probes one target until it is told to stop.
async fn probe_target(state: Arc<UpstreamState>, listed: Listed, settings: resolved::Health, metrics: Metrics) {
    let counter = |result: &str| {
        let mut labels = labels(&state, &listed);
        labels.insert(0, ("result", result.into()));
        metrics.counter(TENDING_THREAD, UPSTREAM_PROBES, labels)
    };
    let (passed, failed) = (counter("ok"), counter("failed"));
    let mut judge = Judge::new(state.probes_anew);
    // A name has to be resolved first: that it is not yet says nothing of the target.
    let mut changes = state.changes();
    while !listed.state.addresses.are_known() {
        // The sender lives as long as `state`.
        let _ = changes.changed().await;
    }
    // The first probe is at once. The second spreads those that were started together.
    let mut pause = settings.every.mul_f64(fastrand::f64());
    loop {
        let asked = probe::ask(&listed, &state.settings, &settings);
        let answer = timeout(settings.timeout, asked)
            .await
            .unwrap_or(Err(ProbeError::Timeout));
        if answer.is_ok() { &passed } else { &failed }.add(1);
        let was_new = listed.state.health() == Health::New;
        if let Some(verdict) = judge.hear(answer.is_ok(), &listed.state, &settings) {
            record(&state, &listed, verdict, answer.err(), was_new);
        }
        sleep(pause).await;
        pause = jittered(settings.every);
    }
}

/// One line, and threads look again.
fn record(state: &UpstreamState, listed: &Listed, verdict: Verdict, error: Option<ProbeError>, was_new: bool) {
    let (upstream, target) = (&state.settings.name, &listed.state.name);
    match (verdict, error) {
        (Verdict::Fit, _) => {
            if !(was_new && listed.state.from_start) {
                slow_start::begin(&state.settings, &listed.state, target_state::now());
            }
            tracing::info!(upstream, %target, "target is healthy");
        }
        (Verdict::Unfit, Some(error)) => tracing::warn!(upstream, %target, %error, "target is not healthy"),
        (Verdict::Unfit, None) => tracing::warn!(upstream, %target, "target is not healthy"),
    }
    state.changed();
}

/// A tenth more or less, so that gateways that were started together do not stay in step.
fn jittered(every: Duration) -> Duration {
    every.mul_f64(0.9 + 0.2 * fastrand::f64())
}

impl UpstreamState {
    /// Shows the health of its targets in the metrics, whichever they are when somebody looks.
    pub(crate) fn publish_health(self: &Arc<UpstreamState>, metrics: &Metrics) {
        let series = |state: &Arc<UpstreamState>, value: fn(&Listed) -> bool| {
            let state = state.clone();
            move || {
                let targets = state.targets();
                let one = |listed: &Listed| (labels(&state, listed), u64::from(value(listed)));
                targets.iter().map(one).collect()
            }
        };
        if self.settings.health.is_some() {
            let is_healthy = |listed: &Listed| listed.state.health() == Health::Healthy;
            metrics.listing(UPSTREAM_TARGET_HEALTHY, series(self, is_healthy));
        }
        let (state, name) = (self.clone(), self.settings.name.as_str().into());
        let labels = vec![("upstream", name)];
        metrics.reading(UPSTREAM_PANIC, labels, move || u64::from(state.panics()));
        if self.settings.eject.is_some() {
            let is_ejected = |listed: &Listed| listed.state.is_ejected(target_state::now());
            metrics.listing(UPSTREAM_TARGET_EJECTED, series(self, is_ejected));
        }
    }
}

fn labels(state: &UpstreamState, listed: &Listed) -> Labels {
    vec![
        ("target", listed.state.name.clone()),
        ("upstream", state.settings.name.as_str().into()),
    ]
}
