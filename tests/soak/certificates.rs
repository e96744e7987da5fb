//! The authority that the clients trust, and the certificates that it issues to the gateway, each other than the last.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_tests::{Authority, Folder, Http3Client, TlsClient};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) const CERTIFICATE: &str = "gateway.pem";
pub(crate) const KEY: &str = "gateway.key";
pub(crate) const NAME: &str = "localhost";

pub(crate) struct Certificates {
    authority: Authority,
    client: TlsClient,
}

impl Certificates {
    pub(crate) fn new() -> Certificates {
        let authority = Authority::new();
        Certificates {
            client: TlsClient::trusting(&authority),
            authority,
        }
    }

    /// Writes a new certificate and its key in place of the old ones.
    pub(crate) fn issue(&self, folder: &Folder) {
        let issued = self.authority.issue(&[NAME]);
        folder.write(KEY, &issued.key);
        folder.write(CERTIFICATE, &issued.pem);
    }

    /// Waits until a new session shows the certificate in this folder.
    pub(crate) async fn seen(&self, folder: &Folder, address: SocketAddr) {
        let path = folder.path().join(CERTIFICATE);
        let issued = CertificateDer::from_pem_file(path).expect("a certificate");
        loop {
            // One that remembers no session: a resumed one shows none.
            let client = TlsClient::trusting(&self.authority);
            let stream = client.connect(address, NAME).await.expect("a TLS session");
            let shown = stream.get_ref().1.peer_certificates();
            if shown.and_then(|chain| chain.first()) == Some(&issued) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A client of HTTP/3.
    pub(crate) fn http3(&self) -> Http3Client {
        Http3Client::trusting(&self.authority)
    }

    /// Connects to the gateway with TLS.
    pub(crate) async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        self.client.connect(address, NAME).await
    }
}
