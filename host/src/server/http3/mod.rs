//! HTTP/3: connections of QUIC, whose streams are requests like any other.
//!
//! quinn speaks QUIC, on each thread by itself; h3 reads and writes heads. What lies between them is ours: [`frames`] and
//! [`quic`] keep from h3 what it takes too lightly, and each stream is a task that makes an exchange of it ([`exchange`]).

mod body;
mod endpoint;
mod exchange;
mod field_section;
mod frames;
mod incomplete;
mod one_way;
mod quic;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h3::error::{Code, ConnectionError};
use h3::server::RequestResolver;
use http::HeaderValue;
use quinn::crypto::rustls::HandshakeData;
use rustls::pki_types::CertificateDer;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

pub(crate) use self::body::RequestBody;
pub(super) use self::endpoint::{Endpoint, Keys};
use self::exchange::Opened;
use self::quic::{Driven, Quic, Stopped};
use super::activity::{Activity, Order};
use super::connection::{Connection, FIRST_REQUEST, HEADER_LIST, Newcomer, Secured};
use super::flood::Floods;
use super::handshake::Ended;
use super::worker::Worker;
use crate::config::resolved::{Limits, Server};

/// Serves a connection until it ends. Where its client's address is still to be proven, `unproven` is dropped when it is.
async fn serve(newcomer: Newcomer, connecting: quinn::Connecting, local: SocketAddr, unproven: Option<Rc<()>>) {
    let Newcomer {
        worker,
        listener,
        activity,
        peer: _,
        mut admission,
    } = newcomer;
    let view = worker.view();
    let settings = &view.gateway.config.server;
    activity.begin_under(listener);
    let shaken = match timeout(settings.timeouts.handshake, connecting).await {
        Ok(Ok(shaken)) => shaken,
        Ok(Err(error)) => {
            tracing::debug!(%error, "no QUIC connection with a client");
            return worker.refused_before_http(&Ended::NotSecured(error.into()));
        }
        Err(late) => return worker.refused_before_http(&Ended::NotSecured(late.into())),
    };
    let peer = shaken.remote_address();
    if unproven.is_some()
        && let Err(full) = admission.count_for(peer.ip(), &settings.limits)
    {
        shaken.close(
            quinn::VarInt::from_u32(Code::H3_EXCESSIVE_LOAD.value() as u32),
            b"too many connections",
        );
        return worker.refused_by(full);
    }
    drop(unproven);
    let secured = secured(&shaken);
    if secured.is_expired(Instant::now()) {
        // The session that was resumed was begun with a certificate that has expired since.
        shaken.close(quinn::VarInt::from_u32(0), b"");
        return worker.refused_before_http(&Ended::NotSecured(std::io::ErrorKind::PermissionDenied.into()));
    }
    let gateway = SocketAddr::new(shaken.local_ip().unwrap_or(local.ip()), local.port());
    let ends = (Some(peer), Some(gateway));
    let connection = Rc::new(Connection::new(&worker, listener, &activity, ends, Some(secured)));
    activity.framed();
    let floods = Floods::new(&settings.limits.http2);
    let quic = Quic::new(shaken, activity.clone(), floods, most_head(&settings.limits));
    match timeout(settings.timeouts.handshake, begin(&quic, &settings.limits)).await {
        Ok(Ok(driven)) => drive(&connection, &quic, driven, settings).await,
        Ok(Err(error)) => tracing::debug!(%error, "client connection ended"),
        Err(_) => {}
    }
    if let Some(flood) = activity.flood() {
        worker.flooded(flood);
        let client = connection.forwarder.peer();
        tracing::debug!(%client, reason = flood.as_str(), "client connection ended: too many HTTP/3 frames");
    }
    quic.close(Code::H3_NO_ERROR, "");
}

type Stream = RequestResolver<Driven, Bytes>;
type Served = h3::server::Connection<Driven, Bytes>;

/// Tells the client our settings.
async fn begin(quic: &Rc<Quic>, limits: &Limits) -> Result<Served, ConnectionError> {
    let mut builder = h3::server::builder();
    let most = HEADERS_UNPACKED * limits.header_size as u64;
    builder
        .max_field_section_size(most.min(MOST_FIELDS * FIELD_OVERHEAD))
        .send_grease(false);
    builder.build(Driven::new(quic)).await
}

/// How much larger than the limit a header section may be for its refusal to be an answer.
const HEADERS_UNPACKED: u64 = 8;
/// Fields that a `HeaderMap` is sure to hold.
const MOST_FIELDS: u64 = 16 << 10;
/// What HTTP/3 counts for a field beside its name and value (RFC 9114 section 4.2.2).
const FIELD_OVERHEAD: u64 = 32;

/// Bytes that a header section may have as it is sent. What is longer ends the connection: it is not even read.
fn most_head(limits: &Limits) -> u64 {
    limits.header_size.saturating_mul(HEADER_LIST).max(1 << 10) as u64
}

