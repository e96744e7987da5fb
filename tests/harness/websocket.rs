//! WebSockets, on either side of the gateway: tungstenite speaks them.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{Body, Connection, body, within};

/// One end of a WebSocket. Dropping it closes its socket without a word.
#[derive(Debug)]
pub struct WebSocket(WebSocketStream<Box<dyn Stream>>);

/// What a WebSocket runs over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Stream for S {}

impl WebSocket {
    /// Opens one to this address, with these fields in its handshake.
    ///
    /// # Errors
    ///
    /// The answer, where the handshake was refused. Panics where there is none.
    pub async fn open(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(WebSocket, http::Response<()>), http::Response<Bytes>> {
        let socket = TcpStream::connect(address).await.expect("a connection");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        Self::over(socket, &format!("ws://{address}{path}"), headers).await
    }

    /// The same over whatever is connected already.
    ///
    /// # Errors
    ///
    /// The answer, where the handshake was refused. Panics where there is none.
    pub async fn over(
        socket: impl AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug + 'static,
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(WebSocket, http::Response<()>), http::Response<Bytes>> {
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a value"));
        }
        let socket: Box<dyn Stream> = Box::new(socket);
        let opened = within("a handshake", tokio_tungstenite::client_async(request, socket)).await;
        match opened {
            Ok((stream, response)) => Ok((WebSocket(stream), response.map(drop))),
            Err(Error::Http(response)) => Err(response.map(|body| body.unwrap_or_default().into())),
            Err(error) => panic!("no handshake: {error}"),
        }
    }

    /// Opens one as a stream of this HTTP/2 connection (RFC 8441).
    ///
    /// # Errors
    ///
    /// The answer, where it was refused. Panics where there is none.
    pub async fn open_over(connection: &mut Connection, path: &str) -> Result<WebSocket, http::Response<Incoming>> {
        let mut request = http::Request::new(body::empty());
        *request.method_mut() = http::Method::CONNECT;
        *request.uri_mut() = format!("http://a{path}").parse().expect("an address");
        *request.version_mut() = http::Version::HTTP_2;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let version = http::HeaderValue::from_static("13");
        request.headers_mut().insert("sec-websocket-version", version);
        let mut response = within("an answer comes", connection.send(request))
            .await
            .expect("an answer");
        if response.status() != 200 {
            return Err(response);
        }
        let upgraded = hyper::upgrade::on(&mut response).await.expect("a stream");
        let stream: Box<dyn Stream> = Box::new(TokioIo::new(upgraded));
        Ok(WebSocket(
            WebSocketStream::from_raw_socket(stream, Role::Client, None).await,
        ))
    }

    /// Answers a handshake and hands the server's end to `handler`. What asks for no WebSocket gets 426.
    pub fn accept<R>(
        mut request: http::Request<Incoming>,
        handler: impl FnOnce(WebSocket) -> R + Send + 'static,
    ) -> http::Response<Body>
    where
        R: Future<Output = ()> + Send + 'static,
    {
        let mut response = http::Response::new(body::empty());
        let Some(key) = request.headers().get("sec-websocket-key") else {
            *response.status_mut() = http::StatusCode::UPGRADE_REQUIRED;
            return response;
        };
        let key = derive_accept_key(key.as_bytes());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                let stream: Box<dyn Stream> = Box::new(TokioIo::new(upgraded));
                handler(WebSocket(
                    WebSocketStream::from_raw_socket(stream, Role::Server, None).await,
                ))
                .await;
            }
        });
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        for (name, value) in [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", key.as_str()),
        ] {
            headers.insert(name, value.parse().expect("a value"));
        }
        response
    }

    /// Sends a message, as soon as the other end takes it.
    pub async fn send(&mut self, message: impl Into<Message>) {
        within("a message is taken", self.0.send(message.into()))
            .await
            .expect("an open WebSocket");
    }

    /// Sends a message and does not wait until it has gone out; an error where the connection has ended.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub async fn try_send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.0.send(message.into()).await
    }

    /// The next message, a close frame among them; an error where the connection ends without one.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub async fn next(&mut self) -> Result<Message, Error> {
        let next = within("a message comes, or the end", self.0.next()).await;
        next.unwrap_or(Err(Error::ConnectionClosed))
    }

    /// The next message, which must be text.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Ok(Message::Text(text)) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// Closes with this code and reason, and reads on until the other end has done so too.
    pub async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        self.send(Message::Close(Some(frame))).await;
        while self.next().await.is_ok() {}
    }

    /// Sends back each message, text and binary, until the other end closes.
    pub async fn echo(mut self) {
        while let Some(Ok(message)) = self.0.next().await {
            if (message.is_text() || message.is_binary()) && self.0.send(message).await.is_err() {
                break;
            }
        }
    }
}
