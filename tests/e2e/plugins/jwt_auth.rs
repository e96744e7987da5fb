//! `jwt-auth`

use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_tests::{
    Folder, Gateway, PUBLIC_KEY, Upstream, eventually, full, jwks, signed, signed_by, signed_by_key, tampered,
};
use serde_json::{Value, json};

use super::filtering;

const SECRET: &str = "a secret of thirty-two characters";

fn claims(seconds_left: i64) -> Value {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time after 1970")
        .as_secs();
    json!({ "sub": "ada", "iss": "https://id.example/", "aud": "shop", "exp": now.saturating_add_signed(seconds_left) })
}

async fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway
        .request("GET", "/")
        .header("authorization", format!("Bearer {token}"))
        .send()
        .await
        .status()
}

#[tokio::test]
async fn a_good_token_passes_and_its_claims_go_on() {
    let upstream = Upstream::answering("").await;
    let settings =
        format!("{{ algorithms = ['HS256'], secret = '{SECRET}', claims_to_headers = {{ sub = 'x-user' }} }}");
    let gateway = filtering(&upstream, &format!("{{ use = 'jwt-auth', settings = {settings} }}")).await;

    let token = signed(&claims(60), SECRET);
    let request = gateway
        .request("GET", "/")
        .header("authorization", format!("Bearer {token}"));
    assert_eq!(request.header("x-user", "root").send().await.status(), 200);

    assert_eq!(upstream.last_header("x-user"), "ada");
    assert_eq!(upstream.last_header("authorization"), "");
}

#[tokio::test]
async fn a_token_that_does_not_verify_is_401() {
    let upstream = Upstream::answering("").await;
    let settings = format!(
        "{{ algorithms = ['HS256'], secret = '{SECRET}', issuer = 'https://id.example/', audience = 'shop', leeway = '1s' }}"
    );
    let gateway = filtering(&upstream, &format!("{{ use = 'jwt-auth', settings = {settings} }}")).await;
    let good = claims(60);
    let but = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed(&claims, SECRET)
    };

    assert_eq!(status(&gateway, &signed(&good, SECRET)).await, 200);
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290IiwiZXhwIjo5OTk5OTk5OTk5fQ.";
    for wrong in [
        signed(&good, "another secret of thirty-two chars"),
        tampered(&signed(&good, SECRET)),
        signed(&claims(-60), SECRET),
        but("iss", json!("https://evil.example/")),
        but("aud", json!("bank")),
        but("nbf", json!(9_999_999_999_u64)),
        signed_by_key(&good, "ed"),
        none.to_owned(),
        "not.a.token".to_owned(),
    ] {
        assert_eq!(status(&gateway, &wrong).await, 401, "{wrong}");
    }
    assert_eq!(gateway.get("/").await.header("www-authenticate"), "Bearer");
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn a_public_key_cannot_be_used_as_a_shared_secret() {
    let upstream = Upstream::answering("").await;
    let settings = format!("{{ algorithms = ['EdDSA'], pem = '''{PUBLIC_KEY}''' }}");
    let gateway = filtering(&upstream, &format!("{{ use = 'jwt-auth', settings = {settings} }}")).await;

    assert_eq!(status(&gateway, &signed_by_key(&claims(60), "ed")).await, 200);
    assert_eq!(status(&gateway, &signed(&claims(60), PUBLIC_KEY)).await, 401);
}

#[tokio::test]
async fn every_algorithm_verifies_its_own_tokens_alone() {
    let upstream = Upstream::answering("").await;
    for algorithm in ["RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "EdDSA"] {
        let (token, public) = signed_by(&claims(60), algorithm);
        let settings = format!("{{ algorithms = ['{algorithm}'], pem = '''{public}''' }}");
        let gateway = filtering(&upstream, &format!("{{ use = 'jwt-auth', settings = {settings} }}")).await;

        assert_eq!(status(&gateway, &token).await, 200, "{algorithm}");
        assert_eq!(status(&gateway, &tampered(&token)).await, 401, "{algorithm}");
        // The same key, by another algorithm; or another key.
        let other = if algorithm == "PS256" { "RS256" } else { "PS256" };
        let (other, _) = signed_by(&claims(60), other);
        assert_eq!(status(&gateway, &other).await, 401, "{algorithm}");
    }
}

