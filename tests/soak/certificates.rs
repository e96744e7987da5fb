//! The authority that the clients trust, and the certificates that it issues to the gateway, each other than the last.

use std::sync::Arc;

use portcullis_tests::Folder;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const CERTIFICATE: &str = "gateway.pem";
pub(crate) const KEY: &str = "gateway.key";
pub(crate) const NAME: &str = "localhost";

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    client: TlsConnector,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("a root");
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Authority {
            issuer: Issuer::new(params, key),
            client: TlsConnector::from(Arc::new(config)),
        }
    }

    /// Writes a new certificate and its key in place of the old ones.
    pub(crate) fn issue(&self, folder: &Folder) {
        let params = CertificateParams::new(vec![NAME.to_owned()]).expect("parameters");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        folder.write(KEY, key.serialize_pem());
        folder.write(CERTIFICATE, certificate.pem());
    }

    /// TLS over a connection to the gateway.
    pub(crate) async fn secure(&self, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.client
            .connect(ServerName::try_from(NAME).expect("a name"), socket)
            .await
    }
}
