//! What goes on in the background for each upstream, on a thread of its own: a reload that compiles plugins keeps the main
//! one busy, and must not have probes fail.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::runtime::LocalRuntime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::target_state::now;
use super::tasks::Tasks;
use super::{UpstreamState, discovery, health};
use crate::telemetry::Metrics;

/// Looks after the upstreams of the current configuration, away from the threads that serve requests. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Tending {
    upstreams: UnboundedSender<Vec<Arc<UpstreamState>>>,
}

/// Where the thread counts: beside the data plane's threads, which begin at 0, and the main one.
pub(super) const TENDING_THREAD: usize = usize::MAX - 1;

impl Tending {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// There can be no more threads, or no more descriptors.
    pub(crate) fn start(metrics: &Metrics) -> io::Result<Tending> {
        let (upstreams, mut told) = unbounded_channel();
        let metrics = metrics.clone();
        // A runtime belongs to its thread, so it is made there and the caller is told how that went.
        let (started, outcome) = sync_channel(1);
        let tend = move || match LocalRuntime::new() {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                runtime.block_on(async {
                    let mut tended = Tasks::default();
                    let begin = |state| spawn_local(tend(state, metrics.clone())).abort_handle();
                    // During a reload an upstream may be listed twice: as of the old configuration and of the new one.
                    while let Some(upstreams) = told.recv().await {
                        tended.follow::<Arc<UpstreamState>, _>(upstreams, |state| state, begin);
                    }
                });
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        };
        std::thread::Builder::new().name("upstreams".to_owned()).spawn(tend)?;
        outcome.recv().map_err(io::Error::other)??;
        Ok(Tending { upstreams })
    }

    /// These are the upstreams from now on: new ones are looked after, those that are gone no longer.
    pub(crate) fn update(&self, upstreams: Vec<Arc<UpstreamState>>) {
        // The thread ends with `self`.
        let _ = self.upstreams.send(upstreams);
    }
}

/// Looks after one upstream until it is told to stop.
async fn tend(state: Arc<UpstreamState>, metrics: Metrics) {
    tokio::join!(
        discovery::run(&state, &metrics),
        health::probe(&state, &metrics),
        keep_time(&state),
        watch_panic(&state),
    );
}

/// Ends ejections and slow starts when it is time.
async fn keep_time(state: &UpstreamState) {
    let mut changes = state.changes();
    loop {
        changes.mark_unchanged();
        let now = now();
        let due = [state.end_ejections(now), state.step_slow_starts(now)];
        let due = due.into_iter().flatten().min();
        let wait = async {
            match due {
                Some(due) => sleep(Duration::from_millis(due.saturating_sub(now).max(1))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = changes.changed() => {}
            () = wait => {}
        }
    }
}

/// Says when so few targets are available that others are used as well, and when that has ended.
async fn watch_panic(state: &UpstreamState) {
    let mut changes = state.changes();
    let (upstream, mut panicked) = (&state.settings.name, false);
    loop {
        changes.mark_unchanged();
        let panics = state.panics();
        if panics && !panicked {
            tracing::warn!(
                upstream,
                "few targets are available: those that are not are used as well"
            );
        } else if panicked && !panics {
            tracing::info!(upstream, "enough targets are available again");
        }
        panicked = panics;
        // The sender lives as long as `state`.
        let _ = changes.changed().await;
    }
}
