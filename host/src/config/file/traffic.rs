//! Where a route's requests go beside the plain way: splits, mirrors, faults.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::shorthand::LongForm;
use super::{Located, Size, Text};
use crate::config::units::Share;

/// `{ upstream = "users", weight = 95 }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Destination {
    /// `upstream = "users"`
    #[schemars(required)]
    pub(crate) upstream: Option<Located<String>>,
    /// `weight = 95`: its share of the sum of all weights; 0 to 1,000,000, 1 where it is not written.
    pub(crate) weight: Option<Located<i64>>,
}

impl LongForm for Destination {
    const EXPECTED: &'static str = "the name of an upstream, or `{ upstream = \"users\", weight = 95 }`";
}

/// `mirror = { to = "shadow", share = "10%" }`, or `"shadow"` for a copy of every request
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mirror {
    /// `to = "shadow"`: the upstream that gets the copies.
    #[schemars(required)]
    pub(crate) to: Option<Located<String>>,
    /// `share = "10%"`: of the requests that are copied.
    pub(crate) share: Option<Located<Text<Share>>>,
    /// `buffer = "16MiB"`: bytes of bodies that copies may hold on each thread, all together; what is more is not copied.
    pub(crate) buffer: Option<Located<Text<Size>>>,
}

impl LongForm for Mirror {
    const EXPECTED: &'static str = "the name of an upstream, or `{ to = \"shadow\", share = \"10%\" }`";
}

/// `fault = { delay = "200ms", delay_share = "10%", abort = 503, abort_share = "5%" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Fault")]
pub(crate) struct Fault {
    /// `delay = "200ms"`: added to requests.
    pub(crate) delay: Option<Located<Text<Duration>>>,
    /// `delay_share = "10%"`: of the requests that are delayed.
    pub(crate) delay_share: Option<Located<Text<Share>>>,
    /// `abort = 503`: the status of an answer in place of the backend's.
    pub(crate) abort: Option<Located<i64>>,
    /// `abort_share = "5%"`: of the requests that are answered so.
    pub(crate) abort_share: Option<Located<Text<Share>>>,
}

only_tables! {
    Fault: "a table such as `{ delay = \"200ms\" }`",
}
