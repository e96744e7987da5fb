//! A client that speaks TLS by rustls, for what curl does not show: resumption, and connections that stay.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Authority, Certificate, Connection, within};

/// A client that trusts one authority, and remembers sessions.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

impl TlsClient {
    /// A client that offers no protocol, and shows no certificate.
    pub fn trusting(authority: &Authority) -> Self {
        Self::new(authority, None, rustls::ALL_VERSIONS)
    }

    /// The same, of a root in PEM.
    pub fn trusting_root(pem: &str) -> Self {
        Self::of(pem, None, rustls::ALL_VERSIONS)
    }

    /// The same, with a certificate to show.
    pub fn showing(authority: &Authority, certificate: &Certificate) -> Self {
        Self::new(authority, Some(certificate), rustls::ALL_VERSIONS)
    }

    /// The same, of TLS 1.2 alone.
    pub fn old(authority: &Authority) -> Self {
        Self::new(authority, None, &[&rustls::version::TLS12])
    }

    fn new(
        authority: &Authority,
        certificate: Option<&Certificate>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        Self::of(authority.pem(), certificate, versions)
    }

    fn of(root: &str, certificate: Option<&Certificate>, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(root.as_bytes()).expect("a certificate"))
            .expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
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
        config.resumption = Resumption::in_memory_sessions(64);
        TlsClient {
            config: Arc::new(config),
        }
    }

    /// Shakes hands for a host of this name.
    pub async fn connect(&self, address: SocketAddr, host: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(address).await?, host).await
    }

    /// The same over what is connected already.
    pub async fn over(&self, socket: TcpStream, host: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).expect("a host");
        let connected = TlsConnector::from(self.config.clone()).connect(name, socket);
        within("a handshake ends", connected).await
    }

    /// A kept HTTP/1.1 connection.
    pub async fn http1(&self, address: SocketAddr, host: &str) -> Connection {
        let stream = self.connect(address, host).await.expect("a TLS session");
        Connection::over_http1(stream).await.expect("a connection")
    }

    /// A kept HTTP/2 connection, by prior knowledge.
    pub async fn http2(&self, address: SocketAddr, host: &str) -> Connection {
        let stream = self.connect(address, host).await.expect("a TLS session");
        Connection::over_http2(stream).await
    }

    /// Sends a GET on a connection of its own. The answer as it came, and whether the session was an earlier one's.
    pub async fn get(&self, address: SocketAddr, host: &str, path: &str) -> std::io::Result<(String, bool)> {
        let mut stream = self.connect(address, host).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        within("an answer comes", stream.read_to_end(&mut answer)).await?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        Ok((String::from_utf8_lossy(&answer).into_owned(), resumed))
    }
}
