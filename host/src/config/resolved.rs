//! The configuration, checked: what the rest of the gateway builds itself from. Nothing in here can be invalid.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, Uri};
use ipnet::IpNet;

use super::settings::SettingsPlaces;
use super::source::Place;
use crate::router::{Pattern, Template};

/// A whole gateway's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listeners, limits and threads.
    pub server: Server,
    /// What is logged, and where to.
    pub log: Log,
    /// Where filters run.
    pub wasm: Wasm,
    /// By name.
    pub upstreams: Vec<Arc<Upstream>>,
    /// The routes, in the order written.
    pub routes: Vec<Route>,
    /// Every file that was read: the configuration, what it includes, and what `${file:}` names. A change of one of
    /// them, or of a plugin's file, is a reason to load again.
    pub files: Vec<PathBuf>,
}

/// `[server]`: the side that faces clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Where clients connect: `127.0.0.1:8080`. At least one.
    pub listen: Vec<SocketAddr>,
    /// Where operators connect; `None` switches the admin address off.
    pub admin: Option<SocketAddr>,
    /// Data-plane threads; the machine's cores by default.
    pub threads: usize,
    /// Who is believed about the client's address (`X-Forwarded-For`, or where there is none the `for=` of `Forwarded`)
    /// and its scheme (`X-Forwarded-Proto`). Nothing else that they say is read.
    pub trusted_proxies: Vec<IpNet>,
    /// What a client may send.
    pub limits: Limits,
    /// How long a client may take.
    pub timeouts: Timeouts,
    /// How odd paths are treated.
    pub paths: crate::router::PathRules,
    /// Whether field names with `_` pass. Off by default: CGI-style servers cannot tell `a_b` from `a-b`.
    pub underscores_in_headers: bool,
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
}

/// `[server.timeouts]`
#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    /// For a request's head. 10 s by default.
    pub header: Duration,
    /// Between two requests of one connection. 60 s by default.
    pub idle: Duration,
    /// Without progress while a body is read or a response written. 60 s by default.
    pub stall: Duration,
    /// For exchanges in flight once the gateway is told to stop. 30 s by default.
    pub drain: Duration,
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

/// `[upstream.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// At least one.
    pub targets: Vec<Target>,
    /// How a target is chosen.
    pub balance: Balance,
    /// HTTP/2 by prior knowledge instead of HTTP/1.1.
    pub http2: bool,
    /// To connect. 2 s by default.
    pub connect_timeout: Duration,
    /// From the request's last byte to the response's head. 60 s by default.
    pub response_timeout: Duration,
    /// Without progress in the response's body. 60 s by default.
    pub idle_timeout: Duration,
    /// Idle connections kept for each target on each thread. 64 by default.
    pub keep: usize,
    /// How long an idle connection is kept. 30 s by default.
    pub keep_for: Duration,
    /// Targets tried, at most, when connecting fails. 3 by default.
    pub tries: u32,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// `http://host[:port]`, no path.
    pub url: Uri,
    /// Its share of the load. 1 by default, 1 to 1,000.
    pub weight: u32,
}

/// `balance`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// `"least-request"`, the default: the less busy of two drawn at random.
    LeastRequest,
    /// `"round-robin"`
    RoundRobin,
}

/// `[[route]]`
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name in logs and metrics: as written, or the text of its match.
    pub name: Arc<str>,
    /// What it matches. A route may have several (`match = ["GET /a", "GET /b"]`).
    pub matches: Vec<Pattern>,
    /// Its filters, in order.
    pub filters: Vec<FilterUse>,
    /// What answers it.
    pub backend: Backend,
    /// One deadline for the whole exchange, filters and all, up to the response's head. 60 s by default.
    pub timeout: Duration,
    /// Overrides `limits.body_size`: outer `None` keeps the server's, inner `None` is no limit.
    pub body_size: Option<Option<u64>>,
    /// Where it is written.
    pub place: Place,
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

/// A plugin as used on a route, with its own settings. `Debug` shows them as written, without secrets.
#[derive(Clone)]
pub struct FilterUse {
    /// Its name in logs and metrics: that of its `[filter.NAME]`, or its `name`, or the plugin's.
    pub name: Arc<str>,
    /// Whether it is a `[filter.NAME]`, one filter for all routes that list it, rather than written on its route.
    pub shared: bool,
    /// The plugin it uses.
    pub plugin: Arc<Plugin>,
    /// Its settings as JSON, `${..}` filled in. Holds secrets: never to be logged or shown.
    pub settings: Arc<serde_json::Value>,
    /// The same as written, `${..}` left alone: safe to show.
    pub settings_shown: Arc<serde_json::Value>,
    /// Where each of the settings is written.
    pub settings_places: Arc<SettingsPlaces>,
    /// What it may use up.
    pub limits: FilterLimits,
    /// What happens to an exchange when the filter fails.
    pub on_failure: OnFailure,
    /// Calls that one instance serves before it is replaced: 1 gives a pristine instance to every call. 100,000 by default.
    pub reuse: u32,
    /// When it is taken out of service after failures.
    pub quarantine: Quarantine,
    /// Where it is written: the name in `[filter.NAME]`, or its entry on the route.
    pub place: Place,
}

impl fmt::Debug for FilterUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterUse")
            .field("name", &self.name)
            .field("plugin", &self.plugin.name)
            .field("settings", &self.settings_shown)
            .field("limits", &self.limits)
            .field("on_failure", &self.on_failure)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// A compiled component that filters are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// Of its `[plugin.NAME]`, or the standard plugin's.
    pub name: String,
    /// Where its bytes come from.
    pub source: PluginSource,
    /// The capabilities it may import.
    pub grants: Grants,
    /// Where it is declared, or first used.
    pub place: Place,
}

/// Where a plugin's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PluginSource {
    /// One of those inside the binary.
    Standard(String),
    /// A `.wasm` file.
    File(PathBuf),
}

/// `grant = { rate-limit = true, jwt = true }`; a standard plugin has what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grants {
    /// `rate-limit`
    pub rate_limit: bool,
    /// `jwt`
    pub jwt: bool,
}

/// `limits = { memory = "16MiB", cpu = "10ms", time = "1s" }`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FilterLimits {
    /// Bytes of linear memory of one instance. 16 MiB by default, 256 MiB at most.
    pub memory: usize,
    /// Computing time of one call, to the millisecond. 10 ms by default.
    pub cpu: Duration,
    /// Wall-clock time of one call, waiting included. 1 s by default.
    pub time: Duration,
    /// Bytes that a filter may ask to buffer of a body. 1 MiB by default.
    pub body: u64,
}

/// `on_failure = "reject" | "skip"`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// The exchange gets a 5xx. The default.
    Reject,
    /// The exchange goes on as if the filter were not there.
    Skip,
}

/// `quarantine = { after = 10, first = "1s", longest = "60s" }`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quarantine {
    /// Failures in a row; 0 switches quarantine off. 10 by default.
    pub after: u32,
    /// How long the first one lasts; each further one lasts twice as long. 1 s by default.
    pub first: Duration,
    /// How long one lasts at most. 60 s by default.
    pub longest: Duration,
}

/// Whether an address is one of the trusted proxies.
pub fn is_trusted(proxies: &[IpNet], address: IpAddr) -> bool {
    proxies.iter().any(|net| net.contains(&address.to_canonical()))
}
