//! A service behind the gateway.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::HandshakeKind;
use rustls::server::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::accept::Accept;
use crate::{Body, Raw, WebSocket, body, echo};

/// A real service on a port that the system chose, HTTP/1.1 and HTTP/2. Closed when dropped.
///
/// Its `Display` is its address for use in TOML: `http://127.0.0.1:40123`.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    /// As in a configuration's `targets`.
    url: String,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: AtomicUsize,
    in_flight: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
    most_in_flight: AtomicUsize,
    heads: Mutex<Vec<http::request::Parts>>,
    resumed: AtomicUsize,
    server_name: Mutex<Option<String>>,
}

impl Upstream {
    /// Answers every request with 200 and this text.
    pub async fn answering(text: &str) -> Self {
        let text = Bytes::copy_from_slice(text.as_bytes());
        Self::with(move |_| {
            let text = text.clone();
            async move { http::Response::new(body::full(text)) }
        })
        .await
    }

    /// Answers with JSON that says what it received: `method`, `path`, `query`, `version`, `headers` (each a list of
    /// values), `length`, `sha256`, `body` (where it is text of at most 64 KiB) and `trailers`.
    pub async fn echo() -> Self {
        Self::with(echo::answer).await
    }

    /// Answers as `handler` says.
    pub async fn with<F, R>(handler: F) -> Self
    where
        F: Fn(http::Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = http::Response<Body>> + Send + 'static,
    {
        Self::with_at(([127, 0, 0, 1], 0).into(), handler).await
    }

    /// Answers as `handler` says, at an address that was used before.
    pub async fn with_at<F, R>(address: SocketAddr, handler: F) -> Self
    where
        F: Fn(http::Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = http::Response<Body>> + Send + 'static,
    {
        Self::serving(listen(&address.to_string()).await, move |socket, seen| {
            let handler = handler.clone();
            async move { serve(socket, handler, seen).await }
        })
    }

    /// Opens WebSockets, and hands its end of each to `handler`.
    pub async fn websockets<F, R>(handler: F) -> Self
    where
        F: Fn(WebSocket) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::with(move |request| {
            let response = WebSocket::accept(request, handler.clone());
            async move { response }
        })
        .await
    }

    /// Answers with 200 and this text at an address that was used before.
    pub async fn answering_at(address: SocketAddr, text: &'static str) -> Self {
        let answer = move |_| async move { http::Response::new(body::full(text)) };
        Self::serving(listen(&address.to_string()).await, move |socket, seen| {
            serve(socket, answer, seen)
        })
    }

    /// Hands every connection to `handler` as it is, for answers that no server library gives.
    pub async fn raw<F, R>(handler: F) -> Self
    where
        F: Fn(Raw) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::serving(listen("127.0.0.1:0").await, move |socket, _| handler(Raw::over(socket)))
    }

    /// Reads a request's head and answers with exactly these bytes, then closes.
    pub async fn saying(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = Bytes::copy_from_slice(bytes.as_ref());
        Self::raw(move |mut socket| {
            let bytes = bytes.clone();
            async move {
                if !socket.read_head().await.is_empty() {
                    socket.send(bytes).await;
                    socket.finish().await;
                    // Closing with unread bytes would reset the connection, and the peer might lose the answer.
                    socket.read_to_end().await;
                }
            }
        })
        .await
    }

    /// Answers as [`Upstream::echo`] does, over TLS.
    pub async fn secure_echo(config: ServerConfig) -> Self {
        Self::secure_with(config, echo::answer).await
    }

    /// Answers as `handler` says, over TLS.
    pub async fn secure_with<F, R>(config: ServerConfig, handler: F) -> Self
    where
        F: Fn(http::Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = http::Response<Body>> + Send + 'static,
    {
        Self::serving_tls(config, move |socket, seen| serve(socket, handler.clone(), seen)).await
    }

    /// Hands every connection to `handler` once its TLS handshake is done.
    pub async fn secure_raw<F, R>(config: ServerConfig, handler: F) -> Self
    where
        F: Fn(Raw) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::serving_tls(config, move |socket, _| handler(Raw::over_any(socket))).await
    }

