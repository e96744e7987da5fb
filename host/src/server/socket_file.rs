//! Who removes the file of a Unix socket: the gateway that has bound it, or the last one that took its place.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file of a Unix socket. Its owner removes it in the end, unless it is another one's by then.
///
/// While one gateway takes over from another both have the socket, and one of them owns the file: the old one until the new
/// one serves, the new one from then on. A socket that systemd has opened has no such file here: systemd keeps it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    owned: bool,
}

impl SocketFile {
    /// The file of a socket that has just been bound.
    pub(super) fn created(path: &Path) -> io::Result<SocketFile> {
        let mut file = SocketFile::of_another(path)?;
        file.take();
        Ok(file)
    }

    /// The file of a socket that is another gateway's still.
    pub(super) fn of_another(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile {
            path: path.to_owned(),
            identity: identity(path)?,
            owned: false,
        })
    }

    /// The file is this gateway's from now on.
    pub(super) fn take(&mut self) {
        self.owned = true;
    }

    /// The file is another gateway's from now on.
    pub(super) fn leave(&mut self) {
        self.owned = false;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.owned && identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let about = fs::symlink_metadata(path)?;
    Ok((about.dev(), about.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn its_owner_removes_it_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = UnixListener::bind(&path).unwrap();
        let mut old = SocketFile::created(&path).unwrap();
        let mut new = SocketFile::of_another(&path).unwrap();

        drop(SocketFile::of_another(&path).unwrap());
        assert!(path.exists());
        new.take();
        old.leave();
        drop(old);
        assert!(path.exists());
        drop(new);
        assert!(!path.exists());
    }

    #[test]
    fn what_another_has_bound_since_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = UnixListener::bind(&path).unwrap();
        let file = SocketFile::created(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
