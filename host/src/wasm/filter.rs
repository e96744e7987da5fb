//! A filter: a plugin with settings and limits, ready to be instantiated on any thread.

use std::sync::Arc;

use super::capabilities::Services;
use super::engine::Engine;
use super::failure::{Failure, Reason};
use super::instance::Instance;
use super::plugin::Plugin;
use crate::config::resolved::FilterLimits;

/// A plugin with settings and limits. Routes whose filters are equal in all of these share one, and with it the ready
/// instances.
pub struct Filter {
    /// The plugin it is made of.
    pub plugin: Arc<Plugin>,
    /// What one call may use up.
    pub limits: FilterLimits,
    /// Calls that one instance serves.
    pub reuse: u32,
    pub(super) settings: String,
    pub(super) engine: Engine,
    pub(super) services: Arc<Services>,
}

/// Why a filter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The plugin's own word on its settings.
    #[error("{0}")]
    Settings(String),
    /// It trapped, or ran past a limit, before it saw any traffic.
    #[error("it fails to start: {0}")]
    Start(Failure),
}

impl Filter {
    /// Makes a filter, and one instance of it to see that its settings are accepted.
    ///
    /// # Errors
    ///
    /// What the plugin says against its settings, or how it failed while it read them.
    pub async fn new(
        engine: &Engine,
        services: &Arc<Services>,
        plugin: Arc<Plugin>,
        settings: &serde_json::Value,
        limits: FilterLimits,
        reuse: u32,
    ) -> Result<Arc<Filter>, FilterError> {
        let filter = Arc::new(Filter {
            plugin,
            limits,
            reuse,
            settings: settings.to_string(),
            engine: engine.clone(),
            services: services.clone(),
        });
        match Instance::start(&filter).await {
            Ok(_) => Ok(filter),
            Err(failure) if failure.reason == Reason::Error => Err(FilterError::Settings(failure.detail)),
            Err(failure) => Err(FilterError::Start(failure)),
        }
    }

    /// The settings as the plugin sees them, to look URLs and files up in.
    pub(super) fn names(&self, text: &str) -> bool {
        fn holds(value: &serde_json::Value, text: &str) -> bool {
            match value {
                serde_json::Value::String(string) => string == text,
                serde_json::Value::Array(items) => items.iter().any(|item| holds(item, text)),
                serde_json::Value::Object(members) => members.values().any(|item| holds(item, text)),
                _ => false,
            }
        }
        serde_json::from_str(&self.settings).is_ok_and(|settings| holds(&settings, text))
    }
}

// Settings hold secrets, so they are left out.
impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter")
            .field("plugin", &self.plugin)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
