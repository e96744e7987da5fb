//! The configuration as written: serde structs that mirror the file, one module per table.
//!
//! Nothing here is required and nothing has a default: a key that is missing is `None`, so that [`resolve`] can say
//! what is missing, with its place, together with everything else. Each field's documentation shows the line the user
//! writes.
//!
//! [`resolve`]: super::resolve

#[macro_use]
mod only_table;

mod acme;
mod aggregate;
mod balance;
mod breaker;
mod compress;
mod discovery;
mod filter;
mod health;
mod http2;
mod http3;
mod listener;
mod located;
mod pace;
mod retry;
mod route;
mod server;
mod shorthand;
mod text;
mod traffic;
mod upstream;
mod upstream_tls;
mod written;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use acme::{Acme, AcmeChallenge, ExternalAccount};
pub(crate) use aggregate::{Aggregate, AggregateCall, Foreach, Status};
pub(crate) use balance::Policy;
pub(crate) use breaker::{Breaker, UpstreamLimits};
pub(crate) use compress::Compress;
pub(crate) use discovery::{Discover, Resolver};
pub(crate) use filter::{Filter, FilterEntry, FilterLimits, FilterRules, OnFailure, Plugin, Quarantine};
pub(crate) use health::{Health, ProbeKind};
pub(crate) use http2::{Http2Limits, PerSecond};
pub(crate) use http3::Http3;
pub(crate) use listener::{
    Certificate, ClientCertificates, ClientMode, HttpsPort, Listener, ProxyProtocol, Tls, TlsVersion,
};
pub(crate) use located::{Located, Named};
pub(crate) use pace::BytesPerSecond;
pub(crate) use retry::{Hedge, Retry};
pub(crate) use route::{Match, Redirect, Respond, Route, ValueMatch};
pub(crate) use server::{Limits, Log, Server, Timeouts, Wasm};
pub(crate) use shorthand::{OneOrMany, Shorthand, Switch};
pub(crate) use text::{Size, SizeOrOff, Text};
pub(crate) use traffic::{Destination, Fault, Mirror};
pub(crate) use upstream::{HttpVersion, Target, TargetsFile, TargetsProxyProtocol, Upstream};
pub(crate) use upstream_tls::{UpstreamTls, Verify};
pub(crate) use written::{Table, Written};

/// A Portcullis configuration file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a configuration")]
pub(crate) struct File {
    /// `version = 1`: which rules this file follows. Not in included files.
    pub(crate) version: Option<Located<i64>>,
    /// `include = ["routes.d/*.toml"]`: more files, by patterns relative to this one. They may hold everything but
    /// `version`, `[server]`, `[log]` and `[wasm]`.
    pub(crate) include: Option<Located<OneOrMany<Located<String>>>>,
    /// `[server]`: the side that faces clients.
    pub(crate) server: Option<Located<Server>>,
    /// `[[listener]]`: an address for clients, with TLS, the PROXY protocol, or routes of its own.
    #[serde(default)]
    pub(crate) listener: Vec<Located<Listener>>,
    /// `[log]`: what is logged, and where to.
    pub(crate) log: Option<Located<Log>>,
    /// `[wasm]`: where filters run.
    pub(crate) wasm: Option<Located<Wasm>>,
    /// `[upstream.users]`: a named set of targets.
    #[serde(default)]
    pub(crate) upstream: Named<Upstream>,
    /// `[plugin.geo]`: a plugin of your own; the standard ones need no entry.
    #[serde(default)]
    pub(crate) plugin: Named<Plugin>,
    /// `[filter.signed-in]`: a filter shared by several routes.
    #[serde(default)]
    pub(crate) filter: Named<Filter>,
    /// `[[route]]`: a match, filters, and what answers.
    #[serde(default)]
    pub(crate) route: Vec<Located<Route>>,
}
