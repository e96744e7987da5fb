//! `balance` and `sticky` of an upstream: which target a request goes to.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::shorthand::LongForm;
use super::{Located, Text};
use crate::config::units::Share;

/// A way to choose a target that asks nothing of the request.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// The less busy of two drawn at random.
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// Any of them.
    Random,
    /// The one that would answer sooner of two drawn at random, by how long their answers took of late.
    PeakEwma,
}

/// `{ hash = "header:x-user" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HashBalance")]
pub(crate) struct HashBy {
    /// `hash = "header:x-user"`, `"cookie:NAME"`, `"client-ip"`, `"path:NAME"` or `"query:NAME"`: requests that are equal
    /// in this go to the same target.
    #[schemars(required)]
    pub(crate) hash: Option<Located<String>>,
    /// `surplus = "25%"`: with more than its share and so much of it in flight, a target leaves further requests to others.
    /// No limit by default.
    pub(crate) surplus: Option<Located<Text<Share>>>,
}

impl LongForm for HashBy {
    const EXPECTED: &'static str = "a policy such as `\"least-request\"`, or `{ hash = \"header:x-user\" }`";
}

/// `{ cookie = "target", for = "1h" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sticky {
    /// `cookie = "target"`: its name.
    #[schemars(required)]
    pub(crate) cookie: Option<Located<String>>,
    /// `for = "1h"`: how long a browser keeps it; without, until the browser is closed.
    #[serde(rename = "for")]
    pub(crate) lasts: Option<Located<Text<Duration>>>,
    /// `key = "${env:STICKY_KEY}"`: mixed into the cookie's value, so that nobody finds an address by trying. The same for
    /// all gateways that serve the same clients.
    pub(crate) key: Option<Located<String>>,
}

impl LongForm for Sticky {
    const EXPECTED: &'static str = "the name of a cookie, or `{ cookie = \"target\", for = \"1h\" }`";
}
