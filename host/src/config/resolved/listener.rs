//! `[[listener]]`, and the addresses of `server.listen`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::{Acme, Http3};
use crate::tls::Certificate;

/// Where clients connect, and how they are met there.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// What routes call it: as written, `default` for `server.listen`, or else its first address.
    pub name: Arc<str>,
    /// At least one.
    pub addresses: Vec<ListenAddress>,
    /// The mode of its Unix sockets; `None` leaves it to the umask.
    pub mode: Option<u32>,
    /// `None` is plain HTTP.
    pub tls: Option<Tls>,
    /// Who is believed about the client's address, in the PROXY protocol, which is then required.
    pub proxy_protocol: Option<Vec<IpNet>>,
    /// The port of HTTPS that every request is sent to.
    pub redirect_to_https: Option<u16>,
    /// Whether HTTP/2 is spoken. True by default.
    pub http2: bool,
    /// HTTP/3, beside TLS on TCP. Off by default.
    pub http3: Option<Http3>,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A socket of this machine, by its absolute path.
    Unix(PathBuf),
}

/// `tls = { .. }`
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// In the order written. At least one, but where there is `acme`.
    pub certificates: Vec<Arc<Certificate>>,
    /// Those that the gateway obtains itself.
    pub acme: Vec<Acme>,
    /// The oldest version that is spoken. 1.2 by default.
    pub min_version: TlsVersion,
    /// Whether a client that names no host that a certificate is for is refused. Off by default: it is shown the first.
    pub strict_sni: bool,
    /// What clients must show; `None` asks for nothing.
    pub client: Option<ClientCertificates>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// `client = { .. }`
#[derive(Debug, Clone, PartialEq)]
pub struct ClientCertificates {
    /// Who may have issued them.
    pub roots: Vec<CertificateDer<'static>>,
    /// What they have revoked. Where there is any list, a certificate whose issuer has none is refused.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    /// Whether a client that shows none is refused. True by default.
    pub required: bool,
    /// Whether upstreams get the certificate as `Client-Cert` (RFC 9440). Off by default.
    pub forward: bool,
}

impl Listener {
    /// Plain HTTP, as `server.listen` has it.
    pub fn plain(name: Arc<str>, addresses: Vec<ListenAddress>) -> Listener {
        Listener {
            name,
            addresses,
            mode: None,
            tls: None,
            proxy_protocol: None,
            redirect_to_https: None,
            http2: true,
            http3: None,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl ListenAddress {
    /// Whether it is a free port each time it is asked for: port 0.
    pub fn is_any_port(&self) -> bool {
        matches!(self, ListenAddress::Tcp(address) if address.port() == 0)
    }
}
