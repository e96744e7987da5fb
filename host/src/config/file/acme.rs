//! `acme` of a listener's `tls`: certificates that the gateway obtains itself.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, OneOrMany, Text};
use crate::config::units::Share;

/// `acme = { domains = ["shop.example"], store = "/var/lib/portcullis/acme", accept_terms = true }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Acme")]
pub(crate) struct Acme {
    /// `domains = ["shop.example", "www.shop.example"]`: the hosts that one certificate is for.
    #[schemars(required)]
    pub(crate) domains: Option<Located<OneOrMany<Located<String>>>>,
    /// `store = "/var/lib/portcullis/acme"`: a folder for account keys and certificates, made where there is none.
    #[schemars(required)]
    pub(crate) store: Option<Located<String>>,
    /// `accept_terms = true`: you agree to the terms of service of the certificate authority.
    #[schemars(required)]
    pub(crate) accept_terms: Option<Located<bool>>,
    /// `directory = "https://ca.internal/acme/directory"`: the certificate authority. Let's Encrypt by default.
    pub(crate) directory: Option<Located<String>>,
    /// `roots = "ca.pem"`: what the directory's own certificate must lead to, instead of the system's roots.
    pub(crate) roots: Option<Located<String>>,
    /// `contact = "ops@shop.example"`: mail addresses that the certificate authority may write to.
    pub(crate) contact: Option<Located<OneOrMany<Located<String>>>>,
    /// `challenge = "http-01"`: how control of the domains is proven: on port 443 within TLS (`tls-alpn-01`, the
    /// default), or on port 80.
    pub(crate) challenge: Option<Located<AcmeChallenge>>,
    /// `external_account = { key_id = "..", key = "${env:EAB_KEY}" }`: an account that you have there already.
    pub(crate) external_account: Option<Located<ExternalAccount>>,
    /// `renew_after = "66%"`: the part of its lifetime after which a certificate is replaced, where the certificate
    /// authority does not say when itself.
    pub(crate) renew_after: Option<Located<Text<Share>>>,
    /// `retry = { first = "2m", longest = "6h" }`: pauses after an order that failed.
    pub(crate) retry: Option<Located<AcmeRetry>>,
}

/// How control of a domain is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum AcmeChallenge {
    /// By a TLS handshake on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a resource on port 80 (RFC 8555 section 8.3).
    #[serde(rename = "http-01")]
    Http01,
}

/// `external_account = { key_id = "..", key = "${env:EAB_KEY}" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "AcmeExternalAccount")]
pub(crate) struct ExternalAccount {
    /// `key_id = "kid-1"`: what the certificate authority calls the account.
    #[schemars(required)]
    pub(crate) key_id: Option<Located<String>>,
    /// `key = "${env:EAB_KEY}"`: its secret, in base64url as authorities give it out.
    #[schemars(required)]
    pub(crate) key: Option<Located<String>>,
}

/// `retry = { first = "2m", longest = "6h" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "AcmeRetry")]
pub(crate) struct AcmeRetry {
    /// `first = "2m"`: the pause after a refusal; twice as long after each further one.
    pub(crate) first: Option<Located<Text<Duration>>>,
    /// `longest = "6h"`: the longest pause.
    pub(crate) longest: Option<Located<Text<Duration>>>,
}

only_tables! {
    Acme: "a table such as `{ domains = [\"shop.example\"], store = \"acme\", accept_terms = true }`",
    ExternalAccount: "a table such as `{ key_id = \"kid-1\", key = \"${env:EAB_KEY}\" }`",
    AcmeRetry: "a table such as `{ first = \"2m\", longest = \"6h\" }`",
}