/// What clients of a listener's HTTPS are told of it, who came to this port (RFC 7838).
pub(super) fn alt_svc(worker: &Worker, listener: usize, port: u16) -> Option<HeaderValue> {
    if !worker.has_http3(listener) {
        return None;
    }
    let view = worker.view();
    let settings = view.listeners.get(listener)?.settings.http3.as_ref()?;
    let (port, age) = (settings.port.unwrap_or(port), settings.max_age.as_secs());
    (age > 0).then(|| HeaderValue::try_from(format!("h3=\":{port}\"; ma={age}")).ok())?
}

/// What the handshake has said of the client.
fn secured(connection: &quinn::Connection) -> Secured {
    let data = connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok());
    let name = data.and_then(|data| data.server_name);
    let shown = connection.peer_identity();
    let shown = shown.and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok());
    Secured::new(name.as_deref(), shown.as_ref().and_then(|shown| shown.first()))
}

/// Serves streams until there are to be no more of them and all have ended.
async fn drive(connection: &Rc<Connection>, quic: &Rc<Quic>, driven: Served, settings: &Server) {
    let mut driven = Driving {
        served: driven,
        quic: quic.clone(),
        any: false,
        leaving: Leaving::Not,
    };
    // When this ends, what is left of them ends with it.
    let mut exchanges = JoinSet::new();
    let ended = poll_fn(|cx| {
        loop {
            match driven.poll_stream(cx) {
                Poll::Ready(Ok(Some((stream, stopped)))) => {
                    let opened = Opened {
                        connection: connection.clone(),
                        quic: quic.clone(),
                        stream,
                        stopped,
                        head: settings.timeouts.header,
                    };
                    exchanges.spawn_local(exchange::serve(opened));
                    continue;
                }
                Poll::Ready(Ok(None)) => driven.left(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
            while let Poll::Ready(Some(_)) = exchanges.poll_join_next(cx) {}
            if driven.has_left(cx) && exchanges.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if let Poll::Ready(Err(error)) = quic.told.poll_sent(cx) {
                tracing::debug!(%error, "a client does not listen");
                quic.close(Code::H3_CLOSED_CRITICAL_STREAM, "");
                return Poll::Ready(Ok(()));
            }
            match order(&connection.activity, cx) {
                None => return Poll::Pending,
                Some(Order::Rest) => {}
                Some(Order::Drain | Order::CloseIdle) => driven.leave(),
                Some(Order::HeadTimeout | Order::Close) => {
                    if let Some(flood) = connection.activity.flood() {
                        // Before h3 does, in other words.
                        quic.close(Code::H3_EXCESSIVE_LOAD, flood.as_str());
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "client connection ended");
    }
}

fn order(activity: &Activity, cx: &Context<'_>) -> Option<Order> {
    activity.take_order(cx.waker())
}

/// A connection, and how far it is from its end.
struct Driving {
    served: Served,
    quic: Rc<Quic>,
    /// Whether the client has opened any stream.
    any: bool,
    leaving: Leaving,
}

enum Leaving {
    Not,
    /// The client was told, or has said nothing yet; what it sends before this has passed is served.
    Soon(Pin<Box<Sleep>>),
    /// No more streams.
    Now,
}

/// How long streams are still accepted after a client was told to open no more: they were on their way.
const ON_THEIR_WAY: Duration = Duration::from_millis(100);
/// More streams than any client opens in that time.
const ANY_NUMBER: usize = 1 << 20;

impl Driving {
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<(Stream, Stopped)>, ConnectionError>> {
        let polled = pin!(self.served.accept()).poll(cx);
        polled.map_ok(|stream| {
            self.any = true;
            stream.zip(self.quic.accepted())
        })
    }

    /// Tells the client to open no more streams (RFC 9114 section 5.2): in two steps, so that none is lost that was on its
    /// way.
    fn leave(&mut self) {
        if !matches!(self.leaving, Leaving::Not) {
            return;
        }
        let patience = match self.any {
            true => {
                self.go_away(ANY_NUMBER);
                ON_THEIR_WAY.max(2 * self.quic.connection.rtt())
            }
            // To one that has opened none it could only be said that none will be looked at.
            false => FIRST_REQUEST,
        };
        self.leaving = Leaving::Soon(Box::pin(sleep(patience)));
    }

    /// Whether no more streams will come.
    fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        if let Leaving::Soon(patience) = &mut self.leaving
            && patience.as_mut().poll(cx).is_ready()
        {
            self.go_away(1);
            self.left();
        }
        matches!(self.leaving, Leaving::Now)
    }

    /// No more streams: also where the client has said so, and all that it wanted is answered. Answers may still be on their
    /// way.
    fn left(&mut self) {
        self.quic.reject_streams();
        self.leaving = Leaving::Now;
    }

    /// GOAWAY: so many more streams than there were are looked at.
    fn go_away(&mut self, more: usize) {
        // It ends at once, since what cannot be sent yet is held. Whoever drives sends it, and sees what fails.
        let told = pin!(self.served.shutdown(more));
        let _ = told.poll(&mut Context::from_waker(Waker::noop()));
    }
}
