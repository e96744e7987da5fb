//! Bringing a path into its normal form: never a panic, never a dot segment left, and nothing left to do the second time.
//! The first byte of the input chooses the rules.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::router::{PathRules, normalise};

fuzz_target!(|input: (u8, &str)| {
    let (choice, raw) = input;
    let rules = PathRules {
        merge_slashes: choice & 1 != 0,
        allow_encoded_slash: choice & 2 != 0,
        allow_encoded_backslash: choice & 4 != 0,
    };
    let Ok(normal) = normalise(raw, &rules) else { return };

    assert!(normal.starts_with('/'));
    assert!(normal.bytes().all(|byte| byte.is_ascii_graphic()), "{normal:?}");
    assert_eq!(
        normalise(&normal, &rules).as_deref(),
        Ok(&*normal),
        "the normal form of {raw:?} has another one"
    );

    // Not even for a server that decodes slashes, or that cuts segments at a semicolon.
    let decoded = normal.replace("%2F", "/").replace("%5C", "/").replace("%3B", ";");
    let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    assert!(
        !decoded.split('/').any(dots),
        "{raw:?} hides a dot segment in {normal:?}"
    );
});
