//! The services behind the gateway, which die and return.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Targets at fixed addresses, each of which may be down.
pub(crate) struct Targets {
    all: Vec<Target>,
    /// When, and which one.
    deaths: Mutex<Vec<(Instant, usize)>>,
}

struct Target {
    address: SocketAddr,
    serving: Mutex<Option<JoinHandle<()>>>,
}

type Body = BoxBody<Bytes, Infallible>;

/// How long after a target died it explains a failure: so long may the news of it take on a busy machine.
const NEWS: Duration = Duration::from_millis(250);

impl Targets {
    pub(crate) async fn start() -> Targets {
        let mut all = Vec::new();
        for _ in 0..3 {
            let number = all.len();
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("an address");
            all.push(Target {
                address,
                serving: Mutex::new(Some(tokio::spawn(serve(listener, number)))),
            });
        }
        Targets {
            all,
            deaths: Mutex::default(),
        }
    }

    /// How many there are. The first one never dies.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        self.all[number].address
    }

    /// Closes a target and all its connections at once.
    pub(crate) async fn kill(&self, number: usize) {
        let serving = self.all[number].serving.lock().expect("a target").take();
        if let Some(serving) = serving {
            self.deaths.lock().expect("deaths").push((Instant::now(), number));
            serving.abort();
            let _ = serving.await;
        }
    }

    /// Starts it again where it was.
    pub(crate) fn revive(&self, number: usize) {
        let target = &self.all[number];
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("SO_REUSEADDR");
        socket.bind(target.address).expect("its own port");
        let listener = socket.listen(1024).expect("a listener");
        *target.serving.lock().expect("a target") = Some(tokio::spawn(serve(listener, number)));
    }

    pub(crate) fn deaths(&self) -> usize {
        self.deaths.lock().expect("deaths").len()
    }

    /// Whether a target died while something was under way that began then and has just failed: the one that served it, where
    /// that is known.
    pub(crate) fn died_since(&self, begun: Instant, server: Option<usize>) -> bool {
        let deaths = self.deaths.lock().expect("deaths");
        deaths
            .iter()
            .any(|(death, number)| *death + NEWS >= begun && server.is_none_or(|server| server == *number))
    }
}

/// The field that names the target of an answer.
const SERVER: &str = "x-target";

/// Which target gave an answer with this head.
pub(crate) fn server(headers: &HeaderMap) -> Option<usize> {
    headers.get(SERVER)?.to_str().ok()?.parse().ok()
}

async fn serve(listener: TcpListener, number: usize) {
    // Dropping the set ends the connections with the target, and dropping the sender what they were upgraded to.
    let mut connections = tokio::task::JoinSet::new();
    let (_life, alive) = watch::channel(());
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(connection(socket, number, alive.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(socket: TcpStream, number: usize, alive: watch::Receiver<()>) {
    let _ = socket.set_nodelay(true);
    let builder = auto::Builder::new(TokioExecutor::new());
    let service = service_fn(move |request| {
        let answer = answer(request, alive.clone());
        async move {
            let mut answer = answer.await?;
            answer.headers_mut().insert(SERVER, HeaderValue::from(number));
            Ok::<_, Infallible>(answer)
        }
    });
    let _ = builder
        .serve_connection_with_upgrades(TokioIo::new(socket), service)
        .await;
}

async fn answer(request: Request<Incoming>, alive: watch::Receiver<()>) -> Result<Response<Body>, Infallible> {
    let headers = request.headers();
    if headers
        .get(header::UPGRADE)
        .is_some_and(|protocol| protocol == "websocket")
    {
        return Ok(websocket(request, alive));
    }
    let is_grpc = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/grpc");
    if headers.get(header::CONTENT_TYPE).is_some_and(is_grpc) {
        return Ok(grpc(request));
    }
    match request.uri().path() {
        "/events" => return Ok(events()),
        "/healthz" => return Ok(Response::new(Full::default().boxed())),
        _ => {}
    }
    let id = headers.get("x-id").cloned();
    let mut answer = Response::new(Full::default().boxed());
    match request.into_body().collect().await {
        Ok(body) => *answer.body_mut() = Full::new(body.to_bytes()).boxed(),
        Err(_) => *answer.status_mut() = StatusCode::BAD_REQUEST,
    }
    if let Some(id) = id {
        answer.headers_mut().insert("x-id", id);
    }
    Ok(answer)
}

/// Gives each byte of a gRPC request back as it comes, messages and all, and says at the end that all went well.
fn grpc(request: Request<Incoming>) -> Response<Body> {
    let echoed = request
        .into_body()
        .into_data_stream()
        .filter_map(async |data| data.ok())
        .map(Frame::data);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let end = futures_util::stream::iter([Frame::trailers(trailers)]);
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(echoed.chain(end).map(Ok))));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// Events of one stream.
pub(crate) const EVENTS: usize = 20;

/// One of them.
pub(crate) fn event(number: usize) -> String {
    format!("id: {number}\ndata: number {number}\n\n")
}

/// Server-sent events, with a pause before each but the first.
fn events() -> Response<Body> {
    let events = futures_util::stream::iter(0..EVENTS).then(async |number| {
        if number > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Frame::data(Bytes::from(event(number))))
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(events)));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn websocket(mut request: Request<Incoming>, mut alive: watch::Receiver<()>) -> Response<Body> {
    let key = request
        .headers()
        .get("sec-websocket-key")
        .map(|key| derive_accept_key(key.as_bytes()));
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(&mut request).await else {
            return;
        };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        let echo = async {
            while let Some(Ok(message)) = socket.next().await {
                if message.is_close() || socket.send(message).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = echo => {}
            _ = alive.changed() => {}
        }
    });
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Some(key) = key.and_then(|key| HeaderValue::try_from(key).ok()) {
        headers.insert("sec-websocket-accept", key);
    }
    response
}
