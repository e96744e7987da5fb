//! Golden files: each `tests/config/NAME.toml` is wrong, and `NAME.err` beside it holds exactly what is said about it.
//! `UPDATE_GOLDENS=1` writes them anew: read them then, they are what a user gets.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::tests::STANDARD;
use super::{Problems, load_with};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/config")
}

/// What is said about a file: its problems, or its warnings.
fn said(name: &str, text: &str) -> String {
    let environment = |name: &str| match name {
        "PORTCULLIS_TEST_SECRET" => Some("hunter2-do-not-print".to_owned()),
        "HOME" => Some("/home/user".to_owned()),
        _ => None,
    };
    match load_with(Path::new(name), None, text, &folder(), STANDARD, &environment) {
        Ok(loaded) => Problems::of(loaded.warnings)
            .map(|warnings| warnings.to_string())
            .unwrap_or_default(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn bad_files_get_exactly_these_messages() {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    names.sort();
    assert!(names.len() >= 37, "only {} bad files", names.len());

    let mut differences = String::new();
    for path in names {
        let name = path.file_name().unwrap().to_str().unwrap();
        let said = said(name, &std::fs::read_to_string(&path).unwrap()) + "\n";
        assert!(!said.contains("hunter2"), "{name} prints a secret:\n{said}");
        let golden = path.with_extension("err");
        if update {
            std::fs::write(&golden, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if said.trim_end().is_empty() || said != expected {
            writeln!(differences, "---- {name}: expected\n{expected}\n---- got\n{said}").unwrap();
        }
    }
    assert!(
        differences.is_empty(),
        "{differences}\nUPDATE_GOLDENS=1 writes the files anew"
    );
}
