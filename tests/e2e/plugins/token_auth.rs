//! `token-auth`

use portcullis_tests::Upstream;
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
