//! `[server.limits.http2]`

use schemars::{JsonSchema, Schema, json_schema};
use serde::Deserialize;

use super::text::FromText;
use super::{Located, Text};
use crate::config::wording::Fault;

/// `[server.limits.http2]`: frames that one connection may send, a second; ten seconds' worth of them at once.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Http2Limits")]
pub(crate) struct Http2Limits {
    /// `resets = "50/s"`: RST_STREAM, beyond one for each response; or `"off"`, as with all of these.
    pub(crate) resets: Option<Located<Text<PerSecond>>>,
    /// `provoked_resets = "10/s"`: streams that the gateway must reset for the client's mistakes.
    pub(crate) provoked_resets: Option<Located<Text<PerSecond>>>,
    /// `pings = "20/s"`: PING, beyond one for each frame of a response.
    pub(crate) pings: Option<Located<Text<PerSecond>>>,
    /// `settings = "5/s"`: SETTINGS.
    pub(crate) settings: Option<Located<Text<PerSecond>>>,
    /// `priorities = "100/s"`: PRIORITY and PRIORITY_UPDATE.
    pub(crate) priorities: Option<Located<Text<PerSecond>>>,
    /// `window_updates = "100/s"`: WINDOW_UPDATE, beyond four for each frame of a response.
    pub(crate) window_updates: Option<Located<Text<PerSecond>>>,
    /// `empty_frames = "10/s"`: DATA and HEADERS that hold nothing and end nothing.
    pub(crate) empty_frames: Option<Located<Text<PerSecond>>>,
    /// `unknown_frames = "50/s"`: frames of no known type.
    pub(crate) unknown_frames: Option<Located<Text<PerSecond>>>,
    /// `continuations = 4`: CONTINUATION in one header section that is under 8 KiB and not the last.
    pub(crate) continuations: Option<Located<i64>>,
}

only_tables! {
    Http2Limits: "a table: `[server.limits.http2]`",
}

/// So many a second, or `"off"` for no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PerSecond(pub(crate) Option<u32>);

impl FromText for PerSecond {
    const EXPECTED: &'static str = "a number a second such as `50/s`, or `off` for no limit";

    fn from_text(text: &str) -> Result<Self, Fault> {
        if text == "off" {
            return Ok(Self(None));
        }
        let number = text
            .strip_suffix("/s")
            .and_then(|number| number.trim_end().parse().ok());
        match number {
            Some(number @ 1..=1_000_000) => Ok(Self(Some(number))),
            _ => {
                let fault = Fault::new("not a number a second", "expected `1/s` to `1000000/s`");
                Err(fault.help("write for example `50/s`, or `off` for no limit"))
            }
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(off|[0-9]+ ?/s)$" })
    }
}
