//! The configurations that are shipped pass `check`.
//!
//! `microservices.toml` and `demo.toml` run end to end in `microservices.rs` and `demo.rs`.

use portcullis_tests::{portcullis, repository};

#[test]
fn every_shipped_configuration_is_good() {
    let folder = std::fs::read_dir(repository().join("config")).expect("config/");
    let mut checked = 0;
    for file in folder.map(|file| file.expect("an entry").path()) {
        if file.extension().is_some_and(|extension| extension == "toml") {
            let ran = portcullis(&["check", file.to_str().expect("a path in UTF-8")]);
            assert_eq!(ran.code, 0, "{}: {ran:?}", file.display());
            checked += 1;
        }
    }
    assert!(checked >= 2, "microservices.toml and demo.toml at least");
}
