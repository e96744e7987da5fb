//! One connection to a target, and what is sent over it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::Released;
use super::http2_io::Http2Io;
use super::interim::Interim;
use super::last_head::{LastHead, TargetIo};
use super::life::{EndedBy, Life};
use super::pool::Freed;
use crate::body::Body;
use crate::server::executor::LocalExecutor;
use crate::socket::Socket;
use crate::turns::Turns;

/// One connection to a target, ready to send requests.
pub(crate) enum Connection {
    /// HTTP/1.1: one request at a time.
    Http1(Http1),
    /// HTTP/2: a place among the many requests of one connection.
    Http2(Http2),
}

/// A connection that serves one request at a time.
pub(crate) struct Http1 {
    sender: http1::SendRequest<Body>,
    head: Rc<LastHead>,
    interim: Rc<Interim>,
    turns: Rc<Turns>,
    life: Rc<Life>,
    /// Hands the socket over when the connection goes on in another protocol.
    released: Option<oneshot::Receiver<Released>>,
}

/// A connection that serves many requests at once: one of its places, or what places are made from.
pub(crate) struct Http2 {
    sender: http2::SendRequest<Body>,
    streams: Rc<Streams>,
    life: Rc<Life>,
    secure: bool,
    takes_place: bool,
}

type Driver = http2::Connection<Http2Io<TokioIo<Socket>>, Body, LocalExecutor>;

/// The requests of an HTTP/2 connection.
struct Streams {
    open: Cell<usize>,
    /// Until it has ended. It knows how many requests its peer takes at once.
    driver: RefCell<Option<Driver>>,
    freed: Rc<Freed>,
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

/// A host that cannot be named in HTTP/2.
#[derive(Debug, thiserror::Error)]
#[error("the host cannot be forwarded")]
pub(crate) struct UnfitHost;

impl Connection {
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Connection::Http1(connection) => connection.sender.is_closed(),
            Connection::Http2(connection) => connection.sender.is_closed(),
        }
    }

    /// Whether the connection can take a request at once.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Connection::Http1(connection) => connection.sender.is_ready(),
            Connection::Http2(connection) => connection.sender.is_ready(),
        }
    }

    /// Whether its peer can say of a request that it has not looked at it.
    pub(crate) fn may_refuse(&self) -> bool {
        matches!(self, Connection::Http2(_))
    }

    /// The last response has been read to its end.
    pub(super) fn rest(&self) {
        if let Connection::Http1(connection) = self
            && connection.sender.is_ready()
        {
            connection.turns.rest();
        }
    }

    /// Waits until the connection can take a request.
    pub(crate) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Connection::Http1(connection) => connection.sender.ready().await,
            Connection::Http2(connection) => connection.sender.ready().await,
        }
    }

    /// Gives a request the form that this connection sends. Before, it has that of HTTP/1.1, or of the connection that it
    /// came back from: a path, and the host as a field. `name` stands for a host that is empty.
    pub(crate) fn shape(&self, request: &mut Request<Body>, name: &str) -> Result<(), UnfitHost> {
        match self {
            Connection::Http1(_) => {
                if request.version() == Version::HTTP_2 {
                    from_http2(request);
                }
                if !matches!(request.body(), Body::Empty)
                    && !request.body().is_end_stream()
                    && request.body().size_hint().exact().is_none()
                {
                    // Or hyper would send a GET, for one, as if it had no body.
                    let chunked = HeaderValue::from_static("chunked");
                    request.headers_mut().insert(header::TRANSFER_ENCODING, chunked);
                }
                Ok(())
            }
            Connection::Http2(connection) => {
                if request.version() == Version::HTTP_2 {
                    from_http2(request);
                }
                to_http2(request, connection.secure, name)
            }
        }
    }

    /// The socket, once the connection has gone on in another protocol; none where it cannot.
    pub(super) fn released(&mut self) -> Option<oneshot::Receiver<Released>> {
        match self {
            Connection::Http1(connection) => connection.released.take(),
            Connection::Http2(_) => None,
        }
    }

    /// Keeps the fields of the request that is sent next.
    pub(crate) fn keep(&self, request: &Request<Body>) -> Kept {
        match self {
            Connection::Http1(connection) if connection.head.expect() => Kept::Head(connection.head.clone()),
            _ => Kept::Fields(request.headers().clone()),
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
            Connection::Http1(connection) => {
                connection.life.serves();
                connection.interim.expect();
                connection.turns.resume();
                Either::Left(connection.sender.try_send_request(request))
            }
            Connection::Http2(connection) => Either::Right(connection.sender.try_send_request(request)),
        }
    }

    pub(super) fn life(&self) -> &Life {
        match self {
            Connection::Http1(connection) => &connection.life,
            Connection::Http2(connection) => &connection.life,
        }
    }
}

