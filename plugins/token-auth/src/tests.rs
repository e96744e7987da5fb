use portcullis_sdk::serde_json::{Value, json};
use portcullis_sdk::testing::{self, Exchange};

use super::TokenAuth;

fn filter(settings: Value) -> TokenAuth {
    testing::filter(settings).unwrap()
}

fn refusal(filter: &TokenAuth, exchange: Exchange) -> (u16, String) {
    let ran = exchange.run(filter);
    let reply = ran.replied().expect("a reply");
    (reply.status(), String::from_utf8(reply.body_bytes().to_vec()).unwrap())
}

#[test]
fn a_request_without_a_token_is_told_so() {
    let filter = filter(json!({ "tokens": ["s3cret"] }));

    assert_eq!(
        refusal(&filter, Exchange::get("/")),
        (401, r#"{"message":"Token is missing!"}"#.into())
    );
    let empty = Exchange::get("/").header("x-access-tokens", "");
    assert_eq!(
        refusal(&filter, empty),
        (401, r#"{"message":"Token is missing!"}"#.into())
    );
}

#[test]
fn a_wrong_token_is_told_so() {
    let filter = filter(json!({ "tokens": ["s3cret", "other"] }));

    for wrong in ["guess", "s3cre", "s3cret1", "S3CRET", "s3cret other"] {
        let exchange = Exchange::get("/").header("x-access-tokens", wrong);
        assert_eq!(
            refusal(&filter, exchange),
            (401, r#"{"message":"Token is invalid!"}"#.into()),
            "{wrong}"
        );
    }
}

#[test]
fn every_listed_token_passes_and_is_taken_out_before_the_upstream() {
    let filter = filter(json!({ "tokens": ["s3cret", "other"] }));

    for token in ["s3cret", "other"] {
        let ran = Exchange::get("/").header("X-Access-Tokens", token).run(&filter);
        assert!(ran.replied().is_none());
        assert_eq!(ran.request().header("x-access-tokens"), None);
    }
}

#[test]
fn a_token_may_be_listed_as_its_hash() {
    // The SHA-256 of `hunter2`.
    let hash = "sha256:f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
    let filter = filter(json!({ "tokens": ["s3cret", hash] }));

    for (token, passes) in [("hunter2", true), ("s3cret", true), ("hunter3", false), (hash, false)] {
        let ran = Exchange::get("/").header("x-access-tokens", token).run(&filter);
        assert_eq!(ran.replied().is_none(), passes, "{token}");
    }
}

#[test]
fn strip_false_leaves_the_token_for_the_upstream() {
    let filter = filter(json!({ "tokens": ["s3cret"], "strip": false }));

    let ran = Exchange::get("/").header("x-access-tokens", "s3cret").run(&filter);
    assert_eq!(ran.request().header("x-access-tokens").unwrap(), "s3cret");

    let twice = Exchange::get("/")
        .header("x-access-tokens", "s3cret")
        .header("x-access-tokens", "unchecked");
    assert_eq!(refusal(&filter, twice).0, 401);
}

#[test]
fn a_scheme_stands_before_the_token_in_either_case() {
    let filter = filter(json!({ "header": "Authorization", "scheme": "Bearer", "tokens": ["s3cret"] }));

    for value in ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret"] {
        assert!(
            Exchange::get("/")
                .header("authorization", value)
                .run(&filter)
                .replied()
                .is_none(),
            "{value}"
        );
    }
    for value in ["s3cret", "Basic s3cret", "Bearer", "Bearers3cret"] {
        let exchange = Exchange::get("/").header("authorization", value);
        assert_eq!(
            refusal(&filter, exchange).1,
            r#"{"message":"Token is missing!"}"#,
            "{value}"
        );
    }
}

#[test]
fn a_401_carries_a_challenge_and_other_statuses_carry_none() {
    let bearer = filter(json!({ "header": "authorization", "scheme": "Bearer", "tokens": ["s3cret"] }));
    let ran = Exchange::get("/").run(&bearer);
    assert_eq!(
        ran.replied().unwrap().header_value("www-authenticate").unwrap(),
        "Bearer"
    );

    let plain = filter(json!({ "tokens": ["s3cret"], "invalid": { "status": 403 } }));
    let ran = Exchange::get("/").run(&plain);
    let challenge = ran.replied().unwrap().header_value("www-authenticate").unwrap();
    assert_eq!(challenge, r#"Token header="x-access-tokens""#);
    let ran = Exchange::get("/").header("x-access-tokens", "guess").run(&plain);
    assert_eq!(ran.replied().unwrap().header_value("www-authenticate"), None);
}

#[test]
fn status_and_message_of_a_refusal_can_be_set_apart() {
    let filter = filter(json!({
        "tokens": ["s3cret"],
        "missing": { "message": "Who are you?" },
        "invalid": { "status": 403 },
    }));

    assert_eq!(
        refusal(&filter, Exchange::get("/")),
        (401, r#"{"message":"Who are you?"}"#.into())
    );
    let wrong = Exchange::get("/").header("x-access-tokens", "guess");
    assert_eq!(
        refusal(&filter, wrong),
        (403, r#"{"message":"Token is invalid!"}"#.into())
    );
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    for wrong in [
        json!({}),
        json!({ "tokens": [] }),
        json!({ "tokens": [""] }),
        json!({ "tokens": ["sha256:abc"] }),
        json!({ "tokens": ["a"], "header": "two words" }),
        json!({ "tokens": ["a"], "header": "host" }),
        json!({ "tokens": ["a"], "token": "b" }),
        json!({ "tokens": ["a"], "invalid": { "status": 200 } }),
    ] {
        assert!(testing::filter::<TokenAuth>(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn the_readme_names_every_setting() {
    let schema = testing::schema::<TokenAuth>();
    for name in schema["properties"].as_object().unwrap().keys() {
        assert!(
            include_str!("../README.md").contains(&format!("| `{name}` |")),
            "{name}"
        );
    }
}
