//! A Kubernetes API, as far as watching EndpointSlices goes.
//!
//! Written after "Kubernetes API Concepts": a list has a `resourceVersion`; a watch from that version is a stream of JSON
//! lines, one for each change since; bookmarks move the version on; a version that is too old is `410 Gone`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::body::Incoming;
use rustls::server::ServerConfig;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{Body, Upstream, full, stepwise};

/// An API server that knows the EndpointSlices of one namespace. Its `Display` is its address.
#[derive(Debug)]
pub struct Kubernetes {
    server: Upstream,
    cluster: Arc<Cluster>,
}

#[derive(Debug)]
struct Cluster {
    namespace: &'static str,
    token: &'static str,
    known: Mutex<Known>,
    /// Says that there is something new.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    version: u64,
    slices: BTreeMap<String, Value>,
    /// What happened, by version.
    events: Vec<(u64, Value)>,
    /// What happened before this version is forgotten.
    oldest: u64,
    is_failing: bool,
    /// Counts the times that watches were ended.
    cuts: u64,
    lists: usize,
    watches: usize,
}

impl Cluster {
    fn new(namespace: &'static str, token: &'static str) -> Arc<Cluster> {
        Arc::new(Cluster {
            namespace,
            token,
            known: Mutex::new(Known {
                version: 1_000,
                ..Known::default()
            }),
            news: watch::Sender::new(0),
        })
    }
}

impl Kubernetes {
    /// An API server that lets in whoever has this token.
    pub async fn start(namespace: &'static str, token: &'static str) -> Self {
        let cluster = Cluster::new(namespace, token);
        let answering = cluster.clone();
        let server = Upstream::with(move |request| answer(answering.clone(), request)).await;
        Kubernetes { server, cluster }
    }

    /// The same, over TLS.
    pub async fn start_over_tls(namespace: &'static str, token: &'static str, config: ServerConfig) -> Self {
        let cluster = Cluster::new(namespace, token);
        let answering = cluster.clone();
        let server = Upstream::secure_with(config, move |request| answer(answering.clone(), request)).await;
        Kubernetes { server, cluster }
    }

    /// Makes or changes a slice of a service: its ports (name and number), and its endpoints.
    pub fn apply(&self, name: &str, service: &str, ports: &[(&str, u16)], endpoints: Value) {
        let ports: Value = ports
            .iter()
            .map(|(name, port)| json!({ "name": name, "port": port, "protocol": "TCP" }))
            .collect();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": self.cluster.namespace,
                "labels": { "kubernetes.io/service-name": service },
            },
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": endpoints,
        });
        self.change(|known| {
            let kind = if known.slices.contains_key(name) {
                "MODIFIED"
            } else {
                "ADDED"
            };
            let mut slice = slice.clone();
            slice["metadata"]["resourceVersion"] = json!(known.version.to_string());
            known.slices.insert(name.to_owned(), slice.clone());
            Some(json!({ "type": kind, "object": slice }))
        });
    }

    /// Deletes a slice.
    pub fn delete(&self, name: &str) {
        self.change(|known| {
            let mut slice = known.slices.remove(name).expect("a slice of this name");
            slice["metadata"]["resourceVersion"] = json!(known.version.to_string());
            Some(json!({ "type": "DELETED", "object": slice }))
        });
    }

    /// Forgets what has happened so far and ends all watches: who comes back with an old version gets `410 Gone`.
    pub fn compact(&self) {
        self.change(|known| {
            known.oldest = known.version;
            known.events.clear();
            known.cuts += 1;
            None
        });
    }

    /// Ends all watches, as servers do from time to time.
    pub fn end_watches(&self) {
        self.change(|known| {
            known.cuts += 1;
            None
        });
    }

    /// Whether it answers 503, and ends all watches.
    pub fn fail(&self, is_failing: bool) {
        self.change(|known| {
            known.is_failing = is_failing;
            known.cuts += 1;
            None
        });
    }

    /// Lists and watches so far.
    pub fn requests(&self) -> (usize, usize) {
        let known = self.cluster.known.lock().expect("the cluster");
        (known.lists, known.watches)
    }

    fn change(&self, change: impl FnOnce(&mut Known) -> Option<Value>) {
        {
            let mut known = self.cluster.known.lock().expect("the cluster");
            known.version += 1;
            let version = known.version;
            if let Some(event) = change(&mut known) {
                known.events.push((version, event));
            }
        }
        self.cluster.news.send_modify(|news| *news += 1);
    }
}

