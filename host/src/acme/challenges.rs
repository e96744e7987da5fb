//! What the listeners answer to an authority that checks who controls a domain.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
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

    /// Answers for a domain within TLS, until the answer is dropped. The proof is a SHA-256 digest.
    pub(super) fn answer_tls(self: &Arc<Self>, domain: &str, proof: &[u8]) -> Result<Answer, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::here(format!("no answer can be made: {error}"));
        let mut params = CertificateParams::new([domain.to_owned()]).map_err(|error| failed(&error))?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(proof)];
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
        Ok(self.until_dropped(Key::Tls(domain.to_owned(), config)))
    }

    /// Answers with a resource of plain HTTP, until the answer is dropped.
    pub(super) fn answer_http(self: &Arc<Self>, token: &str, proof: &str) -> Answer {
        let proof: Arc<str> = proof.into();
        self.current.rcu(|pending| {
            let mut pending = Pending::clone(pending);
            pending.http.insert(token.to_owned(), proof.clone());
            pending
        });
        self.until_dropped(Key::Http(token.to_owned(), proof))
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

/// Where it is given, and what it is: there may be another order for the same domain, whose answer came in its place.
#[derive(Debug)]
enum Key {
    Tls(String, Arc<ServerConfig>),
    Http(String, Arc<str>),
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.challenges.current.rcu(|pending| {
            let mut pending = Pending::clone(pending);
            match &self.key {
                Key::Tls(domain, own) => pending.tls.retain(|name, it| name != domain || !Arc::ptr_eq(it, own)),
                Key::Http(token, own) => pending.http.retain(|name, it| name != token || !Arc::ptr_eq(it, own)),
            }
            pending
        });
    }
}

#[cfg(test)]
mod tests {
    use rustls::server::{Accepted, Acceptor};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    const PROOF: [u8; 32] = [7; 32];

    /// What a client says first that wants to speak one of these protocols with `name`.
    fn hello(name: &str, protocols: &[&[u8]]) -> Accepted {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let mut client = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
        let mut said = Vec::new();
        client.write_tls(&mut said).unwrap();
        let (mut acceptor, mut said) = (Acceptor::default(), said.as_slice());
        while !said.is_empty() {
            acceptor.read_tls(&mut said).unwrap();
        }
        acceptor.accept().ok().flatten().unwrap()
    }

    #[test]
    fn the_question_alone_is_answered_within_tls() {
        let challenges = Arc::new(Challenges::default());
        let is_answered = |name, protocols: &[&[u8]]| challenges.tls(&hello(name, protocols).client_hello()).is_some();
        assert!(!challenges.has_tls() && !is_answered("shop.example", &[ACME_TLS]));

        let answer = challenges.answer_tls("shop.example", &PROOF).unwrap();

        assert!(challenges.has_tls());
        assert!(is_answered("shop.example", &[ACME_TLS]) && is_answered("SHOP.example", &[ACME_TLS]));
        for (name, protocols) in [
            ("www.shop.example", &[ACME_TLS][..]),
            ("192.0.2.1", &[ACME_TLS]),
            ("shop.example", &[]),
            ("shop.example", &[b"h2"]),
            ("shop.example", &[b"h2", ACME_TLS]),
            ("shop.example", &[ACME_TLS, b"h2"]),
        ] {
            assert!(!is_answered(name, protocols), "{name} {protocols:?}");
        }
        drop(answer);
        assert!(!challenges.has_tls() && !is_answered("shop.example", &[ACME_TLS]));
    }

    #[test]
    fn the_token_alone_is_answered_over_http() {
        let challenges = Arc::new(Challenges::default());
        let answered = |path: &str| challenges.http(path).map(|proof| proof.to_string());

        let answer = challenges.answer_http("token", "token.thumb");

        let path = "/.well-known/acme-challenge/token";
        assert_eq!(answered(path).as_deref(), Some("token.thumb"));
        for other in ["", "/", "/token", "/.well-known/acme-challenge/"] {
            assert_eq!(answered(other), None, "{other}");
        }
        for more in ["tokens", "toke", "token/", "/token", "TOKEN"] {
            assert_eq!(answered(&format!("{WELL_KNOWN}{more}")), None, "{more}");
        }
        drop(answer);
        assert_eq!(answered(path), None);
    }

    #[test]
    fn an_answer_takes_none_away_but_itself() {
        let challenges = Arc::new(Challenges::default());
        let first = challenges.answer_tls("shop.example", &PROOF).unwrap();
        let second = challenges.answer_tls("shop.example", &PROOF).unwrap();
        drop(first);
        assert!(challenges.has_tls(), "the second order is still under way");
        drop(second);
        assert!(!challenges.has_tls());

        let first = challenges.answer_http("token", "one");
        let second = challenges.answer_http("token", "two");
        drop(first);
        assert_eq!(
            challenges.http("/.well-known/acme-challenge/token").as_deref(),
            Some("two")
        );
        drop(second);
        assert_eq!(challenges.http("/.well-known/acme-challenge/token"), None);
    }
}
