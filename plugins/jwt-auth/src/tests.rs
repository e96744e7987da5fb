use portcullis_sdk::jwt::VerifyError;
use portcullis_sdk::serde_json::{Value, json};
use portcullis_sdk::testing::{self, Exchange};

use super::{JwtAuth, Settings};

fn filter(settings: Value) -> JwtAuth {
    testing::accept_token(
        "good",
        json!({ "sub": "u7", "admin": true, "level": 3, "roles": ["a", "b"], "none": null }),
    );
    testing::refuse_token("bad", VerifyError::Signature);
    let mut all = json!({ "algorithms": ["HS256"], "secret": "0123456789abcdef0123456789abcdef" });
    all.as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    testing::filter(all).unwrap()
}

fn bearer(token: &str) -> Exchange {
    Exchange::get("/").header("authorization", format!("Bearer {token}").as_str())
}

#[test]
fn a_good_token_passes_and_is_taken_out() {
    let ran = bearer("good").run(&filter(json!({})));

    assert!(ran.replied().is_none());
    assert_eq!(ran.request().header("authorization"), None);
}

#[test]
fn a_request_without_a_token_gets_a_bare_challenge() {
    let filter = filter(json!({}));
    for exchange in [
        Exchange::get("/"),
        Exchange::get("/").header("authorization", "Basic Z29vZA=="),
        Exchange::get("/").header("authorization", "Bearer"),
        Exchange::get("/").header("authorization", "good"),
    ] {
        let ran = exchange.run(&filter);
        let reply = ran.replied().unwrap();
        assert_eq!(reply.status(), 401);
        assert_eq!(reply.header_value("www-authenticate").unwrap(), "Bearer");
        assert_eq!(reply.header_value("content-type").unwrap(), "application/problem+json");
    }
}

#[test]
fn a_token_that_does_not_verify_is_told_why() {
    let filter = filter(json!({}));
    for (error, why) in [
        (VerifyError::Malformed, "the token is malformed"),
        (VerifyError::Signature, "the signature does not verify"),
        (VerifyError::Expired, "the token has expired"),
        (VerifyError::Audience, "the audience is not accepted"),
        (VerifyError::MissingClaim("a\"b".into()), "a required claim is missing"),
    ] {
        testing::refuse_token("x", error);
        let ran = bearer("x").run(&filter);
        let reply = ran.replied().unwrap();
        assert_eq!(reply.status(), 401);
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{why}\"");
        assert_eq!(*reply.header_value("www-authenticate").unwrap(), *challenge.as_str());
    }
}

#[test]
fn keys_that_are_not_there_yet_are_not_the_clients_fault() {
    let filter = filter(json!({}));
    testing::refuse_token("early", VerifyError::KeysUnavailable);
    let ran = bearer("early").run(&filter);
    assert_eq!(ran.replied().unwrap().status(), 503);
    assert_eq!(ran.replied().unwrap().header_value("retry-after").unwrap(), "5");
}

