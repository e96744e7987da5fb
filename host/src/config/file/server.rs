//! `[server]`, `[log]` and `[wasm]`.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::text::Size;
use super::{BytesPerSecond, Compress, Http2Limits, Located, OneOrMany, SizeOrOff, Switch, Text};

/// `[server]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Server")]
pub(crate) struct Server {
    /// `listen = ["0.0.0.0:8080"]`: where clients connect with plain HTTP. Not needed where there is a `[[listener]]`.
    pub(crate) listen: Option<Located<OneOrMany<Located<Text<SocketAddr>>>>>,
    /// `admin = "127.0.0.1:9900"`: where operators connect. Off by default.
    pub(crate) admin: Option<Located<Text<SocketAddr>>>,
    /// `threads = 4`: data-plane threads, one a core by default.
    pub(crate) threads: Option<Located<i64>>,
    /// `handover = "/run/portcullis/handover.sock"`: where a gateway that is started later takes this one's listening
    /// sockets over, so that a restart refuses no connection. Off by default.
    pub(crate) handover: Option<Located<String>>,
    /// `trusted_proxies = ["10.0.0.0/8"]`: who is believed about the client's address (`X-Forwarded-For`, or where
    /// there is none the `for=` of `Forwarded`) and its scheme (`X-Forwarded-Proto`). Nothing else is read.
    pub(crate) trusted_proxies: Option<Located<OneOrMany<Located<Text<IpNet>>>>>,
    /// `merge_slashes = true`: `/a//b` is matched and forwarded as `/a/b`. Off by default.
    pub(crate) merge_slashes: Option<bool>,
    /// `allow_encoded_slash = true`: `%2F` in a path passes instead of a 400. Off by default.
    pub(crate) allow_encoded_slash: Option<bool>,
    /// `allow_encoded_backslash = true`: `%5C` in a path passes instead of a 400. Off by default.
    pub(crate) allow_encoded_backslash: Option<bool>,
    /// `underscores_in_headers = true`: field names with `_` pass. Off by default.
    pub(crate) underscores_in_headers: Option<bool>,
    /// `compress = true`, or `{ encodings = ["zstd", "br", "gzip"], least = "1KiB" }`: responses, for clients that take it.
    /// Off by default. A route may say otherwise.
    pub(crate) compress: Option<Located<Switch<Compress>>>,
    /// `[server.limits]`: what a client may send.
    pub(crate) limits: Option<Located<Limits>>,
    /// `[server.timeouts]`: how long a client may take.
    pub(crate) timeouts: Option<Located<Timeouts>>,
}

/// `[server.limits]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Limits")]
pub(crate) struct Limits {
    /// `connections = 10_000`: at once, over all threads.
    pub(crate) connections: Option<Located<i64>>,
    /// `connections_per_client = 1_000`: at once from one client address.
    pub(crate) connections_per_client: Option<Located<i64>>,
    /// `header_size = "64KiB"`: of a header section.
    pub(crate) header_size: Option<Located<Text<Size>>>,
    /// `header_count = 100`: fields of a header section.
    pub(crate) header_count: Option<Located<i64>>,
    /// `uri_size = "8KiB"`: of a request target.
    pub(crate) uri_size: Option<Located<Text<Size>>>,
    /// `body_size = "10MiB"`: of a request body, or `"off"`. A route may say otherwise.
    pub(crate) body_size: Option<Located<Text<SizeOrOff>>>,
    /// `body_rate = "240B/s"`: how fast a client must send a body and take a response at least, while it is waited for and
    /// once `timeouts.body_grace` is over; or `"off"`. Messages of gRPC may come as slowly as they like.
    pub(crate) body_rate: Option<Located<Text<BytesPerSecond>>>,
    /// `http2_streams = 128`: at once on one HTTP/2 connection.
    pub(crate) http2_streams: Option<Located<i64>>,
    /// `[server.limits.http2]`: how many frames of HTTP/2 may come that cost the gateway more than their sender.
    pub(crate) http2: Option<Located<Http2Limits>>,
}

/// `[server.timeouts]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Timeouts")]
pub(crate) struct Timeouts {
    /// `header = "10s"`: for a request's head.
    pub(crate) header: Option<Located<Text<Duration>>>,
    /// `handshake = "10s"`: for a TLS handshake.
    pub(crate) handshake: Option<Located<Text<Duration>>>,
    /// `idle = "60s"`: between two requests of one connection.
    pub(crate) idle: Option<Located<Text<Duration>>>,
    /// `stall = "60s"`: without progress while a body is read or a response written.
    pub(crate) stall: Option<Located<Text<Duration>>>,
    /// `upgrade_idle = "1h"`: without a byte in either direction once a connection is a WebSocket, say.
    pub(crate) upgrade_idle: Option<Located<Text<Duration>>>,
    /// `body_grace = "20s"`: how long `limits.body_rate` waits for a body before it counts.
    pub(crate) body_grace: Option<Located<Text<Duration>>>,
    /// `drain = "30s"`: for exchanges in flight once the gateway is told to stop.
    pub(crate) drain: Option<Located<Text<Duration>>>,
    /// `handover = "5m"`: for a gateway that takes over to be ready, from when it has the sockets.
    pub(crate) handover: Option<Located<Text<Duration>>>,
    /// `ready = "5s"`: how long a gateway that starts waits at most for the first probes and the first answers of discovery
    /// before it says that it is ready; `"0s"`: not at all.
    pub(crate) ready: Option<Located<Text<Duration>>>,
    /// `reload = "2s"`: the same for a new configuration before it is used.
    pub(crate) reload: Option<Located<Text<Duration>>>,
}

/// `[log]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Log")]
pub(crate) struct Log {
    /// `level = "info"`: `error`, `warn`, `info`, `debug`, `trace` or `off`, also by part: `"info,portcullis=debug"`.
    pub(crate) level: Option<Located<String>>,
    /// `access = "stdout"`: `"stdout"`, `"stderr"`, `"off"`, or the path of a file that is appended to.
    pub(crate) access: Option<Located<String>>,
}

/// `[wasm]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Wasm")]
pub(crate) struct Wasm {
    /// `cache = "/var/cache/portcullis"`: folder of compiled code, or `"off"`.
    pub(crate) cache: Option<Located<String>>,
    /// `instances = 1_000`: filter instances at once, over all threads.
    pub(crate) instances: Option<Located<i64>>,
}

only_tables! {
    Server: "a table: `[server]`",
    Limits: "a table: `[server.limits]`",
    Timeouts: "a table: `[server.timeouts]`",
    Log: "a table: `[log]`",
    Wasm: "a table: `[wasm]`",
}
