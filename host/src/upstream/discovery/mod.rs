//! Where targets come from when they are not listed, and where they are when they are listed by name.
//!
//! A [`Source`] yields snapshots: each is all of the targets. [`follow`] does for every source what must not depend on
//! it: the last good snapshot is kept on errors, and for a grace time when there is nothing any more; what fails is
//! tried again ever more slowly; log and metrics say how it goes. All of it happens on a thread of its own. Requests
//! only ever look at what was published last.

mod consul;
mod dns;
mod dns_srv;
mod file;
mod follow;
mod kubernetes;
mod lookup;
mod names;
mod shares;

use std::sync::Arc;

use self::consul::Consul;
use self::dns::Dns;
use self::dns_srv::DnsSrv;
use self::file::TargetsFile;
use self::follow::{Following, follow};
use self::kubernetes::Kubernetes;
use self::names::Names;
use super::UpstreamState;
use crate::config::resolved::{DiscoverySource, Target};
use crate::telemetry::metrics::Metrics;

/// Yields the targets of an upstream, all of them, again and again.
pub(super) trait Source {
    /// The targets as they are now, at the first call; later it waits until they may have changed. An empty list is an
    /// answer, too. After an error the next call comes a while later, and asks anew.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Target>, Failed>> + Send;
}

/// Why a source could not be asked, in one line and without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(super) struct Failed {
    why: String,
    /// Whether the source itself waits until asking makes sense again.
    is_waiting: bool,
}

impl Failed {
    fn new(why: impl ToString) -> Failed {
        Failed {
            why: why.to_string(),
            is_waiting: false,
        }
    }

    /// An error with what caused it.
    fn because(error: &dyn std::error::Error) -> Failed {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
        // Many repeat what caused them.
        texts.dedup_by(|cause, error| error.ends_with(cause.as_str()));
        Failed::new(texts.join(": "))
    }

    fn until_something_changes(why: impl ToString) -> Failed {
        Failed {
            why: why.to_string(),
            is_waiting: true,
        }
    }
}

/// Keeps the targets of an upstream up to date, and the addresses of those that are named, until it is dropped.
pub(super) async fn run(state: &Arc<UpstreamState>, metrics: &Metrics) {
    let mut names = Names::new(state, metrics);
    names.update(&state.targets());
    let Some(discovery) = &state.settings.discovery else {
        return std::future::pending().await;
    };
    let following = Following::new(state, metrics);
    let about = following.about(discovery);
    let kept = state.targets().len();
    let publish = |targets: Vec<Target>| {
        following.publish(targets);
        names.update(&state.targets());
    };
    match &discovery.from {
        DiscoverySource::Dns { host, port, asking } => {
            follow(Dns::new(host, *port, *asking), &about, kept, publish).await;
        }
        DiscoverySource::DnsSrv { name, asking } => follow(DnsSrv::new(name, *asking), &about, kept, publish).await,
        DiscoverySource::File(path) => follow(TargetsFile::new(path), &about, kept, publish).await,
        DiscoverySource::Consul(service) => follow(Consul::new(service), &about, kept, publish).await,
        DiscoverySource::Kubernetes(service) => follow(Kubernetes::new(service), &about, kept, publish).await,
    }
}
