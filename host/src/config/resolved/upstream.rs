//! `[upstream.NAME]`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Balance, Connections, Discovery, Eject, Health, Resilience, Sticky};
use crate::config::units::Share;

/// `[upstream.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Those listed; none where they are discovered.
    pub targets: Vec<Target>,
    /// Where its targets are found, if they are not listed.
    pub discovery: Option<Discovery>,
    /// Who is asked for the names of targets; none: the system's resolver.
    pub resolver: Option<SocketAddr>,
    /// How a target is chosen.
    pub balance: Balance,
    /// A cookie names the target that a client is sent to.
    pub sticky: Option<Sticky>,
    /// Targets of this zone come before others of their priority.
    pub prefer_zone: Option<Arc<str>>,
    /// With a smaller share of targets available, all are used. 50 % by default.
    pub panic: Share,
    /// How long the share of a target that comes back grows. Not at all by default.
    pub slow_start: Option<Duration>,
    /// How targets are probed; none: not at all.
    pub health: Option<Health>,
    /// When a target that keeps failing is left out for a while; none: never.
    pub eject: Option<Eject>,
    /// How targets are connected to.
    pub connections: Connections,
    /// To connect, TLS included. 2 s by default.
    pub connect_timeout: Duration,
    /// From handing over the request's last byte to the response's head, and while nothing of the body is taken. 60 s by
    /// default.
    pub response_timeout: Duration,
    /// Without progress in the response's body. 60 s by default.
    pub idle_timeout: Duration,
    /// What is done when targets do badly.
    pub resilience: Resilience,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Where it listens.
    pub address: Address,
    /// Its share of the load. 1 by default, 1 to 1,000.
    pub weight: u32,
    /// Used as those of a lower number fail. 0 by default.
    pub priority: u32,
    /// Where it is.
    pub zone: Option<Arc<str>>,
}

impl Target {
    /// A target with all else as by default.
    pub(crate) fn at(address: Address) -> Target {
        Target {
            address,
            weight: 1,
            priority: 0,
            zone: None,
        }
    }
}

/// Where a target listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `http://host:port`: a name or an IP address (IPv6 without brackets), and a port.
    Tcp {
        /// `users.internal`, `127.0.0.1`, `::1`.
        host: Arc<str>,
        /// 80 by default.
        port: u16,
    },
    /// `unix:/run/users.sock`
    Unix(Arc<Path>),
}

impl Address {
    /// The host's name, where it has to be resolved.
    pub(crate) fn name(&self) -> Option<(&Arc<str>, u16)> {
        match self {
            Address::Tcp { host, port } if host.parse::<IpAddr>().is_err() => Some((host, *port)),
            _ => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp {
            host: address.ip().to_string().into(),
            port: address.port(),
        }
    }
}

/// As in metrics and log: `users.internal:8080`, `[::1]:8080`, `unix:/run/users.sock`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
