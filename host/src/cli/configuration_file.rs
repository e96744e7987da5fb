//! The configuration that a command is about: `portcullis check gateway.toml` or `portcullis check -c gateway.toml`.

use std::path::{Path, PathBuf};

use clap::Args;

#[derive(Debug, Args)]
pub(super) struct ConfigurationFile {
    /// The configuration
    #[arg(value_name = "FILE", required_unless_present = "config")]
    file: Option<PathBuf>,
    /// The same, as an option
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
}

impl ConfigurationFile {
    pub(super) fn path(&self) -> &Path {
        // clap sees to it that there is one.
        self.file.as_deref().or(self.config.as_deref()).unwrap_or(Path::new(""))
    }
}
