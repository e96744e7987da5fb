//! `limits` and `breaker` of an upstream.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, Text};
use crate::config::units::Share;

/// `limits = { requests = 1024, pending = 256 }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "UpstreamLimits")]
pub(crate) struct UpstreamLimits {
    /// `requests = 1024`: under way at once, over all threads.
    pub(crate) requests: Option<Located<i64>>,
    /// `pending = 256`: waiting for a connection at once, over all threads.
    pub(crate) pending: Option<Located<i64>>,
}

/// `breaker = { errors = "50%", least = 20, window = "10s", open = "5s" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Breaker")]
pub(crate) struct Breaker {
    /// `errors = "50%"`: the share of failed tries that opens it.
    pub(crate) errors: Option<Located<Text<Share>>>,
    /// `least = 20`: tries within the window before their share counts.
    pub(crate) least: Option<Located<i64>>,
    /// `window = "10s"`: how far back tries count.
    pub(crate) window: Option<Located<Text<Duration>>>,
    /// `open = "5s"`: how long nothing is sent then.
    pub(crate) open: Option<Located<Text<Duration>>>,
    /// `probes = 3`: requests that must be answered well, after that, to close it again.
    pub(crate) probes: Option<Located<i64>>,
}

only_tables! {
    UpstreamLimits: "a table such as `{ requests = 1024 }`",
    Breaker: "a table such as `{ errors = \"50%\" }`",
}
