//! Requests that servers read differently are refused, and nothing of them reaches an upstream.

use portcullis_tests::{Gateway, Upstream};

/// Sends each request, sees it answered with 400 (or the connection closed without a word, where nothing can be
/// answered), and sees that others go on.
async fn refused(requests: &[&str]) {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut other = gateway.connect().await;
    for request in requests {
        let answer = gateway.raw().await.answer_to(request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400"),
            "{request:?} was answered with {answer:?}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{request:?} was taken for two: {answer:?}"
        );
        assert_eq!(upstream.requests(), 0, "{request:?} was forwarded");
    }
    assert_eq!(other.get("/").await.status(), 200);
}

#[tokio::test]
async fn what_is_refused_before_it_is_a_request_is_in_the_log_by_its_id() {
    let gateway = Gateway::proxying(&Upstream::echo().await).await;

    let answer = gateway.raw().await.answer_to("GET / HTTP/1.1\nhost: a\n\n").await;

    let problem = answer.split("\r\n\r\n").nth(1).expect("a body");
    let problem: serde_json::Value = serde_json::from_str(problem).expect("JSON");
    let line = gateway.logged(|line| line["id"] == problem["id"]).await;
    assert_eq!(
        (&line["status"], &line["outcome"]),
        (&400.into(), &"bad-request".into())
    );
}

#[tokio::test]
async fn messages_of_two_lengths_are_refused() {
    refused(&[
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn transfer_codings_but_chunked_are_refused() {
    refused(&[
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn odd_field_lines_are_refused() {
    refused(&[
        "GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx-a : 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n x-a: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx a: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx-a: \x001\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\rx-b: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx_a: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx-\u{e9}: 1\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn bare_line_feeds_are_refused() {
    refused(&[
        "GET / HTTP/1.1\nhost: a\n\n",
        "GET / HTTP/1.1\r\nhost: a\nx-a: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn odd_request_lines_are_refused() {
    refused(&[
        "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1 x\r\nhost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
        "G@T( / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET nothing HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / http/1.1\r\nhost: a\r\n\r\n",
        "GET /#fragment HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn a_host_that_is_missing_double_or_another_one_is_refused() {
    refused(&[
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: user@a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn an_absolute_target_that_agrees_with_host_is_served() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    let request = "GET http://a/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = gateway.raw().await.answer_to(request).await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(upstream.last_target(), "/x");
}

#[tokio::test]
async fn a_chunked_body_that_is_malformed_is_the_clients_fault() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    for body in [
        "zz\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "-1\r\n\r\n",
        "fffffffffffffffff\r\n",
        "5;\x01\r\nhello\r\n0\r\n\r\n",
    ] {
        let request = format!("POST /chunks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        let answer = gateway.raw().await.answer_to(request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{body:?}: {answer}");
        assert!(answer.contains("\"bad-request\""), "{body:?}: {answer}");
    }
    assert_eq!(gateway.outcome("/chunks").await, "bad-request");
    assert_eq!(gateway.get("/").await.status(), 200);
}

#[tokio::test]
async fn connect_is_refused() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    let answer = gateway
        .raw()
        .await
        .answer_to("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n")
        .await;

    assert!(answer.starts_with("HTTP/1.1 501"), "{answer}");
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn bytes_that_are_no_http_are_refused() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"\x00\x00\x00\x00",
        b"hello\r\n\r\n",
    ] {
        let mut client = gateway.raw().await;
        client.send(bytes).await;
        client.finish().await;
        let answer = client.read_to_end().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_eq!(gateway.get("/").await.status(), 200);
}

#[tokio::test]
async fn underscores_may_be_let_through() {
    let upstream = Upstream::echo().await;
    let configuration = Gateway::proxying_configuration(&upstream);
    let gateway = Gateway::start(format!("{configuration}[server]\nunderscores_in_headers = true\n")).await;

    gateway.request("GET", "/").header("x_a", "1").send().await;

    assert_eq!(upstream.last_header("x_a"), "1");
}
