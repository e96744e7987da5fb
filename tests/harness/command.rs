//! Running `portcullis` to its end, as one does in a shell.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a finished command left behind.
#[derive(Debug)]
pub struct Ran {
    /// 0 good, 1 configuration, 2 usage, 3 run time.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}) in {self:?}"))
    }
}

/// Runs `portcullis` with these arguments, in the root of the repository.
///
/// ```no_run
/// let ran = portcullis_tests::portcullis(&["check", "config/demo.toml"]);
/// assert_eq!(ran.code, 0, "{ran:?}");
/// ```
pub fn portcullis(arguments: &[&str]) -> Ran {
    portcullis_in(repository(), arguments)
}

/// Runs `portcullis` with these arguments in a folder.
pub fn portcullis_in(folder: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(gateway_binary())
        .args(arguments)
        .env("PORTCULLIS_WASM_CACHE", target_folder().join("portcullis-test-cache"))
        .env("NO_COLOR", "1")
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("portcullis runs");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ stands in the repository")
}

/// Cargo's target folder, found from where this test runs: `<target>/debug/deps/e2e-...`.
pub fn target_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    test.ancestors().nth(3).expect("<target>/debug/deps").to_owned()
}

/// The gateway's binary. Cargo names it to the tests it runs; a test run by hand finds it beside its own folder.
pub fn gateway_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CARGO_BIN_EXE_portcullis-under-test") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the path of this test");
    let beside = test
        .ancestors()
        .nth(2)
        .expect("<target>/debug")
        .join("portcullis-under-test");
    assert!(
        beside.exists(),
        "{} is missing: run the tests with `cargo test`",
        beside.display()
    );
    beside
}
