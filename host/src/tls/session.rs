//! How a listener speaks TLS: versions, certificates, protocols, resumption, and what it asks of clients.

use std::fmt;
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, version};

use super::{Certificates, Obtained};
use crate::acme::Challenges;
use crate::config::resolved::{ClientCertificates, Listener, Tls, TlsVersion};

/// HTTP/2 and HTTP/1.1 as clients name them (RFC 7301 section 6).
pub(crate) const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
/// HTTP/3 (RFC 9114 section 3.1).
const H3: &[u8] = b"h3";

/// TLS of one listener, for all threads.
pub(crate) struct ListenerTls {
    /// What sessions are made with.
    pub(crate) config: Arc<ServerConfig>,
    /// The same for QUIC, where HTTP/3 is spoken.
    pub(crate) quic: Option<Arc<QuicServerConfig>>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) settings: Tls,
    /// What is answered to who checks that a domain is ours, where somebody may.
    pub(crate) challenges: Option<Arc<Challenges>>,
    tickets: Arc<dyn ProducesTickets>,
}

impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ListenerTls");
        shown.field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl ListenerTls {
    /// TLS as configured, for the protocols that its listener speaks, with the certificates that are obtained for it. Sessions
    /// begun with `previous` can be resumed, but not where they were begun under other rules for clients' certificates: a
    /// resumed session is not asked for one again.
    ///
    /// # Errors
    /// No source of randomness, or roots that cannot be used.
    pub(crate) fn new(
        settings: &Tls,
        listener: &Listener,
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
        config.alpn_protocols = if listener.http2 {
            vec![H2.to_vec(), HTTP1.to_vec()]
        } else {
            vec![HTTP1.to_vec()]
        };
        let quic = listener.http3.is_some().then(|| over_quic(&config)).transpose()?;
        Ok(Arc::new(ListenerTls {
            quic,
            config: Arc::new(config),
            certificates,
            settings: settings.clone(),
            challenges,
            tickets,
        }))
    }
}

/// The same over QUIC, which knows TLS 1.3 alone. A request that is sent before the handshake has ended (0-RTT) could be sent
/// again by whoever has heard it, so there is none.
fn over_quic(config: &ServerConfig) -> Result<Arc<QuicServerConfig>, rustls::Error> {
    let mut config = config.clone();
    config.alpn_protocols = vec![H3.to_vec()];
    config.max_early_data_size = 0;
    let config = QuicServerConfig::try_from(config);
    config
        .map(Arc::new)
        .map_err(|error| rustls::Error::General(error.to_string()))
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
