//! Certificates for a test, and whoever signs them.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    RevokedCertParams, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};

/// Somebody who signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate.
    pub pem: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one, with a key of its own.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        // A name of its own: who has another key is somebody else.
        let name = key.public_key_raw().iter().map(|byte| format!("{byte:02x}"));
        params
            .distinguished_name
            .push(DnType::CommonName, name.take(16).collect::<String>());
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Its own certificate, which is the root of those it issues.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A list of the certificates with these serial numbers, which it has revoked.
    pub fn revoke(&self, serials: &[u8]) -> String {
        let revoked = |serial: &u8| RevokedCertParams {
            serial_number: vec![*serial].into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: vec![1].into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("a list")
    }

    /// A certificate for these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Certificate {
        self.issue_with(names, |_| {})
    }

    /// A certificate that was valid long ago.
    pub fn issue_expired(&self, names: &[&str]) -> Certificate {
        self.issue_with(names, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    /// A certificate changed as `change` says.
    pub fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate {
            pem: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("pem", &self.pem)
            .finish_non_exhaustive()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    /// A server's settings with this certificate, for HTTP/2 and HTTP/1.1.
    pub fn server(&self) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        self.complete(builder.expect("versions").with_no_client_auth())
    }

    /// The same, for the oldest version of TLS that is still spoken.
    pub fn old_server(&self) -> ServerConfig {
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS12]);
        self.complete(builder.expect("versions").with_no_client_auth())
    }

    /// The same, for clients whose certificates this authority has issued.
    pub fn server_for(&self, clients: &Authority) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(clients.pem().as_bytes()).expect("a certificate");
        roots.add(root).expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        self.complete(
            builder
                .expect("versions")
                .with_client_cert_verifier(verifier.expect("a verifier")),
        )
    }

    fn complete(&self, builder: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>) -> ServerConfig {
        let chain = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let mut config = builder.with_single_cert(vec![chain], key).expect("a pair");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
