//! Compiled code on disk: a plugin is compiled once for each engine version, then loaded in a quarter of a millisecond.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

/// A folder that only this user can write to, with compiled code by content hash and engine version.
pub(super) struct CodeCache {
    folder: PathBuf,
    engine: u64,
}

/// SHA-256 of the code that follows it in a file.
const SEAL: usize = 32;

impl CodeCache {
    /// Opens the folder, making it where it is missing. A folder that cannot be trusted is not used, and said so.
    pub(super) fn open(folder: &Path, engine: &wasmtime::Engine) -> Option<CodeCache> {
        match make_private(folder) {
            Ok(()) => {
                let mut hasher = DefaultHasher::new();
                engine.precompile_compatibility_hash().hash(&mut hasher);
                Some(CodeCache {
                    folder: folder.to_owned(),
                    engine: hasher.finish(),
                })
            }
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "compiled code is not cached");
                None
            }
        }
    }

    /// The compiled form of a component, from the folder or made and put there.
    pub(super) fn compile(&self, engine: &wasmtime::Engine, hash: &str, bytes: &[u8]) -> wasmtime::Result<Component> {
        let file = self.folder.join(format!("{hash}-{:016x}.cwasm", self.engine));
        if let Some(component) = self.load(engine, &file) {
            return Ok(component);
        }
        let component = Component::new(engine, bytes)?;
        if let Err(error) = component
            .serialize()
            .map_err(io::Error::other)
            .and_then(|code| self.save(&file, &code))
        {
            tracing::warn!(file = %file.display(), %error, "compiled code could not be kept");
        }
        Ok(component)
    }

    fn load(&self, engine: &wasmtime::Engine, file: &Path) -> Option<Component> {
        let sealed = fs::read(file).ok()?;
        let (seal, code) = sealed.split_at_checked(SEAL)?;
        if Sha256::digest(code).as_slice() != seal {
            tracing::warn!(file = %file.display(), "compiled code is damaged and made again");
            return None;
        }
        // SAFETY: `deserialize` runs whatever machine code it is given, so the bytes must come from `serialize`. The folder
        // belongs to this user and nobody else can write to it (`make_private` refuses any other), files get there by
        // `save` alone, whole by rename, and the seal has just shown that this one is what was saved. Whoever can forge
        // it already runs code as this user. An engine of another version or configuration is told apart by the name,
        // and wasmtime checks that once more.
        unsafe { Component::deserialize(engine, code) }.ok()
    }

    fn save(&self, file: &Path, code: &[u8]) -> io::Result<()> {
        let draft = file.with_extension(format!("{}.{:x}", std::process::id(), fastrand::u64(..)));
        let written = fs::File::create(&draft).and_then(|mut out| {
            out.write_all(&Sha256::digest(code))?;
            out.write_all(code)
        });
        match written.and_then(|()| fs::rename(&draft, file)) {
            Ok(()) => Ok(()),
            Err(error) => {
                let _ = fs::remove_file(&draft);
                Err(error)
            }
        }
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::metadata(folder)?;
    // What this process makes belongs to its effective user, which std does not tell otherwise.
    let mine = fs::metadata("/proc/self").map_or(found.uid(), |process| process.uid());
    if found.uid() != mine {
        return Err(io::Error::other("the folder belongs to another user"));
    }
    if found.mode() & 0o022 != 0 {
        return Err(io::Error::other("others may write to the folder; `chmod go-w` it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A component with nothing in it: the preamble alone.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    /// The files of a folder with their contents.
    fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    fn compile(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let engine = wasmtime::Engine::default();
        let cache = CodeCache::open(folder, &engine).unwrap();
        cache.compile(&engine, "hash", COMPONENT).unwrap();
        files(folder)
    }

    #[test]
    fn what_is_kept_is_loaded_and_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = compile(folder.path());
        assert_eq!(first.len(), 1);
        let written = fs::metadata(&first[0].0).unwrap().ino();

        // Bytes that are no component: what is given can only be what was kept.
        let engine = wasmtime::Engine::default();
        let cache = CodeCache::open(folder.path(), &engine).unwrap();
        cache.compile(&engine, "hash", b"unread").unwrap();

        assert_eq!(files(folder.path()), first);
        assert_eq!(fs::metadata(&first[0].0).unwrap().ino(), written);
    }

    #[test]
    fn damaged_code_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let good = compile(folder.path());
        let (file, bytes) = &good[0];
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;

        for damaged in [&flipped[..], &bytes[..bytes.len() / 2], &bytes[..SEAL / 2], b""] {
            fs::write(file, damaged).unwrap();
            let made = compile(folder.path());
            assert_eq!(made.len(), 1);
            assert_eq!(Sha256::digest(&made[0].1[SEAL..]).as_slice(), &made[0].1[..SEAL]);
        }
    }

    #[test]
    fn another_engine_keeps_its_code_apart() {
        let folder = tempfile::tempdir().unwrap();
        compile(folder.path());
        let engine = wasmtime::Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();

        let cache = CodeCache::open(folder.path(), &engine).unwrap();
        cache.compile(&engine, "hash", COMPONENT).unwrap();

        assert_eq!(files(folder.path()).len(), 2);
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_used() {
        let engine = wasmtime::Engine::default();
        for (mode, used) in [(0o700, true), (0o755, true), (0o770, false), (0o702, false)] {
            let folder = tempfile::tempdir().unwrap();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(CodeCache::open(folder.path(), &engine).is_some(), used, "{mode:o}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_made_for_this_user_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");

        compile(&folder);

        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    }
}
