//! Either side may go away at any time.

use std::time::Duration;

use bytes::Bytes;
use portcullis_tests::{Gateway, Upstream, eventually, generated, stepwise};

#[tokio::test]
async fn an_answer_may_come_before_the_request_has_ended() {
    let upstream = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
        socket
            .send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
            .await;
        socket.read_to_end().await;
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let (mut sender, body) = stepwise();
    sender
        .send_data(Bytes::from("the first of many"))
        .await
        .expect("room for one");

    let response = gateway.request("POST", "/").streaming(body).stream().await;

    assert_eq!(response.status(), 403);
    drop(sender);
}

#[tokio::test]
async fn an_answer_comes_through_though_its_target_reads_nothing_and_closes() {
    let upstream = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
        socket
            .send("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
            .await;
        // And so, with unread bytes: the connection is reset while the gateway still writes to it.
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let body = Bytes::from(vec![b'x'; 100_000]);

    for number in 0..400 {
        let response = gateway.request("POST", "/").body(body.clone()).send().await;

        let answer = (response.status(), response.text());
        assert_eq!(answer, (413, "no".to_owned()), "upload {number}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_frees_the_upstream() {
    let upstream = Upstream::with(|_| std::future::pending()).await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut client = gateway.raw().await;
    client.send("GET /left HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("the upstream works on it", async || upstream.in_flight() == 1).await;

    drop(client);

    eventually("the upstream is let go", async || upstream.in_flight() == 0).await;
    let line = gateway.logged(|line| line["path"] == "/left").await;
    assert_eq!(
        (&line["status"], &line["outcome"]),
        (&499.into(), &"client-gone".into())
    );
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_request_breaks_the_upstreams_too() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut client = gateway.raw().await;
    client
        .send("POST /left HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf")
        .await;
    eventually("the upstream has the head", async || upstream.requests() == 1).await;

    drop(client);

    eventually("the upstream is let go", async || upstream.in_flight() == 0).await;
    assert_eq!(gateway.outcome("/left").await, "client-gone");
    assert_eq!(gateway.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_response_that_breaks_off_is_never_a_short_good_one() {
    for answer in [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".as_slice(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
    ] {
        let upstream = Upstream::saying(answer).await;
        let gateway = Gateway::proxying(&upstream).await;

        let over_http1 = gateway.request("GET", "/broken").try_send().await;
        let over_http2 = gateway.request("GET", "/").http2().try_send().await;

        assert!(over_http1.is_err(), "{over_http1:?}");
        assert!(over_http2.is_err(), "{over_http2:?}");
        let outcome = gateway.outcome("/broken").await;
        assert!(
            ["upstream-reset", "upstream-malformed"].contains(&outcome.as_str()),
            "{outcome}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_closes_without_an_answer_is_502() {
    let upstream = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;

    let response = gateway.request("POST", "/").body("x").send().await;

    assert_eq!((response.status(), response.code().as_str()), (502, "upstream-reset"));
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_http_is_502() {
    for answer in [
        b"220 mail.example ESMTP\r\n\r\n".as_slice(),
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    ] {
        let upstream = Upstream::saying(answer).await;
        let gateway = Gateway::proxying(&upstream).await;

        let response = gateway.get("/").await;

        let shown = String::from_utf8_lossy(answer);
        assert_eq!(
            (response.status(), response.code().as_str()),
            (502, "upstream-malformed"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_thousand_clients_that_leave_cost_nothing_that_stays() {
    let upstream = Upstream::with(|_| async { http::Response::new(generated(1 << 30)) }).await;
    let gateway = Gateway::proxying(&upstream).await;
    gateway.admin("/health").await;
    let before = gateway.fds();

    for _ in 0..1000 {
        let mut client = gateway.raw().await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        client.sip(100).await;
    }

    eventually("descriptors are given back", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        gateway.fds() <= before + 4
    })
    .await;
}
