//! What would answer a request.

use http::HeaderValue;
use serde::Serialize;

use super::request::Asked;
use crate::config::resolved::{self, Config, Mirror, Route};
use crate::router::{Lookup, Params};

/// A route's backend, with this request's parameters filled in.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Backend {
    /// Forwards it.
    Proxy {
        #[serde(flatten)]
        to: Upstream,
        #[serde(flatten)]
        sends: Sends,
    },
    /// Forwards it to one of several upstreams.
    Split {
        to: Vec<Part>,
        #[serde(flatten)]
        sends: Sends,
    },
    /// One answer from those of several services.
    Aggregate {
        /// Which calls are made when, one a line.
        calls: String,
        to: Vec<Upstream>,
    },
    /// Leads elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The value of `Location`.
        location: String,
    },
    /// Answers by itself. Its values may hold secrets, and are not shown.
    Respond {
        /// The answer's status.
        status: u16,
        /// The names of its fields.
        headers: Vec<String>,
        /// Bytes of its body.
        size: usize,
    },
}

/// An upstream.
#[derive(Debug, Serialize)]
pub(super) struct Upstream {
    /// The upstream's name.
    pub(super) upstream: String,
    pub(super) balance: String,
    pub(super) http: &'static str,
    /// Where the targets are found, if they are not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) discover: Option<String>,
    pub(super) targets: Vec<Target>,
}

/// An upstream among several.
#[derive(Debug, Serialize)]
pub(super) struct Part {
    /// Of the route's requests, in percent.
    pub(super) percent: f64,
    #[serde(flatten)]
    pub(super) upstream: Upstream,
}

/// What a target sees.
#[derive(Debug, Serialize)]
pub(super) struct Sends {
    /// Path and query.
    pub(super) path: String,
    /// The host; none where the request's is not known.
    pub(super) host: Option<String>,
    /// Who gets copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mirror: Option<Copies>,
}

/// Copies for another upstream.
#[derive(Debug, Serialize)]
pub(super) struct Copies {
    pub(super) upstream: String,
    /// Of the requests: `10%`.
    pub(super) share: String,
}

/// One address of an upstream.
#[derive(Debug, Serialize)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) weight: u32,
    pub(super) priority: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) zone: Option<String>,
}

impl Backend {
    pub(super) fn of(
        config: &Config,
        route: &Route,
        asked: &Asked,
        lookup: &Lookup<'_>,
        params: &Params,
    ) -> Option<Backend> {
        Some(match &route.backend {
            resolved::Backend::Proxy { to, path, host, mirror } => {
                let path = path.as_ref().map_or_else(
                    || lookup.path.to_owned(),
                    |template| {
                        let mut path = String::new();
                        template.fill(&mut path, |name| params.get(name, lookup.path));
                        path
                    },
                );
                let sends = Sends {
                    path: asked.with_query(&path),
                    host: host.as_ref().or(asked.authority.as_ref()).map(text),
                    mirror: mirror.as_ref().and_then(|mirror| Copies::of(config, mirror)),
                };
                if let [only] = to.as_slice() {
                    let to = Upstream::of(config.upstreams.get(only.upstream)?);
                    return Some(Backend::Proxy { to, sends });
                }
                let sum: f64 = to.iter().map(|one| f64::from(one.weight)).sum();
                let parts = to.iter().filter_map(|one| {
                    Some(Part {
                        percent: (f64::from(one.weight) * 10_000.0 / sum).round() / 100.0,
                        upstream: Upstream::of(config.upstreams.get(one.upstream)?),
                    })
                });
                Backend::Split {
                    to: parts.collect(),
                    sends,
                }
            }
            resolved::Backend::Aggregate { aggregate, to } => Backend::Aggregate {
                calls: aggregate.explain(),
                to: to
                    .iter()
                    .filter_map(|one| Some(Upstream::of(config.upstreams.get(one.upstream)?)))
                    .collect(),
            },
            resolved::Backend::Redirect { to, status, keep_query } => {
                let mut location = String::new();
                to.fill(&mut location, |name| match name {
                    "host" => Some(lookup.host),
                    "path" => Some(lookup.path),
                    name => params.get(name, lookup.path),
                });
                if let Some(query) = lookup.query.filter(|_| *keep_query) {
                    location.push(if location.contains('?') { '&' } else { '?' });
                    location.push_str(query);
                }
                Backend::Redirect {
                    status: status.as_u16(),
                    location,
                }
            }
            resolved::Backend::Fixed { status, headers, body } => Backend::Respond {
                status: status.as_u16(),
                headers: headers.iter().map(|(name, _)| name.to_string()).collect(),
                size: body.len(),
            },
        })
    }
}

impl Upstream {
    fn of(upstream: &resolved::Upstream) -> Upstream {
        Upstream {
            upstream: upstream.name.clone(),
            balance: upstream.balance.to_string(),
            http: upstream.connections.http.as_str(),
            discover: upstream.discovery.as_ref().map(|discovery| discovery.written.clone()),
            targets: upstream
                .targets
                .iter()
                .map(|target| Target::of(target, upstream))
                .collect(),
        }
    }
}

impl Copies {
    fn of(config: &Config, mirror: &Mirror) -> Option<Copies> {
        Some(Copies {
            upstream: config.upstreams.get(mirror.upstream)?.name.clone(),
            share: mirror.share.to_string(),
        })
    }
}

impl Target {
    fn of(target: &resolved::Target, upstream: &resolved::Upstream) -> Target {
        Target {
            url: match &target.address {
                resolved::Address::Unix(_) => target.address.to_string(),
                address if upstream.connections.tls.is_some() => format!("https://{address}"),
                address => format!("http://{address}"),
            },
            weight: target.weight,
            priority: target.priority,
            zone: target.zone.as_deref().map(str::to_owned),
        }
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
