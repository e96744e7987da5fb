//! A client of HTTP/3, made with quinn and h3.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3_quinn::{BidiStream, OpenStreams};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{Authority, Body, Certificate, Response, body, within};

/// A client of HTTP/3 that trusts one authority.
#[derive(Debug, Clone)]
pub struct Http3Client {
    endpoint: quinn::Endpoint,
    config: quinn::ClientConfig,
}

/// A connection of HTTP/3. Closed when dropped.
pub struct Http3 {
    /// What is under it.
    pub quic: quinn::Connection,
    requests: SendRequest<OpenStreams, Bytes>,
    host: String,
    driver: tokio::task::JoinHandle<h3::error::ConnectionError>,
}

/// A request that is under way.
pub type Http3Stream = RequestStream<BidiStream<Bytes>, Bytes>;

impl Http3Client {
    /// A client that shows no certificate.
    pub fn trusting(authority: &Authority) -> Self {
        Self::new(authority, None)
    }

    /// The same, with a certificate to show.
    pub fn showing(authority: &Authority, certificate: &Certificate) -> Self {
        Self::new(authority, Some(certificate))
    }

    fn new(authority: &Authority, certificate: Option<&Certificate>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a certificate");
        roots.add(root).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let chain = CertificateDer::from_pem_slice(certificate.pem.as_bytes()).expect("a certificate");
                let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(vec![chain], key).expect("a pair")
            }
        };
        config.alpn_protocols = vec![b"h3".to_vec()];
        config.enable_early_data = true;
        config.resumption = Resumption::in_memory_sessions(16);
        let config = QuicClientConfig::try_from(config).expect("TLS 1.3");
        Http3Client {
            endpoint: quinn::Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a free port"),
            config: quinn::ClientConfig::new(Arc::new(config)),
        }
    }

    /// The same client, that lets so many bytes of each response come before it has read them.
    pub fn with_window(mut self, bytes: u32) -> Self {
        let mut transport = quinn::TransportConfig::default();
        transport.stream_receive_window(bytes.into());
        self.config.transport_config(Arc::new(transport));
        self
    }

    /// Where it sends from.
    pub fn endpoint(&self) -> &quinn::Endpoint {
        &self.endpoint
    }

    /// A QUIC connection to a host of this name, on which nothing is said.
    pub async fn quic(&self, address: SocketAddr, host: &str) -> Result<quinn::Connection, quinn::ConnectionError> {
        let connecting = self
            .endpoint
            .connect_with(self.config.clone(), address, host)
            .expect("a name");
        within("a handshake ends", connecting).await
    }

    /// A connection to a host of this name.
    pub async fn try_connect(&self, address: SocketAddr, host: &str) -> Result<Http3, quinn::ConnectionError> {
        let quic = self.quic(address, host).await?;
        let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(quic.clone()))
            .await
            .expect("a connection of HTTP/3");
        let driver = tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        Ok(Http3 {
            quic,
            requests,
            host: format!("{host}:{}", address.port()),
            driver,
        })
    }

    /// The same, of which a test is sure.
    pub async fn connect(&self, address: SocketAddr, host: &str) -> Http3 {
        self.try_connect(address, host).await.expect("a connection")
    }
}

impl Http3 {
    /// A request to the connection's host, to be filled in.
    pub fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.host))
    }

    /// Sends a GET and reads its answer.
    pub async fn get(&mut self, path: &str) -> Response {
        let request = self.request("GET", path).body(body::empty()).expect("a request");
        self.send(request).await
    }

    /// Sends a request with its body, and reads the answer.
    pub async fn send(&mut self, request: Request<Body>) -> Response {
        self.try_send(request).await.expect("an answer")
    }

    /// The same; an error where the answer does not come, or breaks off.
    pub async fn try_send(&mut self, request: Request<Body>) -> Result<Response, String> {
        let exchange = async {
            let (head, body) = request.into_parts();
            let mut stream = self.open(Request::from_parts(head, ())).await?;
            // An answer may come before all is sent, and end the sending.
            let _ = send_body(&mut stream, body).await;
            answer(&mut stream).await
        };
        within("an answer comes", exchange).await
    }

    /// Sends a request's head.
    pub async fn open(&mut self, head: Request<()>) -> Result<Http3Stream, String> {
        self.requests
            .send_request(head)
            .await
            .map_err(|error| error.to_string())
    }

    /// Waits for the connection's end, and says why it ended.
    pub async fn ended(mut self) -> String {
        within("the connection ends", &mut self.driver)
            .await
            .expect("no panic")
            .to_string()
    }
}

impl Drop for Http3 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Sends a body, and ends the request.
pub async fn send_body(stream: &mut Http3Stream, mut body: Body) -> Result<(), h3::error::StreamError> {
    while let Some(Ok(frame)) = body.frame().await {
        match frame.into_data() {
            Ok(data) => stream.send_data(data).await?,
            Err(frame) => stream.send_trailers(frame.into_trailers().unwrap_or_default()).await?,
        }
    }
    stream.finish().await
}

/// Reads an answer to its end; an error where it breaks off.
pub async fn answer(stream: &mut Http3Stream) -> Result<Response, String> {
    let in_words = |error: h3::error::StreamError| error.to_string();
    let head = stream.recv_response().await.map_err(in_words)?;
    let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(mut data) = stream.recv_data().await.map_err(in_words)? {
        body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    if let Some(received) = stream.recv_trailers().await.map_err(in_words)? {
        trailers = received;
    }
    Ok(Response::of(head, body.into(), trailers))
}
