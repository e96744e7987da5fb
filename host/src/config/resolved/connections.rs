//! Connections to the targets of an upstream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::http2::Http2Limits;

/// How an upstream's targets are connected to, and for how long connections serve.
#[derive(Debug, Clone, PartialEq)]
pub struct Connections {
    /// What is spoken. HTTP/1.1 by default.
    pub http: HttpVersion,
    /// TLS, where targets are `https`.
    pub tls: Option<TargetTls>,
    /// Tells targets the client's address. A connection then serves one request, whose client it has named.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// To each target, over all threads. No limit by default.
    pub most: Option<usize>,
    /// Requests that may wait for one of `most`, for each target. 1,000 by default.
    pub pending: usize,
    /// Idle ones kept for each target on each thread. 64 by default.
    pub keep: usize,
    /// How long an idle one is kept. 30 s by default.
    pub keep_for: Duration,
    /// How old one may be to serve another request. 1 h by default.
    pub reuse_for: Duration,
    /// Requests sent over one. No limit by default.
    pub requests: Option<u64>,
    /// Frames of HTTP/2 that one may send: `[server.limits.http2]`, as for clients.
    pub frames: Http2Limits,
    /// When the kernel first asks whether a silent peer is still there. 60 s by default.
    pub tcp_keepalive: Duration,
}

/// `http`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// `"1.1"`, the default.
    One,
    /// `"2"`: by prior knowledge, or agreed upon over TLS.
    Two,
    /// `"auto"`: what the target prefers over TLS, HTTP/1.1 without.
    Auto,
}

/// `proxy_protocol`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// `"v1"`: a line of text.
    V1,
    /// `"v2"`: binary.
    V2,
}

/// `tls`: what targets are trusted by, and what is shown to them.
#[derive(Clone)]
pub struct TargetTls {
    /// Ready to use; sessions to resume live in it, so it is made once and shared.
    pub(crate) client: Arc<ClientConfig>,
    /// The name that certificates must have, where it is not the target's host.
    pub server_name: Option<ServerName<'static>>,
    /// A digest of all that it was made of: files may change while the settings that name them do not.
    pub(crate) digest: u128,
}

impl Connections {
    /// The same, to speak HTTP/2 and nothing else.
    pub(crate) fn over_http2(&self) -> Connections {
        let mut settings = self.clone();
        settings.http = HttpVersion::Two;
        if let Some(tls) = &mut settings.tls {
            let mut client = (*tls.client).clone();
            client.alpn_protocols = vec![b"h2".to_vec()];
            tls.client = Arc::new(client);
        }
        settings
    }
}

impl HttpVersion {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            HttpVersion::One => "1.1",
            HttpVersion::Two => "2",
            HttpVersion::Auto => "auto",
        }
    }
}

impl PartialEq for TargetTls {
    fn eq(&self, other: &TargetTls) -> bool {
        (self.digest, &self.server_name) == (other.digest, &other.server_name)
    }
}

/// Shows no key.
impl fmt::Debug for TargetTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TargetTls");
        shown.field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Default for Connections {
    fn default() -> Connections {
        Connections {
            http: HttpVersion::One,
            tls: None,
            proxy_protocol: None,
            most: None,
            pending: 1_000,
            keep: 64,
            keep_for: Duration::from_secs(30),
            reuse_for: Duration::from_secs(60 * 60),
            requests: None,
            frames: Http2Limits::default(),
            tcp_keepalive: Duration::from_secs(60),
        }
    }
}
