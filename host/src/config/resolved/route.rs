//! `[[route]]`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use super::FilterUse;
use crate::config::source::Place;
use crate::router::{Pattern, Template};

/// `[[route]]`
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name in logs and metrics: as written, or the text of its match.
    pub name: Arc<str>,
    /// What it matches. A route may have several (`match = ["GET /a", "GET /b"]`).
    pub matches: Vec<Pattern>,
    /// The names of the listeners that it is served on; none is all of them.
    pub listeners: Vec<Arc<str>>,
    /// Its filters, in order.
    pub filters: Vec<FilterUse>,
    /// What answers it.
    pub backend: Backend,
    /// One deadline for the whole exchange, filters and all, up to the response's head. 60 s by default.
    pub timeout: Duration,
    /// Overrides `limits.body_size`: outer `None` keeps the server's, inner `None` is no limit.
    pub body_size: Option<Option<u64>>,
    /// Protocols that its clients may go on in, where the upstream agrees. `websocket` by default, none without an upstream.
    pub upgrades: Vec<Box<str>>,
    /// Where it is written.
    pub place: Place,
}

impl Route {
    /// Whether it is served on this listener.
    pub fn is_served_on(&self, listener: &str) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|name| **name == *listener)
    }
}

/// What answers a route.
#[derive(Debug, Clone)]
pub enum Backend {
    /// `to = "users"`
    Proxy {
        /// Index into [`Config::upstreams`].
        upstream: usize,
        /// `rewrite = { path = "/api/{id}" }`; `None` forwards the path that was matched.
        path: Option<Template>,
        /// `rewrite = { host = "internal.example" }`; `None` forwards the client's.
        host: Option<HeaderValue>,
    },
    /// `redirect = "https://example.com/{rest}"` or `{ to = "...", status = 301 }`; 308 by default.
    Redirect {
        /// The value of `Location`.
        to: Template,
        /// 301, 302, 303, 307 or 308.
        status: StatusCode,
        /// Whether the request's query is appended. True by default.
        keep_query: bool,
    },
    /// `respond = { status = 200, json = { .. } }` (or `body = ".."`, `headers = { .. }`).
    Fixed {
        /// 200 by default.
        status: StatusCode,
        /// `content-type` is set from `json` or `body` where it is not written.
        headers: Vec<(HeaderName, HeaderValue)>,
        /// The whole body.
        body: bytes::Bytes,
    },
}
