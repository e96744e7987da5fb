//! `[server]`, `[log]` and `[wasm]`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::Compress;
use super::http2::Http2Limits;

/// `[server]`: the side that faces clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Where operators connect; `None` switches the admin address off.
    pub admin: Option<SocketAddr>,
    /// Data-plane threads; the machine's cores by default.
    pub threads: usize,
    /// Where a gateway that is started later takes the listening sockets over; `None`: nowhere.
    pub handover: Option<PathBuf>,
    /// Who is believed about the client's address (`X-Forwarded-For`, or where there is none the `for=` of `Forwarded`)
    /// and its scheme (`X-Forwarded-Proto`). Nothing else that they say is read.
    pub trusted_proxies: Vec<IpNet>,
    /// How responses are compressed, where the route says nothing else. `None`, the default: not at all.
    pub compress: Option<Compress>,
    /// What a client may send.
    pub limits: Limits,
    /// How long a client may take.
    pub timeouts: Timeouts,
    /// How odd paths are treated.
    pub paths: crate::router::PathRules,
    /// Whether field names with `_` pass. Off by default: CGI-style servers cannot tell `a_b` from `a-b`.
    pub underscores_in_headers: bool,
}

/// Whether an address is one of the trusted proxies.
pub fn is_trusted(proxies: &[IpNet], address: IpAddr) -> bool {
    proxies.iter().any(|net| net.contains(&address.to_canonical()))
}

/// `[server.limits]`
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Connections at once, over all threads. 10,000 by default.
    pub connections: usize,
    /// Connections at once from one client address. 1,000 by default.
    pub connections_per_client: usize,
    /// Bytes of a header section. 64 KiB by default.
    pub header_size: usize,
    /// Fields of a header section. 100 by default.
    pub header_count: usize,
    /// Bytes of a request target. 8 KiB by default.
    pub uri_size: usize,
    /// Bytes of a request body, where the route says nothing else. 10 MiB by default; `None`: no limit.
    pub body_size: Option<u64>,
    /// Streams at once on one HTTP/2 connection. 128 by default.
    pub http2_streams: u32,
    /// Frames of HTTP/2 that cost the gateway more than their sender.
    pub http2: Http2Limits,
}

/// `[server.timeouts]`
#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    /// For a request's head. 10 s by default.
    pub header: Duration,
    /// For a TLS handshake. 10 s by default.
    pub handshake: Duration,
    /// Between two requests of one connection. 60 s by default.
    pub idle: Duration,
    /// Without progress while a body is read or a response written. 60 s by default.
    pub stall: Duration,
    /// Without a byte in either direction once a connection has gone on in another protocol. 1 h by default.
    pub upgrade_idle: Duration,
    /// While a body is read or a response written, in all.
    pub pace: LeastPace,
    /// For exchanges in flight once the gateway is told to stop. 30 s by default.
    pub drain: Duration,
    /// For a gateway that takes over to be ready. 5 min by default: it loads and compiles plugins first.
    pub handover: Duration,
    /// Until it is known how upstreams are doing, when the gateway starts. 5 s by default.
    pub ready: Duration,
    /// The same when a new configuration is to be used. 2 s by default.
    pub reload: Duration,
}

/// `server.limits.body_rate`, and the time before it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct LeastPace {
    /// Bytes a second. 240 by default; `None`: no limit.
    pub rate: Option<u64>,
    /// How long a client may be waited for before it counts. 20 s by default.
    pub grace: Duration,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// A `tracing` filter: `info`, `portcullis=debug`.
    pub level: String,
    /// Where the access log goes.
    pub access: AccessLog,
}

/// `log.access`
#[derive(Debug, Clone, PartialEq)]
pub enum AccessLog {
    /// `"off"`
    Off,
    /// `"stdout"`, the default
    Stdout,
    /// `"stderr"`
    Stderr,
    /// A file that is appended to.
    File(PathBuf),
}

/// `[wasm]`
#[derive(Debug, Clone, PartialEq)]
pub struct Wasm {
    /// Folder of compiled code; `None` switches the cache off. By default `$PORTCULLIS_WASM_CACHE`,
    /// else `$XDG_CACHE_HOME/portcullis`, else `~/.cache/portcullis`.
    pub cache: Option<PathBuf>,
    /// Filter instances at once, over all threads. 1,000 by default.
    pub instances: u32,
}
