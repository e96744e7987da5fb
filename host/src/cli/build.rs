//! A configuration, loaded and built, without serving it.

use std::path::Path;

use super::run::Failed;
use super::{runtime, standard};
use crate::config::{self, Loaded, Problem};
use crate::gateway::{Environment, Gateway};
use crate::telemetry::Metrics;
use crate::wasm::Engine;
use crate::wasm::capabilities::Services;

/// A gateway that could be run.
pub(super) struct Built {
    /// The gateway.
    pub(super) gateway: Gateway,
    /// What is odd about its configuration.
    pub(super) warnings: Vec<Problem>,
}

/// Does all that `run` does before it opens a socket: loads plugins and has them read their settings. Nothing is fetched.
pub(super) fn build(path: &Path) -> Result<Built, Failed> {
    let Loaded { config, warnings } = config::load(path, &standard())?;
    build_loaded(config, warnings)
}

/// The same for what is loaded already.
pub(super) fn build_loaded(config: config::Config, warnings: Vec<Problem>) -> Result<Built, Failed> {
    let environment = Environment {
        engine: Engine::new(&config.wasm).map_err(|error| Failed::Machine(error.to_string()))?,
        services: Services::new(None),
        metrics: Metrics::default(),
    };
    let gateway = runtime()?.block_on(Gateway::build(config, &environment, None))?;
    Ok(Built { gateway, warnings })
}
