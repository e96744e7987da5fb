//! Plain requests, each with an identity that its answer must carry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::World;
use crate::tally::{Ended, Kind};
use crate::targets;

/// How long an answer may take before it counts as lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Between two requests of one client.
pub(crate) const PAUSE: Duration = Duration::from_millis(3);

/// What a request was, for what is said of its end.
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) body: Bytes,
    pub(crate) begun: Instant,
    /// Whether the gateway sends it again when a target dies.
    repeatable: bool,
}

impl Sent {
    pub(crate) fn new(method: &Method) -> Sent {
        let size = if *method == Method::POST {
            fastrand::usize(0..60_000)
        } else {
            0
        };
        Sent {
            id: format!("{:016x}", fastrand::u64(..)),
            body: std::iter::repeat_with(|| fastrand::alphanumeric() as u8)
                .take(size)
                .collect(),
            begun: Instant::now(),
            repeatable: *method == Method::GET,
        }
    }

    fn request(&self, method: Method, path: &str) -> Request<Full<Bytes>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("x-id", &self.id);
        request.body(Full::new(self.body.clone())).expect("a request")
    }

    /// What to say of an answer, or of none.
    async fn ended<E: std::fmt::Display>(&self, world: &World, answer: Result<Response<Incoming>, E>) -> Ended {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ended::Unexplained(format!("no answer to {}: {error}", self.id)),
        };
        let (status, id) = (answer.status().as_u16(), answer.headers().get("x-id").cloned());
        let server = targets::server(answer.headers());
        let body = answer.into_body().collect().await.map(Collected::to_bytes);
        let id = id.as_ref().map_or(&[][..], HeaderValue::as_bytes);
        self.judged(world, status, server, id, body)
    }

    /// The same of an answer that has been read.
    pub(crate) fn judged<E: std::fmt::Display>(
        &self,
        world: &World,
        status: u16,
        server: Option<usize>,
        id: impl AsRef<[u8]>,
        body: Result<impl AsRef<[u8]>, E>,
    ) -> Ended {
        let died = || world.targets.died_since(self.begun, server);
        match (status, body) {
            (200, Ok(body)) => {
                let body = body.as_ref();
                if id.as_ref() != self.id.as_bytes() || body != self.body {
                    return Ended::MixedUp(format!(
                        "{} has an answer with {} bytes that is not its own",
                        self.id,
                        body.len()
                    ));
                }
                Ended::Good
            }
            // The head was there, and then the target died.
            (200, Err(_)) if died() => Ended::Explained,
            // What the gateway says itself names no target.
            (502, _) if died() && !self.repeatable => Ended::Explained,
            (status, Err(error)) => Ended::Unexplained(format!("{status} for {} broke off: {error}", self.id)),
            (status, Ok(body)) => Ended::Unexplained(format!(
                "{status} for {} after {:?}: {}",
                self.id,
                self.begun.elapsed(),
                String::from_utf8_lossy(body.as_ref())
            )),
        }
    }
}

pub(crate) async fn connect(world: &World, secure: bool) -> Option<http1::SendRequest<Full<Bytes>>> {
    if secure {
        let socket = world.certificates.connect(world.gateway.secure_address()).await;
        return handshake(socket.map_err(|error| eprintln!("TLS: {error}")).ok()?).await;
    }
    handshake(TcpStream::connect(world.gateway.address()).await.ok()?).await
}

async fn handshake<S>(socket: S) -> Option<http1::SendRequest<Full<Bytes>>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

/// A client with one connection, over TLS or not, that it renews now and then.
pub(crate) async fn one_after_the_other(world: Arc<World>, number: usize, end: Instant) {
    let secure = number.is_multiple_of(2);
    while Instant::now() < end {
        let Some(mut sender) = connect(&world, secure).await else {
            world
                .tally
                .add(Kind::Http1, Ended::Unexplained("no connection".to_owned()));
            sleep(PAUSE).await;
            continue;
        };
        for _ in 0..fastrand::usize(1..200) {
            let method = if fastrand::bool() { Method::GET } else { Method::POST };
            let sent = Sent::new(&method);
            // The gateway may have closed an idle connection; this one is not idle.
            if Instant::now() >= end || sender.ready().await.is_err() {
                break;
            }
            let answer = timeout(PATIENCE, sender.send_request(sent.request(method, "/echo"))).await;
            let ended = match answer {
                Ok(answer) => sent.ended(&world, answer).await,
                Err(elapsed) => sent.ended(&world, Err::<Response<Incoming>, _>(elapsed)).await,
            };
            world.tally.add(Kind::Http1, ended);
            sleep(PAUSE).await;
        }
    }
}

/// A client with one HTTP/2 connection and eight requests at once on it.
pub(crate) async fn at_once(world: Arc<World>, end: Instant) {
    while Instant::now() < end {
        let Ok(socket) = TcpStream::connect(world.gateway.address()).await else {
            world
                .tally
                .add(Kind::Http2, Ended::Unexplained("no connection".to_owned()));
            sleep(PAUSE).await;
            continue;
        };
        let Ok((sender, connection)) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await else {
            world
                .tally
                .add(Kind::Http2, Ended::Unexplained("no handshake".to_owned()));
            continue;
        };
        tokio::spawn(connection);
        for _ in 0..fastrand::usize(1..50) {
            if Instant::now() >= end {
                break;
            }
            let requests = (0..8).map(|_| {
                let (mut sender, world) = (sender.clone(), world.clone());
                async move {
                    let method = if fastrand::bool() { Method::GET } else { Method::POST };
                    let sent = Sent::new(&method);
                    let answer = timeout(
                        PATIENCE,
                        sender.send_request(sent.request(method, "http://localhost/echo")),
                    )
                    .await;
                    let ended = match answer {
                        Ok(answer) => sent.ended(&world, answer).await,
                        Err(elapsed) => sent.ended(&world, Err::<Response<Incoming>, _>(elapsed)).await,
                    };
                    world.tally.add(Kind::Http2, ended);
                }
            });
            futures_util::future::join_all(requests).await;
            sleep(PAUSE).await;
        }
    }
}

/// A client whose requests make a filter crash now and then: those get 500 and their connection lives on.
pub(crate) async fn crashing(world: Arc<World>, end: Instant) {
    while Instant::now() < end {
        let Some(mut sender) = connect(&world, false).await else {
            continue;
        };
        for _ in 0..100 {
            if Instant::now() >= end || sender.ready().await.is_err() {
                break;
            }
            let sent = Sent::new(&Method::GET);
            let mut request = sent.request(Method::GET, "/fragile");
            let crash = fastrand::u8(..10) == 0;
            if crash {
                request.headers_mut().insert("x-panic", HeaderValue::from_static("now"));
            }
            let ended = match timeout(PATIENCE, sender.send_request(request)).await {
                Ok(Ok(answer)) if crash && answer.status() == 500 => {
                    // Read to its end, so that the connection serves the next one.
                    match answer.into_body().collect().await {
                        Ok(_) => Ended::Explained,
                        Err(error) => Ended::Unexplained(format!("the refusal of {} broke off: {error}", sent.id)),
                    }
                }
                Ok(Ok(answer)) if crash => Ended::Unexplained(format!("{} for a crash", answer.status())),
                Ok(answer) => sent.ended(&world, answer).await,
                Err(elapsed) => sent.ended(&world, Err::<Response<Incoming>, _>(elapsed)).await,
            };
            world.tally.add(Kind::Crashing, ended);
            sleep(PAUSE).await;
        }
    }
}
