//! What a client may send, and how long it may take. Each test ends by showing that others are not harmed.

use std::time::Duration;

use portcullis_tests::{Gateway, Upstream, chunked, eventually, stepwise};

async fn limited(upstream: &Upstream, server: &str) -> Gateway {
    Gateway::start(format!("{}{server}\n", Gateway::proxying_configuration(upstream))).await
}

#[tokio::test]
async fn a_header_section_that_is_too_large_is_431() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    let large = gateway
        .request("GET", "/")
        .header("x-large", "x".repeat(70_000))
        .send()
        .await;
    assert_eq!(large.status(), 431);
    assert_eq!(large.code(), "headers-too-large");

    let many = (0..101).fold(gateway.request("GET", "/"), |request, number| {
        request.header(&format!("x-{number}"), "x")
    });
    assert_eq!(many.send().await.status(), 431);

    let fits = gateway
        .request("GET", "/")
        .header("x-large", "x".repeat(60_000))
        .send()
        .await;
    assert_eq!(fits.status(), 200);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn a_header_section_that_is_too_large_is_refused_over_http_2_too() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    let mut connection = gateway.connect_http2().await;
    for size in [66_000, 100_000, 130_000] {
        let large = connection
            .request("GET", "/")
            .header("x-large", "x".repeat(size))
            .send()
            .await;
        assert_eq!(
            (large.status(), large.code().as_str()),
            (431, "headers-too-large"),
            "{size}"
        );
    }
    let fits = connection
        .request("GET", "/")
        .header("x-large", "x".repeat(60_000))
        .send()
        .await;
    assert_eq!(fits.status(), 200);

    // Beyond all measure hyper answers by itself, with 431, or resets the stream.
    let immense = gateway
        .request("GET", "/")
        .header("x-large", "x".repeat(500_000))
        .http2()
        .try_send()
        .await;
    assert!(!immense.is_ok_and(|response| response.status() != 431));
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn each_field_of_http_2_counts_for_more_than_its_bytes() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, "[server.limits]\nheader_size = '2KiB'").await;
    let status = async |fields: usize| {
        let request = (0..fields).fold(gateway.request("GET", "/").http2(), |request, number| {
            request.header(&format!("x-{number:02}"), "12345")
        });
        request.send().await.status()
    };

    // 42 bytes a field (RFC 9113 section 6.5.2), and some 200 for what makes a request.
    assert_eq!(status(40).await, 200);
    assert_eq!(status(48).await, 431);
}

#[tokio::test]
async fn a_request_target_that_is_too_long_is_414() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    for path in [format!("/{}", "x".repeat(8200)), format!("/?{}", "x".repeat(8200))] {
        let response = gateway.get(&path).await;
        assert_eq!((response.status(), response.code().as_str()), (414, "uri-too-long"));
    }

    assert_eq!(gateway.get(&format!("/{}", "x".repeat(8000))).await.status(), 200);
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_413_before_anything_is_forwarded() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, "[server.limits]\nbody_size = '64KiB'").await;

    let response = gateway.request("POST", "/").body(vec![0; 65_537]).send().await;

    assert_eq!((response.status(), response.code().as_str()), (413, "body-too-large"));
    assert_eq!(upstream.requests(), 0);
    assert_eq!(
        gateway.request("POST", "/").body(vec![0; 65_536]).send().await.status(),
        200
    );
}

#[tokio::test]
async fn a_body_is_counted_while_it_streams() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, "[server.limits]\nbody_size = '64KiB'").await;

    let response = gateway
        .request("POST", "/counted")
        .streaming(chunked(vec![0; 1 << 20]))
        .send()
        .await;

    assert_eq!((response.status(), response.code().as_str()), (413, "body-too-large"));
    assert_eq!(gateway.outcome("/counted").await, "body-too-large");
    eventually("the upstream is let go", async || upstream.in_flight() == 0).await;
    assert_eq!(
        gateway
            .request("POST", "/")
            .streaming(chunked(vec![0; 65_536]))
            .send()
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_route_may_have_a_limit_of_its_own() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::start(format!(
        r#"
        upstream.service.targets = ["{upstream}"]
        [[route]]
        match = "/small"
        to = "service"
        body_size = "10"
        [[route]]
        match = "/any"
        to = "service"
        body_size = "off"
        [server.limits]
        body_size = "20"
        "#
    ))
    .await;
    let post = async |path: &str| gateway.request("POST", path).body(vec![0; 15]).send().await.status();

    assert_eq!(post("/small").await, 413);
    assert_eq!(
        gateway
            .request("POST", "/any")
            .body(vec![0; 1000])
            .send()
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_not_waited_for() {
    let upstream = Upstream::answering("hello").await;
    let gateway = limited(&upstream, "[server.timeouts]\nheader = '300ms'").await;
    let mut slow = gateway.raw().await;

    slow.send("GET / HTTP/1.1\r\nhost: a\r\nx-").await;
    let answer = slow.read_to_end().await;

    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.contains("\"request-timeout\""), "{answer}");
    assert_eq!(gateway.get("/").await.status(), 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let upstream = Upstream::answering("hello").await;
    let gateway = limited(&upstream, "[server.timeouts]\nidle = '300ms'").await;
    let mut connection = gateway.connect().await;
    connection.get("/").await;

    connection.closed().await;

    assert_eq!(gateway.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_body_that_stalls_is_not_waited_for() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, "[server.timeouts]\nstall = '300ms'").await;
    let (mut sender, body) = stepwise();
    sender.send_data("some of it".into()).await.expect("room for one");

    let response = gateway.request("POST", "/stalled").streaming(body).send().await;

    assert_eq!((response.status(), response.code().as_str()), (408, "request-timeout"));
    assert_eq!(gateway.outcome("/stalled").await, "request-timeout");
    assert_eq!(gateway.get("/").await.status(), 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_not_served() {
    let upstream = Upstream::answering("hello").await;
    for limit in ["connections", "connections_per_client"] {
        let gateway = limited(&upstream, &format!("[server.limits]\n{limit} = 2")).await;
        let (mut first, mut second) = (gateway.connect().await, gateway.connect().await);
        assert_eq!(
            (first.get("/").await.status(), second.get("/").await.status()),
            (200, 200)
        );

        let third = gateway.request("GET", "/").try_stream();
        let third = tokio::time::timeout(Duration::from_millis(500), third).await;
        assert!(
            !third.is_ok_and(|third| third.is_ok_and(|response| response.status() == 200)),
            "{limit}"
        );

        assert_eq!(
            (first.get("/").await.status(), second.get("/").await.status()),
            (200, 200)
        );
        drop(first);
        eventually("there is room again", async || {
            gateway
                .request("GET", "/")
                .try_send()
                .await
                .is_ok_and(|response| response.status() == 200)
        })
        .await;
    }
}
