//! The end of an exchange, however it comes about: counted, logged, and told to the filters that asked for it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode, Version};
use http_body::Body as _;

use super::connection::Connection;
use super::incoming::Incoming;
use super::view::{RouteView, View};
use crate::backend::aggregate::Calls;
use crate::backend::proxy::{Proxy, Terms};
use crate::body::{Body, BodyError, ClientBodyState, TrailerLimits};
use crate::config::resolved::Timeouts;
use crate::pipeline::{Exchange, ExchangeId, Reply, ResponseHead};
use crate::rejection::{CLIENT_GONE, Outcome, Rejection};
use crate::telemetry::access_log::{Line, Notes, timestamp};
use crate::upstream::{Permit, Target, Upstream};

/// An exchange that will be completed when this is dropped: with the response's body, or before, when the client has gone.
pub(super) struct Completion {
    pub(super) connection: Rc<Connection>,
    pub(super) route: Rc<RouteView>,
    view: Rc<View>,
    exchange: Box<Exchange>,
    outcome: Outcome,
    client_body: Option<Rc<ClientBodyState>>,
    upstream: Option<Rc<Upstream>>,
    target: Option<Rc<Target>>,
    attempts: Cell<u32>,
    permit: Option<Permit>,
    sent: Sent,
}

/// The client's certificate, for upstreams (RFC 9440).
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

/// How much of the response has been handed to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Head,
    All,
}

impl Completion {
    pub(super) fn new(
        connection: Rc<Connection>,
        view: Rc<View>,
        route: Rc<RouteView>,
        exchange: Box<Exchange>,
    ) -> Completion {
        Completion {
            connection,
            route,
            view,
            exchange,
            outcome: Outcome::Ok,
            client_body: None,
            upstream: None,
            target: None,
            attempts: Cell::new(0),
            permit: None,
            sent: Sent::Nothing,
        }
    }

    pub(super) fn exchange(&mut self) -> &mut Box<Exchange> {
        &mut self.exchange
    }

    /// The exchange, and how it will be said to have ended.
    pub(super) fn parts(&mut self) -> (&mut Box<Exchange>, &mut Outcome) {
        (&mut self.exchange, &mut self.outcome)
    }

    /// Has the upstream answer: the response's head goes into the exchange, its body is given.
    pub(super) async fn forward(&mut self, proxy: &Proxy, body: Body) -> Result<Body, Rejection> {
        self.upstream = Some(proxy.upstream.clone());
        self.tell_way();
        let exchange = &mut *self.exchange;
        let terms = Terms {
            client_body: self.client_body.clone(),
            keep_fields: self.route.pipeline.reads_request_later(),
            alarm: &self.connection.alarm,
            ends: self.connection.ends,
            asked: &mut self.target,
            attempts: &self.attempts,
            permit: &mut self.permit,
        };
        proxy.forward(exchange, body, terms).await
    }

    /// Has an answer put together from those of several services.
    pub(super) async fn aggregate(&mut self, calls: &Calls) -> Result<Reply, Rejection> {
        self.tell_way();
        calls.answer(&mut self.exchange, self.connection.ends).await
    }

    /// Writes down who the client is, and how its request has come here.
    fn tell_way(&mut self) {
        let exchange = &mut *self.exchange;
        self.connection
            .forwarder
            .write(&mut exchange.headers, &exchange.host, &exchange.scheme);
        if let Some(certificate) = &exchange.client_certificate
            && self.view.forwards_client_certificates(self.connection.listener)
        {
            exchange.headers.insert(CLIENT_CERT, certificate.field.clone());
        }
    }

    /// The state of the client's body; none where there is none.
    pub(super) fn client_body(&mut self, incoming: &Incoming) -> Option<Rc<ClientBodyState>> {
        if !incoming.is_end_stream() {
            self.client_body = Some(Rc::default());
        }
        self.client_body.clone()
    }

    /// The response's head, which is on its way now; `whole`: it has no body.
    pub(super) fn send_head(&mut self, whole: bool) -> ResponseHead {
        let bodiless = self.exchange.method == Method::HEAD
            || matches!(
                self.exchange.response.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        self.sent = if whole || bodiless { Sent::All } else { Sent::Head };
        self.connection.activity.answering();
        let head = &mut self.exchange.response;
        ResponseHead {
            // It is still asked for when the exchange ends.
            status: head.status,
            headers: std::mem::take(&mut head.headers),
        }
    }

    /// What its client's trailers may hold.
    pub(super) fn trailer_limits(&self) -> TrailerLimits {
        let limits = &self.view.gateway.config.server.limits;
        TrailerLimits {
            size: (self.exchange.version >= Version::HTTP_2).then_some(limits.header_size),
            count: limits.header_count,
        }
    }

    /// How long its client may take.
    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.view.gateway.config.server.timeouts
    }

