//! A new connection to a target.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::Either;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Released;
use super::addresses::Addresses;
use super::dial::dial;
use super::last_head::{LastHead, TargetIo};
use crate::body::Body;
use crate::config::resolved::Address;
use crate::server::executor::LocalExecutor;

/// One connection to a target, ready to send requests.
pub(crate) enum Connection {
    /// HTTP/1.1: one request at a time. It hands over its socket when it goes on in another protocol.
    Http1(
        http1::SendRequest<Body>,
        Rc<LastHead>,
        Option<oneshot::Receiver<Released>>,
    ),
    /// HTTP/2: many at once.
    Http2(http2::SendRequest<Body>),
}

/// The fields of a request that may have to be sent again.
pub(crate) enum Kept {
    /// In the head that the connection writes.
    Head(Rc<LastHead>),
    Fields(HeaderMap),
}

impl Kept {
    /// The fields of the request, which had this method and target; none if it never got as far as to be written.
    pub(crate) fn fields(self, method: &Method, target: &str) -> Option<HeaderMap> {
        match self {
            Kept::Head(head) => head.fields(method, target),
            Kept::Fields(fields) => Some(fields),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("it does not accept connections: {0}")]
    Refused(#[from] std::io::Error),
    #[error("its name has no address, or none is known yet")]
    Unresolved,
    #[error("it does not accept connections in time")]
    Timeout,
    #[error("the handshake failed: {0}")]
    Handshake(#[from] hyper::Error),
}

/// Bytes of a response's head at most, as for requests.
const HEAD_SIZE: usize = 64 << 10;
/// Fields of a response's head at most. Services are more generous with them than clients.
const HEAD_FIELDS: usize = 200;

/// Bytes buffered for one connection.
const BUFFER: usize = 128 << 10;

/// How often an HTTP/2 connection in use is asked whether it is alive, and how long it may take to say so: many requests
/// share it, so a dead one must be found out.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// Connects, and runs the connection in a task of this thread.
pub(crate) async fn connect(
    address: &Address,
    addresses: &Addresses,
    http2: bool,
    limit: Duration,
) -> Result<Connection, ConnectError> {
    let connected = timeout(limit, async {
        let Address::Tcp { .. } = address else {
            return Err(std::io::Error::from(std::io::ErrorKind::Unsupported).into());
        };
        let addresses = addresses.now().ok_or(ConnectError::Unresolved)?;
        let stream = dial(&addresses).await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        if http2 {
            let (sender, connection) = http2::Builder::new(LocalExecutor)
                .timer(TokioTimer::new())
                .keep_alive_interval(PING)
                .keep_alive_timeout(PONG)
                .handshake::<_, Body>(io)
                .await?;
            tokio::task::spawn_local(async move { log_end(connection.await) });
            Ok(Connection::Http2(sender))
        } else {
            let mut builder = http1::Builder::new();
            builder
                .max_headers(HEAD_FIELDS)
                .max_header_size(HEAD_SIZE)
                .max_buf_size(BUFFER);
            let head = Rc::<LastHead>::default();
            let io = TargetIo {
                socket: io,
                head: head.clone(),
            };
            let (sender, mut connection) = builder.handshake::<_, Body>(io).await?;
            let (release, released) = oneshot::channel();
            tokio::task::spawn_local(async move {
                log_end((&mut connection).await);
                if !release.is_closed() {
                    let parts = connection.into_parts();
                    let _ = release.send(Released {
                        socket: Box::new(parts.io.socket),
                        ahead: parts.read_buf,
                    });
                }
            });
            Ok(Connection::Http1(sender, head, Some(released)))
        }
    });
    connected.await.unwrap_or(Err(ConnectError::Timeout))
}

/// What ends a connection is told to the exchange on it; this is for whoever debugs idle ones.
fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "upstream connection ended");
    }
}

impl Connection {
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Connection::Http1(sender, ..) => sender.is_closed(),
            Connection::Http2(sender) => sender.is_closed(),
        }
    }

    /// Whether the connection can take a request at once.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Connection::Http1(sender, ..) => sender.is_ready(),
            Connection::Http2(sender) => sender.is_ready(),
        }
    }

    /// Waits until the connection can take a request.
    pub(crate) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Connection::Http1(sender, ..) => sender.ready().await,
            Connection::Http2(sender) => sender.ready().await,
        }
    }

    /// The socket, once the connection has gone on in another protocol; none where it cannot.
    pub(super) fn released(&mut self) -> Option<oneshot::Receiver<Released>> {
        match self {
            Connection::Http1(.., released) => released.take(),
            Connection::Http2(_) => None,
        }
    }

    /// Keeps the fields of the request that is sent next.
    pub(crate) fn keep(&self, request: &Request<Body>) -> Kept {
        match self {
            Connection::Http1(_, head, _) => {
                head.expect();
                Kept::Head(head.clone())
            }
            Connection::Http2(_) => Kept::Fields(request.headers().clone()),
        }
    }

    /// Sends a request. Where nothing of it has been sent, the error gives it back.
    ///
    /// Not an `async fn`: the request goes to the connection at once, instead of into a future that is moved about.
    pub(crate) fn send(
        &mut self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        match self {
            Connection::Http1(sender, ..) => Either::Left(sender.try_send_request(request)),
            Connection::Http2(sender) => Either::Right(sender.try_send_request(request)),
        }
    }
}
