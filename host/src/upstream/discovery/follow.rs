//! What discovery does whatever the source.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::{Failed, Source};
use crate::config::resolved::{Discovery, Pauses, Target};
use crate::telemetry::Counter;
use crate::telemetry::metrics::{DISCOVERY_UPDATES, Metrics};
use crate::upstream::UpstreamState;
use crate::upstream::tending::TENDING_THREAD;

/// What is followed, for log and metrics.
pub(super) struct About {
    upstream: String,
    source: String,
    grace: Duration,
    pauses: Pauses,
    updates: Updates,
}

/// How often the source was asked, by what came of it.
struct Updates {
    ok: Counter,
    empty: Counter,
    failed: Counter,
}

impl About {
    pub(super) fn new(upstream: &str, source: String, grace: Duration, pauses: Pauses, metrics: &Metrics) -> About {
        let counter = |result: &str| {
            let labels = vec![("result", result.into()), ("upstream", upstream.into())];
            metrics.counter(TENDING_THREAD, DISCOVERY_UPDATES, labels)
        };
        About {
            upstream: upstream.to_owned(),
            source,
            grace,
            pauses,
            updates: Updates {
                ok: counter("ok"),
                empty: counter("empty"),
                failed: counter("failed"),
            },
        }
    }
}

/// Follows a source for ever. `kept` targets are there from before.
pub(super) async fn follow(mut source: impl Source, about: &About, kept: usize, mut publish: impl FnMut(Vec<Target>)) {
    let mut progress = Progress::new(about, kept);
    loop {
        let found = {
            let mut next = pin!(source.next());
            match progress.grace_ends {
                None => next.await,
                Some(end) => match timeout_at(end, &mut next).await {
                    Ok(found) => found,
                    Err(_) => {
                        progress.left_with_none();
                        publish(Vec::new());
                        next.await
                    }
                },
            }
        };
        match found {
            Ok(targets) if targets.is_empty() => {
                if progress.found_none() {
                    publish(targets);
                }
            }
            Ok(mut targets) => {
                // Sources may list the same ones in another order each time.
                targets.sort_by_cached_key(|target| (target.priority, target.address.to_string()));
                progress.found(targets.len());
                publish(targets);
            }
            Err(error) => {
                let pause = progress.failed(&error);
                sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            }
        }
    }
}

/// How it goes, so that each trouble is logged once when it begins and once when it ends.
struct Progress<'a> {
    about: &'a About,
    kept: usize,
    is_failing: bool,
    pause: Duration,
    /// Since when nothing is found.
    none_since: Option<Instant>,
    /// When what was kept goes, where the last answer was empty.
    grace_ends: Option<Instant>,
}

impl Progress<'_> {
    fn new(about: &About, kept: usize) -> Progress<'_> {
        Progress {
            about,
            kept,
            is_failing: false,
            pause: about.pauses.first,
            none_since: None,
            grace_ends: None,
        }
    }

    fn found(&mut self, count: usize) {
        self.about.updates.ok.add(1);
        self.answered();
        if self.none_since.take().is_some() {
            let About { upstream, source, .. } = self.about;
            tracing::info!(upstream, source, found = count, "discovery finds something again");
        }
        self.grace_ends = None;
        self.kept = count;
    }

    /// Whether that is to be believed at once.
    fn found_none(&mut self) -> bool {
        self.about.updates.empty.add(1);
        self.answered();
        let About { upstream, source, .. } = self.about;
        let now = Instant::now();
        let is_new = self.none_since.is_none();
        let end = *self.none_since.get_or_insert(now) + self.about.grace;
        if self.kept == 0 || end <= now {
            if is_new || self.kept > 0 {
                tracing::warn!(upstream, source, "discovery finds nothing, no targets are left");
            }
            (self.kept, self.grace_ends) = (0, None);
            return true;
        }
        if is_new {
            let (kept, grace) = (self.kept, self.about.grace.as_secs_f64());
            tracing::warn!(
                upstream,
                source,
                kept,
                grace,
                "discovery finds nothing, what was found last is kept for now"
            );
        }
        self.grace_ends = Some(end);
        false
    }

    fn left_with_none(&mut self) {
        let About { upstream, source, .. } = self.about;
        tracing::warn!(upstream, source, "discovery still finds nothing, no targets are left");
        (self.kept, self.grace_ends) = (0, None);
    }

    /// How long to pause, about.
    fn failed(&mut self, error: &Failed) -> Duration {
        let About {
            upstream,
            source,
            updates,
            ..
        } = self.about;
        updates.failed.add(1);
        // What waits for a change fails anew only when there was one.
        if !self.is_failing || error.is_waiting {
            let kept = self.kept;
            tracing::warn!(upstream, source, kept, %error, "discovery fails, what was found last is kept");
        }
        self.is_failing = true;
        // What the last good answer was is not known to be true any more.
        self.grace_ends = None;
        if error.is_waiting {
            return Duration::ZERO;
        }
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(self.about.pauses.longest);
        pause
    }

    fn answered(&mut self) {
        if self.is_failing {
            let About { upstream, source, .. } = self.about;
            tracing::info!(upstream, source, "discovery works again");
        }
        (self.is_failing, self.pause) = (false, self.about.pauses.first);
    }
}

/// Where an upstream's discovery leads to.
pub(super) struct Following<'a> {
    state: &'a Arc<UpstreamState>,
    metrics: &'a Metrics,
}

impl Following<'_> {
    pub(super) fn new<'a>(state: &'a Arc<UpstreamState>, metrics: &'a Metrics) -> Following<'a> {
        Following { state, metrics }
    }

    pub(super) fn about(&self, discovery: &Discovery) -> About {
        let upstream = &self.state.settings.name;
        let source = discovery.written.clone();
        About::new(upstream, source, discovery.grace, discovery.pauses, self.metrics)
    }

    /// These are the targets from now on.
    pub(super) fn publish(&self, targets: Vec<Target>) {
        let before = self.state.targets();
        self.state.publish(targets);
        self.state.answered();
        let after = self.state.targets();
        let is_in =
            |list: &[crate::upstream::state::Listed], name: &str| list.iter().any(|listed| &*listed.state.name == name);
        let added = after
            .iter()
            .filter(|listed| !is_in(&before, &listed.state.name))
            .count();
        let upstream = &self.state.settings.name;
        let mut removed = 0;
        for gone in before.iter().filter(|listed| !is_in(&after, &listed.state.name)) {
            removed += 1;
            // Or addresses that come and go would fill the memory.
            self.metrics
                .forget(&[("target", &gone.state.name), ("upstream", upstream)]);
        }
        if added + removed > 0 {
            tracing::info!(upstream, targets = after.len(), added, removed, "targets discovered");
        }
    }
}
