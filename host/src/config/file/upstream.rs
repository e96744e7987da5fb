//! `[upstream.NAME]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::balance::{HashBy, Policy, Sticky};
use super::health::{Eject, Health, Off};
use super::shorthand::LongForm;
use super::{
    Breaker, Discover, Hedge, Located, OneOrMany, Resolver, Retry, Shorthand, Text, UpstreamLimits, UpstreamTls,
};
use crate::config::units::Share;

/// `[upstream.users]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Upstream")]
pub(crate) struct Upstream {
    /// `targets = ["http://127.0.0.1:9001", { url = "http://127.0.0.1:9002", weight = 2 }]`
    pub(crate) targets: Option<Located<OneOrMany<Located<Shorthand<Target>>>>>,
    /// `discover = "dns:users.internal:8080"`: where the targets are found, instead of listing them.
    pub(crate) discover: Option<Located<Shorthand<Discover>>>,
    /// `resolver = "10.0.0.2:53"`: the DNS server that knows the names of the targets, instead of the system's.
    pub(crate) resolver: Option<Located<Text<Resolver>>>,
    /// `balance = "least-request"`, or `{ hash = "header:x-user" }`: how a target is chosen.
    pub(crate) balance: Option<Located<Shorthand<HashBy, Policy>>>,
    /// `sticky = { cookie = "target", for = "1h" }`: a cookie names the target that a client is sent to.
    pub(crate) sticky: Option<Located<Shorthand<Sticky>>>,
    /// `prefer_zone = "eu-1a"`: targets of this zone come before others of their priority.
    pub(crate) prefer_zone: Option<Located<String>>,
    /// `panic = "50%"`: with fewer targets than that available, all are used. `"0%"`: never.
    pub(crate) panic: Option<Located<Text<Share>>>,
    /// `slow_start = "30s"`: how long the share of a target that comes back grows, from a tenth to all of it.
    pub(crate) slow_start: Option<Located<Text<Duration>>>,
    /// `health = "/healthz"`, `"grpc"`, `"tcp"`, or `{ path = "/healthz", every = "5s" }`: how targets are probed.
    pub(crate) health: Option<Located<Shorthand<Health>>>,
    /// `eject = { after = 5, for = "10s" }`, or `"off"`: when a target that keeps failing is left out for a while.
    pub(crate) eject: Option<Located<Shorthand<Eject, Off>>>,
    /// `http = "1.1"`, `"2"`, or `"auto"` for what a target prefers over TLS, and HTTP/1.1 without.
    pub(crate) http: Option<Located<HttpVersion>>,
    /// `tls = { roots = "ca.pem" }`: how targets are trusted, where they are `https`.
    pub(crate) tls: Option<Located<UpstreamTls>>,
    /// `proxy_protocol = "v2"`: tells targets the client's address by the PROXY protocol.
    pub(crate) proxy_protocol: Option<Located<TargetsProxyProtocol>>,
    /// `connect_timeout = "2s"`: to connect.
    pub(crate) connect_timeout: Option<Located<Text<Duration>>>,
    /// `response_timeout = "60s"`: from handing over the request's last byte to the response's head; and before, while the
    /// target takes nothing of the request's body.
    pub(crate) response_timeout: Option<Located<Text<Duration>>>,
    /// `idle_timeout = "60s"`: without progress in the response's body.
    pub(crate) idle_timeout: Option<Located<Text<Duration>>>,
    /// `keep = 64`: idle connections kept for each target on each thread.
    pub(crate) keep: Option<Located<i64>>,
    /// `keep_for = "30s"`: how long an idle connection is kept.
    pub(crate) keep_for: Option<Located<Text<Duration>>>,
    /// `connections = 100`: connections to each target, over all threads. No limit by default.
    pub(crate) connections: Option<Located<i64>>,
    /// `pending = 1000`: requests that may wait for one of these connections, for each target.
    pub(crate) pending: Option<Located<i64>>,
    /// `reuse_for = "1h"`: how old a connection may be to serve another request.
    pub(crate) reuse_for: Option<Located<Text<Duration>>>,
    /// `requests_per_connection = 1000`: requests sent over one connection. No limit by default.
    pub(crate) requests_per_connection: Option<Located<i64>>,
    /// `tcp_keepalive = "60s"`: when the kernel first asks whether a silent peer is still there.
    pub(crate) tcp_keepalive: Option<Located<Text<Duration>>>,
    /// `try_timeout = "5s"`: for one try as a whole, up to the response's head.
    pub(crate) try_timeout: Option<Located<Text<Duration>>>,
    /// `deadline_header = "x-request-timeout-ms"`: tells targets how long an answer is waited for.
    pub(crate) deadline_header: Option<Located<String>>,
    /// `retry = { tries = 3, on = ["connect", "reset", "503"] }`, or `"off"`: when a request is sent again.
    pub(crate) retry: Option<Located<Shorthand<Retry>>>,
    /// `hedge = { after = "50ms" }`: when a second request is sent beside the first.
    pub(crate) hedge: Option<Located<Shorthand<Hedge>>>,
    /// `limits = { requests = 1024, pending = 256 }`: requests at once.
    pub(crate) limits: Option<Located<UpstreamLimits>>,
    /// `breaker = { errors = "50%" }`: when nothing more is sent for a while.
    pub(crate) breaker: Option<Located<Breaker>>,
}

/// `{ url = "http://127.0.0.1:9002", weight = 2 }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// `url = "http://127.0.0.1:9002"`: scheme, host and port, no path; or `url = "unix:/run/users.sock"`.
    #[schemars(required)]
    pub(crate) url: Option<Located<String>>,
    /// `weight = 2`: its share of the load, 1 to 1,000.
    pub(crate) weight: Option<Located<i64>>,
    /// `priority = 1`: used as those of a lower number fail, 0 to 100.
    pub(crate) priority: Option<Located<i64>>,
    /// `zone = "eu-1a"`: where it is.
    pub(crate) zone: Option<Located<String>>,
}

/// A file of its own that lists targets: `discover = "file:targets.toml"`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a list of targets")]
pub(crate) struct TargetsFile {
    /// `targets = ["http://127.0.0.1:9001"]`, as in an upstream.
    pub(crate) targets: Option<Located<OneOrMany<Located<Shorthand<Target>>>>>,
}

impl LongForm for Target {
    const EXPECTED: &'static str = "`\"http://host:port\"` or `{ url = \"http://host:port\", weight = 2 }`";
}

/// The protocol spoken to targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum HttpVersion {
    /// HTTP/1.1.
    #[serde(rename = "1.1")]
    One,
    /// HTTP/2: by prior knowledge, or agreed upon over TLS.
    #[serde(rename = "2")]
    Two,
    /// What the target prefers over TLS; HTTP/1.1 without.
    #[serde(rename = "auto")]
    Auto,
}

/// The version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum TargetsProxyProtocol {
    /// A line of text.
    #[serde(rename = "v1")]
    V1,
    /// Binary.
    #[serde(rename = "v2")]
    V2,
}

only_tables! {
    Upstream: "a table: `[upstream.NAME]`",
}
