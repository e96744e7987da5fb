//! Targets that are listed by name: what addresses the names have.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

use super::dns::Dns;
use super::follow::{About, follow};
use crate::config::resolved::{Address, Asking, Target};
use crate::telemetry::metrics::Metrics;
use crate::upstream::UpstreamState;
use crate::upstream::state::Listed;
use crate::upstream::target_state::TargetState;

/// How long the last addresses of a name are kept when it has none any more.
const GRACE: Duration = Duration::from_secs(60);

/// Keeps the addresses of an upstream's named targets up to date, each in a task of its own.
pub(super) struct Names {
    upstream: Arc<UpstreamState>,
    metrics: Metrics,
    /// By the address of the target's state, which its task keeps alive.
    tasks: HashMap<usize, AbortHandle>,
    /// Ends them all when it is dropped.
    set: JoinSet<()>,
}

impl Names {
    pub(super) fn new(upstream: &Arc<UpstreamState>, metrics: &Metrics) -> Names {
        Names {
            upstream: upstream.clone(),
            metrics: metrics.clone(),
            tasks: HashMap::new(),
            set: JoinSet::new(),
        }
    }

    /// These are the targets from now on.
    pub(super) fn update(&mut self, targets: &[Listed]) {
        let asking = Asking {
            resolver: self.upstream.settings.resolver,
            every: None,
        };
        let mut before = std::mem::take(&mut self.tasks);
        for Listed { target, state } in targets {
            let Some((host, port)) = target.address.name() else {
                continue;
            };
            let key = Arc::as_ptr(state).addr();
            let task = before.remove(&key).unwrap_or_else(|| {
                let source = format!("dns:{host}:{port}");
                let about = About::new(&self.upstream.settings.name, source, GRACE, &self.metrics);
                let dns = Dns::new(host, port, asking);
                self.set.spawn(keep(dns, about, self.upstream.clone(), state.clone()))
            });
            self.tasks.insert(key, task);
        }
        for task in before.into_values() {
            task.abort();
        }
        while self.set.try_join_next().is_some() {}
    }
}

async fn keep(dns: Dns, about: About, upstream: Arc<UpstreamState>, state: Arc<TargetState>) {
    let kept = state.addresses.now().map_or(0, |addresses| addresses.len());
    let publish = |targets: Vec<Target>| {
        let addresses = targets.iter().filter_map(|target| match &target.address {
            Address::Tcp { host, port } => Some(SocketAddr::new(host.parse().ok()?, *port)),
            Address::Unix(_) => None,
        });
        let was_known = state.addresses.are_known();
        state.addresses.set(addresses.collect());
        if !was_known {
            upstream.resolved();
        }
    };
    follow(dns, &about, kept, publish).await;
}
