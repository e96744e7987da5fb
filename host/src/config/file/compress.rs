//! `compress`, of `[server]` and of routes.

use schemars::JsonSchema;
use serde::Deserialize;

use super::shorthand::LongForm;
use super::text::Size;
use super::{Located, OneOrMany, Text};

/// `compress = { encodings = ["zstd", "br", "gzip"], least = "1KiB" }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compress {
    /// `encodings = ["zstd", "br", "gzip"]`: the first one wins where the client likes several equally.
    pub(crate) encodings: Option<Located<OneOrMany<Located<String>>>>,
    /// `least = "1KiB"`: what is known to be smaller goes as it is.
    pub(crate) least: Option<Located<Text<Size>>>,
    /// `types = ["text/*", "application/json", "application/*+json"]`: media types, in place of those that compress well.
    pub(crate) types: Option<Located<OneOrMany<Located<String>>>>,
    /// `level = { zstd = 3, br = 4, gzip = 5 }`: higher is smaller and slower.
    pub(crate) level: Option<Located<CompressLevel>>,
    /// `at_once = 256`: responses on each thread; what comes on top goes as it is. One takes up to 2 MiB of memory.
    pub(crate) at_once: Option<Located<i64>>,
}

/// `level = { zstd = 3, br = 4, gzip = 5 }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "CompressLevel")]
pub(crate) struct CompressLevel {
    /// `zstd = 3`: 1 to 9.
    pub(crate) zstd: Option<Located<i64>>,
    /// `br = 4`: 0 to 7.
    pub(crate) br: Option<Located<i64>>,
    /// `gzip = 5`: 1 to 9.
    pub(crate) gzip: Option<Located<i64>>,
}

impl LongForm for Compress {
    const EXPECTED: &'static str = "`true`, `false`, or a table such as `{ encodings = [\"gzip\"] }`";
}

only_tables! {
    CompressLevel: "a table such as `{ br = 4 }`",
}
