//! How a listener speaks TLS: versions, certificates, protocols, resumption, and what it asks of clients.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, version};

use super::{Certificates, Obtained};
use crate::acme::Challenges;
use crate::config::resolved::{ClientCertificates, Tls, TlsVersion};

/// HTTP/2 and HTTP/1.1 as clients name them (RFC 7301 section 6).
pub(crate) const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// TLS of one listener, for all threads.
#[derive(Debug)]
pub(crate) struct ListenerTls {
    /// What sessions are made with.
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) settings: Tls,
    /// What is answered to who checks that a domain is ours, where somebody may.
    pub(crate) challenges: Option<Arc<Challenges>>,
    tickets: Arc<dyn ProducesTickets>,
}

impl ListenerTls {
    /// TLS as configured, with the certificates that are obtained for it. Sessions begun with `previous` can be resumed, but not where they were begun under other rules
    /// for clients' certificates: a resumed session is not asked for one again.
    ///
    /// # Errors
    /// No source of randomness, or roots that cannot be used.
    pub(crate) fn new(
        settings: &Tls,
        http2: bool,
        obtained: &[Arc<Obtained>],
        challenges: Option<Arc<Challenges>>,
        previous: Option<&ListenerTls>,
    ) -> Result<Arc<ListenerTls>, rustls::Error> {
        let tickets = match previous.filter(|previous| previous.settings.client == settings.client) {
            Some(previous) => previous.tickets.clone(),
            None => aws_lc_rs::Ticketer::new()?,
        };
        let certificates = Arc::new(Certificates::new(&settings.certificates, obtained, settings.strict_sni));
        let versions: &[_] = match settings.min_version {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)?;
        let builder = match &settings.client {
            Some(client) => builder.with_client_cert_verifier(client_verifier(client).map_err(rustls::Error::General)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(certificates.clone());
        config.ticketer = tickets.clone();
        config.alpn_protocols = if http2 {
            vec![H2.to_vec(), HTTP1.to_vec()]
        } else {
            vec![HTTP1.to_vec()]
        };
        Ok(Arc::new(ListenerTls {
            config: Arc::new(config),
            certificates,
            settings: settings.clone(),
            challenges,
            tickets,
        }))
    }
}

/// What checks clients' certificates.
///
/// # Errors
/// In words, where roots or revocation lists cannot be used.
pub(crate) fn client_verifier(settings: &ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for root in &settings.roots {
        roots
            .add(root.clone())
            .map_err(|_| "a root certificate cannot be used".to_owned())?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(settings.crls.iter().cloned())
        .only_check_end_entity_revocation();
    if !settings.required {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| error.to_string())
}
