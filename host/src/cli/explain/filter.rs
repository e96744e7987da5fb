//! A filter of the route that a request takes.

use serde::Serialize;
use serde_json::Value;

use crate::cli::output::{duration, size, source};
use crate::config::resolved::OnFailure;
use crate::gateway::GatewayFilter;
use crate::pipeline::Phase;

/// A filter as it is configured.
#[derive(Debug, Serialize)]
pub(super) struct Filter {
    pub(super) name: String,
    pub(super) plugin: String,
    /// `standard`, or a path.
    pub(super) source: String,
    pub(super) phases: Vec<&'static str>,
    /// Those it imports, but for `log`, which all have.
    pub(super) capabilities: Vec<&'static str>,
    pub(super) settings: Vec<Setting>,
    pub(super) limits: Limits,
    pub(super) on_failure: &'static str,
    /// Calls that one instance serves.
    pub(super) reuse: u32,
    pub(super) place: String,
}

/// One of its settings, as written: secrets are still `${..}`.
#[derive(Debug, Serialize)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) place: String,
}

/// What one call may use up, as people write it.
#[derive(Debug, Serialize)]
pub(super) struct Limits {
    pub(super) memory: String,
    pub(super) cpu: String,
    pub(super) time: String,
    pub(super) body: String,
}

impl Filter {
    pub(super) fn of(filter: &GatewayFilter) -> Filter {
        let used = &filter.settings;
        let plugin = &filter.filter.plugin;
        Filter {
            name: used.name.to_string(),
            plugin: used.plugin.name.clone(),
            source: source(&used.plugin.source),
            phases: plugin.manifest.phases.iter().map(Phase::as_str).collect(),
            capabilities: plugin
                .capabilities
                .iter()
                .map(|capability| capability.as_str())
                .filter(|name| *name != "log")
                .collect(),
            settings: settings(filter),
            limits: Limits {
                memory: size(used.limits.memory as u64),
                cpu: duration(used.limits.cpu),
                time: duration(used.limits.time),
                body: size(used.limits.body),
            },
            on_failure: match used.on_failure {
                OnFailure::Reject => "reject",
                OnFailure::Skip => "skip",
            },
            reuse: used.reuse,
            place: used.place.to_string(),
        }
    }
}

fn settings(filter: &GatewayFilter) -> Vec<Setting> {
    let places = &filter.settings.settings_places;
    let shown = filter.settings.settings_shown.as_object();
    let settings = shown.into_iter().flatten().map(|(key, value)| Setting {
        key: key.clone(),
        value: value.clone(),
        // RFC 6901, section 3
        place: places
            .key(&format!("/{}", key.replace('~', "~0").replace('/', "~1")))
            .to_string(),
    });
    settings.collect()
}
