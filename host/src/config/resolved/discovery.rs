//! `discover` of an upstream.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

/// Where the targets of an upstream are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovery {
    /// What is asked.
    pub from: DiscoverySource,
    /// The same as written: `dns:users.internal:8080`.
    pub written: String,
    /// How long the last targets are kept when none are found any more. 1 minute by default; zero: not at all.
    pub grace: Duration,
    /// How soon it is asked again after errors.
    pub pauses: Pauses,
}

/// `backoff` and `longest_backoff`: each is twice the one before, and between a half and all of it is taken, so that many
/// gateways do not come back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// 1 s by default.
    pub first: Duration,
    /// 30 s by default.
    pub longest: Duration,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
        }
    }
}

/// What is asked for targets.
#[derive(Debug, Clone, PartialEq)]
pub enum DiscoverySource {
    /// `dns:users.internal:8080`
    Dns {
        /// A name with A or AAAA records.
        host: Arc<str>,
        /// That of every target.
        port: u16,
        /// Who is asked, and how often.
        asking: Asking,
    },
    /// `dns-srv:_http._tcp.orders.internal`
    DnsSrv {
        /// A name with SRV records.
        name: Arc<str>,
        /// Who is asked, and how often.
        asking: Asking,
    },
    /// `file:targets.toml`
    File(PathBuf),
    /// `consul:orders`
    Consul(Consul),
    /// `kubernetes:shop/orders:http`
    Kubernetes(Kubernetes),
}

/// How names are resolved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asking {
    /// The DNS server; none: the system's, after `/etc/hosts`.
    pub resolver: Option<SocketAddr>,
    /// How often; none: as the TTL of the answers says.
    pub every: Option<Duration>,
}

/// A service in Consul.
#[derive(Debug, Clone, PartialEq)]
pub struct Consul {
    /// Its name.
    pub service: String,
    /// Of the HTTP API: scheme, host and port. `http://127.0.0.1:8500` by default.
    pub address: Uri,
    /// Those that its instances must have, all of them.
    pub tags: Vec<String>,
    /// Where it is, if not in the agent's own.
    pub datacenter: Option<String>,
    /// What Consul's ACLs ask for.
    pub token: Option<Token>,
    /// What Consul's certificate must lead to; none: the system's roots.
    pub roots: Option<Roots>,
}

/// A service in Kubernetes.
#[derive(Debug, Clone, PartialEq)]
pub struct Kubernetes {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Which of its ports.
    pub port: ServicePort,
    /// The API; none: that of the cluster the gateway runs in.
    pub server: Option<Uri>,
    /// What the API asks for. In the cluster it is that of the service account.
    pub token: Option<Token>,
    /// What the API's certificate must lead to; none: the system's roots, in the cluster its own.
    pub roots: Option<Roots>,
}

/// A port of a service's EndpointSlices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServicePort {
    /// The only one.
    Only,
    /// `http`
    Named(String),
    /// `8080`: that of the pods.
    Number(u16),
}

/// A secret, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub(crate) fn new(secret: String) -> Token {
        Token(secret)
    }

    /// The secret itself, for whom it is meant.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Certificates that are trusted, each in DER.
#[derive(Clone, PartialEq, Eq)]
pub struct Roots(pub(crate) Arc<[Vec<u8>]>);

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.0.len())
    }
}
