//! A service that fares well or badly as a test says.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use hyper::body::Incoming;

use crate::{Body, Response, Upstream, body};

/// A service behind the gateway whose health and whose answers change while it runs. Its answers name it, so that a test
/// sees where a request went: see [`Service::answered`].
///
/// Its `Display` is its address for use in TOML.
#[derive(Debug)]
pub struct Service {
    upstream: Upstream,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    port: AtomicU16,
    health: AtomicU16,
    answers: AtomicU16,
    probes: AtomicUsize,
    requests: AtomicUsize,
}

/// A status that never comes.
const NEVER: u16 = 0;

impl Service {
    /// A service that is healthy and answers with 200.
    pub async fn start() -> Self {
        let state = Arc::new(State {
            port: AtomicU16::new(0),
            health: AtomicU16::new(200),
            answers: AtomicU16::new(200),
            probes: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        });
        let shared = state.clone();
        let upstream = Upstream::with(move |request| answer(request, shared.clone())).await;
        state.port.store(upstream.address().port(), Ordering::SeqCst);
        Service { upstream, state }
    }

    /// What it answers to `/healthz` from now on.
    pub fn set_health(&self, status: u16) {
        self.state.health.store(status, Ordering::SeqCst);
    }

    /// It does not answer to `/healthz` at all from now on.
    pub fn hang_health(&self) {
        self.set_health(NEVER);
    }

    /// What it answers to everything else from now on.
    pub fn set_answers(&self, status: u16) {
        self.state.answers.store(status, Ordering::SeqCst);
    }

    /// It does not answer from now on.
    pub fn hang(&self) {
        self.set_answers(NEVER);
    }

    /// Requests so far, without those to `/healthz`.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Requests to `/healthz` so far.
    pub fn probes(&self) -> usize {
        self.state.probes.load(Ordering::SeqCst)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.upstream.address()
    }

    /// Whether it was this service that answered.
    pub fn answered(&self, response: &Response) -> bool {
        response.header("x-service") == self.address().port().to_string()
    }

    /// Stops listening and closes its connections.
    pub async fn stop(&mut self) {
        self.upstream.stop().await;
    }

    /// Listens again where it did before.
    pub async fn restart(&mut self) {
        let state = self.state.clone();
        self.upstream = Upstream::with_at(self.address(), move |request| answer(request, state.clone())).await;
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.upstream.fmt(formatter)
    }
}

async fn answer(request: http::Request<Incoming>, state: Arc<State>) -> http::Response<Body> {
    let (status, count) = if request.uri().path() == "/healthz" {
        (&state.health, &state.probes)
    } else {
        (&state.answers, &state.requests)
    };
    count.fetch_add(1, Ordering::SeqCst);
    let status = status.load(Ordering::SeqCst);
    if status == NEVER {
        std::future::pending::<()>().await;
    }
    http::Response::builder()
        .status(status)
        .header("x-service", state.port.load(Ordering::SeqCst).to_string())
        .body(body::full(""))
        .expect("a status")
}
