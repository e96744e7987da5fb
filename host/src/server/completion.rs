//! The end of an exchange, however it comes about: counted, logged, and told to the filters that asked for it.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Connection;
use super::view::{RouteView, View};
use super::wait::Watch;
use crate::body::{Body, BodyError, ClientBodyState};
use crate::config::resolved;
use crate::pipeline::{Exchange, ExchangeId};
use crate::rejection::{CLIENT_GONE, Outcome, Rejection};
use crate::telemetry::access_log::{Line, Notes, timestamp};

/// An exchange that will be completed when this is dropped: with the response's body, or before, when the client has gone.
pub(super) struct Completion {
    connection: Rc<Connection>,
    view: Rc<View>,
    route: Rc<RouteView>,
    exchange: Box<Exchange>,
    outcome: Outcome,
    client_body: Option<Rc<ClientBodyState>>,
    upstream: Option<Arc<resolved::Upstream>>,
    target: Option<Arc<str>>,
    sent: Sent,
}

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
            view,
            route,
            exchange,
            outcome: Outcome::Ok,
            client_body: None,
            upstream: None,
            target: None,
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

    /// The exchange, and the place to write down which target was asked.
    pub(super) fn forward(
        &mut self,
        upstream: &Arc<resolved::Upstream>,
    ) -> (&mut Box<Exchange>, &mut Option<Arc<str>>) {
        self.upstream = Some(upstream.clone());
        (&mut self.exchange, &mut self.target)
    }

    /// The state of the client's body; none where there is none.
    pub(super) fn client_body(&mut self, incoming: &Incoming) -> Option<Rc<ClientBodyState>> {
        if !incoming.is_end_stream() {
            self.client_body = Some(Rc::default());
        }
        self.client_body.clone()
    }

    /// The response's head is on its way.
    pub(super) fn head_sent(&mut self, whole: bool) {
        let bodiless = self.exchange.method == Method::HEAD
            || matches!(
                self.exchange.response.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        self.sent = if whole || bodiless { Sent::All } else { Sent::Head };
    }

    fn log(&mut self) {
        let id = self.exchange.id().to_string();
        let exchange = &self.exchange;
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
            upstream: self.upstream.as_ref().map(|upstream| upstream.name.as_str()),
            target: self.target.as_deref(),
            protocol: protocol(exchange.version),
            notes: Notes(&exchange.notes),
        });
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.connection.activity.end_exchange();
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
pub(super) fn record_refusal(connection: &Connection, rejection: &Rejection, id: ExchangeId) {
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
        protocol: protocol(Version::HTTP_11),
        notes: Notes(&[]),
    });
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// The response's body on its way to the client, and the exchange that ends with it.
pub(super) struct Outgoing {
    body: Body,
    /// What is left of a frame that is handed over in pieces.
    rest: Bytes,
    watch: Watch,
    completion: Completion,
}

/// Bytes that are handed to HTTP/2 at once. It takes any number while the client's window is open by one, so that of a larger
/// piece nobody could tell how far it has got; and what it has taken it holds after the exchange has ended.
const PIECE: usize = 64 << 10;

impl Outgoing {
    pub(super) fn new(body: Body, completion: Completion) -> Outgoing {
        let watch = Watch::new(completion.connection.activity.clone());
        Outgoing {
            body,
            rest: Bytes::new(),
            watch,
            completion,
        }
    }

    /// The next frame whole, or as much of it as may be handed over at once.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            let large = |frame: &Frame<Bytes>| frame.data_ref().is_some_and(|data| data.len() > PIECE);
            match frame {
                Some(Ok(frame)) if self.completion.connection.activity.is_framed() && large(&frame) => {
                    self.rest = frame.into_data().unwrap_or_default();
                }
                frame => return Poll::Ready(frame),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let outgoing = self.get_mut();
        outgoing.watch.over();
        let polled = ready!(outgoing.poll_piece(cx));
        match &polled {
            Some(Ok(frame)) => {
                outgoing.watch.until_taken();
                outgoing.completion.exchange.response_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                // After trailers hyper does not ask for more.
                if frame.is_trailers() || outgoing.is_end_stream() {
                    outgoing.completion.sent = Sent::All;
                }
            }
            Some(Err(error)) => outgoing.completion.outcome = Outcome::Broken(error.outcome()),
            None => outgoing.completion.sent = Sent::All,
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
