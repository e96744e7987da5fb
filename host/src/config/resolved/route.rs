//! `[[route]]`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use super::{Compress, FilterUse, Hedge, Retry};
use crate::backend::aggregate::Aggregate;
use crate::config::source::Place;
use crate::config::units::Share;
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
    /// Whether `timeout` is written, so that it holds for a gRPC call as a whole and is passed on as its `grpc-timeout`.
    pub timeout_written: bool,
    /// What goes wrong on purpose.
    pub fault: Option<Fault>,
    /// Overrides `limits.body_size`: outer `None` keeps the server's, inner `None` is no limit.
    pub body_size: Option<Option<u64>>,
    /// Protocols that its clients may go on in, where the upstream agrees. `websocket` by default, none without an upstream.
    pub upgrades: Vec<Box<str>>,
    /// Whether the upstream's early hints (103) are passed on. Off by default.
    pub early_hints: bool,
    /// How its responses are compressed.
    pub compress: Option<Compress>,
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
    /// `to = "users"`, or `to = [{ upstream = "users", weight = 95 }, ..]`
    Proxy {
        /// At least one, and the sum of weights is not 0.
        to: Vec<Destination>,
        /// `rewrite = { path = "/api/{id}" }`; `None` forwards the path that was matched.
        path: Option<Template>,
        /// `rewrite = { host = "internal.example" }`; `None` forwards the client's.
        host: Option<HeaderValue>,
        /// `mirror = { to = "shadow", share = "10%" }`
        mirror: Option<Mirror>,
    },
    /// `[route.aggregate]`
    Aggregate {
        /// Its calls.
        aggregate: Arc<Aggregate>,
        /// The upstream of each of them.
        to: Vec<Destination>,
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

/// One upstream of a route, with what the route says over the upstream's own settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// Index into [`Config::upstreams`](super::Config::upstreams).
    pub upstream: usize,
    /// Its share of the sum of all weights.
    pub weight: u32,
    /// For one try as a whole.
    pub try_timeout: Option<Duration>,
    /// When a request is sent again.
    pub retry: Retry,
    /// Whether the route has a budget of its own for that.
    pub own_budget: bool,
    /// When a second request is sent beside the first.
    pub hedge: Option<Hedge>,
}

/// `mirror = { to = "shadow", share = "10%" }`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mirror {
    /// Index into [`Config::upstreams`](super::Config::upstreams).
    pub upstream: usize,
    /// Of the requests that are copied.
    pub share: Share,
    /// Bytes of bodies that copies may hold on one thread, all together. 16 MiB by default.
    pub buffer: u64,
}

/// `fault = { delay = "200ms", delay_share = "10%", abort = 503, abort_share = "5%" }`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// Added to this share of the requests.
    pub delay: Option<(Duration, Share)>,
    /// Answered to this share of the requests, in place of the backend.
    pub abort: Option<(StatusCode, Share)>,
}
