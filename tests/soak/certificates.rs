//! The authority that the clients trust, and the certificates that it issues to the gateway, each other than the last.

use std::net::SocketAddr;

use portcullis_tests::{Authority, Folder, TlsClient};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) const CERTIFICATE: &str = "gateway.pem";
pub(crate) const KEY: &str = "gateway.key";
const NAME: &str = "localhost";

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

    /// Connects to the gateway with TLS.
    pub(crate) async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        self.client.connect(address, NAME).await
    }
}
