//! One client connection: which protocol it speaks, and that protocol's service.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;

use super::activity::{Activity, Order};
use super::executor::LocalExecutor;
use super::forwarded::Forwarder;
use super::host::KnownHost;
use super::io::{ClientIo, Ended};
use super::service;
use super::tunnel::Tunnel;
use super::worker::Worker;
use super::{completion, ending};
use crate::config::resolved::Server;
use crate::pipeline::ExchangeId;
use crate::rejection::Rejection;
use crate::socket::Socket;
use crate::upstream::{Alarm, Released};

/// What the exchanges of one connection share.
pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) activity: Rc<Activity>,
    pub(super) forwarder: Forwarder,
    /// The host that the client named last.
    pub(super) host: KnownHost,
    /// Tells an exchange that it has waited for too long, here while none waits.
    pub(super) alarm: Cell<Alarm>,
    /// The exchange that goes on once HTTP has ended here.
    pub(super) tunnel: Cell<Option<Box<Tunnel>>>,
}

/// Bytes buffered for one connection.
const BUFFER: usize = 128 << 10;

/// How many times the limit of a header section the protocol itself lets an HTTP/2 client send.
const HEADER_LIST: usize = 2;

/// What an HTTP/2 client says first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it ends.
pub(super) async fn serve(worker: &Rc<Worker>, activity: Rc<Activity>, socket: Socket, peer: SocketAddr) {
    let view = worker.view();
    let settings = &view.gateway.config.server;
    let forwarder = Forwarder::new(peer, false, &settings.trusted_proxies);
    let connection = Rc::new(Connection {
        worker: worker.clone(),
        activity,
        forwarder,
        host: KnownHost::default(),
        alarm: Cell::default(),
        tunnel: Cell::default(),
    });
    let mut socket = socket;
    match read_ahead(&mut socket, &connection.activity).await {
        Ok(Some(ahead)) if ahead.starts_with(PREFACE) => serve_http2(connection, socket, ahead, settings).await,
        Ok(Some(ahead)) => serve_http1(connection, socket, ahead, settings).await,
        Ok(None) => {}
        Err(rejection) => refuse(&connection, socket, &rejection).await,
    }
}

/// Reads until it is clear which protocol is spoken. None where the client has gone, or said nothing in time.
async fn read_ahead(socket: &mut Socket, activity: &Activity) -> Result<Option<Bytes>, Rejection> {
    let mut ahead = BytesMut::with_capacity(1024);
    let mut drain = false;
    loop {
        let read = {
            let mut read = pin!(socket.read_buf(&mut ahead));
            poll_fn(|cx| match read.as_mut().poll(cx) {
                Poll::Ready(read) => Poll::Ready(Ok(read)),
                // What has arrived is read before an order is heeded.
                Poll::Pending => activity
                    .take_order(cx.waker())
                    .map_or(Poll::Pending, |order| Poll::Ready(Err(order))),
            })
            .await
        };
        match read {
            Ok(Ok(0) | Err(_)) => return Ok(None),
            Ok(Ok(_)) => activity.in_head(true),
            Err(Order::HeadTimeout) => return Err(Rejection::RequestTimeout),
            // A request has begun: it is served, and the order is for later.
            Err(Order::Drain) if !ahead.is_empty() => drain = true,
            Err(_) => return Ok(None),
        }
        let compared = ahead.len().min(PREFACE.len());
        if ahead[..compared] != PREFACE[..compared] || ahead.len() >= PREFACE.len() {
            if drain {
                activity.order(Order::Drain);
            }
            return Ok(Some(ahead.freeze()));
        }
    }
}

async fn serve_http1(connection: Rc<Connection>, socket: Socket, ahead: Bytes, settings: &Server) {
    let activity = connection.activity.clone();
    let io = ClientIo::http1(
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
    let Ended {
        socket,
        refused,
        unread,
        ahead,
    } = served.into_parts().io.ended();
    if let Some(tunnel) = connection.tunnel.take()
        && matches!(ended, Ok(Ok(())))
    {
        let client = Released {
            socket: Box::new(socket),
            ahead,
        };
        return Box::pin(tunnel.run(client)).await;
    }
    let socket = socket.into_inner();
    match (ended, refused) {
        (Ok(_), Some(rejection)) => refuse(&connection, socket, &rejection).await,
        (Ok(Ok(())), None) if unread => ending::linger(socket).await,
        (Ok(Ok(())), None) => ending::close(socket).await,
        (Ok(Err(error)), None) => tracing::debug!(%error, "client connection ended"),
        (Err(Order::HeadTimeout), _) if refusing => refuse(&connection, socket, &Rejection::RequestTimeout).await,
        (Err(_), _) => {}
    }
}

/// Refuses a request that never became an exchange. It is written down all the same.
async fn refuse(connection: &Connection, socket: Socket, rejection: &Rejection) {
    let id = ExchangeId::draw();
    completion::record_refusal(connection, rejection, id);
    ending::refuse(socket, rejection, id).await;
}

async fn serve_http2(connection: Rc<Connection>, socket: Socket, ahead: Bytes, settings: &Server) {
    let activity = connection.activity.clone();
    let io = ClientIo::http2(TokioIo::new(socket), ahead, activity.clone());
    // A section that is too large is ours to refuse, in words; beyond this it is not even read.
    let header_list = settings.limits.header_size.saturating_mul(HEADER_LIST);
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.limits.http2_streams)
        .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
        .initial_stream_window_size(128 << 10)
        .initial_connection_window_size(1 << 20)
        // What is buffered here is on its way when its exchange has ended, and only `idle` bounds how long.
        .max_send_buf_size(128 << 10);
    let service = service_fn(move |request| service::serve(&connection, request));
    let mut served = pin!(builder.serve_connection(io, service));
    let mut idle = false;
    let ended = poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = served.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            match activity.take_order(cx.waker()) {
                None => return Poll::Pending,
                // GOAWAY; streams finish.
                Some(Order::Drain) => served.as_mut().graceful_shutdown(),
                // The client has had as long again to heed GOAWAY.
                Some(Order::CloseIdle) if std::mem::replace(&mut idle, true) => return Poll::Ready(Ok(())),
                Some(Order::CloseIdle) => served.as_mut().graceful_shutdown(),
                Some(Order::HeadTimeout | Order::Close) => return Poll::Ready(Ok(())),
            }
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "client connection ended");
    }
}
