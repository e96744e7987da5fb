//! `file:targets.toml`: a list of targets that others write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::{Failed, Source};
use crate::config::resolved::Target;
use crate::config::{Problems, read_targets_file};
use crate::file_watch::FileWatch;

/// How often the file is read, even where nothing tells of changes: some file systems do not.
const LOOK: Duration = Duration::from_secs(5);

/// A file that is read when it has changed.
pub(super) struct TargetsFile {
    path: PathBuf,
    watch: FileWatch,
    last: Option<Result<Vec<Target>, Problems>>,
}

impl TargetsFile {
    pub(super) fn new(path: &Path) -> TargetsFile {
        TargetsFile {
            path: path.to_owned(),
            watch: FileWatch::start(),
            last: None,
        }
    }
}

impl Source for TargetsFile {
    async fn next(&mut self) -> Result<Vec<Target>, Failed> {
        loop {
            if self.last.is_some() {
                // In vain or not: it is read either way.
                let _ = timeout(LOOK, self.watch.changed()).await;
            }
            self.watch.follow(vec![self.path.clone()]);
            let read = read_targets_file(&self.path);
            if self.last.as_ref() != Some(&read) {
                self.last = Some(read.clone());
                return read.map_err(|problems| Failed::until_something_changes(format!("\n{problems}")));
            }
        }
    }
}
