//! `kubernetes:shop/orders:http`: the EndpointSlices of a service, listed once and watched from then on.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use kube::{Api, Client, Config};
use tokio::time::timeout;

use super::{Failed, Source};
use crate::config::resolved::{self, Address, ServicePort, Target};

/// How long the list may take.
const LIST: Duration = Duration::from_secs(10);
/// How long one watch lasts, in seconds, and how long nothing may come from the server: a little longer.
const WATCH: u32 = 120;
const SILENCE: Duration = Duration::from_secs(135);
const CONNECT: Duration = Duration::from_secs(5);

type Events = Pin<Box<dyn Stream<Item = Result<Event<EndpointSlice>, watcher::Error>> + Send>>;

/// A service in Kubernetes.
pub(super) struct Kubernetes {
    settings: resolved::Kubernetes,
    events: Option<Events>,
    /// By name, which is what events tell them apart by.
    slices: BTreeMap<String, EndpointSlice>,
    /// The slices of a list that is not at its end yet.
    listing: Option<BTreeMap<String, EndpointSlice>>,
}

impl Kubernetes {
    pub(super) fn new(settings: &resolved::Kubernetes) -> Kubernetes {
        Kubernetes {
            settings: settings.clone(),
            events: None,
            slices: BTreeMap::new(),
            listing: None,
        }
    }

    fn watch(&self) -> Result<Events, Failed> {
        let config = config(&self.settings)?;
        let client = Client::try_from(config).map_err(Failed::new)?;
        let api: Api<EndpointSlice> = Api::namespaced(client, &self.settings.namespace);
        let label = format!("kubernetes.io/service-name={}", self.settings.service);
        let watched = watcher::Config::default().labels(&label).timeout(WATCH);
        Ok(Box::pin(watcher(api, watched)))
    }

    /// Whether the event leaves a whole set of slices.
    fn apply(&mut self, event: Event<EndpointSlice>) -> bool {
        let name = |slice: &EndpointSlice| slice.metadata.name.clone().unwrap_or_default();
        match event {
            Event::Init => {
                self.listing = Some(BTreeMap::new());
                false
            }
            Event::InitApply(slice) => {
                self.listing.get_or_insert_default().insert(name(&slice), slice);
                false
            }
            Event::InitDone => {
                self.slices = self.listing.take().unwrap_or_default();
                true
            }
            Event::Apply(slice) => {
                self.slices.insert(name(&slice), slice);
                true
            }
            Event::Delete(slice) => {
                self.slices.remove(&name(&slice));
                true
            }
        }
    }
}

impl Source for Kubernetes {
    async fn next(&mut self) -> Result<Vec<Target>, Failed> {
        loop {
            let (events, is_listing) = match &mut self.events {
                Some(events) => (events, self.listing.is_some()),
                None => {
                    let events = self.watch()?;
                    (self.events.insert(events), true)
                }
            };
            let event = if is_listing {
                timeout(LIST, events.next()).await
            } else {
                Ok(events.next().await)
            };
            match event {
                Ok(Some(Ok(event))) => {
                    if self.apply(event) {
                        return targets(&self.settings, self.slices.values());
                    }
                }
                // The next poll tries again, from where it was if it can.
                Ok(Some(Err(error))) => return Err(Failed::because(&error)),
                Ok(None) | Err(_) => {
                    (self.events, self.listing) = (None, None);
                    return Err(Failed::new("the API does not answer in time"));
                }
            }
        }
    }
}

/// Where the API is, and how to get in.
fn config(settings: &resolved::Kubernetes) -> Result<Config, Failed> {
    let mut config = match &settings.server {
        Some(server) => Config::new(server.clone()),
        None => Config::incluster()
            .map_err(|error| Failed::new(format!("not in a cluster, so write `server` and `token` ({error})")))?,
    };
    if let Some(token) = &settings.token {
        config.auth_info.token = Some(token.reveal().to_owned().into());
    }
    if let Some(roots) = &settings.roots {
        config.root_cert = Some(roots.0.to_vec());
        config.root_cert_file = None;
    }
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    config.write_timeout = Some(CONNECT);
    // Discovery pauses by itself.
    config.default_retry = false;
    Ok(config)
}

/// The endpoints that are ready; where there are none, those that still serve while they terminate, as Kubernetes' own
/// proxies do.
fn targets<'a>(
    settings: &resolved::Kubernetes,
    slices: impl Iterator<Item = &'a EndpointSlice> + Clone,
) -> Result<Vec<Target>, Failed> {
    let mut ports = Vec::new();
    let mut endpoints = Vec::new();
    for slice in slices {
        let all = slice.endpoints.as_deref().unwrap_or_default();
        match port(&settings.port, slice) {
            Some(port) => endpoints.extend(all.iter().map(|endpoint| (endpoint, port))),
            None if !all.is_empty() => ports.extend(slice.ports.iter().flatten().map(|port| {
                let name = port
                    .name
                    .as_deref()
                    .filter(|name| !name.is_empty())
                    .unwrap_or("unnamed");
                format!("{name} ({})", port.port.unwrap_or_default())
            })),
            None => {}
        }
    }
    if endpoints.is_empty() && !ports.is_empty() {
        ports.sort();
        ports.dedup();
        return Err(Failed::new(format!("it has no such port, but {}", ports.join(", "))));
    }
    let chosen = |is_chosen: fn(&Endpoint) -> bool| {
        let chosen = endpoints.iter().filter(|(endpoint, _)| is_chosen(endpoint));
        chosen
            .filter_map(|(endpoint, port)| target(endpoint, *port))
            .collect::<Vec<_>>()
    };
    let ready = chosen(is_ready);
    Ok(if ready.is_empty() { chosen(is_serving) } else { ready })
}

/// The port of a slice's endpoints, if it has the one that is meant.
fn port(wanted: &ServicePort, slice: &EndpointSlice) -> Option<u16> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let mut ports = ports
        .iter()
        .filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    let port = match wanted {
        ServicePort::Only => ports.next().filter(|_| ports.next().is_none()),
        ServicePort::Named(name) => ports.find(|port| port.name.as_deref() == Some(name)),
        ServicePort::Number(number) => ports.find(|port| port.port == Some(i32::from(*number))),
    };
    u16::try_from(port?.port?).ok().filter(|port| *port != 0)
}

/// What is not said counts as ready and serving, and as not terminating.
fn is_ready(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.and_then(|conditions| conditions.ready).unwrap_or(true)
}

fn is_serving(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    let serving = conditions.and_then(|conditions| conditions.serving).unwrap_or(true);
    serving
        && conditions
            .and_then(|conditions| conditions.terminating)
            .unwrap_or(false)
}

fn target(endpoint: &Endpoint, port: u16) -> Option<Target> {
    // More than one have no meaning.
    let host = endpoint.addresses.first()?;
    Some(Target {
        zone: endpoint.zone.as_deref().map(Into::into),
        ..Target::at(Address::Tcp {
            host: host.as_str().into(),
            port,
        })
    })
}