    async fn serving_tls<F, R>(config: ServerConfig, handler: F) -> Self
    where
        F: Fn(TlsStream<TcpStream>, Arc<Seen>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut upstream = Self::serving(listen("127.0.0.1:0").await, move |socket, seen| {
            let (acceptor, handler) = (acceptor.clone(), handler.clone());
            async move {
                // A client that turns away is what some tests are about.
                let Ok(socket) = acceptor.accept(socket).await else {
                    return;
                };
                let session = socket.get_ref().1;
                if session.handshake_kind() == Some(HandshakeKind::Resumed) {
                    seen.resumed.fetch_add(1, Ordering::SeqCst);
                }
                *seen.server_name.lock().expect("a name") = session.server_name().map(str::to_owned);
                handler(socket, seen).await;
            }
        });
        upstream.url = format!("https://{}", upstream.address);
        upstream
    }

    /// Answers as [`Upstream::echo`] does, at a Unix socket.
    pub async fn echo_at(path: &Path) -> Self {
        Self::serving_unix(path, |socket, seen| serve(socket, echo::answer, seen))
    }

    /// Hands every connection at a Unix socket to `handler` as it is.
    pub async fn raw_at<F, R>(path: &Path, handler: F) -> Self
    where
        F: Fn(Raw) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::serving_unix(path, move |socket, _| handler(Raw::over_any(socket)))
    }

    fn serving_unix<F, R>(path: &Path, handler: F) -> Self
    where
        F: Fn(UnixStream, Arc<Seen>) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = UnixListener::bind(path).expect("a free path");
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        Self::accepting(address, format!("unix:{}", path.display()), listener, handler)
    }

    fn serving<F, R>(listener: TcpListener, handler: F) -> Self
    where
        F: Fn(TcpStream, Arc<Seen>) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().expect("an address");
        Self::accepting(address, format!("http://{address}"), listener, handler)
    }

    fn accepting<A, F, R>(address: SocketAddr, url: String, listener: A, handler: F) -> Self
    where
        A: Accept,
        F: Fn(A::Socket, Arc<Seen>) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let seen = Arc::new(Seen::default());
        let count = seen.clone();
        let task = tokio::spawn(async move {
            // Dropping the set ends the connections with the upstream.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok(socket) = listener.next().await {
                count.connections.fetch_add(1, Ordering::SeqCst);
                // Counted out when the task ends, or is aborted.
                let open = Counted::new(count.clone(), |seen| &seen.open);
                let handled = handler(socket, count.clone());
                connections.spawn(async move {
                    handled.await;
                    drop(open);
                });
            }
        });
        Upstream {
            address,
            url,
            seen,
            task,
        }
    }

    /// A service that runs in a task of its own.
    pub(crate) fn running(address: SocketAddr, task: JoinHandle<()>) -> Self {
        Upstream {
            address,
            url: format!("http://{address}"),
            seen: Arc::default(),
            task,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests received so far. A raw upstream counts none.
    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// Requests that it is answering now.
    pub fn in_flight(&self) -> usize {
        self.seen.in_flight.load(Ordering::SeqCst)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// The most requests that it was answering at once.
    pub fn most_in_flight(&self) -> usize {
        self.seen.most_in_flight.load(Ordering::SeqCst)
    }

    /// TLS handshakes that went on with an earlier session.
    pub fn resumed(&self) -> usize {
        self.seen.resumed.load(Ordering::SeqCst)
    }

    /// The name that the last TLS client asked for.
    pub fn server_name(&self) -> Option<String> {
        self.seen.server_name.lock().expect("a name").clone()
    }

    /// The values of a field of the last request, joined by `, ` (RFC 9110 section 5.3); `""` where there is none.
    pub fn last_header(&self, name: &str) -> String {
        let heads = self.seen.heads.lock().expect("heads");
        let values = heads.last().expect("a request").headers.get_all(name);
        let values = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.collect::<Vec<_>>().join(", ")
    }

    /// The request target of the last request.
    pub fn last_target(&self) -> String {
        let heads = self.seen.heads.lock().expect("heads");
        heads.last().expect("a request").uri.to_string()
    }

    /// Stops listening and closes its connections.
    pub async fn stop(&mut self) {
        self.task.abort();
        // Waited for, so that the port is closed when this returns.
        _ = (&mut self.task).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url)
    }
}

async fn listen(address: &str) -> TcpListener {
    TcpListener::bind(address).await.expect("a free port")
}

async fn serve<S, F, R>(socket: S, handler: F, seen: Arc<Seen>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(http::Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = http::Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (head, body) = request.into_parts();
        let mut heads = seen.heads.lock().expect("heads");
        // Enough for a test to look at; a load test is not to fill the memory.
        if heads.len() >= 100 {
            heads.remove(0);
        }
        heads.push(head.clone());
        drop(heads);
        seen.requests.fetch_add(1, Ordering::SeqCst);
        // Counted out when it is answered, or given up.
        let busy = Counted::new(seen.clone(), |seen| &seen.in_flight);
        let in_flight = seen.in_flight.load(Ordering::SeqCst);
        seen.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        let answer = handler(http::Request::from_parts(head, body));
        async move {
            let response = answer.await;
            drop(busy);
            Ok::<_, Infallible>(response)
        }
    });
    // A client that breaks off is what some tests are about.
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_headers(512);
    _ = builder
        .serve_connection_with_upgrades(TokioIo::new(socket), service)
        .await;
}

