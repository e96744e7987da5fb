//! Compiles every plugin folder beside this file to a WebAssembly component, with one nested cargo, and writes the list
//! that `src/lib.rs` includes.

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

/// What speaks of the build outside, for another target: its flags, its wrappers (clippy is one), its folders.
/// `CARGO_MAKEFLAGS` stays, so that both builds share one allowance of jobs.
const OUTER: [&str; 12] = [
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "TARGET",
];

fn main() {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo runs this")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo runs this")?);
    let plugins = plugins(&here)?;
    watch(&here);
    find_target()?;

    let target_dir = target_dir(&out);
    compile(&here, &plugins, &target_dir)?;

    let components = target_dir.join(TARGET).join(PROFILE);
    let mut list = String::from("&[\n");
    for name in &plugins {
        // A copy, so that what is included changes only when this script says so.
        let component = out.join(format!("{name}.wasm"));
        fs::copy(components.join(format!("{}.wasm", name.replace('-', "_"))), &component)?;
        writeln!(
            list,
            "    Standard {{ name: {name:?}, component: include_bytes!({component:?}) }},"
        )?;
    }
    list.push_str("]\n");
    fs::write(out.join("standard.rs"), list)?;
    Ok(())
}

/// The plugins, by name: every folder here with a `Cargo.toml`.
fn plugins(here: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(here)? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(
                entry
                    .file_name()
                    .into_string()
                    .map_err(|name| format!("{} is no plugin's name", name.display()))?,
            );
        }
    }
    names.sort();
    Ok(names)
}

/// Runs this script again when any of this changes, or a plugin is added.
fn watch(here: &Path) {
    println!("cargo::rerun-if-changed={}", here.display());
    for shared in [
        "Cargo.toml",
        "Cargo.lock",
        "plugin-sdk/Cargo.toml",
        "plugin-sdk/src",
        "wit",
    ] {
        println!("cargo::rerun-if-changed={}", here.join("..").join(shared).display());
    }
}

/// Sees that the compiler has the target's standard library, and has rustup fetch it where it does not.
fn find_target() -> Result<(), Box<dyn Error>> {
    if has_target()? {
        return Ok(());
    }
    println!("cargo::warning=adding the target {TARGET} with rustup");
    // rustup and cargo agree on the toolchain: rustup's own environment names it.
    let status = Command::new("rustup").args(["target", "add", TARGET]).status();
    if status.is_ok_and(|status| status.success()) && has_target()? {
        return Ok(());
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN")
        .map(|name| format!("--toolchain {name} "))
        .unwrap_or_default();
    let line = format!("rustup target add {toolchain}{TARGET}");
    Err(format!("the standard plugins need the Rust target {TARGET}; type: {line}").into())
}

fn has_target() -> Result<bool, Box<dyn Error>> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()?;
    Ok(output.status.success() && Path::new(String::from_utf8(output.stdout)?.trim()).is_dir())
}

/// `plugins` in the target folder of the cargo that runs this. In that folder itself, a nested cargo would wait for the
/// outer one for ever.
fn target_dir(out: &Path) -> PathBuf {
    // Cargo marks its target folder with this file; `OUT_DIR` lies some levels below, more of them with `--target`.
    let target = out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.unwrap_or(out).join("plugins")
}

fn compile(here: &Path, plugins: &[String], target_dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(env::var_os("CARGO").ok_or("cargo runs this")?);
    cargo
        .current_dir(here)
        .args(["build", "--target", TARGET, "--profile", PROFILE]);
    // The cargo outside has just brought the lock file up to date.
    cargo.arg("--locked").arg("--target-dir").arg(target_dir);
    for name in plugins {
        cargo.args(["--package", name]);
    }
    for variable in OUTER {
        cargo.env_remove(variable);
    }
    // Empty, this also outdoes the flags of the machine's own cargo configuration.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "");
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("the standard plugins do not compile ({status}); what is wrong stands above").into());
    }
    Ok(())
}
