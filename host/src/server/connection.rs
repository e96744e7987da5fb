//! One client connection: which protocol it speaks, and that protocol's service.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::activity::{Activity, Order};
use super::executor::LocalExecutor;
use super::forwarded::Forwarder;
use super::io::{ClientIo, Http1};
use super::service;
use super::worker::Worker;
use crate::config::resolved::Server;
use crate::rejection::Rejection;

/// What the exchanges of one connection share.
pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) activity: Rc<Activity>,
    pub(super) forwarder: Forwarder,
}

/// What an HTTP/2 client says first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it ends.
pub(super) async fn serve(worker: &Rc<Worker>, socket: TcpStream, peer: SocketAddr) {
    // Answers are written whole; waiting for more to send with them only costs time.
    let _ = socket.set_nodelay(true);
    let view = worker.view();
    let settings = &view.gateway.config.server;
    let connection = Rc::new(Connection {
        worker: worker.clone(),
        activity: worker.connections.add(),
        forwarder: Forwarder::new(peer, false, &settings.trusted_proxies),
    });
    let mut socket = socket;
    let Some(ahead) = read_ahead(&mut socket, &connection.activity).await else { return };
    if ahead.starts_with(PREFACE) {
        serve_http2(connection, socket, ahead, settings).await;
    } else {
        serve_http1(connection, socket, ahead, settings).await;
    }
}

/// Reads until it is clear which protocol is spoken. None where the client has gone, or said nothing in time.
async fn read_ahead(socket: &mut TcpStream, activity: &Activity) -> Option<Bytes> {
    let mut ahead = BytesMut::with_capacity(1024);
    loop {
        let read = {
            let mut read = pin!(socket.read_buf(&mut ahead));
            poll_fn(|cx| match activity.take_order(cx.waker()) {
                Some(order) => Poll::Ready(Err(order)),
                None => read.as_mut().poll(cx).map(Ok),
            })
            .await
        };
        match read {
            Ok(Ok(0) | Err(_)) => return None,
            Ok(Ok(_)) => activity.read_progress(),
            Err(Order::HeadTimeout) => {
                let _ = socket.write_all(&refusal(&Rejection::RequestTimeout)).await;
                return None;
            }
            Err(_) => return None,
        }
        let compared = ahead.len().min(PREFACE.len());
        if ahead[..compared] != PREFACE[..compared] || ahead.len() >= PREFACE.len() {
            return Some(ahead.freeze());
        }
    }
}

async fn serve_http1(connection: Rc<Connection>, socket: TcpStream, ahead: Bytes, settings: &Server) {
    let activity = connection.activity.clone();
    let http1 = Http1::new(|status| refusal(&Rejection::of_malformed_head(status)));
    let io = ClientIo::new(TokioIo::new(socket), ahead, activity.clone(), Some(http1));
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .max_headers(settings.limits.header_count)
        .max_header_size(settings.limits.header_size)
        .pipeline_flush(true);
    let service = service_fn(move |request| service::serve(connection.clone(), request));
    let mut served = builder.serve_connection(io, service);
    let ended = poll_fn(|cx| {
        while let Some(order) = activity.take_order(cx.waker()) {
            match order {
                Order::Drain => Pin::new(&mut served).graceful_shutdown(),
                order => return Poll::Ready(Err(order)),
            }
        }
        let polled = Pin::new(&mut served).poll(cx);
        match activity.take_refusal() {
            Some(what) => Poll::Ready(Err(Order::Refuse(what))),
            None => polled.map(Ok),
        }
    });
    let rejection = match ended.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => return tracing::debug!(%error, "client connection ended"),
        Err(Order::HeadTimeout) => Rejection::RequestTimeout,
        Err(Order::Refuse(what)) => Rejection::BadRequest(what),
        Err(_) => return,
    };
    let mut socket = served.into_parts().io.into_socket().into_inner();
    let _ = socket.write_all(&refusal(&rejection)).await;
    let _ = socket.shutdown().await;
}

async fn serve_http2(connection: Rc<Connection>, socket: TcpStream, ahead: Bytes, settings: &Server) {
    let activity = connection.activity.clone();
    activity.is_framed();
    let io = ClientIo::new(TokioIo::new(socket), ahead, activity.clone(), None);
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.limits.http2_streams)
        .max_header_list_size(u32::try_from(settings.limits.header_size).unwrap_or(u32::MAX))
        .initial_stream_window_size(128 << 10)
        .initial_connection_window_size(1 << 20);
    let service = service_fn(move |request| service::serve(connection.clone(), request));
    let mut served = pin!(builder.serve_connection(io, service));
    let ended = poll_fn(|cx| {
        while let Some(order) = activity.take_order(cx.waker()) {
            match order {
                // Both say GOAWAY and let streams finish.
                Order::Drain | Order::CloseIdle => served.as_mut().graceful_shutdown(),
                Order::HeadTimeout | Order::CloseStalled | Order::Refuse(_) => return Poll::Ready(Ok(())),
            }
        }
        served.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "client connection ended");
    }
}

/// A whole HTTP/1.1 message that refuses a request and closes the connection.
fn refusal(rejection: &Rejection) -> Bytes {
    let reply = rejection.reply(crate::pipeline::ExchangeId::draw());
    let mut message = format!(
        "HTTP/1.1 {} {}\r\nconnection: close\r\ncontent-length: {}\r\ndate: {}\r\n",
        reply.status.as_str(),
        reply.status.canonical_reason().unwrap_or_default(),
        reply.body.len(),
        httpdate::fmt_http_date(std::time::SystemTime::now()),
    )
    .into_bytes();
    for (name, value) in &reply.headers {
        message.extend_from_slice(name.as_str().as_bytes());
        message.extend_from_slice(b": ");
        message.extend_from_slice(value.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(&reply.body);
    message.into()
}
