//! Compiled code is kept on disk, where it may be.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use portcullis_tests::{Folder, Gateway};

const FILTERED: &str = "[[route]]\nmatch = '/'\nrespond = {}\nfilters = [{ use = 'request-id' }]\n";

/// The files of a folder, with when they were written.
fn files(folder: &Path) -> BTreeMap<String, SystemTime> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let entry = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.expect("an entry");
        let written = entry.metadata().and_then(|file| file.modified()).expect("a time");
        (entry.file_name().to_string_lossy().into_owned(), written)
    };
    entries.map(entry).collect()
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let cache = Folder::new();
    let configuration = format!("{FILTERED}[wasm]\ncache = '{}/code'\n", cache.path().display());
    let begun = async || {
        let gateway = Gateway::start(&configuration).await;
        assert_eq!(gateway.get("/").await.status(), 200);
        files(&cache.path().join("code"))
    };

    let first = begun().await;
    let second = begun().await;

    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first, second);
}

#[tokio::test]
async fn where_it_is_off_nothing_is_written() {
    let cache = Folder::new();
    let own = cache.path().join("code");
    let environment = [("PORTCULLIS_WASM_CACHE", own.to_str().expect("a path in UTF-8"))];

    let gateway = Gateway::start_in(
        Folder::new(),
        format!("{FILTERED}[wasm]\ncache = 'off'\n"),
        &environment,
    )
    .await;

    assert_eq!(gateway.get("/").await.status(), 200);
    assert!(!own.exists());
    drop(gateway);
    // And it is written there where it is not off.
    let gateway = Gateway::start_in(Folder::new(), FILTERED, &environment).await;
    assert_eq!(gateway.get("/").await.status(), 200);
    assert_eq!(files(&own).len(), 1);
}
