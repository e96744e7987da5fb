//! The configuration, checked: what the rest of the gateway builds itself from. Nothing in here can be invalid.

mod acme;
mod balance;
mod compress;
mod connections;
mod discovery;
mod filter;
mod health;
mod http2;
mod http3;
mod listener;
mod resilience;
mod route;
mod server;
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;

pub use acme::{Acme, AcmeAuthority, AcmeChallenge, AcmeStore, ExternalAccount, SecretBytes};
pub use balance::{Balance, HashKey, Sticky};
pub use compress::{Compress, Encoding, Levels, MediaPattern};
pub use connections::{Connections, HttpVersion, ProxyProtocol, TargetTls};
pub use discovery::{Asking, Consul, Discovery, DiscoverySource, Kubernetes, Pauses, Roots, ServicePort, Token};
pub use filter::{FilterLimits, FilterUse, Grants, OnFailure, Plugin, PluginSource, Quarantine};
pub use health::{Eject, Health, Probe};
pub use http2::Http2Limits;
pub use http3::Http3;
pub use listener::{ClientCertificates, ListenAddress, Listener, Tls, TlsVersion};
pub use resilience::{Breaker, Hedge, Resilience, Retry, RetryOn, UpstreamLimits};
pub use route::{Backend, Destination, Fault, Mirror, Route};
pub use server::{AccessLog, LeastPace, Limits, Log, Server, Timeouts, Wasm, is_trusted};
pub use upstream::{Address, Target, Upstream};

/// A whole gateway's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Limits and threads.
    pub server: Server,
    /// Where clients connect: `server.listen` first, then each `[[listener]]`. At least one.
    pub listeners: Vec<Listener>,
    /// What is logged, and where to.
    pub log: Log,
    /// Where filters run.
    pub wasm: Wasm,
    /// By name.
    pub upstreams: Vec<Arc<Upstream>>,
    /// The routes, in the order written.
    pub routes: Vec<Route>,
    /// Every file that was read: the configuration, what it includes, what `${file:}` names, and certificates. A change of one of
    /// them, or of a plugin's file, is a reason to load again.
    pub files: Vec<PathBuf>,
}
