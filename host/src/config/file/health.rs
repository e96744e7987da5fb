//! `health` and `eject` of an upstream: which of its targets are fit for use.

use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::{JsonSchema, Schema, json_schema};
use serde::Deserialize;

use super::shorthand::LongForm;
use super::text::FromText;
use super::{Located, OneOrMany, Text};
use crate::config::units::Share;
use crate::config::wording::Fault;

/// `{ path = "/healthz", every = "5s" }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    /// `kind = "http"`, `"grpc"` (grpc.health.v1) or `"tcp"` (it accepts connections).
    pub(crate) kind: Option<Located<ProbeKind>>,
    /// `path = "/healthz"`: what HTTP asks for.
    pub(crate) path: Option<Located<String>>,
    /// `every = "5s"`: between the end of a probe and the next.
    pub(crate) every: Option<Located<Text<Duration>>>,
    /// `timeout = "1s"`: how long a probe may take.
    pub(crate) timeout: Option<Located<Text<Duration>>>,
    /// `healthy_after = 2`: probes passed in a row that bring a target back. The very first probe decides alone.
    pub(crate) healthy_after: Option<Located<i64>>,
    /// `unhealthy_after = 3`: probes failed in a row that take a target out.
    pub(crate) unhealthy_after: Option<Located<i64>>,
    /// `status = "200-299"`, or `[200, 204, "300-399"]`: what counts as healthy with HTTP.
    pub(crate) status: Option<Located<OneOrMany<Located<Text<StatusRange>>>>>,
    /// `host = "users.internal"`: the host that HTTP and gRPC name; the target's own by default.
    pub(crate) host: Option<Located<String>>,
    /// `service = "shop.Orders"`: the service that gRPC asks for; the server as a whole by default.
    pub(crate) service: Option<Located<String>>,
    /// `port = 9000`: where probes go, if not to the target's own port.
    pub(crate) port: Option<Located<i64>>,
}

impl LongForm for Health {
    const EXPECTED: &'static str =
        "a path such as `\"/healthz\"`, `\"grpc\"`, `\"tcp\"`, or `{ path = \"/healthz\", every = \"5s\" }`";
}

/// What a probe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProbeKind {
    /// A GET.
    Http,
    /// A call of grpc.health.v1.
    Grpc,
    /// A connection.
    Tcp,
}

/// `"200-299"`, or one status.
#[derive(Debug, Clone)]
pub(crate) struct StatusRange(pub(crate) RangeInclusive<u16>);

impl FromText for StatusRange {
    const EXPECTED: &'static str = "a status such as `204`, or a range such as `200-299`";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let status = |text: &str| text.trim().parse().ok().filter(|code| (100..=599).contains(code));
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok(StatusRange(first..=last)),
            _ => Err(Fault::new("not a status", "expected 100 to 599").help("write `204`, or `\"200-299\"`")),
        }
    }

    fn from_number(number: i64) -> Option<Result<Self, Fault>> {
        Some(StatusRange::from_text(&number.to_string()))
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"], "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$", "minimum": 100, "maximum": 599 })
    }
}

/// `{ after = 5, for = "10s", longest = "5m", most = "50%" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Eject {
    /// `after = 5`: failures in a row, over all threads.
    pub(crate) after: Option<Located<i64>>,
    /// `for = "10s"`: how long, times the number of ejections of late.
    #[serde(rename = "for")]
    pub(crate) lasts: Option<Located<Text<Duration>>>,
    /// `longest = "5m"`: how long at most.
    pub(crate) longest: Option<Located<Text<Duration>>>,
    /// `most = "50%"`: of the upstream's targets, at a time; one may always be.
    pub(crate) most: Option<Located<Text<Share>>>,
}

impl LongForm for Eject {
    const EXPECTED: &'static str = "`{ after = 5, for = \"10s\" }`, or `\"off\"`";
}

/// `"off"`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Off {
    /// Not at all.
    Off,
}
