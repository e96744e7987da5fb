//! What the listeners answer to an authority that checks who controls a domain.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::failure::Failure;

/// What is to be answered at the moment, on every listener: whoever asks may come to any of them.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    current: ArcSwap<Pending>,
}

#[derive(Debug, Clone, Default)]
struct Pending {
    /// By server name.
    tls: HashMap<String, Arc<ServerConfig>>,
    /// By token.
    http: HashMap<String, Arc<str>>,
}

/// What TLS-ALPN-01 is called where protocols are chosen (RFC 8737 section 6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// Where HTTP-01 asks for a token (RFC 8555 section 8.3).
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

impl Challenges {
    /// Whether a handshake may be a question.
    pub(crate) fn has_tls(&self) -> bool {
        !self.current.load().tls.is_empty()
    }

    /// How a handshake is to go that asks about a domain. Who asks offers nothing but this one protocol.
    pub(crate) fn tls(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut protocols = hello.alpn()?;
        if protocols.next() != Some(ACME_TLS) || protocols.next().is_some() {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.current.load().tls.get(&name).cloned()
    }

    /// What is at this path.
    pub(crate) fn http(&self, path: &str) -> Option<Arc<str>> {
        let token = path.strip_prefix(WELL_KNOWN)?;
        self.current.load().http.get(token).cloned()
    }

    /// Answers for a domain within TLS, until the answer is dropped.
    pub(super) fn answer_tls(self: &Arc<Self>, domain: &str, proof: &KeyAuthorization) -> Result<Answer, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::here(format!("no answer can be made: {error}"));
        let mut params = CertificateParams::new([domain.to_owned()]).map_err(|error| failed(&error))?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(proof.digest().as_ref())];
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let key = any_supported_type(&key).map_err(|error| failed(&error))?;
        // Not checked as others are: the extension is critical, and rustls knows nothing of it.
        let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        config.alpn_protocols = vec![ACME_TLS.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let config = Arc::new(config);
        self.current.rcu(|pending| {
            let mut pending = Pending::clone(pending);
            pending.tls.insert(domain.to_owned(), config.clone());
            pending
        });
        Ok(self.until_dropped(Key::Tls(domain.to_owned())))
    }

    /// Answers with a resource of plain HTTP, until the answer is dropped.
    pub(super) fn answer_http(self: &Arc<Self>, token: &str, proof: &KeyAuthorization) -> Answer {
        let proof: Arc<str> = proof.as_str().into();
        self.current.rcu(|pending| {
            let mut pending = Pending::clone(pending);
            pending.http.insert(token.to_owned(), proof.clone());
            pending
        });
        self.until_dropped(Key::Http(token.to_owned()))
    }

    fn until_dropped(self: &Arc<Self>, key: Key) -> Answer {
        Answer {
            challenges: self.clone(),
            key,
        }
    }
}

/// An answer that is given until this is dropped.
#[derive(Debug)]
pub(super) struct Answer {
    challenges: Arc<Challenges>,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Tls(String),
    Http(String),
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.challenges.current.rcu(|pending| {
            let mut pending = Pending::clone(pending);
            match &self.key {
                Key::Tls(domain) => pending.tls.remove(domain).is_some(),
                Key::Http(token) => pending.http.remove(token).is_some(),
            };
            pending
        });
    }
}
