//! Filters that read whole bodies, answer after having seen them, or rewrite them as they stream by.

use portcullis_tests::{Gateway, Upstream, chunked, generated, misbehaving};
use serde_json::json;

/// A gateway whose one route has a filter that does this (see `tests/misbehaving`); it asks for 1 KiB of a body.
async fn doing(upstream: &Upstream, act: &str) -> Gateway {
    doing_within(upstream, act, "").await
}

/// The same with more said about the plugin.
async fn doing_within(upstream: &Upstream, act: &str, rules: &str) -> Gateway {
    let plugin = misbehaving();
    Gateway::start(format!(
        r#"
        upstream.service.targets = ["{upstream}"]
        [plugin.acting]
        source = "{plugin}"
        {rules}
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        filters = [{{ use = "acting", settings = {{ act = "{act}" }} }}]
        "#
    ))
    .await
}

/// Answers with the request's body.
async fn mirror() -> Upstream {
    Upstream::with(|request| async move {
        let body = http_body_util::BodyExt::collect(request.into_body()).await;
        http::Response::new(chunked(body.expect("a body").to_bytes()))
    })
    .await
}

#[tokio::test]
async fn a_request_body_can_be_replaced() {
    let upstream = Upstream::echo().await;
    let gateway = doing(&upstream, "shout-request").await;

    for body in [generated(0), chunked("hello")] {
        let empty = gateway.request("POST", "/").streaming(body).send().await;
        assert_eq!(empty.status(), 200);
    }
    let seen = gateway.request("POST", "/").body("hello").send().await.json();

    assert_eq!((&seen["body"], &seen["length"]), (&json!("HELLO"), &json!(5)));
    assert_eq!(seen["headers"]["content-length"], json!(["5"]));
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test]
async fn a_request_can_be_answered_after_its_body_was_seen() {
    let upstream = Upstream::echo().await;
    let gateway = doing(&upstream, "reply-at-body").await;

    let response = gateway.request("POST", "/seen").body("hello").send().await;

    assert_eq!(
        (response.status(), response.text().as_str()),
        (418, "answered by the filter, after 5 bytes")
    );
    assert_eq!(upstream.requests(), 0);
    assert_eq!(gateway.outcome("/seen").await, "replied");
}

#[tokio::test]
async fn a_response_body_can_be_replaced() {
    let upstream = Upstream::answering("hello").await;
    let gateway = doing(&upstream, "shout-response").await;

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.text().as_str()), (200, "HELLO"));
    assert_eq!(response.header("content-length"), "5");
    let head = gateway.request("HEAD", "/").send().await;
    assert_eq!((head.status(), head.text().as_str()), (200, ""));
}

#[tokio::test]
async fn a_response_can_be_another_one_after_its_body_was_seen() {
    let upstream = Upstream::answering("hello").await;
    let gateway = doing(&upstream, "reply-at-response-body").await;

    let response = gateway.get("/seen").await;

    assert_eq!(
        (response.status(), response.text().as_str()),
        (418, "answered by the filter, after 5 bytes")
    );
    assert_eq!(upstream.requests(), 1);
    assert_eq!(gateway.outcome("/seen").await, "replied");
}

#[tokio::test]
async fn a_request_body_beyond_what_the_filter_asked_for_is_413() {
    let upstream = Upstream::echo().await;
    let gateway = doing(&upstream, "shout-request").await;

    for body in [generated(1025), chunked(vec![b'x'; 1025])] {
        let response = gateway.request("POST", "/large").streaming(body).send().await;
        assert_eq!((response.status(), response.code().as_str()), (413, "body-too-large"));
    }

    assert_eq!(upstream.requests(), 0);
    assert_eq!(gateway.outcome("/large").await, "body-too-large");
    let fits = gateway.request("POST", "/").body(vec![b'x'; 1024]).send().await;
    assert_eq!(fits.json()["body"], "X".repeat(1024));
}

#[tokio::test]
async fn a_response_body_beyond_what_the_filter_asked_for_is_502() {
    let upstream = Upstream::with(|request| async move {
        let size = request.uri().path()[1..].parse().expect("a size");
        http::Response::new(generated(size))
    })
    .await;
    let gateway = doing(&upstream, "shout-response").await;

    let large = gateway.get("/1025").await;

    assert_eq!((large.status(), large.code().as_str()), (502, "response-too-large"));
    assert_eq!(gateway.outcome("/1025").await, "response-too-large");
    let fits = gateway.get("/1024").await;
    assert_eq!((fits.status(), fits.bytes().len()), (200, 1024));
}

#[tokio::test]
async fn a_filter_may_not_buffer_more_of_either_body_than_its_limit() {
    for (act, status, code) in [
        ("shout-request", 413, "body-too-large"),
        ("shout-response", 502, "response-too-large"),
    ] {
        let upstream = mirror().await;
        let gateway = doing_within(&upstream, act, "limits = { body = '100' }").await;

        for body in [generated(101), chunked(vec![b'x'; 101])] {
            let large = gateway.request("POST", "/large").streaming(body).send().await;
            assert_eq!((large.status(), large.code().as_str()), (status, code));
        }

        assert_eq!(gateway.outcome("/large").await, code);
        let fits = gateway.request("POST", "/").body(vec![b'x'; 100]).send().await;
        assert_eq!((fits.status(), fits.text()), (200, "X".repeat(100)));
    }
}

#[tokio::test]
async fn both_bodies_can_be_transformed_while_they_stream() {
    let upstream = mirror().await;
    let gateway = doing(&upstream, "double").await;

    let response = gateway.request("POST", "/").body("ab").send().await;

    // Doubled and ended on the way in, and again on the way out.
    assert_eq!((response.status(), response.text().as_str()), (200, "aaaabbbb..."));
    assert!(!response.has("content-length") || response.header("content-length") == "11");
    let large = gateway.request("POST", "/").body(vec![b'x'; 1 << 20]).send().await;
    assert_eq!(large.bytes().len(), (4 << 20) + 3);
    let nothing = gateway.get("/").await;
    assert_eq!(nothing.text(), "...");
}

#[tokio::test]
async fn a_filter_is_told_what_became_of_the_exchange() {
    let upstream = Upstream::answering("hello").await;
    let gateway = doing(&upstream, "log-the-end").await;

    let well = gateway.request("POST", "/well").body("four").send().await;
    assert_eq!(well.text(), "hello");
    let said = "/well ended: status 200, 4 received, 5 sent, ok";
    gateway.log_line(&["acting", said]).await;

    drop(upstream);
    let badly = gateway.get("/badly").await;
    assert_eq!(badly.status(), 502);
    let outcome = gateway.outcome("/badly").await;
    let said = format!("status 502, 0 received, {} sent, {outcome}", badly.bytes().len());
    gateway.log_line(&["/badly ended", &said]).await;
}
