//! `token-auth`

use portcullis_tests::{Gateway, Upstream};
use serde_json::json;

use super::filtering;

#[tokio::test]
async fn a_token_is_missing_invalid_or_lets_the_request_pass() {
    let upstream = Upstream::answering("inside").await;
    let gateway = filtering(
        &upstream,
        "{ use = 'token-auth', settings = { tokens = ['one', 'two'] } }",
    )
    .await;

    let missing = gateway.get("/").await;
    assert_eq!(
        (missing.status(), missing.json()),
        (401, json!({ "message": "Token is missing!" }))
    );
    assert!(missing.has("www-authenticate"));
    for wrong in ["three", "on", "one ", "onetwo"] {
        let invalid = gateway
            .request("GET", "/")
            .header("x-access-tokens", format!("{wrong}x"))
            .send()
            .await;
        assert_eq!(
            (invalid.status(), invalid.json()),
            (401, json!({ "message": "Token is invalid!" })),
            "{wrong}"
        );
    }
    assert_eq!(upstream.requests(), 0);
    for good in ["one", "two"] {
        assert_eq!(
            gateway
                .request("GET", "/")
                .header("X-Access-Tokens", good)
                .send()
                .await
                .text(),
            "inside"
        );
    }
}

#[tokio::test]
async fn a_token_may_be_listed_by_its_hash() {
    let upstream = Upstream::answering("inside").await;
    // printf '%s' hunter2 | sha256sum
    let hash = "sha256:f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
    let settings = format!("{{ tokens = ['plain', '{hash}'] }}");
    let gateway = filtering(&upstream, &format!("{{ use = 'token-auth', settings = {settings} }}")).await;
    let with = async |token: &str| {
        let request = gateway.request("GET", "/").header("x-access-tokens", token);
        request.send().await
    };

    assert_eq!(
        (with("hunter2").await.text(), with("plain").await.text()),
        ("inside".to_owned(), "inside".to_owned())
    );
    for wrong in ["hunter3", "Hunter2", "hunter2,plain", hash, &hash["sha256:".len()..]] {
        let refused = with(wrong).await;
        assert_eq!(
            (refused.status(), refused.json()),
            (401, json!({ "message": "Token is invalid!" })),
            "{wrong}"
        );
    }
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn a_hash_that_is_none_is_refused_with_its_place_and_not_shown() {
    let said = Gateway::refused(
        "[[route]]\nmatch = '/'\nrespond = {}\nfilters = [{ use = 'token-auth', settings = { tokens = ['sha256:hush'] } }]",
    )
    .await;

    assert!(said.contains("portcullis.toml:") && said.contains("tokens"), "{said}");
    assert!(said.contains("64 hexadecimal digits"), "{said}");
}

#[tokio::test]
async fn the_token_does_not_reach_the_upstream_unless_told() {
    for (strip, seen) in [("true", ""), ("false", "secret")] {
        let upstream = Upstream::answering("").await;
        let settings = format!("{{ tokens = ['secret'], strip = {strip} }}");
        let gateway = filtering(&upstream, &format!("{{ use = 'token-auth', settings = {settings} }}")).await;

        gateway
            .request("GET", "/")
            .header("x-access-tokens", "secret")
            .send()
            .await;

        assert_eq!(upstream.last_header("x-access-tokens"), seen);
    }
}

#[tokio::test]
async fn the_answers_can_be_chosen() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(
        &upstream,
        "{ use = 'token-auth', settings = { tokens = ['t'], header = 'authorization', scheme = 'Bearer', \
           invalid = { status = 403, message = 'No.' } } }",
    )
    .await;
    let with = async |value: &str| gateway.request("GET", "/").header("authorization", value).send().await;

    assert_eq!(
        (with("Bearer x").await.status(), with("Bearer x").await.json()),
        (403, json!({ "message": "No." }))
    );
    assert_eq!(with("Basic t").await.status(), 401);
    assert_eq!(with("Bearer t").await.status(), 200);
}

#[tokio::test]
async fn tokens_are_never_shown() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(
        &upstream,
        "{ use = 'token-auth', settings = { tokens = ['hush-hush'] } }",
    )
    .await;

    gateway
        .request("GET", "/")
        .header("x-access-tokens", "hush-hush")
        .send()
        .await;
    gateway
        .request("GET", "/")
        .header("x-access-tokens", "hush-hush-no")
        .send()
        .await;

    let shown = format!(
        "{}{:?}{}",
        gateway.log(),
        gateway.access_log(),
        gateway.admin("/metrics").await.text()
    );
    assert!(!shown.contains("hush-hush"), "{shown}");
}
