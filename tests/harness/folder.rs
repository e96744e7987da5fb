//! A folder that lives as long as its test.

use std::path::{Path, PathBuf};

/// A temporary folder, removed when dropped.
#[derive(Debug)]
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// An empty folder.
    #[allow(
        clippy::new_without_default,
        reason = "makes a folder on disk: too much for a default"
    )]
    pub fn new() -> Self {
        Folder(
            tempfile::Builder::new()
                .prefix("portcullis-")
                .tempdir()
                .expect("a temporary folder"),
        )
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file in one step, as an editor or a deployment does: whoever reads it sees the old text or the new
    /// one. Makes the folders on its way.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("its folders");
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, contents).expect("the file is written");
        std::fs::rename(&unfinished, &path).expect("the file is put in place");
        path
    }
}
