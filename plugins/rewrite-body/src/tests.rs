use portcullis_sdk::serde_json::{self, Value, json};
use portcullis_sdk::testing::{self, Exchange};
use portcullis_sdk::{BodyTransform, HoldBack};

use super::RewriteBody;
use super::replacer::Replacements;

fn filter(settings: Value) -> RewriteBody {
    testing::filter(settings).unwrap()
}

fn replacer(pairs: &[(&str, &str)]) -> impl BodyTransform + use<> {
    let longest = pairs.iter().map(|(find, _)| find.len()).max().unwrap();
    let list: Vec<_> = pairs
        .iter()
        .map(|(find, replace)| json!({ "find": find, "replace": replace }))
        .collect();
    let list = Replacements::new("response", serde_json::from_value(list.into()).unwrap());
    let list = list.unwrap();
    HoldBack::new(move |text: &[u8], ended| {
        let (output, done) = list.rewrite(text, ended)?;
        assert!(text.len() - done < longest, "{text:?}");
        Ok((output, done))
    })
}

fn in_chunks(pairs: &[(&str, &str)], body: &[u8], size: usize) -> Vec<u8> {
    let mut replacer = replacer(pairs);
    let mut output: Vec<u8> = body
        .chunks(size)
        .flat_map(|chunk| replacer.push(chunk).unwrap())
        .collect();
    output.extend(replacer.finish().unwrap());
    output
}

/// What a replacement means, without any stream: at each place the longest text that is found there, or else a byte as
/// it is.
fn naive(pairs: &[(&str, &str)], mut body: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    while let Some((&byte, rest)) = body.split_first() {
        let fits = pairs.iter().filter(|(find, _)| body.starts_with(find.as_bytes()));
        if let Some((find, replace)) = fits.max_by_key(|(find, _)| find.len()) {
            output.extend_from_slice(replace.as_bytes());
            body = &body[find.len()..];
        } else {
            output.push(byte);
            body = rest;
        }
    }
    output
}

fn answer(content_type: &str, body: &str) -> Exchange {
    Exchange::get("/")
        .response_header("content-type", content_type)
        .response_body(body.as_bytes())
}

#[test]
fn a_response_is_rewritten_across_the_borders_of_its_chunks() {
    let filter = filter(json!({ "response": [{ "find": "http://internal", "replace": "https://shop.example" }] }));
    for size in [1, 2, 7, 14, 15, 16, 1000] {
        let body = r#"{"a":"http://internal/1","b":"http://interna"}"#;
        let ran = answer("application/json; charset=utf-8", body)
            .chunk_size(size)
            .run(&filter);
        let rewritten = r#"{"a":"https://shop.example/1","b":"http://interna"}"#;
        assert_eq!(String::from_utf8_lossy(ran.response_body()), rewritten, "{size}");
    }
}

#[test]
fn a_request_is_rewritten_by_its_own_list() {
    let filter = filter(json!({ "request": [{ "find": "cat", "replace": "dog" }] }));
    let exchange = Exchange::new("POST", "/")
        .header("content-type", "text/plain")
        .header("content-md5", "x");
    let ran = exchange
        .request_body(b"cats and cats")
        .chunk_size(2)
        .response_header("content-type", "text/plain");
    let ran = ran.response_body(b"cats").run(&filter);

    assert_eq!(ran.request_body(), b"dogs and dogs");
    assert_eq!(ran.request().header("content-md5"), None);
    assert_eq!(ran.response_body(), b"cats");
}

#[test]
fn of_matches_that_begin_together_the_longest_counts_and_what_was_put_in_is_not_searched() {
    let pairs = [("a", "b"), ("ab", "X"), ("abcd", "Y"), ("b", "a")];
    for size in 1..8 {
        assert_eq!(
            in_chunks(&pairs, b"abc abcd aab ba abcab", size),
            b"Xc Y bX ab XcX",
            "{size}"
        );
    }
}

#[test]
fn any_chunks_give_what_one_would() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..20_000 {
        let mut text =
            |most: usize| -> String { (0..random.usize(1..=most)).map(|_| random.char('a'..='c')).collect() };
        let mut pairs: Vec<(String, String)> = (0..4).map(|_| (text(5), text(3))).collect();
        pairs.sort();
        pairs.dedup_by(|one, other| one.0 == other.0);
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(find, replace)| (find.as_str(), replace.as_str()))
            .collect();
        let body = text(40);

        let mut replacer = replacer(&pairs);
        let (mut output, mut rest) = (Vec::new(), body.as_bytes());
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(random.usize(1..=rest.len()));
            output.extend(replacer.push(chunk).unwrap());
            rest = after;
        }
        output.extend(replacer.finish().unwrap());
        let expected = naive(&pairs, body.as_bytes());
        assert_eq!(
            String::from_utf8(output),
            String::from_utf8(expected),
            "round {round}: {pairs:?} {body}"
        );
    }
}

#[test]
fn only_what_may_become_a_match_is_held_back() {
    let mut replacer = replacer(&[("needle", "pin")]);
    assert_eq!(replacer.push(b"data: 1\n\n").unwrap(), b"data: 1\n\n");
    assert_eq!(replacer.push(b"a nee").unwrap(), b"a ");
    assert_eq!(replacer.push(b"d").unwrap(), b"");
    assert_eq!(replacer.push(b"y").unwrap(), b"needy");
    assert_eq!(replacer.push(b"ne").unwrap(), b"");
    assert_eq!(replacer.finish().unwrap(), b"ne");
}