#[tokio::test]
async fn keys_may_come_from_a_file_and_change_there() {
    let upstream = Upstream::answering("").await;
    let folder = Folder::new();
    let file = folder.write("jwks.json", jwks(&["es"]).to_string());
    let settings = format!(
        "{{ algorithms = ['ES256', 'RS256', 'EdDSA'], jwks = '{}' }}",
        file.display()
    );
    let gateway = filtering(&upstream, &format!("{{ use = 'jwt-auth', settings = {settings} }}")).await;
    assert_eq!(status(&gateway, &signed_by_key(&claims(60), "es")).await, 200);
    assert_eq!(status(&gateway, &signed_by_key(&claims(60), "rsa")).await, 401);

    folder.write("jwks.json", jwks(&["rsa", "ed"]).to_string());

    eventually("the new keys are used", async || {
        status(&gateway, &signed_by_key(&claims(60), "rsa")).await == 200
    })
    .await;
    assert_eq!(status(&gateway, &signed_by_key(&claims(60), "es")).await, 401);
}

#[tokio::test]
async fn keys_may_come_from_a_url_and_the_last_good_ones_are_kept() {
    let mut provider = Upstream::with(|_| async { http::Response::new(full(jwks(&["ed", "rsa"]).to_string())) }).await;
    let upstream = Upstream::answering("").await;
    let settings = format!("{{ algorithms = ['EdDSA', 'RS256'], jwks = '{provider}/jwks.json' }}");
    let gateway = filtering(&upstream, &format!("{{ use = 'jwt-auth', settings = {settings} }}")).await;

    let token = signed_by_key(&claims(60), "ed");
    eventually("the keys are there", async || status(&gateway, &token).await == 200).await;
    provider.stop().await;

    assert_eq!(status(&gateway, &signed_by_key(&claims(60), "rsa")).await, 200);
}

#[tokio::test]
async fn a_key_that_is_new_at_the_url_is_fetched_when_the_first_token_comes() {
    let keys = std::sync::Arc::new(std::sync::Mutex::new(vec!["ed"]));
    let published = keys.clone();
    let provider = Upstream::with(move |_| {
        let set = jwks(&published.lock().expect("keys"));
        async move { http::Response::new(full(set.to_string())) }
    })
    .await;
    let upstream = Upstream::answering("").await;
    let settings = format!("{{ algorithms = ['EdDSA', 'RS256'], jwks = '{provider}/jwks.json' }}");
    let gateway = filtering(&upstream, &format!("{{ use = 'jwt-auth', settings = {settings} }}")).await;
    let (old, new) = (signed_by_key(&claims(60), "ed"), signed_by_key(&claims(60), "rsa"));
    eventually("the keys are there", async || status(&gateway, &old).await == 200).await;

    *keys.lock().expect("keys") = vec!["rsa"];

    eventually("the new key is used", async || status(&gateway, &new).await == 200).await;
    assert_eq!(status(&gateway, &old).await, 401);
    assert!(provider.requests() <= 3, "{} fetches", provider.requests());
}

#[tokio::test]
async fn while_no_keys_have_come_a_token_is_503_and_no_token_401() {
    let provider = Upstream::absent().await;
    let upstream = Upstream::answering("").await;
    let settings = format!("{{ algorithms = ['EdDSA'], jwks = 'http://{provider}/jwks.json' }}");
    let gateway = filtering(&upstream, &format!("{{ use = 'jwt-auth', settings = {settings} }}")).await;

    let request = gateway.request("GET", "/");
    let token = format!("Bearer {}", signed_by_key(&claims(60), "ed"));
    let response = request.header("authorization", token).send().await;

    assert_eq!((response.status(), response.header("retry-after")), (503, "5"));
    assert_eq!(gateway.get("/").await.status(), 401);
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn an_unknown_key_id_does_not_make_the_gateway_fetch_for_everybody_who_asks() {
    let provider = Upstream::with(|_| async { http::Response::new(full(jwks(&["ed"]).to_string())) }).await;
    let upstream = Upstream::answering("").await;
    let settings = format!("{{ algorithms = ['EdDSA', 'RS256'], jwks = '{provider}/jwks.json' }}");
    let gateway = filtering(&upstream, &format!("{{ use = 'jwt-auth', settings = {settings} }}")).await;
    let token = signed_by_key(&claims(60), "ed");
    eventually("the keys are there", async || status(&gateway, &token).await == 200).await;

    let unknown = signed_by_key(&claims(60), "rsa");
    for _ in 0..50 {
        assert_eq!(status(&gateway, &unknown).await, 401);
    }

    assert!(provider.requests() <= 3, "{} fetches", provider.requests());
}
