//! What goes on in the background for each upstream.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::UpstreamState;

/// Looks after the upstreams of the current configuration, away from the threads that serve requests.
#[derive(Debug, Default)]
pub(crate) struct Tending {
    /// By the address of the state, which the task keeps alive.
    tasks: HashMap<usize, AbortHandle>,
}

impl Tending {
    /// These are the upstreams from now on: new ones are looked after, those that are gone no longer.
    ///
    /// To be called within a runtime.
    pub(crate) fn update(&mut self, upstreams: &[Arc<UpstreamState>]) {
        let mut before = std::mem::take(&mut self.tasks);
        for state in upstreams {
            let key = Arc::as_ptr(state).addr();
            let task = before
                .remove(&key)
                .unwrap_or_else(|| tokio::spawn(tend(state.clone())).abort_handle());
            self.tasks.insert(key, task);
        }
        for task in before.into_values() {
            task.abort();
        }
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        for task in self.tasks.values() {
            task.abort();
        }
    }
}

/// Looks after one upstream until it is told to stop.
async fn tend(state: Arc<UpstreamState>) {
    // Discovery and health checks go here; the state must outlive its key in `tasks`.
    let _state = state;
    std::future::pending::<()>().await;
}