#[test]
fn the_upstream_is_asked_for_a_whole_plain_body() {
    let rewriting = filter(json!({ "response": [{ "find": "a", "replace": "b" }] }));
    let asked = || {
        Exchange::get("/")
            .header("accept-encoding", "gzip, br")
            .header("range", "bytes=0-9")
            .header("if-range", "x")
    };
    let ran = asked().run(&rewriting);
    assert_eq!(ran.request().header("accept-encoding").unwrap(), "identity");
    assert_eq!(ran.request().header("range"), None);
    assert_eq!(ran.request().header("if-range"), None);

    let requests_only = filter(json!({ "request": [{ "find": "a", "replace": "b" }] }));
    assert_eq!(
        asked().run(&requests_only).request().header("accept-encoding").unwrap(),
        "gzip, br"
    );
}

#[test]
fn what_speaks_of_the_upstreams_very_bytes_is_weakened_or_taken_out() {
    let filter = filter(json!({ "response": [{ "find": "a", "replace": "b" }] }));
    let exchange = answer("text/html", "a")
        .response_header("etag", "\"v1\"")
        .response_header("accept-ranges", "bytes");
    let ran = exchange
        .response_header("content-digest", "x")
        .response_header("content-md5", "x")
        .run(&filter);
    assert_eq!(ran.response().header("etag").unwrap(), "W/\"v1\"");
    for name in ["accept-ranges", "content-digest", "content-md5"] {
        assert_eq!(ran.response().header(name), None, "{name}");
    }

    let ran = answer("text/html", "a")
        .response_header("etag", "W/\"v1\"")
        .run(&filter);
    assert_eq!(ran.response().header("etag").unwrap(), "W/\"v1\"");

    let not_modified = Exchange::get("/")
        .response(304)
        .response_header("etag", "\"v1\"")
        .run(&filter);
    assert_eq!(not_modified.response().header("etag").unwrap(), "W/\"v1\"");
}

#[test]
fn other_types_compressed_bodies_and_parts_are_left_alone() {
    let filter = filter(json!({ "response": [{ "find": "a", "replace": "b" }] }));
    for untouched in [
        answer("image/png", "a").response_header("etag", "\"v1\""),
        answer("application/octet-stream", "a").response_header("etag", "\"v1\""),
        answer("text/html", "a")
            .response_header("content-encoding", "gzip")
            .response_header("etag", "\"v1\""),
        answer("text/html", "a").response(206).response_header("etag", "\"v1\""),
        Exchange::get("/").response_body(b"a").response_header("etag", "\"v1\""),
    ] {
        let ran = untouched.run(&filter);
        assert_eq!(ran.response_body(), b"a");
        assert_eq!(ran.response().header("etag").unwrap(), "\"v1\"");
    }
    for rewritten in [
        "text/event-stream",
        "TEXT/HTML;charset=x",
        "application/problem+json",
        "application/xml",
    ] {
        assert_eq!(answer(rewritten, "a").run(&filter).response_body(), b"b", "{rewritten}");
    }
    let plain = answer("text/html", "a")
        .response_header("content-encoding", "Identity")
        .run(&filter);
    assert_eq!(plain.response_body(), b"b");
}

#[test]
fn content_types_can_be_set() {
    let settings =
        json!({ "response": [{ "find": "a", "replace": "" }], "content_types": ["application/vnd.*", "Text/CSV"] });
    let filter = filter(settings);
    assert_eq!(
        answer("application/vnd.shop", "abc").run(&filter).response_body(),
        b"bc"
    );
    assert_eq!(answer("text/csv", "abc").run(&filter).response_body(), b"bc");
    assert_eq!(answer("text/html", "abc").run(&filter).response_body(), b"abc");
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let rule = json!([{ "find": "a", "replace": "b" }]);
    for (wrong, says) in [
        (json!({}), "nothing to replace"),
        (
            json!({ "response": [{ "find": "", "replace": "b" }] }),
            "`find` is empty",
        ),
        (
            json!({ "request": [{ "find": "a", "replace": "b" }, { "find": "a", "replace": "c" }] }),
            "`a` is to be found twice",
        ),
        (json!({ "response": [{ "find": "a" }] }), "replace"),
        (
            json!({ "response": rule, "content_types": [] }),
            "`content_types` is empty",
        ),
        (
            json!({ "response": rule, "content_types": ["json"] }),
            "is no media range: write `text/*`",
        ),
        (
            json!({ "response": rule, "content_types": ["*/*+*"] }),
            "is no media range: write `text/*`",
        ),
    ] {
        let error = testing::filter::<RewriteBody>(wrong.clone())
            .err()
            .unwrap_or_else(|| panic!("accepted: {wrong}"));
        assert!(error.to_string().contains(says), "{wrong}: {error}");
    }
}

#[test]
fn the_readme_names_every_setting() {
    let schema = testing::schema::<RewriteBody>();
    for name in schema["properties"].as_object().unwrap().keys() {
        assert!(
            include_str!("../README.md").contains(&format!("| `{name}` |")),
            "{name}"
        );
    }
}
