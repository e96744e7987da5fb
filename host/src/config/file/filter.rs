//! `[plugin.NAME]`, `[filter.NAME]` and the entries of a route's `filters`.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::shorthand::LongForm;
use super::text::Size;
use super::{Located, Table, Text};

/// `[plugin.geo]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Plugin")]
pub(crate) struct Plugin {
    /// `source = "filters/geo.wasm"`: the component, relative to this file.
    #[schemars(required)]
    pub(crate) source: Option<Located<String>>,
    /// `grant = { rate-limit = true, jwt = true }`: the capabilities it may import.
    pub(crate) grant: Option<Located<Grant>>,
    /// `limits = { memory = "16MiB", cpu = "10ms", time = "1s" }`: for all its filters.
    pub(crate) limits: Option<Located<FilterLimits>>,
    /// `reuse = 100_000`: calls that one instance serves before it is replaced.
    pub(crate) reuse: Option<Located<i64>>,
    /// `on_failure = "reject"`: or `"skip"`.
    pub(crate) on_failure: Option<Located<OnFailure>>,
    /// `quarantine = { after = 10, first = "1s", longest = "60s" }`
    pub(crate) quarantine: Option<Located<Quarantine>>,
}

/// `grant = { rate-limit = true }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", remote = "Self")]
#[schemars(rename = "Grant")]
pub(crate) struct Grant {
    /// `rate-limit = true`
    pub(crate) rate_limit: Option<bool>,
    /// `jwt = true`
    pub(crate) jwt: Option<bool>,
}

/// `[filter.signed-in]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Filter")]
pub(crate) struct Filter {
    /// `use = "jwt-auth"`: a standard plugin, or one of `[plugin.NAME]`.
    #[serde(rename = "use")]
    #[schemars(required)]
    pub(crate) plugin: Option<Located<String>>,
    /// `settings = { audience = "shop" }`: what the plugin's own schema allows.
    pub(crate) settings: Option<Located<Table>>,
    /// `limits = { memory = "16MiB", cpu = "10ms", time = "1s" }`
    pub(crate) limits: Option<Located<FilterLimits>>,
    /// `reuse = 100_000`: calls that one instance serves before it is replaced.
    pub(crate) reuse: Option<Located<i64>>,
    /// `on_failure = "reject"`: or `"skip"`.
    pub(crate) on_failure: Option<Located<OnFailure>>,
    /// `quarantine = { after = 10, first = "1s", longest = "60s" }`
    pub(crate) quarantine: Option<Located<Quarantine>>,
}

/// `{ use = "rate-limit", settings = { rate = "5/min" } }` in a route's `filters`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterEntry {
    /// `use = "rate-limit"`: a standard plugin, or one of `[plugin.NAME]` or `[filter.NAME]`.
    #[serde(rename = "use")]
    #[schemars(required)]
    pub(crate) plugin: Option<Located<String>>,
    /// `name = "five-a-minute"`: for logs and metrics. The plugin's by default.
    pub(crate) name: Option<Located<String>>,
    /// `settings = { rate = "5/min" }`: what the plugin's own schema allows.
    pub(crate) settings: Option<Located<Table>>,
    /// `limits = { memory = "16MiB", cpu = "10ms", time = "1s" }`
    pub(crate) limits: Option<Located<FilterLimits>>,
    /// `reuse = 100_000`: calls that one instance serves before it is replaced.
    pub(crate) reuse: Option<Located<i64>>,
    /// `on_failure = "reject"`: or `"skip"`.
    pub(crate) on_failure: Option<Located<OnFailure>>,
    /// `quarantine = { after = 10, first = "1s", longest = "60s" }`
    pub(crate) quarantine: Option<Located<Quarantine>>,
}

impl LongForm for FilterEntry {
    const EXPECTED: &'static str = "a name, or a table such as `{ use = \"cors\", settings = { .. } }`";
}

/// `limits = { memory = "16MiB", cpu = "10ms", time = "1s", body = "1MiB" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "FilterLimits")]
pub(crate) struct FilterLimits {
    /// `memory = "16MiB"`: linear memory of one instance, 256 MiB at most.
    pub(crate) memory: Option<Located<Text<Size>>>,
    /// `cpu = "10ms"`: computing time of one call.
    pub(crate) cpu: Option<Located<Text<Duration>>>,
    /// `time = "1s"`: wall-clock time of one call, waiting included.
    pub(crate) time: Option<Located<Text<Duration>>>,
    /// `body = "1MiB"`: what it may ask to buffer of a body.
    pub(crate) body: Option<Located<Text<Size>>>,
}

/// What happens to an exchange when the filter fails.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnFailure {
    /// The exchange gets a 5xx.
    Reject,
    /// The exchange goes on as if the filter were not there.
    Skip,
}

/// `quarantine = { after = 10, first = "1s", longest = "60s" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Quarantine")]
pub(crate) struct Quarantine {
    /// `after = 10`: failures in a row; 0 switches quarantine off.
    pub(crate) after: Option<Located<i64>>,
    /// `first = "1s"`: how long the first one lasts; each further one lasts twice as long.
    pub(crate) first: Option<Located<Text<Duration>>>,
    /// `longest = "60s"`: how long one lasts at most.
    pub(crate) longest: Option<Located<Text<Duration>>>,
}

/// The keys that `[plugin]`, `[filter]` and the entries of `filters` share: the nearer one wins.
#[derive(Clone, Copy)]
pub(crate) struct FilterRules<'a> {
    pub(crate) limits: Option<&'a Located<FilterLimits>>,
    pub(crate) reuse: Option<&'a Located<i64>>,
    pub(crate) on_failure: Option<&'a Located<OnFailure>>,
    pub(crate) quarantine: Option<&'a Located<Quarantine>>,
}

macro_rules! rules {
    ($($table:ident),*) => {$(
        impl $table {
            /// What it says about limits and failures.
            pub(crate) fn rules(&self) -> FilterRules<'_> {
                FilterRules {
                    limits: self.limits.as_ref(),
                    reuse: self.reuse.as_ref(),
                    on_failure: self.on_failure.as_ref(),
                    quarantine: self.quarantine.as_ref(),
                }
            }
        }
    )*};
}
rules!(Plugin, Filter, FilterEntry);

// By hand, because settings hold secrets.
impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("use", &self.plugin)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FilterEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterEntry")
            .field("use", &self.plugin)
            .finish_non_exhaustive()
    }
}

only_tables! {
    Plugin: "a table: `[plugin.NAME]`",
    Grant: "a table such as `{ rate-limit = true }`",
    Filter: "a table: `[filter.NAME]`",
    FilterLimits: "a table such as `{ memory = \"16MiB\", cpu = \"10ms\" }`",
    Quarantine: "a table such as `{ after = 10, first = \"1s\", longest = \"60s\" }`",
}
