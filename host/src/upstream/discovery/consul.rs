//! `consul:orders`: the healthy instances of a service, by blocking queries to Consul's HTTP API.
//!
//! Each answer has an index. A query with that index is answered when something has changed since, or after a while all
//! the same.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout};

use super::shares::weights;
use super::{Failed, Source};
use crate::config::resolved::{self, Address, Roots, Target};

/// How long Consul may hold a query back. It adds up to a sixteenth, so that its clients do not come back at once.
const WAIT: Duration = Duration::from_secs(60);
/// And how much longer an answer may take than it should.
const PATIENCE: Duration = Duration::from_secs(10);
/// A service that changes all the time, or a server that does not hold queries back, is asked no more often than this.
const SOONEST: Duration = Duration::from_millis(200);
/// Bytes of an answer at most.
const LARGEST: usize = 32 << 20;

/// A service in Consul.
pub(super) struct Consul {
    settings: resolved::Consul,
    client: Option<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>>,
    /// What the last answer was about; 0 asks for an answer at once.
    index: u64,
    due: Instant,
}

/// An instance of a service, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(default)]
    address: String,
    locality: Option<Locality>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(default)]
    address: String,
    port: u16,
    weights: Option<Weights>,
    locality: Option<Locality>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Locality {
    #[serde(default)]
    zone: String,
}

impl Consul {
    pub(super) fn new(settings: &resolved::Consul) -> Consul {
        Consul {
            settings: settings.clone(),
            client: None,
            index: 0,
            due: Instant::now(),
        }
    }

    /// Asks once; none: nothing has changed.
    async fn ask(&mut self) -> Result<Option<Vec<Target>>, Failed> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert(client(&self.settings)?).clone(),
        };
        let limit = if self.index == 0 {
            PATIENCE
        } else {
            WAIT + WAIT / 16 + PATIENCE
        };
        let answer = timeout(limit, self.answer(&client)).await;
        let (index, body) = answer.map_err(|_| Failed::new("Consul does not answer in time"))??;
        if index == self.index && index != 0 {
            return Ok(None);
        }
        let entries: Vec<Entry> = serde_json::from_slice(&body)
            .map_err(|error| Failed::new(format!("Consul's answer is not understood: {error}")))?;
        // An index that goes back is one of another history: begin anew (Consul's rules for blocking queries).
        self.index = if index < self.index { 0 } else { index };
        Ok(Some(targets(&entries)))
    }

    async fn answer(
        &self,
        client: &Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    ) -> Result<(u64, Bytes), Failed> {
        let mut request = Request::get(self.uri()?).header(header::ACCEPT, "application/json");
        if let Some(token) = &self.settings.token {
            let mut value = HeaderValue::from_str(token.reveal()).map_err(|_| Failed::new("not a token"))?;
            value.set_sensitive(true);
            request = request.header("x-consul-token", value);
        }
        let request = request.body(Empty::new()).map_err(Failed::new)?;
        let response = client.request(request).await.map_err(|error| Failed::because(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST).collect().await;
        let body = body
            .map_err(|error| Failed::new(format!("Consul's answer broke off: {error}")))?
            .to_bytes();
        match head.status.as_u16() {
            200 => {}
            401 | 403 => {
                let which = if self.settings.token.is_some() {
                    "this token"
                } else {
                    "no token"
                };
                return Err(Failed::new(format!("Consul answered {} to {which}", head.status)));
            }
            _ => {
                let text = String::from_utf8_lossy(&body);
                let line: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
                return Err(Failed::new(format!(
                    "Consul answered {}: {}",
                    head.status,
                    line.escape_debug()
                )));
            }
        }
        let index = head
            .headers
            .get("x-consul-index")
            .and_then(|index| index.to_str().ok()?.parse().ok());
        Ok((index.unwrap_or(0), body))
    }

    fn uri(&self) -> Result<Uri, Failed> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let resolved::Consul {
            service,
            address,
            tags,
            datacenter,
            ..
        } = &self.settings;
        let mut query = format!("/v1/health/service/{}?passing=1", encoded(service));
        for tag in tags {
            query.push_str(&format!("&tag={}", encoded(tag)));
        }
        if let Some(datacenter) = datacenter {
            query.push_str(&format!("&dc={}", encoded(datacenter)));
        }
        if self.index != 0 {
            query.push_str(&format!("&index={}&wait={}s", self.index, WAIT.as_secs()));
        }
        let mut parts = address.clone().into_parts();
        parts.path_and_query = Some(query.parse().map_err(Failed::new)?);
        Uri::from_parts(parts).map_err(Failed::new)
    }
}