/// Counts something for as long as it lives.
struct Counted {
    seen: Arc<Seen>,
    counter: fn(&Seen) -> &AtomicUsize,
}

impl Counted {
    fn new(seen: Arc<Seen>, counter: fn(&Seen) -> &AtomicUsize) -> Self {
        counter(&seen).fetch_add(1, Ordering::SeqCst);
        Counted { seen, counter }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.counter)(&self.seen).fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Upstream;
    use crate::{Connection, Raw, Request, chunked, generated, stepwise, with_trailers};

    #[tokio::test]
    async fn an_echo_says_what_it_received_over_both_protocols() {
        let upstream = Upstream::echo().await;
        for http2 in [false, true] {
            let request = Request::to(upstream.address(), "POST", "/a?b").header("trailer", "x-t");
            let request = request.streaming(with_trailers("hello", "x-t", "v"));
            let seen = if http2 { request.http2() } else { request }.send().await.json();
            assert_eq!((&seen["path"], &seen["query"]), (&json!("/a"), &json!("b")));
            assert_eq!(
                (&seen["body"], &seen["trailers"]),
                (&json!("hello"), &json!({ "x-t": ["v"] }))
            );
        }
        assert_eq!((upstream.requests(), upstream.in_flight()), (2, 0));
    }

    #[tokio::test]
    async fn bodies_have_the_length_that_was_asked_for() {
        let upstream = Upstream::with(|_| async { http::Response::new(generated(100_000)) }).await;
        let response = Request::to(upstream.address(), "GET", "/").send().await;
        assert_eq!(
            (response.header("content-length"), response.bytes().len()),
            ("100000", 100_000)
        );

        let echo = Upstream::echo().await;
        for body in [generated(70_000), chunked(vec![0; 70_000])] {
            let seen = Request::to(echo.address(), "POST", "/")
                .streaming(body)
                .send()
                .await
                .json();
            assert_eq!(seen["length"], 70_000);
        }
    }

    #[tokio::test]
    async fn bytes_are_said_as_they_are() {
        let upstream = Upstream::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").await;
        assert!(Request::to(upstream.address(), "GET", "/").try_send().await.is_err());
        let answer = Raw::connect(upstream.address())
            .await
            .answer_to("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        assert!(answer.ends_with("\r\n\r\nshort"), "{answer}");
    }

    #[tokio::test]
    async fn a_body_may_be_sent_step_by_step() {
        let upstream = Upstream::echo().await;
        let (mut sender, body) = stepwise();
        let request = tokio::spawn(Request::to(upstream.address(), "POST", "/").streaming(body).send());
        for _ in 0..3 {
            sender.send_data("abc".into()).await.expect("somebody reads");
        }
        drop(sender);
        assert_eq!(request.await.expect("no panic").json()["body"], "abcabcabc");
    }

    #[tokio::test]
    async fn a_stopped_upstream_is_gone_and_a_full_one_says_nothing() {
        let mut upstream = Upstream::answering("hello").await;
        let mut kept = Connection::http1(upstream.address()).await;
        assert_eq!(kept.get("/").await.text(), "hello");
        assert_eq!(upstream.open_connections(), 1);
        upstream.stop().await;
        kept.closed().await;
        assert!(Connection::try_http1(upstream.address()).await.is_err());

        let full = Upstream::full().await;
        let attempt = tokio::net::TcpStream::connect(full.address());
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(300), attempt)
                .await
                .is_err()
        );
    }
}
