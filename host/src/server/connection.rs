//! One client connection: who is at its other end, which protocol it speaks, and that protocol's service.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Version};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use rustls::CommonState;
use rustls::pki_types::CertificateDer;
use tokio::time::timeout_at;
use tokio_rustls::TlsStream;

use super::activity::{Activity, Order};
use super::client_limits::Admission;
use super::executor::StreamExecutor;
use super::forwarded::Forwarder;
use super::frames::Frames;
use super::handshake::{self, Ended, read_more};
use super::host::KnownHost;
use super::http3;
use super::io::{self, Http1Io, Http2Io};
use super::rest::rest;
use super::service;
use super::tunnel::Tunnel;
use super::worker::Worker;
use super::{completion, ending};
use crate::config::resolved::{Limits, Server, is_trusted};
use crate::pipeline::ExchangeId;
use crate::rejection::Rejection;
use crate::socket::{Socket, Transport};
use crate::tls::{ClientCertificate, H2, ListenerTls};
use crate::upstream::{Alarm, Ends, Released};

/// What the exchanges of one connection share.
pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    /// The number of the listener that it came to.
    pub(super) listener: usize,
    pub(super) activity: Rc<Activity>,
    pub(super) forwarder: Forwarder,
    /// The host that the client named last.
    pub(super) host: KnownHost,
    /// None where plain HTTP is spoken.
    pub(super) secured: Option<Secured>,
    /// Whether its listener speaks HTTP/3, too.
    pub(super) has_http3: bool,
    /// Where HTTP/3 is spoken, for clients that do not know.
    pub(super) alt_svc: Option<HeaderValue>,
    /// Tells an exchange that it has waited for too long, here while none waits.
    pub(super) alarm: Cell<Alarm>,
    /// The exchange that goes on once HTTP has ended here.
    pub(super) tunnel: Cell<Option<Box<Tunnel>>>,
    /// Where it comes from and goes to.
    pub(super) ends: Option<Ends>,
}

impl Connection {
    /// A connection between these two ends; an end without an address is on this machine.
    pub(super) fn new(
        worker: &Rc<Worker>,
        listener: usize,
        activity: &Rc<Activity>,
        (client, gateway): (Option<SocketAddr>, Option<SocketAddr>),
        secured: Option<Secured>,
    ) -> Connection {
        let view = worker.view();
        let settings = view.listeners.get(listener);
        let secure = settings.is_some_and(|listener| listener.tls.is_some());
        let proxies = &view.gateway.config.server.trusted_proxies;
        Connection {
            worker: worker.clone(),
            listener,
            activity: activity.clone(),
            forwarder: Forwarder::new(client.unwrap_or(LOCAL), secure, proxies),
            host: KnownHost::default(),
            secured,
            has_http3: settings.is_some_and(|listener| listener.settings.http3.is_some()),
            alt_svc: None,
            alarm: Cell::default(),
            tunnel: Cell::default(),
            ends: client.zip(gateway).map(|(client, gateway)| Ends { client, gateway }),
        }
    }

    /// What is said of HTTP/3: nothing any more where nobody may come by it.
    pub(super) fn alt_svc(&self) -> Option<&HeaderValue> {
        self.alt_svc.as_ref().filter(|_| !self.worker.is_draining())
    }
}

/// What a TLS handshake has said of the client.
pub(super) struct Secured {
    /// The host that it was made for, in lower case.
    pub(super) server_name: Option<String>,
    /// Who the client is, if it has shown a certificate.
    pub(super) client: Option<Arc<ClientCertificate>>,
    /// When that certificate is valid no more. A handshake does not ask, where it resumes an earlier session.
    expires: Option<Instant>,
}

impl Connection {
    /// Whether its client still keeps the rules for clients. Where it does not, the connection ends: what the client has to
    /// prove it can only prove on a new one.
    pub(super) fn keeps_the_rules(&self, now: Instant) -> bool {
        if self.secured.as_ref().is_some_and(|secured| secured.is_expired(now)) {
            self.activity.outdate();
        }
        !self.activity.is_outdated()
    }
}

impl Secured {
    fn of(socket: &Socket) -> Option<Secured> {
        let Socket::Tls(stream) = socket else { return None };
        let TlsStream::Server(stream) = &**stream else {
            return None;
        };
        let session = stream.get_ref().1;
        let shown = session.peer_certificates().and_then(<[_]>::first);
        Some(Secured::new(session.server_name(), shown))
    }

