//! How much a client may send. Each test ends by showing that others are not harmed.

use std::time::Duration;

use portcullis_tests::raw_http2::{Answer, Frame, kind};
use portcullis_tests::{Gateway, RawHttp2, Upstream, chunked, eventually, full};

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
