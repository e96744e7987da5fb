//! `[filter.NAME]` and `[plugin.NAME]`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::settings::SettingsPlaces;
use crate::config::source::Place;

/// A plugin as used on a route, with its own settings. `Debug` shows them as written, without secrets.
#[derive(Clone)]
pub struct FilterUse {
    /// Its name in logs and metrics: that of its `[filter.NAME]`, or its `name`, or the plugin's.
    pub name: Arc<str>,
    /// Whether it is a `[filter.NAME]`, one filter for all routes that list it, rather than written on its route.
    pub shared: bool,
    /// The plugin it uses.
    pub plugin: Arc<Plugin>,
    /// Its settings as JSON, `${..}` filled in. Holds secrets: never to be logged or shown.
    pub settings: Arc<serde_json::Value>,
    /// The same as written, `${..}` left alone: safe to show.
    pub settings_shown: Arc<serde_json::Value>,
    /// Where each of the settings is written.
    pub settings_places: Arc<SettingsPlaces>,
    /// What it may use up.
    pub limits: FilterLimits,
    /// What happens to an exchange when the filter fails.
    pub on_failure: OnFailure,
    /// Calls that one instance serves before it is replaced: 1 gives a pristine instance to every call. 100,000 by default.
    pub reuse: u32,
    /// When it is taken out of service after failures.
    pub quarantine: Quarantine,
    /// Where it is written: the name in `[filter.NAME]`, or its entry on the route.
    pub place: Place,
}

impl fmt::Debug for FilterUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterUse")
            .field("name", &self.name)
            .field("plugin", &self.plugin.name)
            .field("settings", &self.settings_shown)
            .field("limits", &self.limits)
            .field("on_failure", &self.on_failure)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// A compiled component that filters are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// Of its `[plugin.NAME]`, or the standard plugin's.
    pub name: String,
    /// Where its bytes come from.
    pub source: PluginSource,
    /// The capabilities it may import.
    pub grants: Grants,
    /// Where it is declared, or first used.
    pub place: Place,
}

/// Where a plugin's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PluginSource {
    /// One of those inside the binary.
    Standard(String),
    /// A `.wasm` file.
    File(PathBuf),
}

/// `grant = { rate-limit = true, jwt = true }`; a standard plugin has what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grants {
    /// `rate-limit`
    pub rate_limit: bool,
    /// `jwt`
    pub jwt: bool,
}

/// `limits = { memory = "16MiB", cpu = "10ms", time = "1s" }`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FilterLimits {
    /// Bytes of linear memory of one instance. 16 MiB by default, 256 MiB at most.
    pub memory: usize,
    /// Computing time of one call, to the millisecond. 10 ms by default.
    pub cpu: Duration,
    /// Wall-clock time of one call, waiting included. 1 s by default.
    pub time: Duration,
    /// Bytes that a filter may ask to buffer of a body. 1 MiB by default.
    pub body: u64,
}

/// `on_failure = "reject" | "skip"`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// The exchange gets a 5xx. The default.
    Reject,
    /// The exchange goes on as if the filter were not there.
    Skip,
}

/// `quarantine = { after = 10, first = "1s", longest = "60s" }`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quarantine {
    /// Failures in a row; 0 switches quarantine off. 10 by default.
    pub after: u32,
    /// How long the first one lasts; each further one lasts twice as long. 1 s by default.
    pub first: Duration,
    /// How long one lasts at most. 60 s by default.
    pub longest: Duration,
}
