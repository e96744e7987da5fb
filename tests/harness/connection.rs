//! A client's connection that is kept over several requests.

use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::{Body, Request, Response, within};

/// A connection to a gateway, HTTP/1.1 or HTTP/2. Closed when dropped, once its responses have been read.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    closed: Option<tokio::task::JoinHandle<()>>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    /// Connects and speaks HTTP/1.1.
    pub async fn http1(address: SocketAddr) -> Self {
        Self::try_http1(address).await.expect("a connection")
    }

    /// Connects and speaks HTTP/1.1; an error where nobody listens.
    pub async fn try_http1(address: SocketAddr) -> Result<Self, String> {
        let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        socket.set_nodelay(true).map_err(|error| error.to_string())?;
        Self::over_http1(socket).await
    }

    /// Speaks HTTP/1.1 over what is connected already.
    pub async fn over_http1(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, String> {
        let (sender, connection) = http1::handshake(TokioIo::new(socket))
            .await
            .map_err(|error| error.to_string())?;
        let closed = tokio::spawn(async move { _ = connection.await });
        Ok(Connection {
            sender: Sender::Http1(sender),
            closed: Some(closed),
        })
    }

    /// Connects and speaks HTTP/2 by prior knowledge (RFC 9113 section 3.3).
    pub async fn http2(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("a connection");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        Self::over_http2(socket).await
    }

    /// Speaks HTTP/2 over what is connected already.
    pub async fn over_http2(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .expect("an HTTP/2 handshake");
        let closed = tokio::spawn(async move { _ = connection.await });
        Connection {
            sender: Sender::Http2(sender),
            closed: Some(closed),
        }
    }

    /// Sends a GET on this connection.
    pub async fn get(&mut self, path: &str) -> Response {
        self.request("GET", path).send().await
    }

    /// A request to be filled in and sent on this connection.
    pub fn request(&mut self, method: &str, path: &str) -> Request<'_> {
        Request::on(self, method, path)
    }

    /// Waits until the gateway closes the connection.
    pub async fn closed(&mut self) {
        let closed = self.closed.take().expect("asked once, of the connection itself");
        within("the gateway closes the connection", closed)
            .await
            .expect("no panic");
    }

    /// The same HTTP/2 connection once more, for another stream at the same time.
    pub fn share(&self) -> Self {
        let Sender::Http2(sender) = &self.sender else {
            panic!("HTTP/1.1 has one request at a time")
        };
        Connection {
            sender: Sender::Http2(sender.clone()),
            closed: None,
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    pub(crate) async fn send(&mut self, request: http::Request<Body>) -> hyper::Result<http::Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}
