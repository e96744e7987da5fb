//! `Expect: 100-continue`: a body is asked for when somebody wants it, and not before.

use std::time::Duration;

use portcullis_tests::{Folder, Gateway, Process, Raw, Upstream, has_program};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

async fn echoing() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::start(format!(
        r#"
        upstream.service.targets = ["{upstream}"]
        upstream.nobody.targets = ["http://{}"]
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        body_size = "1KiB"
        [[route]]
        match = "/guarded"
        to = "service"
        filters = [{{ use = "token-auth", settings = {{ tokens = ["good"] }} }}]
        [[route]]
        match = "/fixed"
        respond = {{ body = "hello" }}
        [[route]]
        match = "/absent"
        to = "nobody"
        "#,
        Upstream::absent().await
    ))
    .await;
    (upstream, gateway)
}

async fn asking(gateway: &Gateway, line: &str, fields: &str) -> Raw {
    let mut socket = gateway.raw().await;
    socket
        .send(format!("{line}\r\nhost: a\r\nexpect: 100-continue\r\n{fields}\r\n\r\n"))
        .await;
    socket
}

#[tokio::test]
async fn the_body_is_asked_for_once_and_then_forwarded() {
    let (upstream, gateway) = echoing().await;
    for (framing, body) in [
        ("content-length: 5", "hello"),
        ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let mut socket = asking(&gateway, "POST / HTTP/1.1", framing).await;
        assert_eq!(socket.read_head().await, CONTINUE);
        assert!(socket.is_silent_for(Duration::from_millis(50)).await);
        socket.send(body).await;
        assert!(socket.read_head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        let answer = socket.read_until("}}").await;
        assert!(answer.contains("\"body\":\"hello\""), "{answer}");
        assert_eq!(upstream.last_header("expect"), "", "the gateway has asked already");
        // And the connection goes on.
        socket.send("GET /next HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(socket.read_head().await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn a_body_that_comes_unasked_is_taken() {
    let (_upstream, gateway) = echoing().await;
    let mut socket = asking(&gateway, "POST / HTTP/1.1", "content-length: 5\r\n\r\nhello\r\n").await;
    let mut head = socket.read_head().await;
    if head == CONTINUE {
        head = socket.read_head().await;
    }
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(socket.read_until("}}").await.contains("\"body\":\"hello\""));
}

#[tokio::test]
async fn who_gets_no_further_is_not_asked_for_a_body() {
    let (upstream, gateway) = echoing().await;
    for (line, fields, status) in [
        ("POST /guarded HTTP/1.1", "content-length: 5", "401 "),
        ("POST / HTTP/1.1", "content-length: 5000", "413 "),
        ("POST /fixed HTTP/1.1", "content-length: 5", "200 "),
        ("POST /absent HTTP/1.1", "content-length: 5", "502 "),
        ("POST /a%00b HTTP/1.1", "content-length: 5", "400 "),
    ] {
        let answer = asking(&gateway, line, fields).await.read_to_end().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
        assert!(!answer.contains("100 Continue"), "{line}: {answer}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_client_of_http_1_0_and_a_request_without_body_are_never_told() {
    let (_upstream, gateway) = echoing().await;
    let old = asking(&gateway, "POST / HTTP/1.0", "content-length: 5\r\n\r\nhello")
        .await
        .read_to_end()
        .await;
    assert!(
        old.starts_with("HTTP/1.0 200 OK\r\n") && old.contains("\"body\":\"hello\""),
        "{old}"
    );
    let bare = asking(&gateway, "GET / HTTP/1.1", "connection: close")
        .await
        .read_to_end()
        .await;
    assert!(bare.starts_with("HTTP/1.1 200 OK\r\n"), "{bare}");
}

#[tokio::test]
async fn curl_waits_for_the_word_and_sends_then() {
    if !has_program("curl") {
        return;
    }
    let (_upstream, gateway) = echoing().await;
    let folder = Folder::new();
    let body = folder.write("body", "hello");
    let data = format!("@{}", body.display());
    let run = async |path: &str| {
        let url = format!("http://{}{path}", gateway.address());
        // It would wait for half a minute: long enough to see that it does not.
        let curl = Process::curl(&[
            "-sSv",
            "--expect100-timeout",
            "30",
            "-H",
            "expect: 100-continue",
            "--data-binary",
            &data,
            &url,
        ]);
        assert_eq!(curl.exited().await, 0);
        (curl.stderr().join("\n"), curl.stdout().join("\n"))
    };

    let (said, answer) = run("/").await;
    assert!(
        said.contains("< HTTP/1.1 100 Continue") && said.contains("< HTTP/1.1 200 OK"),
        "{said}"
    );
    assert!(answer.contains("\"body\":\"hello\""), "{answer}");
    let (said, _) = run("/guarded").await;
    assert!(
        !said.contains("100 Continue") && said.contains("< HTTP/1.1 401"),
        "{said}"
    );
}
