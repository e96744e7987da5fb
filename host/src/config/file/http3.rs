//! `http3`, of a `[[listener]]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::shorthand::LongForm;
use super::{Located, Text};

/// `http3 = { port = 443, max_age = "24h", retry = true }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http3 {
    /// `port = 443`: what clients are told, where it is not the one that is listened on.
    pub(crate) port: Option<Located<i64>>,
    /// `max_age = "24h"`: how long clients may remember it.
    pub(crate) max_age: Option<Located<Text<Duration>>>,
    /// `retry = true`: every client first shows that its address is its own, which costs a round trip. By default only
    /// while many connections begin at once.
    pub(crate) retry: Option<bool>,
}

impl LongForm for Http3 {
    const EXPECTED: &'static str = "`true`, `false`, or a table such as `{ max_age = \"24h\" }`";
}
