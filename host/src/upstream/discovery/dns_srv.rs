//! `dns-srv:_http._tcp.orders.internal`: SRV records (RFC 2782), whose hosts are looked up in turn.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::proto::rr::rdata::SRV;

use super::lookup::{Asker, KnownAddresses, Resolver};
use super::shares::weights;
use super::{Failed, Source};
use crate::config::resolved::{Address, Asking, Target};

/// A name with SRV records.
pub(super) struct DnsSrv {
    name: Arc<str>,
    asker: Asker,
    known: KnownAddresses,
}

/// Hosts that are looked up at most: an answer with more is a slip, or worse.
const MOST_HOSTS: usize = 1_000;

impl DnsSrv {
    pub(super) fn new(name: &Arc<str>, asking: Asking) -> DnsSrv {
        DnsSrv {
            name: name.clone(),
            asker: Asker::new(asking),
            known: KnownAddresses::default(),
        }
    }

    /// The addresses of the records' hosts, and for how long they are good. A host that cannot be looked up is left out,
    /// unless that leaves none.
    async fn hosts(
        &mut self,
        resolver: &Resolver,
        records: &[SRV],
    ) -> Result<(HashMap<String, Vec<std::net::IpAddr>>, Duration), Failed> {
        let (mut hosts, mut ttl, mut failed) = (HashMap::new(), Duration::MAX, None);
        for record in records {
            let host = record.target.to_string();
            if hosts.contains_key(&host) || hosts.len() >= MOST_HOSTS {
                continue;
            }
            let addresses = match self.known.of(resolver, &host).await {
                Ok((addresses, good_for)) => {
                    ttl = ttl.min(good_for);
                    addresses
                }
                Err(error) => {
                    failed = Some(error);
                    Vec::new()
                }
            };
            hosts.insert(host, addresses);
        }
        self.known.retain(|host| hosts.contains_key(host));
        match failed {
            Some(error) if hosts.values().all(Vec::is_empty) => Err(error),
            Some(_) => Ok((hosts, Duration::ZERO)),
            None => Ok((hosts, ttl)),
        }
    }
}

impl Source for DnsSrv {
    async fn next(&mut self) -> Result<Vec<Target>, Failed> {
        self.asker.due().await;
        let resolver = self.asker.resolver()?;
        let answer = resolver.records(&self.name, RecordType::SRV).await?;
        let records = answer.data.iter().filter_map(|data| match data {
            // A root stands for "decidedly not available".
            RData::SRV(record) if !record.target.is_root() && record.port != 0 => Some(record.clone()),
            _ => None,
        });
        let records: Vec<SRV> = records.collect();
        let (hosts, ttl) = self.hosts(&resolver, &records).await?;
        self.asker.good_for(ttl.min(answer.ttl));
        Ok(targets(&records, &hosts))
    }
}

/// A target for each address of each record's host. The addresses of a host share its weight.
fn targets(records: &[SRV], hosts: &HashMap<String, Vec<std::net::IpAddr>>) -> Vec<Target> {
    let mut priorities: Vec<u16> = records.iter().map(|record| record.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let mut targets = Vec::new();
    for priority in priorities {
        let mut group: Vec<(SocketAddr, f64)> = Vec::new();
        for record in records.iter().filter(|record| record.priority == priority) {
            let addresses = hosts.get(&record.target.to_string()).map_or(&[][..], Vec::as_slice);
            let share = f64::from(record.weight) / addresses.len().max(1) as f64;
            group.extend(addresses.iter().map(|ip| (SocketAddr::new(*ip, record.port), share)));
        }
        let shares: Vec<f64> = group.iter().map(|(_, share)| *share).collect();
        let weights = weights(&shares);
        targets.extend(group.into_iter().zip(weights).map(|((address, _), weight)| Target {
            weight,
            priority: priority.into(),
            ..Target::at(Address::from(address))
        }));
    }
    targets
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use hickory_resolver::proto::rr::Name;

    use super::*;

    #[test]
    fn priorities_stay_and_the_addresses_of_a_host_share_its_weight() {
        let record = |priority, weight, host: &str| SRV::new(priority, weight, 8080, Name::from_str(host).unwrap());
        let records = [
            record(10, 4, "a."),
            record(10, 2, "b."),
            record(20, 0, "b."),
            record(30, 1, "gone."),
        ];
        let ip = |last: u8| std::net::IpAddr::from([10, 0, 0, last]);
        let hosts = HashMap::from([("a.".to_owned(), vec![ip(1), ip(2)]), ("b.".to_owned(), vec![ip(3)])]);

        let found = targets(&records, &hosts);

        let seen: Vec<_> = found
            .iter()
            .map(|target| (target.address.to_string(), target.priority, target.weight))
            .collect();
        assert_eq!(
            seen,
            [
                ("10.0.0.1:8080".to_owned(), 10, 2),
                ("10.0.0.2:8080".to_owned(), 10, 2),
                ("10.0.0.3:8080".to_owned(), 10, 2),
                ("10.0.0.3:8080".to_owned(), 20, 1),
            ]
        );
    }
}
