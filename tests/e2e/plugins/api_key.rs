//! `api-key`

use portcullis_tests::Upstream;

use super::filtering;

const KEYS: &str = "keys = { acme = { key = 'acme-key' }, \
    globex = { sha256 = 'f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7' } }";

#[tokio::test]
async fn a_key_lets_its_consumer_pass_and_tells_the_upstream_who_it_is() {
    let upstream = Upstream::answering("inside").await;
    let gateway = filtering(&upstream, &format!("{{ use = 'api-key', settings = {{ {KEYS} }} }}")).await;

    let request = gateway
        .request("GET", "/")
        .header("x-api-key", "acme-key")
        .header("x-consumer", "globex");
    assert_eq!(request.send().await.text(), "inside");

    assert_eq!(upstream.last_header("x-consumer"), "acme");
    assert_eq!(upstream.last_header("x-api-key"), "");
}

#[tokio::test]
async fn a_hashed_key_is_accepted_like_a_plain_one() {
    let upstream = Upstream::answering("").await;
    // printf '%s' hunter2 | sha256sum
    let gateway = filtering(&upstream, &format!("{{ use = 'api-key', settings = {{ {KEYS} }} }}")).await;

    assert_eq!(
        gateway
            .request("GET", "/")
            .header("x-api-key", "hunter2")
            .send()
            .await
            .status(),
        200
    );
    assert_eq!(upstream.last_header("x-consumer"), "globex");
}

#[tokio::test]
async fn a_hash_is_no_key() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(&upstream, &format!("{{ use = 'api-key', settings = {{ {KEYS} }} }}")).await;
    let hash = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";

    for wrong in ["hunter3", hash, &format!("sha256:{hash}")] {
        let request = gateway.request("GET", "/").header("x-api-key", wrong);
        assert_eq!(request.send().await.status(), 401, "{wrong}");
    }

    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn anything_else_is_401() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(&upstream, &format!("{{ use = 'api-key', settings = {{ {KEYS} }} }}")).await;

    let missing = gateway.get("/").await;
    assert_eq!(
        (missing.status(), missing.header("content-type")),
        (401, "application/problem+json")
    );
    assert!(
        missing.header("www-authenticate").starts_with("ApiKey"),
        "{}",
        missing.header("www-authenticate")
    );
    let wrong = gateway.request("GET", "/").header("x-api-key", "acme-kez").send().await;
    let double = gateway
        .request("GET", "/")
        .header("x-api-key", "acme-key")
        .header("x-api-key", "acme-key");
    assert_eq!((wrong.status(), double.send().await.status()), (401, 401));
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_key_in_the_query_is_taken_out_and_the_rest_stays() {
    let upstream = Upstream::answering("").await;
    let settings = format!("{{ in = 'query', name = 'key', {KEYS} }}");
    let gateway = filtering(&upstream, &format!("{{ use = 'api-key', settings = {settings} }}")).await;

    assert_eq!(gateway.get("/a?x=1&key=acme%2Dkey&y=a+b").await.status(), 200);

    assert_eq!(upstream.last_target(), "/a?x=1&y=a+b");
}
