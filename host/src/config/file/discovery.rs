//! `discover` of an upstream: where its targets are found.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::shorthand::LongForm;
use super::text::FromText;
use super::{Located, OneOrMany, Text};
use crate::config::wording::Fault;

/// `{ from = "dns:users.internal:8080", every = "5s" }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Discover {
    /// `from = "dns:users.internal:8080"`, `"dns-srv:_http._tcp.orders.internal"`, `"file:targets.toml"`,
    /// `"consul:orders"` or `"kubernetes:shop/orders:http"`.
    #[schemars(required)]
    pub(crate) from: Option<Located<String>>,
    /// `grace = "1m"`: how long the last targets are kept when none are found any more; `"0s"`: not at all.
    pub(crate) grace: Option<Located<Text<Duration>>>,
    /// `backoff = "1s"`: before asking again after an error; up to twice as long after each further one.
    pub(crate) backoff: Option<Located<Text<Duration>>>,
    /// `longest_backoff = "30s"`: the longest of these.
    pub(crate) longest_backoff: Option<Located<Text<Duration>>>,
    /// `every = "5s"`: how often DNS is asked, whatever the TTL of its answers.
    pub(crate) every: Option<Located<Text<Duration>>>,
    /// `resolver = "10.0.0.2:53"`: the DNS server to ask instead of the system's.
    pub(crate) resolver: Option<Located<Text<Resolver>>>,
    /// `address = "http://127.0.0.1:8500"`: where Consul's HTTP API is.
    pub(crate) address: Option<Located<String>>,
    /// `tag = "v2"`: only instances of the Consul service that have this tag, or all of these.
    pub(crate) tag: Option<Located<OneOrMany<Located<String>>>>,
    /// `datacenter = "dc2"`: of the Consul service, if not the agent's own.
    pub(crate) datacenter: Option<Located<String>>,
    /// `server = "https://10.0.0.1:6443"`: the Kubernetes API, if not that of the cluster the gateway runs in.
    pub(crate) server: Option<Located<String>>,
    /// `token = "${env:CONSUL_TOKEN}"`: for Consul, or for the Kubernetes API at `server`.
    pub(crate) token: Option<Located<String>>,
    /// `ca = "ca.pem"`: the certificates that Consul's or Kubernetes' own must lead to, instead of the system's.
    pub(crate) ca: Option<Located<String>>,
}

impl LongForm for Discover {
    const EXPECTED: &'static str = "`\"dns:users.internal:8080\"` or `{ from = \"dns:users.internal:8080\", .. }`";
}

/// The address of a DNS server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resolver(pub(crate) SocketAddr);

impl FromText for Resolver {
    const EXPECTED: &'static str = "the address of a DNS server such as `10.0.0.2:53`";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let plain = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        let address = text.parse::<SocketAddr>().ok().or(plain.ok());
        let fault = || Fault::new("not the address of a DNS server", "expected an IP address and a port");
        address
            .filter(|address| address.port() != 0)
            .map(Resolver)
            .ok_or_else(|| fault().help("write for example `10.0.0.2:53` or `[fd00::2]:53`"))
    }
}
