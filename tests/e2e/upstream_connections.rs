//! Connections to upstreams are kept and used again, and a dead one costs no request.

use portcullis_tests::{Gateway, Upstream, eventually};

#[tokio::test]
async fn a_connection_to_the_upstream_is_used_again() {
    let upstream = Upstream::answering("hello").await;
    let gateway = Gateway::proxying(&upstream).await;

    for _ in 0..50 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }

    // One for each of the two threads.
    assert!(upstream.connections() <= 2, "{}", upstream.connections());
}

#[tokio::test]
async fn a_client_keeps_its_connection_over_many_requests() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut connection = gateway.connect().await;

    for size in [0, 10, 100_000, 0, 3] {
        let response = connection.request("POST", "/").body(vec![b'x'; size]).send().await;
        assert_eq!(response.json()["length"], size);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_pooled_connection_that_died_costs_no_request() {
    // Promises to keep the connection, and closes it.
    let upstream = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
        socket.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut connection = gateway.connect().await;

    for number in 0..100 {
        let response = connection.get("/").await;
        assert_eq!(
            (response.status(), response.text().as_str()),
            (200, "ok"),
            "request {number}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_comes_back_is_used_again() {
    let mut upstream = Upstream::answering("first").await;
    let gateway = Gateway::proxying(&upstream).await;
    assert_eq!(gateway.get("/").await.text(), "first");

    upstream.stop().await;
    let response = gateway.get("/").await;
    assert_eq!((response.status(), response.code().as_str()), (502, "upstream-connect"));

    let _second = Upstream::answering_at(upstream.address(), "second").await;
    eventually("it answers again", async || gateway.get("/").await.text() == "second").await;
}

#[tokio::test]
async fn idle_connections_to_upstreams_are_closed_in_time() {
    let upstream = Upstream::answering("hello").await;
    let gateway = Gateway::start(format!(
        r#"
        upstream.service = {{ targets = ["{upstream}"], keep_for = "200ms" }}
        [[route]]
        match = "/"
        to = "service"
        "#
    ))
    .await;
    gateway.get("/").await;

    eventually("the idle connection is closed", async || {
        upstream.open_connections() == 0
    })
    .await;

    assert_eq!(gateway.get("/").await.status(), 200);
}
