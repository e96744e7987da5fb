//! Programs that a test runs as its peers: real servers, browsers, clients.

/// Whether a program is installed. Where it is not the test says so and has nothing to hold, except with
/// `PORTCULLIS_REQUIRE_SERVERS=1`, as CI sets: there it fails.
///
/// ```no_run
/// if !portcullis_tests::has_program("chromium") {
///     return;
/// }
/// ```
pub fn has_program(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&paths).any(|folder| folder.join(name).is_file()) {
        return true;
    }
    let required = std::env::var_os("PORTCULLIS_REQUIRE_SERVERS").is_some_and(|value| value == "1");
    assert!(
        !required,
        "`{name}` is not installed, and PORTCULLIS_REQUIRE_SERVERS=1 requires it"
    );
    eprintln!("IGNORED: this test needs `{name}`, which is not installed");
    false
}
