//! What happens on a connection before HTTP: a load balancer says who the client is, and TLS is agreed on.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::activity::{Activity, Order};
use super::proxy_protocol::{self, Announced};
use crate::acme::Challenges;
use crate::socket::{Rewound, Socket, Transport};
use crate::tls::ListenerTls;

/// Why a connection ends before HTTP.
pub(super) enum Ended {
    /// The client has gone, or the gateway goes.
    Quietly,
    /// It did not say who the client is, or not in time.
    NotAnnounced,
    /// TLS could not be agreed on, or not in time.
    NotSecured(io::Error),
    /// It speaks plain HTTP where TLS is spoken.
    PlainHttp(Transport),
}

/// Reads the header of the PROXY protocol. Whose connection it is, if it is not the peer's own; what was read beyond the
/// header stays in `ahead`.
pub(super) async fn announced(
    transport: &mut Transport,
    ahead: &mut BytesMut,
    activity: &Activity,
) -> Result<Option<SocketAddr>, Ended> {
    // It has as long as a request's head.
    activity.in_head(true);
    let client = loop {
        match proxy_protocol::read(ahead) {
            Announced::Client { length, client } => {
                let _ = ahead.split_to(length);
                break client;
            }
            Announced::Malformed => return Err(Ended::NotAnnounced),
            Announced::Incomplete => {}
        }
        match read_more(transport, ahead, activity).await {
            Ok(Ok(0) | Err(_)) => return Err(Ended::NotAnnounced),
            Ok(Ok(_)) | Err(Order::CloseIdle | Order::Rest) => {}
            Err(Order::HeadTimeout) => return Err(Ended::NotAnnounced),
            Err(Order::Drain | Order::Close) => return Err(Ended::Quietly),
        }
    };
    activity.in_head(false);
    Ok(client)
}

/// Agrees on TLS, within `limit`.
pub(super) async fn secured(
    transport: Transport,
    ahead: BytesMut,
    tls: &ListenerTls,
    limit: Duration,
    activity: &Activity,
) -> Result<Socket, Ended> {
    let late = |_| Err(Ended::NotSecured(io::ErrorKind::TimedOut.into()));
    let handshake = shake_hands(transport, ahead, tls, activity);
    timeout(limit, handshake).await.unwrap_or_else(late)
}

/// The first byte of every TLS connection: a record of a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

async fn shake_hands(
    mut transport: Transport,
    mut ahead: BytesMut,
    tls: &ListenerTls,
    activity: &Activity,
) -> Result<Socket, Ended> {
    while ahead.is_empty() {
        match read_more(&mut transport, &mut ahead, activity).await {
            Ok(Ok(0) | Err(_)) | Err(Order::Drain | Order::Close) => return Err(Ended::Quietly),
            Ok(Ok(_)) | Err(Order::CloseIdle | Order::HeadTimeout | Order::Rest) => {}
        }
    }
    match ahead.first() {
        Some(&HANDSHAKE) => {}
        // A method's name.
        Some(first) if first.is_ascii_uppercase() => return Err(Ended::PlainHttp(transport)),
        _ => return Err(Ended::NotSecured(io::ErrorKind::InvalidData.into())),
    }
    let stream = Rewound::new(ahead.freeze(), transport);
    let mut accept = pin!(async {
        match tls.challenges.as_deref().filter(|challenges| challenges.has_tls()) {
            None => TlsAcceptor::from(tls.config.clone()).accept(stream).await.map(Some),
            Some(challenges) => Box::pin(accepted_or_answered(stream, tls, challenges)).await,
        }
    });
    let mut drain = false;
    let accepted = poll_fn(|cx| {
        loop {
            if let Poll::Ready(accepted) = accept.as_mut().poll(cx) {
                return Poll::Ready(Some(accepted));
            }
            match activity.take_order(cx.waker()) {
                None => return Poll::Pending,
                Some(Order::Close) => return Poll::Ready(None),
                // A client has begun: it is served, and the order is for later.
                Some(Order::Drain) => drain = true,
                Some(Order::CloseIdle | Order::HeadTimeout | Order::Rest) => {}
            }
        }
    });
    let stream = match accepted.await {
        None | Some(Ok(None)) => return Err(Ended::Quietly),
        Some(Err(error)) => return Err(Ended::NotSecured(error)),
        Some(Ok(Some(stream))) => stream,
    };
    if drain {
        activity.order(Order::Drain);
    }
    Ok(Socket::Tls(Box::new(stream.into())))
}

/// A handshake with a client, or with somebody who checks that a domain is ours (RFC 8737): then it is all there is.
async fn accepted_or_answered(
    stream: Rewound,
    tls: &ListenerTls,
    challenges: &Challenges,
) -> io::Result<Option<TlsStream<Rewound>>> {
    let started = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    match challenges.tls(&started.client_hello()) {
        None => started.into_stream(tls.config.clone()).await.map(Some),
        Some(answer) => {
            let mut answered = started.into_stream(answer).await?;
            let _ = answered.shutdown().await;
            Ok(None)
        }
    }
}

/// Reads what has arrived, or waits for it. What has arrived is read before an order is heeded.
pub(super) async fn read_more(
    socket: &mut (impl AsyncRead + Unpin),
    ahead: &mut BytesMut,
    activity: &Activity,
) -> Result<io::Result<usize>, Order> {
    let mut read = pin!(socket.read_buf(ahead));
    poll_fn(|cx| match read.as_mut().poll(cx) {
        Poll::Ready(read) => Poll::Ready(Ok(read)),
        Poll::Pending => activity
            .take_order(cx.waker())
            .map_or(Poll::Pending, |order| Poll::Ready(Err(order))),
    })
    .await
}
