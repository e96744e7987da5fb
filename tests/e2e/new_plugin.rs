//! `portcullis new plugin NAME`: a filter of one's own in ten minutes, outside this repository and without a network.

use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_tests::{Folder, Gateway, portcullis_in, target_folder};

fn cargo(folder: &Path, arguments: &[&str]) {
    let target = target_folder().join("new-plugin");
    let ran = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.success(),
        "cargo {arguments:?}: {said}{}",
        String::from_utf8_lossy(&ran.stdout)
    );
}

fn built() -> PathBuf {
    target_folder().join("new-plugin/wasm32-wasip2/release/greet_kindly.wasm")
}

#[tokio::test]
async fn a_new_plugin_builds_passes_its_test_and_runs() {
    let folder = Folder::new();
    let ran = portcullis_in(folder.path(), &["new", "plugin", "greet-kindly"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let own = folder.path().join("greet-kindly");

    cargo(&own, &["test", "--offline"]);
    cargo(&own, &["build", "--offline", "--release", "--target", "wasm32-wasip2"]);

    let inspected = portcullis_in(folder.path(), &["plugin", "inspect", built().to_str().expect("UTF-8")]);
    assert!(inspected.stdout.contains("greet-kindly"), "{inspected:?}");
    let gateway = Gateway::start(format!(
        "[plugin.own]\nsource = '{}'\n[[route]]\nmatch = '/'\nrespond = {{ body = 'hello' }}\nfilters = [{{ use = 'own', settings = {{ header = 'x-tenant', values = ['acme'] }} }}]\n",
        built().display()
    ))
    .await;
    gateway.get("/").await;
    assert_eq!(gateway.metric("portcullis_filter_failures_total", &[]).await, 0.0);
    assert!(
        gateway
            .metric("portcullis_filter_calls_total", &[("plugin", "own")])
            .await
            >= 1.0
    );
}

#[test]
fn what_is_there_already_is_not_overwritten() {
    let folder = Folder::new();
    folder.write("greet-kindly/src/lib.rs", "mine");

    let ran = portcullis_in(folder.path(), &["new", "plugin", "greet-kindly"]);

    assert_ne!(ran.code, 0, "{ran:?}");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("greet-kindly/src/lib.rs")).expect("it"),
        "mine"
    );
}

#[test]
fn a_name_that_is_no_name_is_refused() {
    for name in ["../outside", "9lives", "two words", "self", ""] {
        let folder = Folder::new();
        let ran = portcullis_in(folder.path(), &["new", "plugin", name]);
        assert_ne!(ran.code, 0, "{name:?}: {ran:?}");
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("the folder").count(),
            0,
            "{name:?}"
        );
    }
}
