use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::backend::aggregate::json::{Document, Limits};

const SCOPE: Scope<'static> = Scope {
    calls: &["user", "gone"],
    many: &[false, false],
    parameters: &["id", "rest"],
    item: true,
};

fn json(text: &str) -> Document {
    Document::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).expect(text)
}

/// What is known in these tests, with one value in the place of all that matter.
fn with<T>(
    parameters: &[(&str, &str)],
    query: &str,
    header: &[u8],
    body: &str,
    test: impl FnOnce(&Values<'_>) -> T,
) -> T {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(header) {
        headers.insert("x-a", value);
    }
    let request = Request {
        method: &Method::GET,
        parameters,
        query: Some(query),
        headers: &headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let user = Answered {
        status: Some(StatusCode::OK),
        headers: headers.clone(),
        body: Some(json(body)),
        ..Answered::default()
    };
    let item = json(r#"{"id":"i/1","n":2.50}"#);
    let values = Values {
        request: &request,
        answers: &[OnceCell::from(user), OnceCell::from(Answered::default())],
        item: Some(item.root()),
    };
    test(&values)
}

fn target(text: &str) -> Target {
    Target::parse(text, &SCOPE, PathRules::default()).expect(text)
}

fn filled(text: &str, parameters: &[(&str, &str)], query: &str, body: &str) -> Result<String, Unfit> {
    with(parameters, query, b"h", body, |values| {
        target(text).fill(values).map_err(|error| error.why)
    })
}

#[test]
fn values_stand_where_the_template_has_them() {
    let body = r#"{"id":10000000000000000000001,"name":"Ann & Bob=?#/%é","on":true,"none":null,"list":[1]}"#;
    let id = [("id", "4%202")];
    for (template, wanted) in [
        ("u:/users/${path.id}", Ok("/users/4%202")),
        ("u:/a.${path.id}.b/c", Ok("/a.4%202.b/c")),
        (
            "u:/?n=${call.user.body.name}",
            Ok("/?n=Ann%20%26%20Bob%3D%3F%23%2F%25%C3%A9"),
        ),
        ("u:/${call.user.body.name}", Err(Unfit::Slash)),
        ("u:/${call.user.body.id}", Ok("/10000000000000000000001")),
        ("u:/${call.user.body.on}/${call.user.status}", Ok("/true/200")),
        (
            "u:/${call.user.header.x-a}/${header.x-a}/${client.ip}",
            Ok("/h/h/127.0.0.1"),
        ),
        ("u:/${call.user.body.list}", Err(Unfit::NotText)),
        ("u:/${call.user.body.list[0]}", Ok("/1")),
        ("u:/${call.user.body.none}", Err(Unfit::Missing)),
        ("u:/${call.user.body.none ?? x/y}", Err(Unfit::Slash)),
        ("u:/${call.user.body.none ?? 0}", Ok("/0")),
        ("u:/${call.gone.body.id ?? 0}/${call.gone.status ?? 1}", Ok("/0/1")),
        ("u:/${call.gone.body.id}", Err(Unfit::Missing)),
        ("u:/${item.n}", Ok("/2.50")),
        (
            "u:/?limit=${query.limit}&x=${query.x ?? 1&2}",
            Ok("/?limit=a%20b&x=1%262"),
        ),
        ("u:/?a=${query.no?}&b=1&c=x${query.no?}", Ok("/?b=1&c=x")),
        ("u:/?${query.no?}", Ok("/")),
        ("u:/?a=${query.no?}", Ok("/")),
        ("u:/?a=${query.no}", Err(Unfit::Missing)),
        ("u:/a//b/?c=/?&d", Ok("/a//b/?c=/?&d")),
        ("u:/$${x", Ok("/${x")),
    ] {
        if template.contains("$${") {
            assert!(Target::parse(template, &SCOPE, PathRules::default()).is_err());
            continue;
        }
        assert_eq!(
            filled(template, &id, "limit=a+b&limit=2", body),
            wanted.map(str::to_owned),
            "{template}"
        );
    }
}

#[test]
fn a_value_is_no_segment_of_its_own_making() {
    for value in ["..", ".", "", "%2E%2e", "a%2Fb", "a%5Cb", "%00", "..%3Bx"] {
        let result = filled("u:/users/${path.id}/orders", &[("id", value)], "", "{}");
        assert!(
            matches!(result, Err(Unfit::Segment | Unfit::Slash)) || value == "..%3Bx",
            "{value}: {result:?}"
        );
    }
    assert_eq!(
        filled("u:/${path.id};v=1", &[("id", "..")], "", "{}"),
        Err(Unfit::Segment)
    );
    assert_eq!(filled("u:/.${path.id}", &[("id", ".")], "", "{}"), Err(Unfit::Segment));
    assert_eq!(
        filled("u:/%2e${path.id}", &[("id", ".")], "", "{}"),
        Err(Unfit::Segment)
    );
    assert_eq!(filled("u:/.${path.id}", &[("id", "a")], "", "{}").unwrap(), "/.a");
    assert_eq!(
        filled("u:/a/${path.id}", &[("id", "%2525")], "", "{}").unwrap(),
        "/a/%2525"
    );
}

#[test]
fn several_segments_are_a_parameters_own() {
    let rest = |value| filled("u:/f/${path.rest...}", &[("rest", value)], "", "{}");
    assert_eq!(rest("a%20b/c;d").unwrap(), "/f/a%20b/c%3Bd");
    assert_eq!(rest("").unwrap(), "/f/");
    assert_eq!(rest("a/../b"), Err(Unfit::Segment));
    assert_eq!(rest("a/%2e%2E"), Err(Unfit::Segment));
    assert_eq!(rest("a%2fb"), Err(Unfit::Slash));
}

#[test]
fn encoded_slashes_pass_where_they_may() {
    let rules = PathRules {
        allow_encoded_slash: true,
        allow_encoded_backslash: true,
    };
    let target = Target::parse("u:/${item.id}", &SCOPE, rules).unwrap();
    assert_eq!(
        with(&[], "", b"", "{}", |values| target.fill(values)).unwrap(),
        "/i%2F1"
    );
}

#[test]
fn malformed_targets_are_refused_with_their_place() {
    for (text, place, message) in [
        ("users", "users", "a target is `UPSTREAM:/PATH`"),
        ("/users", "/users", "a target is `UPSTREAM:/PATH`"),
        ("http://x/", "//x/", "a path begins with one `/`"),
        ("${path.id}:/", "${path.id}:/", "a target is `UPSTREAM:/PATH`"),
        ("u:users", "users", "a path begins with one `/`"),
        ("u:/a b", " ", "` ` cannot stand in a URL"),
        ("u:/é", "é", "`é` cannot stand in a URL"),
        ("u:/a#b", "#", "`#` in a target"),
        ("u:/a%2", "%", "`%` without two hexadecimal digits"),
        ("u:/{id}", "{", "`{` cannot stand in a URL"),
        ("u:/a/../b", "..", "`..` is not a segment of a path"),
        ("u:/a/%2e/b", "%2e", "`%2e` is not a segment of a path"),
        ("u:/${path.id?}", "${path.id?}", "a part of a path cannot be left out"),
        (
            "u:/a${path.rest...}",
            "${path.rest...}",
            "several segments stand alone between slashes",
        ),
        ("u:/?a=${path.rest...}", "${path.rest...}", "a query has no segments"),
        ("u:/${path.x}", "x", "unknown path parameter `x`"),
    ] {
        let error = Target::parse(text, &SCOPE, PathRules::default()).expect_err(text);
        assert_eq!(
            (text.get(error.at.clone()), error.message.as_str()),
            (Some(place), message),
            "{text}"
        );
    }
}

#[test]
fn an_unfilled_reference_says_whose_it_is() {
    let error = with(&[], "", b"", "{}", |values| target("u:/?a=${query.limit}").fill(values)).unwrap_err();
    assert_eq!((error.reference.as_str(), error.clients), ("query.limit", true));
    let error = with(&[], "", b"", "{}", |values| {
        target("u:/?a=${call.user.body.x}").fill(values)
    })
    .unwrap_err();
    assert_eq!((error.reference.as_str(), error.clients), ("call.user.body.x", false));
    assert_eq!(error.to_string(), "`call.user.body.x`: no value");
}

#[test]
fn fields_are_filled_and_stay_one_field() {
    let field = |text: &str, body: &str| {
        let template = FieldTemplate::parse(text, &SCOPE).expect(text);
        with(&[], "", b"caf\xe9", body, |values| {
            template
                .fill(values)
                .map(|value| value.map(|value| value.as_bytes().to_vec()))
                .map_err(|error| error.why)
        })
    };
    assert_eq!(field("fixed", "{}"), Ok(Some(b"fixed".to_vec())));
    assert_eq!(field("", "{}"), Ok(Some(Vec::new())));
    assert_eq!(
        field("Bearer ${call.user.body.t}", r#"{"t":"x"}"#),
        Ok(Some(b"Bearer x".to_vec()))
    );
    assert_eq!(field("${header.x-a}", "{}"), Ok(Some(b"caf\xe9".to_vec())));
    assert_eq!(field("${query.no?}", "{}"), Ok(None));
    assert_eq!(field("a${query.no?}", "{}"), Ok(Some(b"a".to_vec())));
    for odd in ["a\\r\\nx-admin: 1", "\\u0000", "\\u007f"] {
        assert_eq!(
            field("${call.user.body.t}", &format!("{{\"t\":\"{odd}\"}}")),
            Err(Unfit::Field)
        );
    }
    assert!(FieldTemplate::parse("a\r\nb: c", &SCOPE).is_err());
    assert!(FieldTemplate::parse("${path.rest...}", &SCOPE).is_err());
}

fn body(template: &str, values: &Values<'_>) -> Result<String, Unfit> {
    let template = BodyTemplate::parse(&json(template), &SCOPE).expect(template);
    let bytes = template.fill(values, 300).map_err(|error| error.why)?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn bodies_keep_the_types_of_values() {
    with(
        &[("id", "7")],
        "q=a%22b",
        b"caf\xe9",
        r#"{"n":1.10,"o":{"a":[1, 2]},"z":null}"#,
        |values| {
            for (template, wanted) in [
                (
                    r#"{"a": 1.0, "b": [true, null, "x"]}"#,
                    Ok(r#"{"a":1.0,"b":[true,null,"x"]}"#),
                ),
                (
                    r#"{"n":"${call.user.body.n}","o":"${call.user.body.o}"}"#,
                    Ok(r#"{"n":1.10,"o":{"a":[1,2]}}"#),
                ),
                (
                    r#"["${path.id}","${query.q}","${call.user.status}"]"#,
                    Ok(r#"["7","a\"b",200]"#),
                ),
                (
                    r#"{"t":"n=${call.user.body.n} q=${query.q}"}"#,
                    Ok(r#"{"t":"n=1.10 q=a\"b"}"#),
                ),
                (
                    r#"{"z":"${call.user.body.z}","y":"${call.user.body.z?}","x":"${call.user.body.z ?? 1}"}"#,
                    Ok(r#"{"z":null,"x":1}"#),
                ),
                (r#"["${query.no?}",1,"${query.no?}",2]"#, Ok("[1,2]")),
                (
                    r#"["${query.no ?? 10}","${query.no ?? ten}","${query.no??}"]"#,
                    Ok(r#"[10,"ten",""]"#),
                ),
                (r#""${query.no?}""#, Ok("null")),
                (r#"{"$${a}":"$${a}"}"#, Ok(r#"{"$${a}":"${a}"}"#)),
                (r#"["${query.no}"]"#, Err(Unfit::Missing)),
                (r#"["x${call.user.body.o}"]"#, Err(Unfit::NotText)),
                (r#"["${header.x-a}"]"#, Err(Unfit::Utf8)),
                ("{}", Ok("{}")),
                ("[[],{}]", Ok("[[],{}]")),
            ] {
                assert_eq!(body(template, values), wanted.map(str::to_owned), "{template}");
            }
        },
    );
    let long = format!("{{\"n\":\"{}\"}}", "x".repeat(400));
    with(&[], "", b"", &long, |values| {
        assert_eq!(body(r#"["${call.user.body.n}"]"#, values), Err(Unfit::Length));
        assert_eq!(body(r#"["a${call.user.body.n}"]"#, values), Err(Unfit::Length));
    });
}

#[test]
fn a_body_names_the_text_at_fault() {
    let error = BodyTemplate::parse(&json(r#"{"a":[1,{"b":"x${pth.id}"}]}"#), &SCOPE).unwrap_err();
    assert_eq!((error.path.as_str(), error.misread.at), ("a.1.b", 3..6));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the value, the target has the segments and parameters of its template.
    #[test]
    fn no_value_changes_the_shape_of_a_target(value in "(\\PC|[/\\\\.%?&#=;+\u{0}\r\n]|%2[fFeE]|\\.\\.){0,8}") {
        let document = serde_json::json!({ "v": value }).to_string();
        let filled = filled("u:/a/${call.user.body.v}/x${call.user.body.v}/b?p=${call.user.body.v}&q=1", &[], "", &document);
        if let Ok(filled) = filled {
            prop_assert!(filled.parse::<http::uri::PathAndQuery>().is_ok());
            let (path, query) = filled.split_once('?').unwrap();
            let segments: Vec<_> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 5, "{}", filled);
            for segment in segments.iter().skip(1) {
                let decoded = percent_encoding::percent_decode_str(segment).decode_utf8().unwrap();
                prop_assert!(!["", ".", ".."].contains(&&*decoded), "{}", filled);
                prop_assert!(!decoded.contains(['/', '\\', '\0']));
            }
            let parameters: Vec<_> = query.split('&').collect();
            prop_assert_eq!(parameters.len(), 2);
            let sent = parameters[0].strip_prefix("p=").unwrap();
            prop_assert_eq!(percent_encoding::percent_decode_str(sent).decode_utf8().unwrap(), value);
        }
    }

    #[test]
    fn no_target_panics_and_errors_point_into_it(
        text in "u?:?/?(\\PC|/|\\?|&|%|\\.|\\$\\{path\\.id\\}|\\$\\{path\\.rest\\.\\.\\.\\}|\\$\\{|\\}|é){0,8}"
    ) {
        match Target::parse(&text, &SCOPE, PathRules::default()) {
            Ok(target) => { let _ = with(&[("id", "1"), ("rest", "a/b")], "", b"", "{}", |values| target.fill(values)); }
            Err(error) => prop_assert!(text.get(error.at.clone()).is_some(), "{:?}", error),
        }
    }

    #[test]
    fn filled_bodies_are_json(value in any::<String>(), query in "[ -~]{0,8}") {
        let document = serde_json::json!({ "v": value }).to_string();
        let filled = with(&[], &format!("q={query}"), b"", &document, |values| {
            body(r#"{"v":"${call.user.body.v}","t":"<${call.user.body.v}>","q":"${query.q?}","d":"${query.zz ?? [1]}"}"#, values)
        });
        if let Ok(filled) = filled {
            let read: serde_json::Value = serde_json::from_str(&filled).unwrap();
            prop_assert_eq!(read["v"].as_str(), Some(&*value));
            prop_assert_eq!(read["t"].as_str().unwrap(), format!("<{value}>"));
            prop_assert_eq!(&read["d"], &serde_json::json!([1]));
        }
    }
}
