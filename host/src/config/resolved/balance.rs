//! `balance` and `sticky` of an upstream.

use std::fmt;
use std::time::Duration;

use http::HeaderName;

use crate::config::units::Share;

/// `balance`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// `"least-request"`, the default: the less busy of two drawn at random.
    LeastRequest,
    /// `"round-robin"`
    RoundRobin,
    /// `"random"`
    Random,
    /// `"peak-ewma"`: of two drawn at random the one that would answer sooner.
    PeakEwma,
    /// `{ hash = "..", surplus = "25%" }`: requests that are equal in this go to the same target; where there is a surplus, as
    /// long as that has no more in flight than its share and so much more.
    Hash(HashKey, Option<Share>),
}

/// What is hashed of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// `header:NAME`
    Header(HeaderName),
    /// `cookie:NAME`
    Cookie(String),
    /// `client-ip`
    ClientAddress,
    /// `path:NAME`: a parameter of the route's match.
    Path(String),
    /// `query:NAME`
    Query(String),
}

/// As it is written.
impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Balance::LeastRequest => f.write_str("least-request"),
            Balance::RoundRobin => f.write_str("round-robin"),
            Balance::Random => f.write_str("random"),
            Balance::PeakEwma => f.write_str("peak-ewma"),
            Balance::Hash(key, None) => write!(f, "hash of {key}"),
            Balance::Hash(key, Some(surplus)) => write!(f, "hash of {key}, surplus {surplus}"),
        }
    }
}

/// As it is written.
impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashKey::Header(name) => write!(f, "header:{name}"),
            HashKey::Cookie(name) => write!(f, "cookie:{name}"),
            HashKey::ClientAddress => f.write_str("client-ip"),
            HashKey::Path(name) => write!(f, "path:{name}"),
            HashKey::Query(name) => write!(f, "query:{name}"),
        }
    }
}

/// `sticky`
#[derive(Clone, PartialEq, Eq)]
pub struct Sticky {
    /// The cookie's name.
    pub cookie: String,
    /// How long a browser keeps it; none: until it is closed.
    pub lasts: Option<Duration>,
    /// Mixed into the cookie's value; may be empty.
    pub key: String,
}

/// The key is a secret.
impl fmt::Debug for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sticky")
            .field("cookie", &self.cookie)
            .field("lasts", &self.lasts)
            .finish_non_exhaustive()
    }
}
