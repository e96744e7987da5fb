//! Programs that a test runs as its peers: real servers, browsers, clients.

use std::path::PathBuf;

/// Whether a program is installed. Where it is not the test says so and has nothing to hold, except with
/// `PORTCULLIS_REQUIRE_SERVERS=1`, as CI sets: there it fails.
///
/// ```no_run
/// if !portcullis_tests::has_program("chromium") {
///     return;
/// }
/// ```
pub fn has_program(name: &str) -> bool {
    program(name).is_some()
}

/// The same, and where it is.
pub fn program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    // Servers live there, and an account that is not root has no sbin in its path.
    let folders = std::env::split_paths(&paths).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var_os("PORTCULLIS_REQUIRE_SERVERS").is_some_and(|value| value == "1");
        assert!(
            !required,
            "`{name}` is not installed, and PORTCULLIS_REQUIRE_SERVERS=1 requires it"
        );
        eprintln!("IGNORED: this test needs `{name}`, which is not installed");
    }
    found
}
