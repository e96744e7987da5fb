//! What a plugin may ask of the host, one file each. This is the list: a capability is named here, granted in
//! `config::resolved::Grants`, and linked by its file.

pub(crate) mod jwt;
mod log;
pub(crate) mod rate_limit;

pub(in crate::wasm) use self::log::one_line;

use std::fmt;
use std::sync::Arc;

use crate::config::resolved::Grants;

/// A family of host functions that a plugin may import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Lines in the gateway's log. Needs no grant.
    Log,
    /// Limits counted by the host.
    RateLimit,
    /// JSON Web Tokens verified by the host.
    Jwt,
}

impl Capability {
    /// The capability whose interface has this name.
    pub fn named(interface: &str) -> Option<Capability> {
        [Capability::Log, Capability::RateLimit, Capability::Jwt]
            .into_iter()
            .find(|capability| capability.as_str() == interface)
    }

    /// The name of its interface, and of its grant.
    pub fn as_str(self) -> &'static str {
        match self {
            Capability::Log => "log",
            Capability::RateLimit => "rate-limit",
            Capability::Jwt => "jwt",
        }
    }

    /// Whether a plugin with these grants may import it.
    pub fn is_granted(self, grants: &Grants) -> bool {
        match self {
            Capability::Log => true,
            Capability::RateLimit => grants.rate_limit,
            Capability::Jwt => grants.jwt,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// State behind the capabilities, shared by all threads and kept across reloads.
#[derive(Debug)]
pub struct Services {
    pub(crate) limiters: rate_limit::Limiters,
    pub(crate) key_sets: jwt::KeySets,
}

impl Services {
    /// Services that fetch keys on this runtime, beside the threads that serve traffic; without one, nothing is fetched.
    pub fn new(background: Option<tokio::runtime::Handle>) -> Arc<Services> {
        Arc::new(Services {
            limiters: rate_limit::Limiters::default(),
            key_sets: jwt::KeySets::new(background),
        })
    }

    /// Lets go of what no configuration has used for a while. Called after each reload.
    pub fn forget_unused(&self) {
        self.limiters.forget_unused();
        self.key_sets.forget_unused();
    }
}
