//! Builds the gateway again when its files change or somebody asks, and swaps it in; a bad one leaves the old one running.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::resolved::{self, ListenAddress};
use crate::config::{self, Loaded, Problems};
use crate::gateway::{Environment, Gateway};
use crate::server::Server;
use crate::telemetry::Counter;
use crate::telemetry::metrics::RELOADS;

/// Editors and deployments write in several steps: so long it must be quiet before the files are read.
const QUIET: Duration = Duration::from_millis(100);
/// But no longer than this after the first change, whatever goes on.
const LATEST: Duration = Duration::from_secs(2);

/// Keeps a server's configuration up to date with its file.
pub(crate) struct Reloader {
    path: PathBuf,
    standard: Vec<&'static str>,
    environment: Environment,
    watch: Watch,
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
        let mut watch = Watch::start();
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
        Gateway::build(config, &self.environment, Some(before)).await
    }
}

/// Where the control thread counts: beside the data plane's threads, which begin at 0.
const CONTROL_THREAD: usize = usize::MAX;

/// Settings that are read once, at the start.
struct ReadOnce {
    addresses: Vec<(Arc<str>, Vec<ListenAddress>, Option<u32>)>,
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
            ("server.threads", self.server.threads != config.server.threads),
            ("log", self.log != config.log),
            ("wasm", self.wasm != config.wasm),
        ];
        differences
            .into_iter()
            .filter_map(|(setting, differs)| differs.then_some(setting))
    }
}

/// Where each listener listens.
fn addresses(config: &resolved::Config) -> Vec<(Arc<str>, Vec<ListenAddress>, Option<u32>)> {
    let listeners = config.listeners.iter();
    let addresses = listeners.map(|one| (one.name.clone(), one.addresses.clone(), one.mode));
    addresses.collect()
}

/// Watches the folders of files, since editors and deployments replace files rather than write to them; and what links
/// lead to, since a ConfigMap changes a link of the folder.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    events: mpsc::UnboundedReceiver<Vec<PathBuf>>,
    folders: HashSet<PathBuf>,
    files: HashSet<PathBuf>,
}

impl Watch {
    fn start() -> Watch {
        let (sender, events) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event
                && !matches!(event.kind, EventKind::Access(_))
            {
                let _ = sender.send(event.paths);
            }
        });
        let watcher = watcher
            .map_err(|error| tracing::warn!(%error, "files are not watched; SIGHUP reloads"))
            .ok();
        Watch {
            watcher,
            events,
            folders: HashSet::new(),
            files: HashSet::new(),
        }
    }

    fn follow(&mut self, files: Vec<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let absolute = |file: &PathBuf| std::path::absolute(file).unwrap_or(file.clone());
        let links = files.iter().filter_map(|file| file.canonicalize().ok());
        self.files = files.iter().map(absolute).chain(links).collect();
        let folders: HashSet<PathBuf> = self
            .files
            .iter()
            .filter_map(|file| Some(file.parent()?.to_owned()))
            .collect();
        for old in &self.folders {
            let _ = watcher.unwatch(old);
        }
        // All anew: a folder of the same name may be another one by now.
        for folder in &folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %folder.display(), %error, "changes here are not noticed; SIGHUP reloads");
            }
        }
        self.folders = folders;
    }

    async fn changed(&mut self) {
        loop {
            match self.events.recv().await {
                Some(paths) if self.matters(&paths) => break,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
        let settle = async { while let Ok(Some(_)) = timeout(QUIET, self.events.recv()).await {} };
        let _ = timeout(LATEST, settle).await;
    }

    /// A file itself, or something else in its folder that a link may lead through.
    fn matters(&self, paths: &[PathBuf]) -> bool {
        paths.iter().any(|path| {
            let linked = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(".."));
            self.files.contains(path) || linked
        })
    }
}
