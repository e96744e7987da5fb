//! Targets that are listed by name: what addresses the names have.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_local;

use super::dns::Dns;
use super::follow::{About, follow};
use crate::config::resolved::{Address, Asking, Pauses, Target};
use crate::telemetry::metrics::Metrics;
use crate::upstream::UpstreamState;
use crate::upstream::state::Listed;
use crate::upstream::target_state::TargetState;
use crate::upstream::tasks::Tasks;

/// How long the last addresses of a name are kept when it has none any more.
const GRACE: Duration = Duration::from_secs(60);

/// Keeps the addresses of an upstream's named targets up to date, each in a task of its own.
pub(super) struct Names {
    upstream: Arc<UpstreamState>,
    metrics: Metrics,
    tasks: Tasks,
}

impl Names {
    pub(super) fn new(upstream: &Arc<UpstreamState>, metrics: &Metrics) -> Names {
        Names {
            upstream: upstream.clone(),
            metrics: metrics.clone(),
            tasks: Tasks::default(),
        }
    }

    /// These are the targets from now on.
    pub(super) fn update(&mut self, targets: &[Listed]) {
        let asking = Asking {
            resolver: self.upstream.settings.resolver,
            every: None,
        };
        let named = targets
            .iter()
            .filter_map(|Listed { target, state }| Some((state, target.address.name()?)));
        let begin = |(state, (host, port)): (&Arc<TargetState>, (&Arc<str>, u16))| {
            let source = format!("dns:{host}:{port}");
            let name = &self.upstream.settings.name;
            let about = About::new(name, source, GRACE, Pauses::default(), &self.metrics);
            let dns = Dns::new(host, port, asking);
            spawn_local(keep(dns, about, self.upstream.clone(), state.clone())).abort_handle()
        };
        self.tasks.follow(named, |(state, _)| *state, begin);
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