    /// The host that the client named, and its certificate.
    pub(super) fn new(server_name: Option<&str>, shown: Option<&CertificateDer<'_>>) -> Secured {
        let client = shown.and_then(ClientCertificate::read);
        let valid = client.as_ref().map(|client| client.valid_for(SystemTime::now()));
        Secured {
            server_name: server_name.map(str::to_ascii_lowercase),
            client: client.map(Arc::new),
            expires: valid.and_then(|valid| Instant::now().checked_add(valid)),
        }
    }

    /// Whether the client's certificate is valid no more.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Whether the certificate that the client was shown is also for this host (RFC 9110 section 15.5.20).
    pub(super) fn is_for(&self, host: &str, tls: &ListenerTls) -> bool {
        let named = self.server_name.as_deref();
        named == Some(host) || tls.certificates.shown_covers(named, host)
    }
}

/// A connection that has been accepted.
pub(super) struct Newcomer {
    pub(super) worker: Rc<Worker>,
    /// The number of the listener that it came to.
    pub(super) listener: usize,
    pub(super) activity: Rc<Activity>,
    /// None on a Unix socket.
    pub(super) peer: Option<SocketAddr>,
    pub(super) admission: Admission,
}

/// Who is at the other end of a Unix socket: somebody of this machine.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Bytes buffered for one connection.
const BUFFER: usize = 128 << 10;

/// How many times the limit of a header section the protocol itself lets an HTTP/2 client send.
pub(super) const HEADER_LIST: usize = 2;

/// Bytes that one stream of HTTP/2 or HTTP/3 may have in flight.
pub(super) const STREAM_WINDOW: u32 = 128 << 10;

/// What an HTTP/2 client says first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it ends.
pub(super) async fn serve(newcomer: Newcomer, mut transport: Transport) {
    let Newcomer {
        worker,
        listener: number,
        activity,
        peer,
        // It has its place in the counts until this ends.
        mut admission,
    } = newcomer;
    let view = worker.view();
    let Some(listener) = view.listeners.get(number) else {
        return;
    };
    activity.begin_under(number);
    let settings = &view.gateway.config.server;
    let websockets = listener.websockets;
    let mut ahead = BytesMut::with_capacity(1024);
    let mut peer = peer;
    if let Some(trusted) = &listener.settings.proxy_protocol {
        peer = match announced(&mut transport, &mut ahead, peer, trusted, &activity).await {
            Ok(client) => client,
            Err(why) => return worker.refused_before_http(&why),
        };
        if let Some(Err(full)) = peer.map(|client| admission.count_for(client.ip(), &settings.limits)) {
            return worker.refused_by(full);
        }
    }
    let gateway = transport.local_address();
    let connection = |secured| {
        let mut connection = Connection::new(&worker, number, &activity, (peer, gateway), secured);
        connection.alt_svc = gateway.and_then(|gateway| http3::alt_svc(&worker, number, gateway.port()));
        Rc::new(connection)
    };
    let (connection, mut socket) = match &listener.tls {
        None => (connection(None), Socket::from(transport)),
        Some(tls) => {
            let limit = settings.timeouts.handshake;
            let agreed = match Box::pin(handshake::secured(transport, ahead.split(), tls, limit, &activity)).await {
                Ok(socket) => match Secured::of(&socket) {
                    Some(secured) if secured.is_expired(Instant::now()) => Err(Ended::NotSecured(
                        std::io::Error::other("the certificate of the session that was resumed has expired"),
                    )),
                    secured => Ok((connection(secured), socket)),
                },
                Err(why) => Err(why),
            };
            match agreed {
                Ok(agreed) => agreed,
                Err(why) => {
                    worker.refused_before_http(&why);
                    match why {
                        Ended::Quietly | Ended::NotAnnounced => {}
                        Ended::NotSecured(error) => tracing::debug!(%error, "no TLS session with a client"),
                        Ended::PlainHttp(transport) => {
                            let rejection = Rejection::BadRequest("plain HTTP was sent to an address of HTTPS");
                            refuse(&connection(None), transport.into(), &rejection).await;
                        }
                    }
                    return;
                }
            }
        }
    };
    if socket.tls().and_then(CommonState::alpn_protocol) == Some(H2) {
        return Box::pin(serve_http2(connection, socket, Bytes::new(), settings, websockets)).await;
    }
    match read_ahead(&mut socket, &mut ahead, &connection.activity).await {
        Ok(true) if listener.settings.http2 && ahead.starts_with(PREFACE) => {
            Box::pin(serve_http2(connection, socket, ahead.freeze(), settings, websockets)).await;
        }
        Ok(true) => serve_http1(connection, socket, ahead.freeze(), settings).await,
        Ok(false) => {}
        Err(rejection) => refuse(&connection, socket, &rejection).await,
    }
}

