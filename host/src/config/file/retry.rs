//! `retry` and `hedge`, of an upstream or a route.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::shorthand::LongForm;
use super::{Located, OneOrMany, Size, Text};
use crate::config::units::Share;

/// `retry = { tries = 3, on = ["connect", "reset", "503"] }`, or `"off"`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// `tries = 3`: tries at most, the first one among them.
    pub(crate) tries: Option<Located<i64>>,
    /// `on = ["connect", "reset", "timeout", "503", "5xx", "unavailable"]`: after which failures.
    pub(crate) on: Option<Located<OneOrMany<Located<String>>>>,
    /// `backoff = "25ms"`: before the second try; twice as long before each further one, and a random part of it.
    pub(crate) backoff: Option<Located<Text<Duration>>>,
    /// `longest_backoff = "250ms"`: the longest of these.
    pub(crate) longest_backoff: Option<Located<Text<Duration>>>,
    /// `budget = "20%"`: repeated requests as a share of all requests.
    pub(crate) budget: Option<Located<Text<Share>>>,
    /// `budget_least = 3`: repeated requests a second, on each thread, that are always allowed.
    pub(crate) budget_least: Option<Located<i64>>,
    /// `body = "64KiB"`: bytes of a request's body that are kept to be sent again.
    pub(crate) body: Option<Located<Text<Size>>>,
}

impl LongForm for Retry {
    const EXPECTED: &'static str = "`\"off\"`, or a table such as `{ tries = 3, on = [\"connect\", \"reset\"] }`";
}

/// `hedge = { after = "50ms", most = 1 }`, or `"off"`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hedge {
    /// `after = "50ms"`: how long a try is without an answer when another one is sent.
    #[schemars(required)]
    pub(crate) after: Option<Located<Text<Duration>>>,
    /// `most = 1`: further requests at most.
    pub(crate) most: Option<Located<i64>>,
}

impl LongForm for Hedge {
    const EXPECTED: &'static str = "`\"off\"`, or a table such as `{ after = \"50ms\" }`";
}
