//! Lists the SDK, its template and the WIT, with their texts, for `portcullis new plugin`: it writes them beside a new
//! crate, so that a filter can be written without this repository.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Relative to the root of the repository. The workspace's manifest holds the versions that the SDK's leaves out.
const EMBEDDED: [&str; 6] = [
    "Cargo.toml",
    "plugin-sdk/Cargo.toml",
    "plugin-sdk/README.md",
    "plugin-sdk/src",
    "plugin-sdk/template",
    "wit/v0.1",
];

/// What may lie there besides (an editor's backups, say) stays out.
const ENDINGS: [&str; 5] = ["in", "md", "rs", "toml", "wit"];

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo runs this")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo runs this")?);
    let root = here.parent().ok_or("the host stands in the repository")?;

    let mut files = Vec::new();
    for path in EMBEDDED {
        let path = root.join(path);
        println!("cargo::rerun-if-changed={}", path.display());
        collect(&path, &mut files)?;
    }
    files.sort();

    let mut list = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(root)?.to_str().ok_or("a name that is no UTF-8")?;
        writeln!(list, "    ({name:?}, include_str!({file:?})),")?;
    }
    list.push_str("]\n");
    fs::write(out.join("embedded.rs"), list)?;
    Ok(())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else if path
        .extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| ENDINGS.contains(&ending))
    {
        files.push(path.to_owned());
    }
    Ok(())
}