/// Whose connection it is, as a load balancer that is trusted says it; its own, where it says so.
async fn announced(
    transport: &mut Transport,
    ahead: &mut BytesMut,
    peer: Option<SocketAddr>,
    trusted: &[IpNet],
    activity: &Activity,
) -> Result<Option<SocketAddr>, Ended> {
    // Who may connect to a Unix socket is what its mode says.
    if peer.is_some_and(|peer| !is_trusted(trusted, peer.ip())) {
        return Err(Ended::NotAnnounced);
    }
    let client = handshake::announced(transport, ahead, activity).await?;
    Ok(client.or(peer))
}

/// How long a client that has connected and said nothing yet may still begin a request once the gateway drains: it could not
/// know, and its request may be on its way.
pub(super) const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Reads until it is clear which protocol is spoken. False where the client has gone, or said nothing in time.
async fn read_ahead(socket: &mut Socket, ahead: &mut BytesMut, activity: &Activity) -> Result<bool, Rejection> {
    let mut drain = false;
    let mut last_moment: Option<Instant> = None;
    loop {
        if !ahead.is_empty() {
            activity.in_head(true);
            let compared = ahead.len().min(PREFACE.len());
            if ahead[..compared] != PREFACE[..compared] || ahead.len() >= PREFACE.len() {
                if drain {
                    activity.order(Order::Drain);
                }
                return Ok(true);
            }
        }
        let more = match last_moment.filter(|_| ahead.is_empty()) {
            Some(end) => timeout_at(end.into(), read_more(socket, ahead, activity)).await,
            None => Ok(read_more(socket, ahead, activity).await),
        };
        match more.unwrap_or(Err(Order::Close)) {
            Ok(Ok(0) | Err(_)) => return Ok(false),
            Ok(Ok(_)) => {}
            Err(Order::HeadTimeout) => return Err(Rejection::RequestTimeout),
            // What has begun is served, and the order is for later.
            Err(Order::Drain) => {
                drain = true;
                last_moment.get_or_insert_with(|| Instant::now() + FIRST_REQUEST);
            }
            Err(Order::Rest) => {}
            Err(Order::CloseIdle | Order::Close) => return Ok(false),
        }
    }
}

/// Serves HTTP/1: one conversation after the other, with rests between them.
async fn serve_http1(connection: Rc<Connection>, mut socket: Socket, mut ahead: Bytes, settings: &Server) {
    let activity = &connection.activity;
    loop {
        // In a box, which is given back as well.
        let conversation = Box::pin(converse(&connection, socket, ahead, settings));
        socket = match conversation.await {
            Paused::Ended => return,
            Paused::ForARest(socket) => socket,
        };
        let resting = connection.worker.resting().hold();
        let woken = rest(&mut socket, activity).await;
        drop(resting);
        ahead = match woken {
            Ok(Ok(bytes)) if bytes.is_empty() => return ending::close(socket).await,
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return tracing::debug!(%error, "client connection ended"),
            Err(Order::Drain) => return ending::close(socket).await,
            Err(_) => return,
        }
    }
}

/// Why a conversation is over.
enum Paused {
    /// The connection has ended, or gone on in another protocol.
    Ended,
    /// It was idle for a while.
    ForARest(Socket),
}

