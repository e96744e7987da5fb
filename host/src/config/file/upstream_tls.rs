//! `[upstream.NAME.tls]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, OneOrMany, TlsVersion};

/// `tls = { roots = "ca.pem", server_name = "users.internal" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "UpstreamTls")]
pub(crate) struct UpstreamTls {
    /// `roots = "ca.pem"`: who may have signed a target's certificate; `"system"`, the default: whom this machine trusts.
    pub(crate) roots: Option<Located<OneOrMany<Located<String>>>>,
    /// `server_name = "users.internal"`: the name that certificates must have. A target's host by default.
    pub(crate) server_name: Option<Located<String>>,
    /// `certificate = "client.pem"`: shown to targets that ask for one, with those that lead to its root.
    pub(crate) certificate: Option<Located<String>>,
    /// `key = "client.key"`: the certificate's.
    pub(crate) key: Option<Located<String>>,
    /// `min_version = "1.3"`: the oldest version of TLS to speak. `"1.2"` by default.
    pub(crate) min_version: Option<Located<TlsVersion>>,
    /// `verify = "off"`: takes any certificate for good. For trials only.
    pub(crate) verify: Option<Located<Verify>>,
}

/// Whether targets' certificates are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verify {
    /// They are.
    On,
    /// They are not: whoever answers is believed.
    Off,
}

only_tables! {
    UpstreamTls: "a table: `tls = { roots = \"ca.pem\" }`",
}
