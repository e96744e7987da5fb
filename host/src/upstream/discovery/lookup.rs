//! Questions to DNS.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::time::{Instant, sleep_until, timeout};

use super::Failed;
use crate::config::resolved::Asking;

/// The bounds of what a TTL may say.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(300);
/// How soon a name that has no records is asked for again.
const NONE_AGAIN: Duration = Duration::from_secs(5);
/// One question takes no longer, with all that a resolver tries.
const LONGEST: Duration = Duration::from_secs(12);

/// Records, and for how long they are good.
pub(super) struct Records {
    pub(super) data: Vec<RData>,
    pub(super) ttl: Duration,
}

/// Asks as often as configuration or the answers say.
pub(super) struct Asker {
    asking: Asking,
    due: Option<Instant>,
}

impl Asker {
    pub(super) fn new(asking: Asking) -> Asker {
        Asker { asking, due: None }
    }

    /// Waits until the last answer is no longer good.
    pub(super) async fn due(&mut self) {
        if let Some(due) = self.due.take() {
            sleep_until(due).await;
        }
    }

    /// An answer is good for so long. A little is added, by which gateways that asked together drift apart.
    pub(super) fn good_for(&mut self, ttl: Duration) {
        let period = self.asking.every.unwrap_or(ttl.clamp(SOONEST, LATEST));
        self.due = Some(Instant::now() + period.mul_f64(1.0 + fastrand::f64() / 10.0));
    }

    /// A resolver for the next questions. It is made anew each time, so that changes of the system's files count.
    pub(super) fn resolver(&self) -> Result<Resolver, Failed> {
        let builder = match self.asking.resolver {
            // Without settings for DNS there is still `/etc/hosts`.
            None => TokioResolver::builder_tokio().unwrap_or_else(|_| {
                TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
            }),
            Some(address) => own(address),
        };
        builder.build().map(Resolver).map_err(Failed::new)
    }
}

/// A resolver that asks this server and no file.
fn own(address: SocketAddr) -> hickory_resolver::ResolverBuilder<TokioRuntimeProvider> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    let server = NameServerConfig::new(address.ip(), true, connections.into());
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut options = ResolverOpts::default();
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = Duration::from_secs(2);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options)
}

/// Asks one server, or the system's.
#[derive(Clone)]
pub(super) struct Resolver(TokioResolver);

impl Resolver {
    /// The records of a name; that there are none is an answer.
    pub(super) async fn records(&self, name: &str, kind: RecordType) -> Result<Records, Failed> {
        let lookup = timeout(LONGEST, self.0.lookup(name, kind)).await;
        match lookup.map_err(|_| Failed::new("no answer in time"))? {
            Ok(lookup) => {
                let answers = lookup.answers();
                let ttl = answers.iter().map(|record| record.ttl).min().unwrap_or_default();
                let wanted = answers.iter().filter(|record| record.record_type() == kind);
                Ok(Records {
                    data: wanted.map(|record| record.data.clone()).collect(),
                    ttl: Duration::from_secs(ttl.into()),
                })
            }
            Err(error) if has_none(&error) => Ok(Records {
                data: Vec::new(),
                ttl: NONE_AGAIN,
            }),
            Err(error) => Err(Failed::new(format!("{name} {kind}: {error}"))),
        }
    }
}

/// Whether the answer is that there is no such name, or none with such records.
fn has_none(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
        }
        _ => false,
    }
}

/// The addresses of names. Where one family of a name cannot be asked for at present, what it had last still counts:
/// there are servers that answer for one of them only.
#[derive(Default)]
pub(super) struct KnownAddresses(HashMap<String, [Option<Vec<IpAddr>>; 2]>);

impl KnownAddresses {
    /// The addresses of a name, and for how long they are good. It fails where that leaves none.
    pub(super) async fn of(&mut self, resolver: &Resolver, name: &str) -> Result<(Vec<IpAddr>, Duration), Failed> {
        let (four, six) = tokio::join!(
            resolver.records(name, RecordType::A),
            resolver.records(name, RecordType::AAAA)
        );
        let known = self.0.entry(name.to_owned()).or_default();
        let (mut addresses, mut ttl, mut failed) = (Vec::new(), None, None);
        for (answer, known) in [four, six].into_iter().zip(known) {
            match answer {
                Ok(Records { data, ttl: good_for }) => {
                    // A family without records says nothing about the other.
                    if !data.is_empty() {
                        ttl = Some(ttl.map_or(good_for, |ttl: Duration| ttl.min(good_for)));
                    }
                    *known = Some(data.iter().filter_map(RData::ip_addr).collect());
                }
                Err(error) => failed = Some(error),
            }
            addresses.extend(known.iter().flatten());
        }
        match failed {
            Some(error) if addresses.is_empty() || ttl.is_none() => Err(error),
            _ => Ok((addresses, ttl.unwrap_or(NONE_AGAIN))),
        }
    }

    /// Forgets all names but these.
    pub(super) fn retain(&mut self, is_named: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_named(name));
    }
}
