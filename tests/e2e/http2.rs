//! HTTP/2 by prior knowledge, to clients and to upstreams.

use http_body_util::BodyExt;
use portcullis_tests::{Gateway, Upstream, full, generated};
use serde_json::json;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_client_of_http_2_reaches_an_upstream_of_http_1() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    let request = gateway
        .request("POST", "/a?b=c")
        .header("host", "shop.example")
        .body("hello")
        .http2();
    let response = request.send().await;

    assert_eq!(response.version(), http::Version::HTTP_2);
    let seen = response.json();
    assert_eq!((&seen["version"], &seen["body"]), (&json!("HTTP/1.1"), &json!("hello")));
    assert_eq!(seen["headers"]["host"], json!(["shop.example"]));
    assert_eq!((&seen["path"], &seen["query"]), (&json!("/a"), &json!("b=c")));
}

#[tokio::test]
async fn an_upstream_may_be_spoken_to_in_http_2() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::start(format!(
        r#"
        upstream.service = {{ targets = ["{upstream}"], http = "2" }}
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        "#
    ))
    .await;

    for http2 in [false, true] {
        let request = gateway
            .request("PUT", "/a")
            .header("host", "shop.example")
            .streaming(full("hello"));
        let seen = if http2 { request.http2() } else { request }.send().await.json();
        assert_eq!((&seen["version"], &seen["body"]), (&json!("HTTP/2.0"), &json!("hello")));
        assert_eq!(seen["authority"], "shop.example");
    }
    assert!(
        upstream.connections() <= 2,
        "one connection a thread carries all of them"
    );
}

#[tokio::test]
async fn streams_of_one_connection_do_not_wait_for_each_other() {
    let upstream = Upstream::with(|request| async move {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        http::Response::new(full("now"))
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut connection = gateway.connect_http2().await;

    let mut other = connection.share();
    let never = tokio::spawn(async move { other.request("GET", "/never").try_stream().await.map(drop) });
    for _ in 0..20 {
        assert_eq!(connection.get("/").await.text(), "now");
    }
    assert!(!never.is_finished());
    never.abort();
}

#[tokio::test]
async fn a_hundred_requests_at_once_get_each_its_own_answer() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    let mut requests = JoinSet::new();
    for number in 0..100 {
        let request = gateway.request("GET", &format!("/{number}")).http2();
        requests.spawn(async move {
            let response = request.try_stream().await.expect("a response");
            (number, response.into_body().collect().await.expect("a body").to_bytes())
        });
    }
    for (number, body) in requests.join_all().await {
        let seen: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(seen["path"], format!("/{number}"));
    }
}

#[tokio::test]
async fn large_bodies_go_both_ways_over_http_2() {
    let upstream = Upstream::with(|request| async move { http::Response::new(boxed(request.into_body())) }).await;
    let gateway = Gateway::proxying(&upstream).await;

    let response = gateway
        .request("POST", "/")
        .streaming(generated(5_000_000))
        .http2()
        .send()
        .await;

    assert_eq!(response.bytes().len(), 5_000_000);
    assert!(response.bytes().iter().enumerate().all(|(at, byte)| *byte == at as u8));
}

fn boxed(body: hyper::body::Incoming) -> portcullis_tests::Body {
    body.map_err(std::io::Error::other).boxed_unsync()
}