impl std::fmt::Display for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.server.fmt(f)
    }
}

/// An endpoint that says nothing of its condition but whether it is ready.
pub fn endpoint(ip: &str, is_ready: bool) -> Value {
    json!({ "addresses": [ip], "conditions": { "ready": is_ready, "serving": is_ready, "terminating": false } })
}

async fn answer(cluster: Arc<Cluster>, request: http::Request<Incoming>) -> http::Response<Body> {
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
        cluster.namespace
    );
    let token = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if token != Some(&format!("Bearer {}", cluster.token)) {
        return refused(401, "Unauthorized");
    }
    if request.uri().path() != path {
        return refused(404, "NotFound");
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let values: HashMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let selector = values
        .get("labelSelector")
        .map(|selector| selector.replace("%3D", "=").replace("%2F", "/"));
    let Some(service) = selector
        .as_deref()
        .and_then(|selector| selector.split_once("service-name="))
    else {
        return refused(400, "BadRequest");
    };
    let is_watch = values.get("watch").is_some_and(|watch| ["1", "true"].contains(watch));
    let mut known = cluster.known.lock().expect("the cluster");
    if known.is_failing {
        return refused(503, "ServiceUnavailable");
    }
    if !is_watch {
        known.lists += 1;
        return list(&known, service.1);
    }
    known.watches += 1;
    let cuts = known.cuts;
    drop(known);
    let version = values
        .get("resourceVersion")
        .and_then(|version| version.parse().ok())
        .unwrap_or(0);
    let (mut lines, body) = stepwise();
    let service = service.1.to_owned();
    tokio::spawn(async move {
        let (mut version, mut news) = (version, cluster.news.subscribe());
        loop {
            let (events, has_ended) = {
                let known = cluster.known.lock().expect("the cluster");
                let events = since(&known, version, &service);
                version = known.version;
                (events, known.cuts != cuts)
            };
            for event in events {
                if lines.send_data(Bytes::from(format!("{event}\n"))).await.is_err() {
                    return;
                }
            }
            if has_ended || news.changed().await.is_err() {
                return;
            }
        }
    });
    http::Response::new(body)
}

fn list(known: &Known, service: &str) -> http::Response<Body> {
    let items: Value = known
        .slices
        .values()
        .filter(|slice| is_of(slice, service))
        .cloned()
        .collect();
    let list = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSliceList",
        "metadata": { "resourceVersion": known.version.to_string() },
        "items": items,
    });
    http::Response::new(full(list.to_string()))
}

/// The events after a version, and a bookmark.
fn since(known: &Known, version: u64, service: &str) -> Vec<Value> {
    if version < known.oldest {
        let gone = json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": 410,
            "reason": "Expired", "message": format!("too old resource version: {version} ({})", known.oldest),
        });
        return vec![json!({ "type": "ERROR", "object": gone })];
    }
    let after = known
        .events
        .iter()
        .filter(|(at, _)| *at > version)
        .map(|(_, event)| event);
    let mut events: Vec<Value> = after
        .filter(|event| is_of(&event["object"], service))
        .cloned()
        .collect();
    events.push(json!({
        "type": "BOOKMARK",
        "object": {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "resourceVersion": known.version.to_string() }, "addressType": "", "endpoints": null,
        },
    }));
    events
}

fn is_of(slice: &Value, service: &str) -> bool {
    slice["metadata"]["labels"]["kubernetes.io/service-name"] == service
}

fn refused(code: u16, reason: &str) -> http::Response<Body> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": reason,
    });
    let mut response = http::Response::new(full(status.to_string()));
    *response.status_mut() = http::StatusCode::from_u16(code).expect("a status");
    response
}
