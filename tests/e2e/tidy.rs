//! What a compiler cannot see of the architecture: `host/README.md` states it, these tests hold it.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_tests::repository;

/// The Rust files below a folder of the repository, with their text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    files(&repository().join(folder), "rs")
}

fn files(folder: &Path, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|own| own == extension) {
            let text = fs::read_to_string(&path).expect("text");
            found.push((path, text));
        }
    }
    found
}

/// The lines of code, without comments and without the tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..tests]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// Panics with the places where code of `folder` holds one of `words`, but for files for which `except` holds.
fn never(folder: &str, words: &[&str], except: impl Fn(&str) -> bool) {
    let mut places = Vec::new();
    for (path, text) in sources(folder) {
        let shown = path.strip_prefix(repository()).expect("inside").display().to_string();
        let lines = code(&text).filter(|line| words.iter().any(|word| line.contains(word)));
        // Tests in a file of their own are tests.
        if !except(&shown) && !shown.ends_with("/tests.rs") {
            places.extend(lines.map(|line| format!("{shown}: {}", line.trim())));
        }
    }
    assert!(places.is_empty(), "{}", places.join("\n"));
}

#[test]
fn only_wasm_names_wasmtime() {
    never("host/src", &["wasmtime"], |file| file.starts_with("host/src/wasm/"));
}

#[test]
fn only_rejection_picks_the_status_of_a_failure() {
    let failures = [
        "BAD_REQUEST",
        "FORBIDDEN",
        "NOT_FOUND",
        "METHOD_NOT_ALLOWED",
        "MISDIRECTED_REQUEST",
        "REQUEST_TIMEOUT",
        "PAYLOAD_TOO_LARGE",
        "EXPECTATION_FAILED",
        "URI_TOO_LONG",
        "TOO_MANY_REQUESTS",
        "REQUEST_HEADER_FIELDS_TOO_LARGE",
        "INTERNAL_SERVER_ERROR",
        "BAD_GATEWAY",
        "SERVICE_UNAVAILABLE",
        "GATEWAY_TIMEOUT",
    ]
    .map(|name| format!("StatusCode::{name}"));
    // The admin address answers operators: not being ready is an answer there, not a failure. The demo's services are
    // upstreams.
    let except = |file: &str| {
        file == "host/src/rejection.rs" || file.starts_with("host/src/admin/") || file.starts_with("host/src/cli/demo")
    };
    never("host/src", &failures.each_ref().map(String::as_str), except);
}

#[test]
fn router_and_config_do_no_network_io() {
    for folder in ["host/src/router", "host/src/config"] {
        never(
            folder,
            &[
                "tokio::net",
                "TcpStream",
                "TcpListener",
                "UdpSocket",
                "hyper::",
                "to_socket_addrs",
            ],
            |_| false,
        );
    }
}

#[test]
fn nothing_is_left_undone() {
    for folder in ["host/src", "plugin-sdk/src", "plugins", "tests/harness"] {
        never(folder, &["todo!(", "unimplemented!(", "dbg!("], |_| false);
    }
}

#[test]
fn plugins_never_depend_on_the_host() {
    for (path, text) in files(&repository().join("plugins"), "toml") {
        let manifest = text.parse::<toml::Table>().expect("TOML");
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let dependencies = manifest.get(table).and_then(toml::Value::as_table);
            assert!(
                !dependencies.is_some_and(|all| all.contains_key("portcullis")),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn every_standard_plugin_has_a_readme_and_an_end_to_end_test() {
    let mut plugins = 0;
    for entry in fs::read_dir(repository().join("plugins")).expect("plugins/") {
        let folder = entry.expect("an entry").path();
        if folder.join("Cargo.toml").exists() {
            let name = folder
                .file_name()
                .expect("a name")
                .to_str()
                .expect("UTF-8")
                .replace('-', "_");
            let test = repository().join("tests/e2e/plugins").join(format!("{name}.rs"));
            assert!(test.exists(), "{} is missing", test.display());
            assert!(
                folder.join("README.md").exists(),
                "{} has no README.md",
                folder.display()
            );
            plugins += 1;
        }
    }
    assert!(plugins >= 8);
}

#[test]
fn every_shipped_configuration_has_an_end_to_end_test() {
    let tests = sources("tests/e2e")
        .into_iter()
        .filter(|(path, _)| !path.ends_with("tidy.rs"));
    let tests = tests.map(|(_, text)| text).collect::<String>();
    for (path, _) in files(&repository().join("config"), "toml") {
        let name = path.file_name().expect("a name").to_str().expect("UTF-8");
        assert!(tests.contains(name), "no end-to-end test names {name}");
    }
}

#[test]
fn files_are_short_and_long_ones_say_why() {
    let all = [
        "host/src",
        "plugin-sdk/src",
        "plugins",
        "tests/harness",
        "tests/e2e",
        "tests/misbehaving",
    ];
    let all = all.iter().flat_map(|folder| sources(folder)).collect::<Vec<_>>();
    let mut lengths = all.iter().map(|(_, text)| text.lines().count()).collect::<Vec<_>>();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median < 150, "the median is {median} lines");

    for (path, text) in &all {
        let reason = text.lines().take(10).any(|line| line.starts_with("// Long because"));
        assert!(
            text.lines().count() <= 500 || reason,
            "{} has no `// Long because`",
            path.display()
        );
    }
}

#[test]
fn files_are_named_by_the_domain() {
    for folder in ["host/src", "plugin-sdk/src", "plugins", "tests"] {
        for (path, _) in sources(folder) {
            let name = path.file_stem().expect("a name").to_str().expect("UTF-8");
            let vague = [
                "utils", "util", "common", "helpers", "helper", "types", "misc", "manager",
            ];
            assert!(!vague.contains(&name), "{} is named for nothing", path.display());
        }
    }
}
