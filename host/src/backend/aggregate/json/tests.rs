use super::parse::Why;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value as Oracle;

use super::*;

fn parse(text: &str) -> Result<Document, Malformed> {
    Document::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

fn written(text: &str) -> String {
    let mut out = Vec::new();
    parse(text).expect(text).root().write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn numbers_keep_every_digit() {
    for number in [
        "0",
        "-0",
        "1.10",
        "-0.0",
        "1e400",
        "1E+2",
        "123456789012345678901234567890.123456789012345678901234567890",
    ] {
        assert_eq!(written(&format!(" [ {number} ] ")), format!("[{number}]"));
        assert_eq!(written(number), number);
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for (text, at, why) in [
        ("", 0, Why::Syntax),
        (" ", 1, Why::Syntax),
        ("[", 1, Why::Syntax),
        ("[1,]", 3, Why::Syntax),
        ("[1 2]", 3, Why::Syntax),
        ("[1}", 2, Why::Syntax),
        ("{\"a\":1,}", 7, Why::Syntax),
        ("{\"a\" 1}", 5, Why::Syntax),
        ("{a:1}", 1, Why::Syntax),
        ("{\"a\":1]", 6, Why::Syntax),
        ("nul", 0, Why::Syntax),
        ("nullx", 4, Why::Syntax),
        ("1 2", 2, Why::Syntax),
        ("'a'", 0, Why::Syntax),
        ("[//\n1]", 1, Why::Syntax),
        ("NaN", 0, Why::Number),
        ("Infinity", 0, Why::Number),
        ("-Infinity", 0, Why::Number),
        ("01", 0, Why::Number),
        ("-", 0, Why::Number),
        ("+1", 0, Why::Number),
        (".5", 0, Why::Number),
        ("1.", 0, Why::Number),
        ("1e", 0, Why::Number),
        ("0x10", 1, Why::Syntax),
        ("\"a", 2, Why::Text),
        ("\"a\nb\"", 2, Why::Text),
        ("\"12345678\u{1f}\"", 9, Why::Text),
        ("\"\\x\"", 1, Why::Text),
        ("\"\\u12\"", 1, Why::Text),
        ("\"\\ud800\"", 1, Why::Text),
        ("\"\\ud800\\u0041\"", 1, Why::Text),
        ("\"\\udc00\"", 1, Why::Text),
        ("{\"a\":1,\"b\":2,\"a\":3}", 14, Why::Twice),
        ("{\"a\":1,\"\\u0061\":3}", 8, Why::Twice),
        ("[{\"a\":{\"a\":1,\"a\":2}}]", 14, Why::Twice),
    ] {
        assert_eq!(parse(text).expect_err(text), Malformed { at, why }, "{text}");
    }
    let invalid = Document::parse(Bytes::from_static(b"\"a\xff\""), &Limits::default());
    assert_eq!(invalid.unwrap_err(), Malformed { at: 2, why: Why::Utf8 });
}

#[test]
fn control_characters_are_found_wherever_they_are() {
    for at in 0..24 {
        let with = |odd: &str| {
            format!(
                "\"{}{odd}{}\"",
                "é".repeat(at / 2) + &"x".repeat(at % 2),
                "y".repeat(20)
            )
        };
        for odd in ["\0", "\n", "\u{1f}"] {
            let error = parse(&with(odd)).expect_err(odd);
            assert_eq!((error.at, error.why), (at / 2 * 2 + at % 2 + 1, Why::Text));
        }
        for even in [" ", "!", "\u{7f}", "\u{80}", "\u{ff}", "\\n"] {
            assert_eq!(written(&with(even)), with(even));
        }
    }
}

#[test]
fn a_name_twice_among_many_is_found() {
    let many = |last: &str| {
        let members: Vec<_> = (0..40).map(|n| format!("\"n{n}\":{n}")).collect();
        format!("{{{},\"{last}\":0}}", members.join(","))
    };
    assert_eq!(parse(&many("n7")).unwrap_err().why, Why::Twice);
    assert_eq!(parse(&many("\\u006e7")).unwrap_err().why, Why::Twice);
    assert!(parse(&many("n40")).is_ok());
}

#[test]
fn limits_hold() {
    let with = |text: &str, bytes, depth, values| {
        let limits = Limits { bytes, depth, values };
        Document::parse(Bytes::copy_from_slice(text.as_bytes()), &limits).map_err(|error| error.why)
    };
    assert_eq!(with("[1,2]", 4, 9, 9), Err(Why::Size));
    assert!(with("[1,2]", 5, 1, 3).is_ok());
    assert_eq!(with("[1,2]", 5, 1, 2), Err(Why::Values));
    assert_eq!(with("{\"a\":[]}", 9, 1, 9), Err(Why::Depth));
    let deep = "[".repeat(Limits::DEEPEST) + &"]".repeat(Limits::DEEPEST);
    assert!(with(&deep, usize::MAX, usize::MAX, usize::MAX).is_ok());
    let deeper = format!("[{deep}]");
    assert_eq!(with(&deeper, usize::MAX, usize::MAX, usize::MAX), Err(Why::Depth));
}

#[test]
fn texts_are_decoded_and_stay_as_written() {
    let text = r#"{"k\u00e9y":"a\/\ud83d\ude00\n\u0000\\"}"#;
    assert_eq!(written(text), text);
    let document = parse(text).unwrap();
    let Some(Kind::Text(value)) = document.root().get("kéy").map(Value::kind) else {
        panic!("no text")
    };
    assert_eq!(value.decoded(), "a/😀\n\0\\");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    assert_eq!(written("\u{feff}{ }"), "{}");
}

/// Any JSON but floating-point numbers, with or without space.
pub(crate) fn any_json() -> impl Strategy<Value = Oracle> {
    let leaf = prop_oneof![
        Just(Oracle::Null),
        any::<bool>().prop_map(Oracle::from),
        any::<i64>().prop_map(Oracle::from),
        "[a-c\"\\\\\u{0}-\u{1f}é😀]{0,9}".prop_map(Oracle::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Oracle::from),
            prop::collection::vec(("[a-e\"\\\\é]{0,2}", inner), 0..20)
                .prop_map(|members| Oracle::Object(members.into_iter().collect())),
        ]
    })
}

fn same(own: Value<'_>, oracle: &Oracle) -> bool {
    match (own.kind(), oracle) {
        (Kind::Null, Oracle::Null) => true,
        (Kind::Bool(own), Oracle::Bool(oracle)) => own == *oracle,
        (Kind::Number(own), Oracle::Number(oracle)) => own == oracle.to_string().as_bytes(),
        (Kind::Text(own), Oracle::String(oracle)) => own.decoded() == *oracle && own.is(oracle),
        (Kind::Array(own), Oracle::Array(oracle)) => {
            own.count() == oracle.len() && own.zip(oracle).all(|(own, oracle)| same(own, oracle))
        }
        (Kind::Object(own), Oracle::Object(oracle)) => {
            own.count() == oracle.len()
                && own
                    .zip(oracle)
                    .all(|((name, own), (key, oracle))| name.decoded() == **key && same(own, oracle))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn reads_and_writes_what_serde_json_does(oracle in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&oracle) } else { serde_json::to_string(&oracle) }.unwrap();
        let document = parse(&text).unwrap();
        prop_assert!(same(document.root(), &oracle));
        prop_assert_eq!(written(&text), serde_json::to_string(&oracle).unwrap());
    }

    #[test]
    fn refuses_what_serde_json_refuses(text in r#"([\[\]{}:,"\\ 01.eEtruflsn+\-]|"a"|:|\\ud83d|\\ude00|true|null|12|é){0,14}"#) {
        let oracle: Result<Oracle, _> = serde_json::from_str(&text);
        match (parse(&text), oracle) {
            (Ok(document), Ok(oracle)) => {
                let plain = serde_json::to_string(&oracle).unwrap();
                prop_assert!(same(document.root(), &oracle) || plain.contains(['.', 'e', '-', '0']), "{}", text);
            }
            (Err(error), Ok(_)) => prop_assert_eq!(error.why, Why::Twice, "{}", text),
            (Err(_), Err(_)) => {}
            // A number that is no `f64` is one all the same.
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range"), "{}: {}", text, error),
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = Document::parse(Bytes::from(bytes), &Limits::default());
    }

    #[test]
    fn texts_of_ours_are_json(text in any::<String>()) {
        let mut out = Vec::new();
        write_text(&mut out, &text);
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), &*text);
        let prepared = quoted(&text);
        prop_assert!(Text::prepared(&prepared).is(&text));
    }
}