impl Source for Consul {
    async fn next(&mut self) -> Result<Vec<Target>, Failed> {
        loop {
            sleep_until(self.due).await;
            self.due = Instant::now() + SOONEST;
            match self.ask().await {
                Ok(Some(targets)) => return Ok(targets),
                Ok(None) => {}
                Err(error) => {
                    // What has changed meanwhile is to be told at once.
                    self.index = 0;
                    return Err(error);
                }
            }
        }
    }
}

fn targets(entries: &[Entry]) -> Vec<Target> {
    let entries = entries.iter().filter(|entry| entry.service.port != 0);
    let found = entries.filter_map(|Entry { node, service }| {
        let host = [&service.address, &node.address]
            .into_iter()
            .find(|host| !host.is_empty())?;
        let zone = [&service.locality, &node.locality]
            .into_iter()
            .flatten()
            .map(|locality| &locality.zone);
        let address = Address::Tcp {
            host: host.trim_matches(['[', ']']).into(),
            port: service.port,
        };
        let target = Target {
            zone: zone
                .filter(|zone| !zone.is_empty())
                .map(|zone| zone.as_str().into())
                .next(),
            ..Target::at(address)
        };
        Some((target, service.weights.as_ref().map_or(1, |weights| weights.passing)))
    });
    let (targets, shares): (Vec<Target>, Vec<f64>) = found.map(|(target, share)| (target, f64::from(share))).unzip();
    let weighted = targets.into_iter().zip(weights(&shares));
    weighted.map(|(target, weight)| Target { weight, ..target }).collect()
}

fn client(settings: &resolved::Consul) -> Result<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>, Failed> {
    let is_tls = settings.address.scheme_str() == Some("https");
    let roots = if is_tls {
        trusted(settings.roots.as_ref())?
    } else {
        RootCertStore::empty()
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Failed::new)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

fn trusted(roots: Option<&Roots>) -> Result<RootCertStore, Failed> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(Roots(certificates)) => {
            for certificate in certificates.iter() {
                store.add(certificate.clone().into()).map_err(Failed::new)?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_where_it_says_or_where_its_node_is() {
        let json = r#"[
            {"Node": {"Node": "n1", "Address": "10.0.0.1"}, "Service": {"ID": "a", "Address": "", "Port": 80,
             "Weights": {"Passing": 10, "Warning": 1}, "Tags": ["v2"]}, "Checks": []},
            {"Node": {"Address": "10.0.0.2", "Locality": {"Region": "r", "Zone": "a"}},
             "Service": {"Address": "orders.internal", "Port": 81, "Weights": {"Passing": 1, "Warning": 1}}},
            {"Node": {"Address": "10.0.0.3"}, "Service": {"Address": "fd00::1", "Port": 0}}
        ]"#;
        let entries: Vec<Entry> = serde_json::from_str(json).unwrap();
        let found = targets(&entries);
        let seen: Vec<_> = found
            .iter()
            .map(|target| (target.address.to_string(), target.weight))
            .collect();
        assert_eq!(
            seen,
            [("10.0.0.1:80".to_owned(), 10), ("orders.internal:81".to_owned(), 1)]
        );
        assert_eq!(found[1].zone.as_deref(), Some("a"));
    }
}
