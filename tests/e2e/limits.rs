//! What a client may send, and how long it may take. Each test ends by showing that others are not harmed.

use std::time::Duration;

use portcullis_tests::raw_http2::{Answer, END_HEADERS, END_STREAM, Frame, kind, request};
use portcullis_tests::{Gateway, RawHttp2, Upstream, chunked, eventually, full, stepwise};

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
async fn fields_are_counted_and_targets_measured_over_http_2_too() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, "[server.limits]\nheader_count = 20\nuri_size = '1KiB'").await;
    let asked = async |path: usize, fields: usize| {
        let request = gateway.request("GET", &format!("/{}", "x".repeat(path - 1))).http2();
        let with_fields = (0..fields).fold(request, |request, number| request.header(&format!("x-{number}"), "y"));
        let response = with_fields.send().await;
        (
            response.status(),
            if response.status() == 200 {
                String::new()
            } else {
                response.code()
            },
        )
    };

    assert_eq!(asked(1, 15).await.0, 200);
    assert_eq!(asked(1, 21).await, (431, "headers-too-large".to_owned()));
    assert_eq!(asked(1024, 1).await.0, 200);
    assert_eq!(asked(1025, 1).await, (414, "uri-too-long".to_owned()));
    assert_eq!(upstream.requests(), 2);
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

/// The status that bytes are answered with.
async fn status(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> u16 {
    let mut client = gateway.raw().await;
    client.send(bytes).await;
    let head = client.read_head().await;
    head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn each_limit_of_a_head_is_exact() {
    let upstream = Upstream::answering("hello").await;
    let gateway = limited(
        &upstream,
        "[server.limits]\nheader_size = '2KiB'\nheader_count = 10\nuri_size = '1KiB'",
    )
    .await;
    let head = |target: usize, fields: usize, size: usize| {
        let mut head = format!("GET /{} HTTP/1.1\r\nhost: a\r\n", "x".repeat(target - 1));
        (2..fields).for_each(|number| head += &format!("x-{number}: y\r\n"));
        let rest = size - head.len() - "x-rest: \r\n\r\n".len();
        head + &format!("x-rest: {}\r\n\r\n", "z".repeat(rest))
    };

    assert_eq!(status(&gateway, head(1, 10, 2048)).await, 200);
    assert_eq!(status(&gateway, head(1, 10, 2049)).await, 431);
    assert_eq!(status(&gateway, head(1, 11, 1500)).await, 431);
    assert_eq!(status(&gateway, head(1024, 10, 1500)).await, 200);
    assert_eq!(status(&gateway, head(1025, 10, 1500)).await, 414);
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn the_limit_of_a_body_is_exact_however_it_comes() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, "[server.limits]\nbody_size = '64KiB'").await;
    for (size, status) in [(65_536, 200), (65_537, 413)] {
        for http2 in [false, true] {
            for streamed in [false, true] {
                let request = gateway.request("POST", "/");
                let body = vec![0; size];
                let request = match streamed {
                    true => request.streaming(chunked(body)),
                    false => request.body(body),
                };
                let request = if http2 { request.http2() } else { request };
                let answer = request.send().await.status();
                assert_eq!(answer, status, "{size} bytes, HTTP/2: {http2}, streamed: {streamed}");
            }
        }
    }
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_the_others_go_on() {
    let upstream = Upstream::with(|request| async move {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        http::Response::new(full("hello"))
    })
    .await;
    let gateway = limited(&upstream, "[server.limits]\nhttp2_streams = 2").await;
    let mut client = RawHttp2::connect(gateway.address()).await;
    const REFUSED_STREAM: u32 = 7;

    client.send(&Frame::get(1, "/never")).await;
    assert_eq!(client.get(3, "/").await, Answer::Status(200));
    client.send(&Frame::get(5, "/never")).await;
    assert_eq!(client.get(7, "/").await, Answer::Reset(REFUSED_STREAM));

    client.send(&Frame::new(kind::RST_STREAM, 0, 5, [0, 0, 0, 8])).await;
    assert_eq!(client.get(9, "/").await, Answer::Status(200));
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

#[tokio::test]
async fn trailers_have_the_size_of_a_head_at_most() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, "[server.limits]\nheader_size = '2KiB'").await;
    let with_trailer = |size: usize| {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
        format!("{head}x-after: {}\r\n\r\n", "y".repeat(size))
    };

    assert_eq!(status(&gateway, with_trailer(1000)).await, 200);
    assert_eq!(status(&gateway, with_trailer(3000)).await, 400);
    assert_eq!(gateway.get("/").await.status(), 200);
}
