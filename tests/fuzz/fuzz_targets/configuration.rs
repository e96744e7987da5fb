//! Loading a configuration: whatever the text, it is loaded or refused, and what is wrong with it can be shown.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use portcullis::config::load_text;

fuzz_target!(|text: &str| {
    // What the text names outside itself is not part of the test: it differs from machine to machine.
    let text = text.replace("include", "exclude").replace("${", "$[");
    match load_text("fuzz.toml", &text, Path::new("/nowhere"), &["token-auth", "rate-limit"]) {
        Ok(loaded) => drop(format!("{loaded:?}")),
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
});
