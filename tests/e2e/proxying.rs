//! Requests and responses go through unchanged, whatever their size.

use http_body_util::BodyExt;
use portcullis_tests::{Gateway, Upstream, chunked, full, generated};
use serde_json::json;
use sha2::{Digest, Sha256};

#[tokio::test]
async fn a_request_reaches_the_upstream_and_its_answer_the_client() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    let request = gateway
        .request("POST", "/users?page=2")
        .header("x-mine", "1")
        .header("x-mine", "2");
    let response = request.json(&json!({ "name": "Ada" })).send().await;

    assert_eq!(response.status(), 200);
    let seen = response.json();
    assert_eq!(seen["method"], "POST");
    assert_eq!((&seen["path"], &seen["query"]), (&json!("/users"), &json!("page=2")));
    assert_eq!(seen["body"], r#"{"name":"Ada"}"#);
    assert_eq!(seen["headers"]["x-mine"], json!(["1", "2"]));
    assert_eq!(seen["headers"]["content-type"], json!(["application/json"]));
}

#[tokio::test]
async fn a_request_body_of_any_size_arrives_whole() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    for size in [0, 1, 65_535, 65_536, 65_537, 3_000_000] {
        let bytes = (0..size).map(|at: u32| (at * 31 % 251) as u8).collect::<Vec<_>>();
        let hash = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        for body in [full(bytes.clone()), chunked(bytes.clone())] {
            let seen = gateway.request("PUT", "/").streaming(body).send().await.json();
            assert_eq!(
                (&seen["length"], &seen["sha256"]),
                (&json!(size), &json!(hash)),
                "{size} bytes"
            );
        }
    }
}

#[tokio::test]
async fn a_response_body_of_any_size_arrives_whole() {
    let upstream = Upstream::with(|request| async move {
        let size = request.uri().path()[1..].parse().unwrap_or(0);
        let body = if request.uri().query() == Some("chunked") {
            chunked(generated(size).collect().await.expect("a body").to_bytes())
        } else {
            generated(size)
        };
        http::Response::new(body)
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;

    for size in [0, 1, 65_535, 65_536, 65_537, 3_000_000] {
        let response = gateway.get(&format!("/{size}")).await;
        assert_eq!(response.header("content-length"), size.to_string());
        assert_eq!(response.bytes().len(), size);
        let response = gateway.get(&format!("/{size}?chunked")).await;
        assert!(response.bytes().iter().enumerate().all(|(at, byte)| *byte == at as u8));
        assert_eq!(response.bytes().len(), size);
    }
}

#[tokio::test]
async fn every_method_goes_through() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        assert_eq!(gateway.request(method, "/").send().await.json()["method"], method);
    }
}

#[tokio::test]
async fn an_upstreams_own_errors_are_passed_on_as_they_are() {
    let upstream = Upstream::saying(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nx-mine: yes\r\n\r\nbusy").await;
    let gateway = Gateway::proxying(&upstream).await;

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.text().as_str()), (503, "busy"));
    assert_eq!(response.header("x-mine"), "yes");
    assert_eq!(gateway.outcome("/").await, "ok");
}

#[tokio::test]
async fn bytes_in_header_values_are_passed_on_as_they_are() {
    let upstream = Upstream::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-name: caf\xe9 \xff\r\n\r\n").await;
    let gateway = Gateway::proxying(&upstream).await;

    let response = gateway.request("GET", "/").header("x-odd", b"\x80\xfe").stream().await;

    assert_eq!(response.headers()["x-name"].as_bytes(), b"caf\xe9 \xff");
}
