//! What would answer a request.

use http::HeaderValue;
use serde::Serialize;

use super::request::Asked;
use crate::config::resolved::{self, Config, Route};
use crate::router::{Lookup, Params};

/// A route's backend, with this request's parameters filled in.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Backend {
    /// Forwards it.
    Proxy {
        /// The upstream's name.
        upstream: String,
        balance: String,
        http: &'static str,
        /// Where the targets are found, if they are not listed.
        #[serde(skip_serializing_if = "Option::is_none")]
        discover: Option<String>,
        targets: Vec<Target>,
        /// Path and query that the target sees.
        path: String,
        /// The host that the target sees; none where the request's is not known.
        host: Option<String>,
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
            resolved::Backend::Proxy { upstream, path, host } => {
                let upstream = config.upstreams.get(*upstream)?;
                let path = path.as_ref().map_or_else(
                    || lookup.path.to_owned(),
                    |template| {
                        let mut path = String::new();
                        template.fill(&mut path, |name| params.get(name, lookup.path));
                        path
                    },
                );
                Backend::Proxy {
                    upstream: upstream.name.clone(),
                    balance: upstream.balance.to_string(),
                    http: if upstream.http2 { "2" } else { "1.1" },
                    discover: upstream.discovery.as_ref().map(|discovery| discovery.written.clone()),
                    targets: upstream.targets.iter().map(Target::of).collect(),
                    path: asked.with_query(&path),
                    host: host.as_ref().or(asked.authority.as_ref()).map(text),
                }
            }
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

impl Target {
    fn of(target: &resolved::Target) -> Target {
        Target {
            url: format!("http://{}", target.address),
            weight: target.weight,
            priority: target.priority,
            zone: target.zone.as_deref().map(str::to_owned),
        }
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
