//! Plugins made for tests, compiled when the first test asks.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::{repository, target_folder};

/// The plugin of `tests/misbehaving`: its setting `act` says what it does wrong.
pub fn misbehaving() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| built("misbehaving.wasm"))
}

/// The plugin of `tests/misbehaving/lawless`, made without the SDK: its setting `act` says which rule it breaks.
pub fn lawless() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| built("examples/lawless.wasm"))
}

/// The bytes of a standard plugin, for use as if it were somebody's own: `standard("rate-limit")`.
pub fn standard(name: &str) -> Vec<u8> {
    // Where the build script of `plugins/` has cargo put them.
    let file = format!("plugins/wasm32-wasip2/plugin/{}.wasm", name.replace('-', "_"));
    let file = target_folder().join(file);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn built(file: &str) -> String {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let path = FOLDER.get_or_init(build).join(file);
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Builds both and gives the folder.
fn build() -> PathBuf {
    // A target folder of its own: the outer cargo may hold the lock of the common one.
    let target = target_folder().join("plugins-test");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--package",
            "misbehaving",
            "--lib",
            "--example",
            "lawless",
            "--profile",
            "plugin",
            "--target",
            "wasm32-wasip2",
            "--target-dir",
        ])
        .arg(&target)
        .current_dir(repository())
        // What cargo and cargo's test runner set for this build is not meant for the plugin's.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("wasm32-wasip2/plugin")
}