    /// It went on in another protocol, with so many bytes from the client and to it.
    pub(super) fn tunnelled(&mut self, sent: u64, received: u64, ended: Outcome) {
        self.exchange.request_bytes = sent;
        self.exchange.response_bytes = received;
        self.outcome = ended;
    }

    /// So many bytes of the response's body are on their way; how many in all.
    pub(super) fn sending(&mut self, bytes: usize) -> u64 {
        self.exchange.response_bytes += bytes as u64;
        self.exchange.response_bytes
    }

    /// So many are in all.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.exchange.response_bytes
    }

    /// All of the response is on its way.
    pub(super) fn sent_all(&mut self) {
        self.sent = Sent::All;
    }

    /// The client has not taken all of it.
    pub(super) fn not_taken(&mut self) {
        self.sent = Sent::Head;
    }

    /// The response's body broke off.
    pub(super) fn broke_off(&mut self, error: BodyError) {
        self.outcome = Outcome::Broken(error.outcome());
    }

    fn log(&mut self) {
        let id = self.exchange.id().to_string();
        let exchange = &self.exchange;
        let upstream = self.upstream.as_ref().map(|upstream| upstream.settings.name.as_str());
        self.view.access_log.write(&Line {
            time: timestamp(),
            id,
            client: exchange.client,
            method: exchange.method.as_str(),
            host: exchange.authority(),
            path: exchange.matched.path(),
            route: &exchange.route.name,
            status: exchange.response.status.as_u16(),
            outcome: self.outcome.as_str(),
            duration_us: u64::try_from(exchange.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
            upstream,
            target: self.target.as_ref().map(|target| &*target.name),
            attempts: upstream.map(|_| self.attempts.get()),
            protocol: protocol(exchange.version),
            notes: Notes(&exchange.notes),
        });
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.connection.activity.end_exchange();
        // A call that was abandoned half-way, since the client has gone, leaves nothing behind either.
        self.exchange.undo_edits();
        if self.sent != Sent::All && !matches!(self.outcome, Outcome::Broken(_)) {
            self.outcome = Outcome::ClientGone;
            if self.sent == Sent::Nothing
                && let Ok(status) = StatusCode::from_u16(CLIENT_GONE)
            {
                self.exchange.response.status = status;
            }
        }
        if let Some(body) = &self.client_body {
            self.exchange.request_bytes = body.read.get();
        }
        let exchange = &self.exchange;
        self.route.counters.ended(
            &exchange.method,
            exchange.response.status.as_u16(),
            exchange.started.elapsed(),
        );
        if self.view.access_log.is_on() {
            self.log();
        }
        if self.route.pipeline.completes() {
            let mut exchange = std::mem::replace(&mut self.exchange, Exchange::nobody());
            let (route, outcome) = (self.route.clone(), self.outcome.clone());
            let under_way = self.connection.worker.completing();
            tokio::task::spawn_local(async move {
                route.pipeline.complete(&mut exchange, &outcome).await;
                drop(under_way);
            });
        }
    }
}

/// Counts and logs a request that was refused before it became an exchange: nothing is known of it but who sent it.
pub(super) fn record_refusal(connection: &Connection, rejection: &Rejection, version: Version, id: ExchangeId) {
    let view = connection.worker.view();
    let (status, unknown) = (rejection.status().as_u16(), "-");
    let method = Method::from_bytes(unknown.as_bytes()).unwrap_or_default();
    view.unrouted.counters.ended(&method, status, Duration::ZERO);
    view.access_log.write(&Line {
        time: timestamp(),
        id: id.to_string(),
        client: connection.forwarder.peer(),
        method: unknown,
        host: unknown,
        path: unknown,
        route: &view.unrouted.info.name,
        status,
        outcome: rejection.outcome(),
        duration_us: 0,
        request_bytes: 0,
        response_bytes: 0,
        upstream: None,
        target: None,
        attempts: None,
        protocol: protocol(version),
        notes: Notes(&[]),
    });
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}
