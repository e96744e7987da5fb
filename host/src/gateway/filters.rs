//! The filters of a gateway: plugins loaded, settings checked, and each taken over from the gateway before where it is the
//! same.

use std::fs;
use std::sync::Arc;

use super::{Build, Environment, GatewayFilter};
use crate::config::resolved::{FilterLimits, FilterUse, Plugin as PluginSettings, PluginSource, Route};
use crate::config::{Problem, check_settings, settings_error};
use crate::pipeline::QuarantineState;
use crate::wasm::{Filter, FilterError, Plugin, PluginError};

/// The bytes of a plugin and what it may import.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PluginKey {
    hash: u128,
    rate_limit: bool,
    jwt: bool,
}

/// What makes two filters one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FilterKey {
    plugin: String,
    settings: String,
    limits: FilterLimits,
    reuse: u32,
}

impl Build<'_> {
    /// A filter at its place in a route. None where something is wrong with it, which is reported.
    pub(super) async fn filter(&mut self, route: &Route, settings: &FilterUse) -> Option<GatewayFilter> {
        let plugin = self.plugin(&settings.plugin).await?;
        let key = FilterKey {
            plugin: plugin.hash.clone(),
            settings: settings.settings.to_string(),
            limits: settings.limits,
            reuse: settings.reuse,
        };
        let known = self.kept.filters.get(&key).or_else(|| self.previous?.filters.get(&key));
        // The same plugin with other grants is another one.
        let filter = match known.filter(|known| Arc::ptr_eq(&known.plugin, &plugin)) {
            Some(known) => known.clone(),
            None => self.new_filter(plugin, settings).await?,
        };
        self.kept.filters.insert(key, filter.clone());
        let scope = if settings.shared {
            settings.name.clone()
        } else {
            format!("{}/{}", route.name, settings.name).into()
        };
        let quarantine = self.quarantine(&scope, &filter, settings);
        Some(GatewayFilter {
            settings: settings.clone(),
            filter,
            scope,
            quarantine,
        })
    }

    async fn new_filter(&mut self, plugin: Arc<Plugin>, settings: &FilterUse) -> Option<Arc<Filter>> {
        let problems = check_settings(&plugin.manifest.schema, settings);
        if !problems.is_empty() {
            self.problems.extend(problems);
            return None;
        }
        let Environment { engine, services, .. } = self.environment;
        let made = Filter::new(
            engine,
            services,
            plugin,
            &settings.settings,
            settings.limits,
            settings.reuse,
        )
        .await;
        match made {
            Ok(filter) => Some(filter),
            Err(FilterError::Settings(refused)) => {
                self.problems.push(settings_error(settings, &refused));
                None
            }
            Err(failed) => {
                let title = format!("the filter `{}` does not start", settings.name);
                self.problems
                    .push(Problem::at(settings.place.clone(), title).label(failed.to_string()));
                None
            }
        }
    }

    async fn plugin(&mut self, settings: &PluginSettings) -> Option<Arc<Plugin>> {
        if let Some(loaded) = self.loaded.get(&settings.name) {
            return loaded.clone();
        }
        let loaded = match self.load(settings).await {
            Ok(plugin) => Some(plugin),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        };
        self.loaded.insert(settings.name.clone(), loaded.clone());
        loaded
    }

    async fn load(&mut self, settings: &PluginSettings) -> Result<Arc<Plugin>, Problem> {
        let problem = |title: String| Problem::at(settings.place.clone(), title);
        let read;
        let bytes = match &settings.source {
            PluginSource::Standard(name) => {
                portcullis_plugins::find(name)
                    .ok_or_else(|| problem(format!("there is no standard plugin `{name}`")))?
                    .component
            }
            PluginSource::File(path) => {
                read = fs::read(path).map_err(|error| {
                    problem(format!("`{}` cannot be read", path.display())).label(error.to_string())
                })?;
                &read[..]
            }
        };
        let key = PluginKey {
            hash: digest(bytes),
            rate_limit: settings.grants.rate_limit,
            jwt: settings.grants.jwt,
        };
        let known = self
            .kept
            .plugins
            .get(&key)
            .or_else(|| self.previous?.plugins.get(&key))
            .cloned();
        let plugin = match known {
            Some(known) => known,
            None => Plugin::load(&self.environment.engine, bytes, &settings.grants)
                .await
                .map_err(|error| {
                    let help = match &error {
                        PluginError::NotGranted(capability) => Some(format!(
                            "`grant = {{ {capability} = true }}` in `[plugin.{}]` grants it",
                            settings.name
                        )),
                        _ => None,
                    };
                    let title = match &settings.source {
                        PluginSource::Standard(name) => format!("the plugin `{name}` cannot be used"),
                        PluginSource::File(path) => {
                            format!("the plugin `{}` (`{}`) cannot be used", settings.name, path.display())
                        }
                    };
                    problem(title).label(error.to_string()).help(help)
                })?,
        };
        self.kept.plugins.insert(key, plugin.clone());
        Ok(plugin)
    }

    /// How the filter of a scope has been doing: it is judged anew when it, or what quarantine means, has changed.
    fn quarantine(&mut self, scope: &Arc<str>, filter: &Arc<Filter>, settings: &FilterUse) -> Arc<QuarantineState> {
        let same = |known: &&(Arc<Filter>, Arc<QuarantineState>)| {
            Arc::ptr_eq(&known.0, filter) && known.1.settings() == settings.quarantine
        };
        let known = self.kept.quarantines.get(scope).filter(same);
        let known = known.or_else(|| self.previous?.quarantines.get(scope).filter(same));
        let state = known.map_or_else(
            || Arc::new(QuarantineState::new(settings.quarantine)),
            |(_, state)| state.clone(),
        );
        self.kept
            .quarantines
            .insert(scope.clone(), (filter.clone(), state.clone()));
        state
    }
}

/// Names the bytes of a plugin within this process.
fn digest(bytes: &[u8]) -> u128 {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(bytes);
    hash.iter()
        .take(16)
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}
