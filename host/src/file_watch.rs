//! Tells when files change.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Editors and deployments write in several steps: so long it must be quiet before the files are read.
const QUIET: Duration = Duration::from_millis(100);
/// But no longer than this after the first change, whatever goes on.
const LATEST: Duration = Duration::from_secs(2);

/// Watches the folders of files, since editors and deployments replace files rather than write to them; and what links
/// lead to, since a ConfigMap changes a link of the folder.
pub(crate) struct FileWatch {
    watcher: Option<RecommendedWatcher>,
    events: mpsc::UnboundedReceiver<Vec<PathBuf>>,
    folders: HashSet<PathBuf>,
    files: HashSet<PathBuf>,
}

impl FileWatch {
    pub(crate) fn start() -> FileWatch {
        let (sender, events) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event
                && !matches!(event.kind, EventKind::Access(_))
            {
                let _ = sender.send(event.paths);
            }
        });
        let watcher = watcher
            .map_err(|error| tracing::warn!(%error, "files are not watched; they are seen late or on SIGHUP"))
            .ok();
        FileWatch {
            watcher,
            events,
            folders: HashSet::new(),
            files: HashSet::new(),
        }
    }

    /// These are the files from now on.
    pub(crate) fn follow(&mut self, files: Vec<PathBuf>) {
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
                tracing::warn!(folder = %folder.display(), %error, "changes here are not noticed; they are seen late or on SIGHUP");
            }
        }
        self.folders = folders;
    }

    /// Waits until one of the files has changed and all is quiet again.
    pub(crate) async fn changed(&mut self) {
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