#[test]
fn more_than_one_token_is_a_bad_request() {
    let filter = filter(json!({ "cookie": "id" }));
    for exchange in [
        bearer("good").header("authorization", "Bearer bad"),
        bearer("good").header("authorization", "Basic x"),
        bearer("good").header("cookie", "id=bad"),
        Exchange::get("/").header("cookie", "id=good; id=bad"),
        Exchange::get("/").header("authorization", &b"Bearer \xff"[..]),
    ] {
        let ran = exchange.run(&filter);
        assert_eq!(ran.replied().unwrap().status(), 400);
        let challenge = ran.replied().unwrap().header_value("www-authenticate").unwrap();
        assert_eq!(challenge, r#"Bearer error="invalid_request""#);
    }
}

#[test]
fn a_cookie_carries_the_token_where_the_field_does_not() {
    let filter = filter(json!({ "cookie": "id" }));

    let ran = Exchange::get("/")
        .header("cookie", "a=1; id=good")
        .header("cookie", "b=2")
        .run(&filter);
    assert!(ran.replied().is_none());
    assert_eq!(ran.request().header("cookie").unwrap(), "a=1; b=2");

    let ran = Exchange::get("/").header("cookie", "id=good").run(&filter);
    assert_eq!(ran.request().header("cookie"), None);

    let basic = Exchange::get("/").header("authorization", "Basic x");
    let ran = basic.header("cookie", "id=good").run(&filter);
    assert_eq!(ran.request().header("authorization").unwrap(), "Basic x");

    let ran = Exchange::get("/").header("cookie", "a=1; b=2").run(&filter);
    assert_eq!(ran.replied().unwrap().status(), 401);
}

#[test]
fn a_field_of_the_operators_own_may_do_without_bearer() {
    let filter = filter(json!({ "header": "x-access-tokens" }));
    for value in ["good", "Bearer good", "bearer  good"] {
        let ran = Exchange::get("/").header("x-access-tokens", value).run(&filter);
        assert!(ran.replied().is_none(), "{value}");
        assert_eq!(ran.request().header("x-access-tokens"), None);
    }
}

#[test]
fn claims_reach_the_upstream_and_a_clients_own_fields_do_not() {
    let map = json!({ "sub": "x-user", "roles": "x-roles", "level": "x-level", "email": "x-email", "none": "x-none" });
    let filter = filter(json!({ "claims_to_headers": map, "optional": true }));
    let forged = |exchange: Exchange| {
        exchange
            .header("x-user", "root")
            .header("x-email", "root@x")
            .header("x-none", "1")
    };

    let ran = forged(bearer("good")).run(&filter);
    assert_eq!(ran.request().header("x-user").unwrap(), "u7");
    assert_eq!(ran.request().header("x-roles").unwrap(), r#"["a","b"]"#);
    assert_eq!(ran.request().header("x-level").unwrap(), "3");
    assert_eq!(ran.request().header("x-email"), None);
    assert_eq!(ran.request().header("x-none"), None);

    let ran = forged(Exchange::get("/")).run(&filter);
    assert_eq!(ran.request().header("x-user"), None);
}

#[test]
fn a_claim_that_no_field_can_hold_is_the_tokens_fault() {
    let filter = filter(json!({ "claims_to_headers": { "sub": "x-user" } }));
    testing::accept_token("split", json!({ "sub": "u7\r\nx-admin: 1" }));
    let ran = bearer("split").run(&filter);
    assert_eq!(ran.replied().unwrap().status(), 401);
}

#[test]
fn claims_become_notes() {
    let ran = bearer("good").run(&filter(json!({})));
    assert_eq!(ran.note("jwt:sub").as_deref(), Some("u7"));
    assert_eq!(ran.note("jwt:admin").as_deref(), Some("true"));
    assert_eq!(ran.note("jwt:level").as_deref(), Some("3"));
    assert_eq!(ran.note("jwt:roles"), None);
    assert_eq!(ran.note("jwt:none"), None);

    let ran = bearer("good").run(&filter(json!({ "notes": ["roles"] })));
    assert_eq!(ran.note("jwt:sub").as_deref(), Some("u7"));
    assert_eq!(ran.note("jwt:roles").as_deref(), Some(r#"["a","b"]"#));
    assert_eq!(ran.note("jwt:level"), None);
}

#[test]
fn a_token_with_hundreds_of_claims_does_not_fill_the_notes() {
    let filter = filter(json!({}));
    let claims: Value = (0..500)
        .map(|n| (format!("c{n:03}"), json!(n)))
        .collect::<portcullis_sdk::serde_json::Map<_, _>>()
        .into();
    testing::accept_token("wide", claims);
    let ran = bearer("wide").run(&filter);
    let noted = (0..500).filter(|n| ran.note(&format!("jwt:c{n:03}")).is_some()).count();
    assert_eq!(noted, 32);
}

#[test]
fn optional_lets_a_request_without_a_token_pass_but_never_a_bad_one() {
    let filter = filter(json!({ "optional": true }));
    assert!(Exchange::get("/").run(&filter).replied().is_none());
    assert_eq!(bearer("bad").run(&filter).replied().unwrap().status(), 401);
}

#[test]
fn strip_false_leaves_the_token_for_the_upstream() {
    let ran = bearer("good").run(&filter(json!({ "strip": false })));
    assert_eq!(ran.request().header("authorization").unwrap(), "Bearer good");
}

#[test]
fn settings_become_the_verifiers_options() {
    use portcullis_sdk::jwt::KeySource;
    use portcullis_sdk::serde_json::from_value;
    use std::time::Duration;

    let read = |settings: Value| from_value::<Settings>(settings).unwrap().verifier_options().unwrap();
    let source = |jwks: Value| read(json!({ "algorithms": ["RS256"], "jwks": jwks })).keys.remove(0);

    assert!(
        matches!(source(json!("https://id.example/jwks")), KeySource::JwksUrl(url) if url == "https://id.example/jwks")
    );
    assert!(matches!(source(json!("http://id.example/jwks")), KeySource::JwksUrl(_)));
    assert!(matches!(source(json!("keys/jwks.json")), KeySource::JwksFile(path) if path == "keys/jwks.json"));
    assert!(matches!(source(json!("{\"keys\":[]}")), KeySource::Jwks(_)));
    assert!(matches!(source(json!({ "keys": [] })), KeySource::Jwks(json) if json == r#"{"keys":[]}"#));

    let options = read(json!({
        "algorithms": ["HS256", "EdDSA"],
        "secret": "s",
        "pem": "p",
        "issuer": "a",
        "audience": ["b", "c"],
        "leeway": "2m",
    }));
    assert_eq!(options.keys.len(), 2);
    assert_eq!(options.issuers, ["a"]);
    assert_eq!(options.audiences, ["b", "c"]);
    assert_eq!(options.leeway, Duration::from_secs(120));
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    for (wrong, says) in [
        (json!({ "secret": "s" }), "algorithms"),
        (json!({ "algorithms": [], "secret": "s" }), "`algorithms` is empty"),
        (json!({ "algorithms": ["none"], "secret": "s" }), "none"),
        (json!({ "algorithms": ["HS256"] }), "a key is needed"),
        (
            json!({ "algorithms": ["HS256"], "secret": "s", "leeway": "soon" }),
            "leeway: `soon` is no length of time",
        ),
        (
            json!({ "algorithms": ["HS256"], "secret": "s", "audience": [] }),
            "`audience` is empty",
        ),
        (
            json!({ "algorithms": ["HS256"], "secret": "s", "issuer": "" }),
            "`issuer` is empty",
        ),
        (
            json!({ "algorithms": ["HS256"], "secret": "s", "issuer": ["a", ""] }),
            "`issuer` is empty",
        ),
        (
            json!({ "algorithms": ["HS256"], "secret": "s", "header": "Host" }),
            "`header`: `host` belongs to the connection",
        ),
        (
            json!({ "algorithms": ["HS256"], "secret": "s", "strip": false, "claims_to_headers": { "sub": "host" } }),
            "`claims_to_headers`: `host` belongs to the connection",
        ),
        (json!({ "algorithms": ["HS256"], "secret": "s", "isuer": "x" }), "isuer"),
    ] {
        let error = testing::filter::<JwtAuth>(wrong.clone())
            .err()
            .unwrap_or_else(|| panic!("accepted: {wrong}"));
        assert!(error.to_string().contains(says), "{wrong}: {error}");
    }
}

#[test]
fn the_readme_names_every_setting() {
    let schema = testing::schema::<JwtAuth>();
    for name in schema["properties"].as_object().unwrap().keys() {
        assert!(
            include_str!("../README.md").contains(&format!("| `{name}` |")),
            "{name}"
        );
    }
}
