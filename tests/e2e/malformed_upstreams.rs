//! Upstreams that answer something that is not HTTP, or that says two things: refused, or passed on in one form.

use portcullis_tests::{Gateway, Upstream, eventually, full};

/// Answers with these bytes, then closes.
async fn behind(answer: &'static [u8]) -> (Upstream, Gateway) {
    let upstream = Upstream::saying(answer).await;
    let gateway = Gateway::proxying(&upstream).await;
    (upstream, gateway)
}

#[tokio::test]
async fn a_head_that_is_malformed_or_has_two_meanings_is_upstream_malformed() {
    for answer in [
        &b"NONSENSE\r\n\r\n"[..],
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 999 High\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: a\r\n b\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: a\0b\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: a\rb\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n: empty\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ] {
        let (_upstream, gateway) = behind(answer).await;

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
async fn what_is_said_oddly_is_passed_on_in_one_form() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let (_upstream, gateway) = behind(answer).await;
        let mut socket = gateway.raw().await;

        socket.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let received = socket.read_to_end().await;

        let shown = String::from_utf8_lossy(answer);
        let (head, body) = received.rsplit_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains("HTTP/1.1 200 OK\r\n"), "{shown}: {received}");
        assert_eq!(head.matches("content-length").count(), 1, "{shown}: {received}");
        assert!(head.contains("content-length: 2"), "{shown}: {received}");
        assert_eq!(body, "ok", "{shown}");
    }
}

#[tokio::test]
async fn a_body_whose_chunks_are_malformed_breaks_off_as_malformed() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nnonsense\r\n"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0x2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nfffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
    ] {
        let (_upstream, gateway) = behind(answer).await;

        let answered = gateway.request("GET", "/").try_send().await;

        assert!(answered.is_err(), "{}", String::from_utf8_lossy(answer));
        assert_eq!(gateway.outcome("/").await, "upstream-malformed");
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let many: String = (0..300).map(|number| format!("x-{number}: a\r\n")).collect();
    let large = format!("x: {}\r\n", "a".repeat(100_000));
    for fields in [many, large] {
        let upstream = Upstream::saying(format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n")).await;
        let gateway = Gateway::proxying(&upstream).await;
        let response = gateway.get("/").await;
        assert_eq!(
            (response.status(), response.code().as_str()),
            (502, "upstream-malformed")
        );
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_over_http_2_too() {
    for (fields, size, status) in [(80, 100, 200), (300, 1, 502), (1, 100_000, 502), (60, 2000, 502)] {
        let upstream = Upstream::with(move |_| async move {
            let response = (0..fields).fold(http::Response::builder(), |response, number| {
                response.header(format!("x-{number}"), "a".repeat(size))
            });
            response.body(full("hello")).expect("a response")
        })
        .await;
        let gateway = Gateway::before(&[&upstream], "http = '2'", "").await;

        let response = gateway.get("/").await;

        assert_eq!(response.status(), status, "{fields} fields of {size} bytes");
        assert!(
            status == 200 || response.code().starts_with("upstream-"),
            "{}",
            response.code()
        );
        assert_eq!(gateway.outcome("/").await == "ok", status == 200);
    }
}

#[tokio::test]
async fn a_target_that_gives_interim_answers_without_end_is_refused() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    for (count, status) in [(32, 200), (33, 502), (10_000, 502)] {
        let last = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let upstream = Upstream::saying(format!("{}{last}", interim.repeat(count))).await;
        let gateway = Gateway::proxying(&upstream).await;

        let response = gateway.get("/").await;

        assert_eq!(response.status(), status, "{count}");
        assert!(status == 200 || response.code() == "upstream-malformed");
    }
}

#[tokio::test]
async fn what_comes_after_a_response_is_never_the_answer_to_another_request() {
    // Two answers to one request: the second must not reach whoever asks next.
    let upstream = Upstream::raw(|mut socket| async move {
        while !socket.read_head().await.is_empty() {
            let own = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nown";
            socket
                .send(format!("{own}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"))
                .await;
        }
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut client = gateway.connect().await;

    for _ in 0..30 {
        assert_eq!(client.get("/").await.text(), "own");
    }
    eventually("every request had a connection of its own", async || {
        upstream.connections() >= 30
    })
    .await;
}
