//! Builds the gateway again when its files change or somebody asks, and swaps it in; a bad one leaves the old one running.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::acme;
use crate::config::resolved::{self, ListenAddress};
use crate::config::{self, Loaded, Problems};
use crate::file_watch::FileWatch;
use crate::gateway::{Environment, Gateway};
use crate::server::Server;
use crate::telemetry::Counter;
use crate::telemetry::metrics::{CONTROL_THREAD, RELOADS};
use crate::upstream::forget_gone;

/// Keeps a server's configuration up to date with its file.
pub(crate) struct Reloader {
    path: PathBuf,
    standard: Vec<&'static str>,
    environment: Environment,
    watch: FileWatch,
    /// What the process was started with.
    started: ReadOnce,
    reloaded: Counter,
    failed: Counter,
}

impl Reloader {
    pub(crate) fn new(
        path: &Path,
        standard: Vec<&'static str>,
        environment: Environment,
        current: &Gateway,
    ) -> Reloader {
        let mut watch = FileWatch::start();
        watch.follow(current.files());
        let counter = |result: &str| {
            let labels = vec![("result", result.into())];
            environment.metrics.counter(CONTROL_THREAD, RELOADS, labels)
        };
        Reloader {
            path: path.to_owned(),
            standard,
            started: ReadOnce::of(&current.config),
            reloaded: counter("ok"),
            failed: counter("failed"),
            environment,
            watch,
        }
    }

    /// Waits until a file that matters has changed and all is quiet again.
    pub(crate) async fn changed(&mut self) {
        self.watch.changed().await;
    }

    /// Reads and builds everything again, off to the side, and swaps it in if all of it is good.
    pub(crate) async fn reload(&mut self, server: &mut Server) {
        let before = server.current();
        match self.build(&before).await {
            Ok(gateway) => {
                for setting in self.started.differ(&gateway.config) {
                    tracing::warn!(setting, "this change takes effect when the gateway is started again");
                }
                gateway.publish(&self.environment.metrics);
                self.watch.follow(gateway.files());
                tracing::info!(routes = gateway.routes.len(), "configuration reloaded");
                server.replace(gateway).await;
                let present = server.current();
                forget_gone(&before.upstreams, &present.upstreams, &self.environment.metrics);
                self.environment.services.forget_unused();
                self.reloaded.add(1);
            }
            Err(problems) => {
                // What is wrong may be in a file that the old configuration does not have.
                let named = problems
                    .iter()
                    .filter_map(|problem| Some(problem.place.as_ref()?.source.path.clone()));
                let files = before.files().into_iter().chain(named).collect();
                self.watch.follow(files);
                tracing::error!("the new configuration is not used, the old one goes on:\n{problems}");
                self.failed.add(1);
            }
        }
    }

    async fn build(&self, before: &Gateway) -> Result<Gateway, Problems> {
        let Loaded { config, warnings } = config::load(&self.path, &self.standard)?;
        for warning in &warnings {
            tracing::warn!("{}", warning.render(false));
        }
        let gateway = Gateway::build(config, &self.environment, Some(before)).await?;
        acme::prepare_stores(&gateway.acme)?;
        Ok(gateway)
    }
}

/// Settings that are read once, at the start.
struct ReadOnce {
    addresses: Vec<Listening>,
    server: resolved::Server,
    log: resolved::Log,
    wasm: resolved::Wasm,
}

impl ReadOnce {
    fn of(config: &resolved::Config) -> ReadOnce {
        ReadOnce {
            addresses: addresses(config),
            server: config.server.clone(),
            log: config.log.clone(),
            wasm: config.wasm.clone(),
        }
    }

    /// Those that another configuration has otherwise.
    fn differ(&self, config: &resolved::Config) -> impl Iterator<Item = &'static str> {
        let differences = [
            ("where listeners listen", self.addresses != addresses(config)),
            ("server.admin", self.server.admin != config.server.admin),
            ("server.handover", self.server.handover != config.server.handover),
            ("server.threads", self.server.threads != config.server.threads),
            ("log", self.log != config.log),
            ("wasm", self.wasm != config.wasm),
        ];
        differences
            .into_iter()
            .filter_map(|(setting, differs)| differs.then_some(setting))
    }
}

/// Name, addresses, mode, and whether it is also for HTTP/3.
type Listening = (Arc<str>, Vec<ListenAddress>, Option<u32>, bool);

/// Where each listener listens.
fn addresses(config: &resolved::Config) -> Vec<Listening> {
    let listeners = config.listeners.iter();
    let addresses = listeners.map(|one| (one.name.clone(), one.addresses.clone(), one.mode, one.http3.is_some()));
    addresses.collect()
}
