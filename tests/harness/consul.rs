//! An agent of Consul, as far as looking up services goes: `GET /v1/health/service/NAME` with blocking queries.
//!
//! Written after Consul's HTTP API documentation ("Health", "Blocking Queries"): an answer has `X-Consul-Index`, a query
//! with that `index` is held back until the index moves on or its `wait` is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Incoming;
use rustls::server::ServerConfig;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{Body, Upstream, full};

/// An agent that knows one service, on a port that the system chose. Its `Display` is its address.
#[derive(Debug)]
pub struct Consul {
    server: Upstream,
    agent: Arc<Agent>,
}

/// An instance of a service.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Host and port.
    pub address: std::net::SocketAddr,
    /// Whether all of its checks pass.
    pub passing: bool,
    /// Its tags.
    pub tags: Vec<&'static str>,
}

#[derive(Debug)]
struct Agent {
    service: &'static str,
    token: Mutex<Option<&'static str>>,
    known: watch::Sender<Known>,
}

#[derive(Debug, Clone)]
struct Known {
    index: u64,
    instances: Vec<Instance>,
    is_failing: bool,
    /// Counts the times that waiting queries were cut off.
    cuts: u64,
}

impl Consul {
    /// An agent that knows this service, without instances.
    pub async fn knowing(service: &'static str) -> Self {
        let agent = Agent::knowing(service);
        let answering = agent.clone();
        let server = Upstream::with(move |request| answer(answering.clone(), request)).await;
        Consul { server, agent }
    }

    /// The same, over TLS.
    pub async fn knowing_over_tls(service: &'static str, config: ServerConfig) -> Self {
        let agent = Agent::knowing(service);
        let answering = agent.clone();
        let server = Upstream::secure_with(config, move |request| answer(answering.clone(), request)).await;
        Consul { server, agent }
    }

    /// These are the instances from now on, all passing and without tags.
    pub fn register(&self, upstreams: &[&Upstream]) {
        let passing = |upstream: &&Upstream| Instance {
            address: upstream.address(),
            passing: true,
            tags: Vec::new(),
        };
        self.know(upstreams.iter().map(passing).collect());
    }

    /// These are the instances from now on.
    pub fn know(&self, instances: Vec<Instance>) {
        self.agent.known.send_modify(|known| {
            known.index += 7;
            known.instances = instances;
        });
    }

    /// Begins its history anew, as after its data were restored from elsewhere: the index goes back.
    pub fn forget_history(&self) {
        self.agent.known.send_modify(|known| known.index = 3);
    }

    /// Whether it answers 500, as without a leader.
    pub fn fail(&self, is_failing: bool) {
        self.agent.known.send_modify(|known| {
            known.is_failing = is_failing;
            known.cuts += 1;
        });
    }

    /// Answers 403 but to this token.
    pub fn require(&self, token: &'static str) {
        *self.agent.token.lock().expect("the token") = Some(token);
        self.agent.known.send_modify(|known| known.cuts += 1);
    }

    /// Queries so far.
    pub fn queries(&self) -> usize {
        self.server.requests()
    }

    /// Path and query of the last one.
    pub fn last_query(&self) -> String {
        self.server.last_target()
    }
}

impl Agent {
    fn knowing(service: &'static str) -> Arc<Agent> {
        let known = Known {
            index: 100,
            instances: Vec::new(),
            is_failing: false,
            cuts: 0,
        };
        Arc::new(Agent {
            service,
            token: Mutex::default(),
            known: watch::Sender::new(known),
        })
    }
}

impl std::fmt::Display for Consul {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.server.fmt(f)
    }
}

async fn answer(agent: Arc<Agent>, request: http::Request<Incoming>) -> http::Response<Body> {
    let expected = format!("/v1/health/service/{}", agent.service);
    if request.uri().path() != expected {
        return status(404, "no such endpoint");
    }
    let token = request
        .headers()
        .get("x-consul-token")
        .and_then(|token| token.to_str().ok());
    let required = *agent.token.lock().expect("the token");
    if required.is_some() && token != required {
        return status(
            403,
            "Permission denied: token with AccessorID '..' lacks permission 'service:read'",
        );
    }
    let query = request.uri().query().unwrap_or_default();
    let pairs: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let values: HashMap<&str, &str> = pairs.iter().copied().collect();
    let index: u64 = values.get("index").and_then(|index| index.parse().ok()).unwrap_or(0);
    let mut known = agent.known.subscribe();
    if index != 0 {
        let cuts = known.borrow().cuts;
        let wait = values.get("wait").and_then(|wait| wait.strip_suffix('s')?.parse().ok());
        let moved = known.wait_for(|known| known.index != index || known.cuts != cuts || known.is_failing);
        let _ = tokio::time::timeout(Duration::from_secs(wait.unwrap_or(300)), moved).await;
    }
    let known = known.borrow().clone();
    if known.is_failing {
        return status(500, "No cluster leader");
    }
    let tags: Vec<&str> = pairs
        .iter()
        .filter(|(key, _)| *key == "tag")
        .map(|(_, tag)| *tag)
        .collect();
    let is_asked_for = |instance: &&Instance| {
        (instance.passing || !values.contains_key("passing")) && tags.iter().all(|tag| instance.tags.contains(tag))
    };
    let entries: Value = known.instances.iter().filter(is_asked_for).map(entry).collect();
    let mut response = http::Response::new(full(entries.to_string()));
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    headers.insert("x-consul-index", known.index.into());
    headers.insert("x-consul-knownleader", http::HeaderValue::from_static("true"));
    response
}

fn entry(instance: &Instance) -> Value {
    let status = if instance.passing { "passing" } else { "critical" };
    let (ip, port) = (instance.address.ip().to_string(), instance.address.port());
    json!({
        "Node": { "ID": "40e4a748", "Node": "node-1", "Address": ip, "Datacenter": "dc1", "Meta": {} },
        "Service": {
            "ID": format!("instance-{port}"), "Service": "orders", "Tags": instance.tags, "Address": "", "Port": port,
            "Meta": null, "Weights": { "Passing": 1, "Warning": 1 }, "EnableTagOverride": false,
        },
        "Checks": [{ "Node": "node-1", "CheckID": "check", "Status": status, "Output": "" }],
    })
}

fn status(status: u16, text: &'static str) -> http::Response<Body> {
    let mut response = http::Response::new(full(text));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    response
}
