//! `config/microservices.toml`: the gateway that teams otherwise write in Flask or FastAPI.

use portcullis_tests::{Gateway, Upstream, shipped, tokens_in};
use serde_json::json;

async fn start(service1: &Upstream) -> (Gateway, String) {
    let configuration = shipped("microservices.toml", &[("service1", service1)]);
    let token = tokens_in(&configuration).into_iter().next().expect("a token");
    (Gateway::start(configuration).await, token)
}

#[tokio::test]
async fn the_root_greets() {
    let service1 = Upstream::echo().await;
    let (gateway, _) = start(&service1).await;

    let response = gateway.get("/").await;

    assert_eq!(response.status(), 200);
    assert!(response.json()["message"].is_string(), "{}", response.text());
}

#[tokio::test]
async fn service1_gets_get_and_post_at_its_api() {
    let service1 = Upstream::echo().await;
    let (gateway, _) = start(&service1).await;

    let read = gateway.get("/service1").await.json();
    let wrote = gateway
        .request("POST", "/service1")
        .json(&json!({ "a": [1, 2] }))
        .send()
        .await
        .json();

    assert_eq!((&read["method"], &read["path"]), (&json!("GET"), &json!("/api")));
    assert_eq!(
        (&wrote["method"], &wrote["path"], &wrote["body"]),
        (&json!("POST"), &json!("/api"), &json!(r#"{"a":[1,2]}"#))
    );
    assert_eq!(gateway.request("DELETE", "/service1").send().await.status(), 405);
}

#[tokio::test]
async fn the_protected_part_asks_for_a_token() {
    let service1 = Upstream::echo().await;
    let (gateway, token) = start(&service1).await;
    let with = async |token: &str| {
        gateway
            .request("GET", "/protected")
            .header("x-access-tokens", token)
            .send()
            .await
    };

    let missing = gateway.get("/protected").await;
    assert_eq!(
        (missing.status(), missing.json()),
        (401, json!({ "message": "Token is missing!" }))
    );
    let invalid = with("wrong").await;
    assert_eq!(
        (invalid.status(), invalid.json()),
        (401, json!({ "message": "Token is invalid!" }))
    );
    let good = with(&token).await;
    assert_eq!(
        (good.status(), good.json()),
        (200, json!({ "message": "This is protected data" }))
    );
}

#[tokio::test]
async fn the_limited_part_answers_five_times_a_minute() {
    let service1 = Upstream::echo().await;
    let (gateway, _) = start(&service1).await;

    for _ in 0..5 {
        assert_eq!(gateway.get("/limited").await.status(), 200);
    }
    assert_eq!(gateway.get("/limited").await.status(), 429);
    assert_eq!(gateway.get("/").await.status(), 200);
}

#[tokio::test]
async fn every_request_is_logged() {
    let service1 = Upstream::echo().await;
    let (gateway, _) = start(&service1).await;

    for path in ["/", "/service1", "/protected", "/nowhere"] {
        gateway.get(path).await;
    }

    assert_eq!(gateway.outcome("/service1").await, "ok");
    assert_eq!(gateway.outcome("/protected").await, "replied");
    assert_eq!(gateway.outcome("/nowhere").await, "no-route");
    assert_eq!(gateway.access_log().len(), 4);
}