impl Http1 {
    /// Runs the connection in a task of this thread.
    pub(super) fn run(
        sender: http1::SendRequest<Body>,
        mut connection: http1::Connection<TargetIo<TokioIo<Socket>>, Body>,
        head: Rc<LastHead>,
        interim: Rc<Interim>,
        turns: Rc<Turns>,
        life: Rc<Life>,
    ) -> Http1 {
        let (its_life, its_turns) = (life.clone(), turns.clone());
        let (release, released) = oneshot::channel();
        tokio::task::spawn_local(async move {
            let ended = poll_fn(|cx| {
                if its_turns.begin(cx) {
                    Pin::new(&mut connection).poll(cx)
                } else {
                    Poll::Pending
                }
            });
            its_life.ended(ended.await);
            if !release.is_closed() {
                let parts = connection.into_parts();
                let _ = release.send(Released {
                    socket: Box::new(parts.io.socket),
                    ahead: parts.read_buf,
                });
            }
        });
        Http1 {
            sender,
            head,
            interim,
            turns,
            life,
            released: Some(released),
        }
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        self.turns.resume();
        if !self.sender.is_closed() {
            self.life.end(EndedBy::Aborted);
        }
    }
}

impl Http2 {
    /// Runs the connection in a task of this thread.
    pub(super) fn run(
        sender: http2::SendRequest<Body>,
        driver: Driver,
        life: Rc<Life>,
        freed: Rc<Freed>,
        secure: bool,
    ) -> Http2 {
        let streams = Rc::new(Streams {
            open: Cell::new(0),
            driver: RefCell::new(Some(driver)),
            freed,
        });
        let (its_life, its_streams) = (life.clone(), streams.clone());
        tokio::task::spawn_local(async move {
            let ended = poll_fn(|cx| {
                let mut driver = its_streams.driver.borrow_mut();
                let Some(running) = driver.as_mut() else {
                    return Poll::Ready(Ok(()));
                };
                let ended = ready!(Pin::new(running).poll(cx));
                *driver = None;
                Poll::Ready(ended)
            });
            its_life.ended(ended.await);
        });
        Http2 {
            sender,
            streams,
            life,
            secure,
            takes_place: false,
        }
    }

    /// A place for one more request, which counts from now on.
    pub(super) fn share(&self) -> Http2 {
        self.life.serves();
        self.streams.open.set(self.streams.open.get() + 1);
        Http2 {
            sender: self.sender.clone(),
            streams: self.streams.clone(),
            life: self.life.clone(),
            secure: self.secure,
            takes_place: true,
        }
    }

    pub(super) fn life(&self) -> &Life {
        &self.life
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether the peer takes one more request at once.
    pub(super) fn has_room(&self) -> bool {
        let open = self.streams.open.get();
        let driver = self.streams.driver.try_borrow();
        driver.is_ok_and(|driver| {
            driver
                .as_ref()
                .is_some_and(|driver| open < driver.current_max_send_streams())
        })
    }

    /// Requests at the moment.
    pub(super) fn open(&self) -> usize {
        self.streams.open.get()
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        if self.takes_place {
            self.streams.open.set(self.streams.open.get().saturating_sub(1));
            self.streams.freed.one();
        }
    }
}

/// The host from a field into the URI; and HTTP/2 has frames of its own.
fn to_http2(request: &mut Request<Body>, secure: bool, name: &str) -> Result<(), UnfitHost> {
    let headers = request.headers_mut();
    for name in [header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE] {
        headers.remove(name);
    }
    let host = headers.remove(header::HOST);
    let host = host.as_ref().map(HeaderValue::as_bytes).filter(|host| !host.is_empty());
    let mut uri = Uri::builder()
        .scheme(if secure { "https" } else { "http" })
        .authority(host.unwrap_or(name.as_bytes()));
    if let Some(target) = request.uri().path_and_query() {
        uri = uri.path_and_query(target.clone());
    }
    *request.uri_mut() = uri.build().map_err(|_| UnfitHost)?;
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}

/// The host from the URI into a field.
fn from_http2(request: &mut Request<Body>) {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    let host = parts
        .authority
        .and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host);
    }
    *request.uri_mut() = parts.path_and_query.map_or_else(Uri::default, Uri::from);
    *request.version_mut() = Version::HTTP_11;
}
