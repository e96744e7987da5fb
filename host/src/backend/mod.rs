//! What answers a route. Each backend turns a request into a response; filters run before and after it.

pub(crate) mod aggregate;
pub(crate) mod challenge;
mod fault;
pub(crate) mod fixed;
pub(crate) mod mirror;
pub(crate) mod proxy;
pub(crate) mod redirect;
mod split;

use std::rc::Rc;

use self::aggregate::Calls;
pub(crate) use self::fault::Fault;
use self::mirror::Mirror;
use self::proxy::{Proxy, UpstreamCounts};
use self::split::Split;
use crate::config::resolved::{self, Destination, Retry, Route};
use crate::telemetry::metrics::Metrics;
use crate::upstream::Upstream;

/// A route's backend, on one thread.
pub(crate) enum Backend {
    /// Forwards to an upstream.
    Proxy(Box<Proxy>),
    /// Forwards to one of several upstreams.
    Split(Split),
    /// Puts one answer together from those of several services.
    Aggregate(Box<Calls>),
    /// Sends the client elsewhere.
    Redirect(redirect::Redirect),
    /// Always gives the same response.
    Fixed(fixed::Fixed),
    /// Proves that a domain is ours.
    Challenge(challenge::Challenge),
}

impl Backend {
    /// The backend that a route was configured with.
    pub(crate) fn new(route: &Route, upstreams: &[Rc<Upstream>], metrics: &Metrics, thread: usize) -> Option<Backend> {
        use resolved::Backend as Settings;
        Some(match &route.backend {
            Settings::Proxy { to, path, host, mirror } => {
                let proxy = |settings: &Destination, mirror: Option<Rc<Mirror>>| {
                    let upstream = upstreams.get(settings.upstream)?;
                    let counts = UpstreamCounts::new(&upstream.settings.name, metrics, thread);
                    Some(Proxy::new(
                        upstream,
                        settings,
                        path.clone(),
                        host.clone(),
                        mirror,
                        counts,
                    ))
                };
                let mirror = match mirror {
                    None => None,
                    Some(mirror) => {
                        // A copy is sent once, or not at all.
                        let to = Destination {
                            upstream: mirror.upstream,
                            weight: 1,
                            try_timeout: None,
                            retry: Retry {
                                tries: 1,
                                ..Retry::default()
                            },
                            own_budget: false,
                            hedge: None,
                        };
                        let proxy = proxy(&to, None)?;
                        let timeout = route.timeout.max(proxy.upstream.settings.response_timeout);
                        let mirror = Mirror::new(proxy, mirror, timeout, &route.name, metrics, thread);
                        Some(Rc::new(mirror))
                    }
                };
                match to.as_slice() {
                    [only] => Backend::Proxy(Box::new(proxy(only, mirror)?)),
                    several => {
                        let proxies: Option<Vec<_>> = several
                            .iter()
                            .map(|one| Some((one.weight, proxy(one, mirror.clone())?)))
                            .collect();
                        Backend::Split(Split::new(proxies?))
                    }
                }
            }
            Settings::Aggregate { aggregate, to } => {
                let proxies = to.iter().map(|one| {
                    let upstream = upstreams.get(one.upstream)?;
                    let counts = UpstreamCounts::new(&upstream.settings.name, metrics, thread);
                    Some(Proxy::new(upstream, one, None, None, None, counts))
                });
                let proxies: Option<Vec<_>> = proxies.collect();
                Backend::Aggregate(Box::new(Calls::new(aggregate, &route.name, proxies?, metrics, thread)))
            }
            Settings::Redirect { to, status, keep_query } => Backend::Redirect(redirect::Redirect {
                to: to.clone(),
                status: *status,
                keep_query: *keep_query,
            }),
            Settings::Fixed { status, headers, body } => {
                Backend::Fixed(fixed::Fixed::new(*status, headers, body.clone()))
            }
        })
    }
}
