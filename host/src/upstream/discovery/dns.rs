//! `dns:users.internal:8080`: the A and AAAA records of a name, each address a target.

use std::net::SocketAddr;
use std::sync::Arc;

use super::lookup::{Asker, KnownAddresses};
use super::{Failed, Source};
use crate::config::resolved::{Address, Asking, Target};

/// A name in DNS, and the port of its targets.
pub(super) struct Dns {
    host: Arc<str>,
    port: u16,
    asker: Asker,
    known: KnownAddresses,
}

impl Dns {
    pub(super) fn new(host: &Arc<str>, port: u16, asking: Asking) -> Dns {
        Dns {
            host: host.clone(),
            port,
            asker: Asker::new(asking),
            known: KnownAddresses::default(),
        }
    }

    /// The addresses of the name, when it is time to look them up again.
    pub(super) async fn addresses(&mut self) -> Result<Vec<SocketAddr>, Failed> {
        self.asker.due().await;
        let resolver = self.asker.resolver()?;
        let (addresses, ttl) = self.known.of(&resolver, &self.host).await?;
        self.asker.good_for(ttl);
        Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, self.port)).collect())
    }
}

impl Source for Dns {
    async fn next(&mut self) -> Result<Vec<Target>, Failed> {
        let addresses = self.addresses().await?;
        Ok(addresses
            .into_iter()
            .map(|address| Target::at(Address::from(address)))
            .collect())
    }
}