/// Serves requests until the connection ends, or is idle for a while.
async fn converse(connection: &Rc<Connection>, socket: Socket, ahead: Bytes, settings: &Server) -> Paused {
    let activity = connection.activity.clone();
    activity.may_rest();
    activity.turns.restart();
    let io = Http1Io::new(
        TokioIo::new(socket),
        ahead,
        activity.clone(),
        settings.limits.header_size,
    );
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .max_headers(settings.limits.header_count)
        // The framing has counted already, and knows which part of the head is too long.
        .max_header_size(settings.limits.header_size.saturating_add(1))
        // What one connection may make us hold, in either direction: a head, or a few reads.
        .max_buf_size(settings.limits.header_size.saturating_add(1).max(BUFFER));
    let serving = connection.clone();
    let service = service_fn(move |request| service::serve(&serving, request));
    let mut served = builder.serve_connection(io, service);
    let ended = poll_fn(|cx| {
        activity.turns.begin(cx);
        loop {
            // What has arrived is served before an order is heeded.
            if let Poll::Ready(ended) = Pin::new(&mut served).poll(cx) {
                return Poll::Ready(Ok(ended));
            }
            match activity.take_order(cx.waker()) {
                None => return Poll::Pending,
                Some(Order::Drain) => Pin::new(&mut served).graceful_shutdown(),
                Some(order) => return Poll::Ready(Err(order)),
            }
        }
    });
    let ended = ended.await;
    let refusing = activity.is_refusing();
    let io::Ended {
        socket,
        refused,
        unread,
        ahead,
        unsent,
    } = served.into_parts().io.ended();
    if let Some(tunnel) = connection.tunnel.take()
        && matches!(ended, Ok(Ok(())))
    {
        let client = Released {
            socket: Box::new(socket),
            ahead,
        };
        Box::pin(tunnel.run(client, unsent)).await;
        return Paused::Ended;
    }
    let socket = socket.into_inner();
    match (ended, refused) {
        // The protocol has read nothing that it has not answered, but for empty lines at most.
        (Err(Order::Rest), None) => return Paused::ForARest(socket),
        (Ok(_), Some(rejection)) => refuse(connection, socket, &rejection).await,
        (Ok(Ok(())), None) if unread => ending::linger(socket).await,
        (Ok(Ok(())), None) => ending::close(socket).await,
        (Ok(Err(error)), None) => tracing::debug!(%error, "client connection ended"),
        (Err(Order::HeadTimeout), _) if refusing => refuse(connection, socket, &Rejection::RequestTimeout).await,
        (Err(_), _) => {}
    }
    Paused::Ended
}

/// Refuses a request that never became an exchange. It is written down all the same.
async fn refuse(connection: &Connection, socket: Socket, rejection: &Rejection) {
    let id = ExchangeId::draw();
    completion::record_refusal(connection, rejection, Version::HTTP_11, id);
    ending::refuse(socket, rejection, id).await;
}

/// Bytes that all streams of a connection may have in flight together. Up to a bound as much as each of them may: uploads that
/// wait for a slow target must not take the room of those that do not.
pub(super) fn connection_window(limits: &Limits) -> u32 {
    let streams = limits.http2_streams.saturating_mul(STREAM_WINDOW);
    streams.clamp(1 << 20, 16 << 20)
}

async fn serve_http2(connection: Rc<Connection>, socket: Socket, ahead: Bytes, settings: &Server, websockets: bool) {
    let activity = connection.activity.clone();
    let frames = Frames::new(&settings.limits.http2);
    let io = Http2Io::new(TokioIo::new(socket), ahead, activity.clone(), frames);
    // A section that is too large is ours to refuse, in words; beyond this it is not even read.
    let header_list = settings.limits.header_size.saturating_mul(HEADER_LIST);
    let mut builder = http2::Builder::new(StreamExecutor::new(activity.clone()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.limits.http2_streams)
        // Counted by `frames`, which knows time; this only bounds what may lie there at once.
        .max_pending_accept_reset_streams(
            settings
                .limits
                .http2
                .resets
                .map_or(usize::MAX, |rate| rate as usize * 20),
        )
        .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(&settings.limits))
        // What is buffered here is on its way when its exchange has ended, and only `idle` bounds how long.
        .max_send_buf_size(128 << 10);
    if websockets {
        builder.enable_connect_protocol();
    }
    let serving = connection.clone();
    let service = service_fn(move |request| service::serve(&serving, request));
    let mut served = pin!(builder.serve_connection(io, service));
    let mut idle = false;
    let ended = poll_fn(|cx| {
        activity.turns.begin(cx);
        loop {
            if let Poll::Ready(ended) = served.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            match activity.take_order(cx.waker()) {
                None => return Poll::Pending,
                Some(Order::Rest) => {}
                // GOAWAY; streams finish.
                Some(Order::Drain) => served.as_mut().graceful_shutdown(),
                // The client has had as long again to heed GOAWAY.
                Some(Order::CloseIdle) if std::mem::replace(&mut idle, true) => return Poll::Ready(Ok(())),
                Some(Order::CloseIdle) => served.as_mut().graceful_shutdown(),
                Some(Order::HeadTimeout | Order::Close) => return Poll::Ready(Ok(())),
            }
        }
    });
    let ended = ended.await;
    if let Some(flood) = activity.flood() {
        connection.worker.flooded(flood);
        let client = connection.forwarder.peer();
        tracing::debug!(%client, reason = flood.as_str(), "client connection ended: too many HTTP/2 frames");
    } else if let Err(error) = ended {
        tracing::debug!(%error, "client connection ended");
    }
}
