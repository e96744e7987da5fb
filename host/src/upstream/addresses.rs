//! Where a target is reached.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::config::resolved::Address;

/// The socket addresses of a target: that of an IP address for ever, those of a name as discovery keeps them.
#[derive(Debug)]
pub(crate) struct Addresses(ArcSwapOption<Vec<SocketAddr>>);

impl Addresses {
    /// Those of an address that says so itself; those of a name are not known yet.
    pub(super) fn of(address: &Address) -> Addresses {
        Addresses(ArcSwapOption::from_pointee(match address {
            Address::Tcp { host, port } => host.parse().ok().map(|ip| vec![SocketAddr::new(ip, *port)]),
            Address::Unix(_) => Some(Vec::new()),
        }))
    }

    /// As they are now: none while a name has not been resolved, or has no address.
    pub(crate) fn now(&self) -> Option<Arc<Vec<SocketAddr>>> {
        self.0.load_full().filter(|addresses| !addresses.is_empty())
    }

    /// Whether there has been an answer, if only that there are none.
    pub(super) fn are_known(&self) -> bool {
        self.0.load().is_some()
    }

    /// The same addresses with another port.
    pub(super) fn with_port(&self, port: u16) -> Addresses {
        let addresses = self.now();
        let moved = addresses.map(|all| all.iter().map(|address| SocketAddr::new(address.ip(), port)).collect());
        Addresses(ArcSwapOption::from_pointee(moved))
    }

    pub(super) fn set(&self, addresses: Vec<SocketAddr>) {
        self.0.store(Some(Arc::new(addresses)));
    }
}
