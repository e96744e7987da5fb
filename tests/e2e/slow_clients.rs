//! How long a client may take, to send and to read. Each test ends by showing that others are not harmed.

use std::time::Duration;

use portcullis_tests::raw_http2::{Answer, END_HEADERS, END_STREAM, Frame, kind, request};
use portcullis_tests::{Gateway, RawHttp2, Upstream, eventually, stepwise};

async fn limited(upstream: &Upstream, server: &str) -> Gateway {
    Gateway::start(format!("{}{server}\n", Gateway::proxying_configuration(upstream))).await
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_not_waited_for() {
    let upstream = Upstream::answering("hello").await;
    let gateway = limited(&upstream, "[server.timeouts]\nheader = '1s'").await;
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
    let gateway = limited(&upstream, "[server.timeouts]\nidle = '1s'").await;
    let mut connection = gateway.connect().await;
    connection.get("/").await;

    connection.closed().await;

    assert_eq!(gateway.get("/").await.status(), 200);
}

#[tokio::test]
async fn an_idle_connection_of_http_2_is_closed_in_time() {
    let upstream = Upstream::answering("hello").await;
    let gateway = limited(&upstream, "[server.timeouts]\nidle = '1s'").await;
    let mut client = RawHttp2::connect(gateway.address()).await;
    assert_eq!(client.get(1, "/").await, Answer::Status(200));

    // It is told to go, without a reproach.
    assert_eq!(client.ended().await, Some(0));

    assert_eq!(gateway.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_response_that_nobody_takes_is_broken_off() {
    const LARGE: u64 = 50_000_000;
    let upstream = Upstream::with(|request| async move {
        let size = if request.uri().path() == "/large" { LARGE } else { 10 };
        http::Response::new(portcullis_tests::generated(size))
    })
    .await;
    let limits = "[server.timeouts]\nstall = '500ms'\n[server.limits]\nbody_rate = 'off'";
    let gateway = limited(&upstream, limits).await;
    let mut client = gateway.raw().await;

    client.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;

    assert_eq!(gateway.outcome("/large").await, "client-gone");
    eventually("the upstream is let go", async || upstream.open_connections() == 0).await;
    let mut taken = 0;
    while let some @ 1.. = client.sip(65_536).await {
        taken += some as u64;
    }
    assert!(taken < LARGE, "what lies in the kernel's buffers is all that comes");
    assert_eq!(gateway.get("/small").await.status(), 200);
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
async fn a_header_section_of_http_2_has_to_come_in_time_too() {
    let upstream = Upstream::answering("hello").await;
    let gateway = limited(&upstream, "[server.timeouts]\nheader = '300ms'").await;
    let whole = Frame::headers(1, END_STREAM | END_HEADERS, &request("GET", "/")).bytes();

    let mut section = RawHttp2::connect(gateway.address()).await;
    section.send(&Frame::headers(1, END_STREAM, &request("GET", "/"))).await;
    assert_eq!(section.answer(1).await, Answer::Closed);

    let mut frame = gateway.raw().await;
    frame
        .send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    frame.send(&whole[..whole.len() - 1]).await;
    frame.read_to_end().await;
}

#[tokio::test]
async fn what_keeps_within_its_time_is_served() {
    let upstream = Upstream::echo().await;
    let gateway = limited(
        &upstream,
        "[server.timeouts]\nheader = '5s'\nidle = '5s'\nstall = '5s'\n[server.limits]\nbody_rate = '100B/s'",
    )
    .await;
    let mut client = gateway.raw().await;

    // Each part comes late, and none too late; the connection rests in between.
    for _ in 0..2 {
        for part in [
            "POST / HTTP/1.1\r\n",
            "host: a\r\ncontent-length: 10\r\n",
            "\r\n",
            "hello",
            "hello",
        ] {
            assert!(client.is_silent_for(Duration::from_millis(100)).await);
            client.send(part).await;
        }
        assert!(client.read_head().await.starts_with("HTTP/1.1 200"));
        client.read_until("}}").await;
    }
}

#[tokio::test]
async fn a_body_that_trickles_in_is_not_waited_for() {
    let upstream = Upstream::echo().await;
    let limits = "[server.timeouts]\nbody_grace = '300ms'\n[server.limits]\nbody_rate = '1KiB/s'";
    let gateway = limited(&upstream, limits).await;
    let trickle = async |kind: &str, bytes: usize, times: u32| {
        let (mut sender, body) = stepwise();
        let request = gateway.request("POST", "/trickle").header("content-type", kind);
        let answer = tokio::spawn(request.streaming(body).send());
        for _ in 0..times {
            if sender.send_data(vec![b'x'; bytes].into()).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(sender);
        answer.await.expect("an answer")
    };

    let slow = trickle("text/plain", 1, 200).await;
    assert_eq!((slow.status(), slow.code().as_str()), (408, "request-timeout"));
    // 20 KiB a second, or somewhat less on a busy machine.
    assert_eq!(trickle("text/plain", 1000, 20).await.status(), 200);
    // A conversation has its pauses.
    assert_eq!(trickle("application/grpc", 1, 20).await.status(), 200);
    assert_eq!(gateway.outcome("/trickle").await, "request-timeout");
}

#[tokio::test]
async fn a_response_that_is_hardly_taken_is_broken_off() {
    let upstream = Upstream::with(|_| async { http::Response::new(portcullis_tests::generated(50_000_000)) }).await;
    let limits = "[server.timeouts]\nbody_grace = '300ms'\n[server.limits]\nbody_rate = '50MiB/s'";
    let gateway = limited(&upstream, limits).await;

    let mut client = gateway.raw().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut taken = 0;
    while let some @ 1.. = client.sip(1000).await {
        taken += some;
        // Slower and slower than what is wanted, until the gateway has had enough; then what is left comes at once.
        if upstream.in_flight() + upstream.open_connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(taken < 50_000_000, "all of it was sent");

    // The same over HTTP/2, where the client gives windows of a byte.
    let mut client = RawHttp2::connect(gateway.address()).await;
    client.send(&Frame::new(kind::SETTINGS, 0, 0, [0, 4, 0, 0, 0, 1])).await;
    assert_eq!(client.get(1, "/").await, Answer::Status(200));
    let mut windows = 0;
    let reset = loop {
        match client.next().await.expect("the connection stays") {
            frame if frame.kind == kind::DATA => {
                windows += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
                client.send(&Frame::new(kind::WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])).await;
            }
            frame if frame.kind == kind::RST_STREAM => break frame,
            _ => {}
        }
    };
    assert_eq!((reset.stream, reset.payload), (1, vec![0, 0, 0, CANCEL]));
    assert!(windows < 10_000, "{windows} bytes were taken one by one");
}

/// The error code of streams that are not wanted any more (RFC 9113 section 7).
const CANCEL: u8 = 8;

#[tokio::test]
async fn a_stream_without_a_window_is_reset_alone() {
    let upstream = Upstream::with(|request| async move {
        let size = if request.uri().path() == "/large" {
            1_000_000
        } else {
            10
        };
        http::Response::new(portcullis_tests::generated(size))
    })
    .await;
    let gateway = limited(&upstream, "[server.timeouts]\nstall = '300ms'").await;
    let mut client = RawHttp2::connect(gateway.address()).await;
    // Each stream has a window of 100 bytes, and no more.
    client
        .send(&Frame::new(kind::SETTINGS, 0, 0, [0, 4, 0, 0, 0, 100]))
        .await;
    assert_eq!(client.get(1, "/large").await, Answer::Status(200));

    let answer = client.answer(1).await;

    assert_eq!(answer, Answer::Reset(u32::from(CANCEL)));
    assert_eq!(client.get(3, "/small").await, Answer::Status(200));
    let data = client.next().await.expect("the connection stays");
    assert_eq!((data.stream, data.payload.len()), (3, 10));
    assert_eq!(gateway.outcome("/large").await, "client-gone");
}
