//! `[[listener]]`.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::shorthand::LongForm;
use super::{Acme, Http3, Located, OneOrMany, Switch, Text};
use crate::config::resolved::ListenAddress;

/// `[[listener]]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Listener")]
pub(crate) struct Listener {
    /// `name = "edge"`: what routes call it in their `listeners`. The addresses of `server.listen` are `default`.
    pub(crate) name: Option<Located<String>>,
    /// `address = "0.0.0.0:443"`, `"[::]:443"`, `"unix:/run/portcullis.sock"`, or a list of such.
    #[schemars(required)]
    pub(crate) address: Option<Located<OneOrMany<Located<Text<ListenAddress>>>>>,
    /// `mode = "0660"`: of a Unix socket. As the umask leaves it by default.
    pub(crate) mode: Option<Located<String>>,
    /// `tls = { certificates = [{ certificate = "a.pem", key = "a.key" }] }`: clients speak HTTPS.
    pub(crate) tls: Option<Located<Tls>>,
    /// `proxy_protocol = { from = ["10.0.0.0/8"] }`: a load balancer in front says who the client is, in version 1 or 2
    /// of the PROXY protocol. `true` believes `server.trusted_proxies`. Others are not served.
    pub(crate) proxy_protocol: Option<Located<Switch<ProxyProtocol>>>,
    /// `redirect_to_https = true`, or the port of HTTPS where it is not 443: every request is answered with 308.
    pub(crate) redirect_to_https: Option<Located<Switch<HttpsPort>>>,
    /// `http2 = false`: HTTP/1.1 alone is spoken. On by default.
    pub(crate) http2: Option<bool>,
    /// `http3 = true`, or `{ port = 443, max_age = "24h", retry = true }`: HTTP/3 is spoken on the same addresses, over UDP,
    /// and clients of HTTPS are told so by `Alt-Svc`. Off by default.
    pub(crate) http3: Option<Located<Switch<Http3>>>,
}

/// `tls = { certificates = [{ certificate = "a.pem", key = "a.key" }] }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "ListenerTls")]
pub(crate) struct Tls {
    /// `certificates = [{ certificate = "a.pem", key = "a.key" }]`: each for the names that it holds.
    pub(crate) certificates: Option<Located<OneOrMany<Located<Certificate>>>>,
    /// `acme = { domains = ["shop.example"], store = "acme", accept_terms = true }`: a certificate that the gateway obtains
    /// and renews itself, or a list of such.
    pub(crate) acme: Option<Located<OneOrMany<Located<Acme>>>>,
    /// `min_version = "1.3"`: the oldest version that is spoken. 1.2 by default.
    pub(crate) min_version: Option<Located<TlsVersion>>,
    /// `strict_sni = true`: who names no host that a certificate is for is refused, instead of being shown the first.
    pub(crate) strict_sni: Option<bool>,
    /// `client = { roots = "clients.pem" }`: clients are asked for a certificate.
    pub(crate) client: Option<Located<ClientCertificates>>,
}

/// `{ certificate = "a.pem", key = "a.key" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Certificate")]
pub(crate) struct Certificate {
    /// `certificate = "a.pem"`: a file with the certificate and the chain to its issuer, in PEM form.
    #[schemars(required)]
    pub(crate) certificate: Option<Located<String>>,
    /// `key = "a.key"`: a file with its private key, in PEM form.
    #[schemars(required)]
    pub(crate) key: Option<Located<String>>,
}

/// `client = { roots = "clients.pem", mode = "optional" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "ClientCertificates")]
pub(crate) struct ClientCertificates {
    /// `roots = "clients.pem"`: files with the certificates of those who issue clients' certificates.
    #[schemars(required)]
    pub(crate) roots: Option<Located<OneOrMany<Located<String>>>>,
    /// `mode = "optional"`: who shows none is served, too. `required` by default.
    pub(crate) mode: Option<Located<ClientMode>>,
    /// `crl = "revoked.pem"`: files with lists of revoked certificates, one for each issuer.
    pub(crate) crl: Option<Located<OneOrMany<Located<String>>>>,
    /// `forward = true`: upstreams get the certificate as `Client-Cert` (RFC 9440). Off by default.
    pub(crate) forward: Option<bool>,
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientMode {
    /// Who shows none is refused.
    Required,
    /// Who shows one must show a good one.
    Optional,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// `proxy_protocol = { from = ["10.0.0.0/8"] }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxyProtocol {
    /// `from = ["10.0.0.0/8"]`: who is believed. `server.trusted_proxies` by default.
    pub(crate) from: Option<Located<OneOrMany<Located<Text<IpNet>>>>>,
}

impl LongForm for ProxyProtocol {
    const EXPECTED: &'static str = "`true`, `false` or a table such as `{ from = [\"10.0.0.0/8\"] }`";
}

/// The port of HTTPS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct HttpsPort(pub(crate) i64);

impl LongForm for HttpsPort {
    const EXPECTED: &'static str = "`true`, `false` or the port of HTTPS";
}

only_tables! {
    Listener: "a table: `[[listener]]`",
    Tls: "a table such as `{ certificates = [{ certificate = \"a.pem\", key = \"a.key\" }] }`",
    Certificate: "a table such as `{ certificate = \"a.pem\", key = \"a.key\" }`",
    ClientCertificates: "a table such as `{ roots = \"clients.pem\" }`",
}
