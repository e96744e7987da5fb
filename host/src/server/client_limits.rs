//! How many connections there may be, in all and from one client.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::resolved::Limits;

/// Counts the connections of all threads. Asked once a connection, never for a request.
#[derive(Debug, Default)]
pub(crate) struct ClientLimits {
    all: AtomicUsize,
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place in the counts, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Arc<ClientLimits>,
    /// None while it is not known, and for clients on this machine's own sockets.
    client: Option<IpAddr>,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are as many as there may be.
    All,
    /// This client has as many as it may have.
    Client,
}

impl ClientLimits {
    /// Counts a connection, if it may be; its client's, too, where that is known.
    pub(crate) fn admit(self: &Arc<Self>, client: Option<IpAddr>, limits: &Limits) -> Result<Admission, Full> {
        if self.all.fetch_add(1, Ordering::Relaxed) >= limits.connections {
            self.all.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::All);
        }
        let mut admission = Admission {
            limits: self.clone(),
            client: None,
        };
        match client {
            Some(client) => admission.count_for(client, limits).map(|()| admission),
            None => Ok(admission),
        }
    }
}

impl Admission {
    /// Counts the connection for a client that was not known before, and for nobody else any more.
    pub(crate) fn count_for(&mut self, client: IpAddr, limits: &Limits) -> Result<(), Full> {
        self.count_for_nobody();
        let client = network(client);
        let mut clients = self.limits.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(client).or_default();
        if *count >= limits.connections_per_client {
            return Err(Full::Client);
        }
        *count += 1;
        self.client = Some(client);
        Ok(())
    }

    fn count_for_nobody(&mut self) {
        let Some(client) = self.client.take() else { return };
        let mut clients = self.limits.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.limits.all.fetch_sub(1, Ordering::Relaxed);
        self.count_for_nobody();
    }
}

/// An IPv6 client is its /64: it has that many addresses for the asking.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolved::Http2Limits;

    fn limits(connections: usize, connections_per_client: usize) -> Limits {
        Limits {
            connections,
            connections_per_client,
            header_size: 0,
            header_count: 0,
            uri_size: 0,
            body_size: None,
            http2_streams: 1,
            http2: Http2Limits::default(),
        }
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let (all, limits) = (Arc::new(ClientLimits::default()), limits(10, 1));
        let client = Some("192.0.2.1".parse().unwrap());
        let first = all.admit(client, &limits).unwrap();
        assert_eq!(all.admit(client, &limits).unwrap_err(), Full::Client);
        drop(first);
        assert!(all.admit(client, &limits).is_ok());
    }

    #[test]
    fn a_client_may_become_known_later() {
        let (all, limits) = (Arc::new(ClientLimits::default()), limits(10, 1));
        let client = "192.0.2.1".parse().unwrap();
        let mut one = all.admit(None, &limits).unwrap();
        let mut other = all.admit(None, &limits).unwrap();
        assert_eq!(one.count_for(client, &limits), Ok(()));
        assert_eq!(other.count_for(client, &limits), Err(Full::Client));
        drop((one, other));
        assert_eq!(all.all.load(Ordering::Relaxed), 0);
        assert!(all.admit(Some(client), &limits).is_ok());
    }

    #[test]
    fn a_client_that_turns_out_to_be_another_counts_once() {
        let (all, limits) = (Arc::new(ClientLimits::default()), limits(10, 1));
        let [first, second] = ["192.0.2.1", "192.0.2.2"].map(|client| client.parse().unwrap());
        let mut one = all.admit(Some(first), &limits).unwrap();
        assert_eq!(one.count_for(second, &limits), Ok(()));
        assert!(all.admit(Some(first), &limits).is_ok());
        drop(one);
        assert!(all.clients.lock().unwrap().is_empty());
    }

    #[test]
    fn all_clients_share_one_limit_and_a_network_counts_once() {
        let (all, few) = (Arc::new(ClientLimits::default()), limits(2, 1));
        let _one = all.admit(Some("2001:db8::1".parse().unwrap()), &few).unwrap();
        assert_eq!(
            all.admit(Some("2001:db8::2".parse().unwrap()), &few).unwrap_err(),
            Full::Client
        );
        let _two = all.admit(Some("2001:db8:1::1".parse().unwrap()), &few).unwrap();
        assert_eq!(
            all.admit(Some("192.0.2.1".parse().unwrap()), &few).unwrap_err(),
            Full::All
        );
    }
}
