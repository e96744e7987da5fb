//! What the gateway adds to a message, and what it takes out.

use portcullis_tests::{Gateway, Upstream};
use serde_json::json;

#[tokio::test]
async fn fields_of_the_connection_are_not_forwarded() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    let answer = gateway
        .raw()
        .await
        .answer_to(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: close, x-drop\r\nx-drop: 1\r\nkeep-alive: timeout=5\r\n\
             proxy-connection: keep-alive\r\nte: gzip\r\nupgrade: h2c\r\nproxy-authorization: Basic eDp5\r\n\
             x-keep: 1\r\n\r\n",
        )
        .await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for name in [
        "x-drop",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "proxy-authorization",
    ] {
        assert_eq!(upstream.last_header(name), "", "{name}");
    }
    assert_eq!(upstream.last_header("x-keep"), "1");
}

#[tokio::test]
async fn fields_of_the_upstreams_connection_do_not_reach_the_client() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close, x-drop\r\nx-drop: 1\r\nkeep-alive: timeout=5\r\n\
          proxy-connection: close\r\nx-keep: 1\r\n\r\n",
    )
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut connection = gateway.connect().await;

    let response = connection.get("/").await;

    for name in ["x-drop", "keep-alive", "proxy-connection", "connection"] {
        assert!(!response.has(name), "{name}: {}", response.header(name));
    }
    assert_eq!(response.header("x-keep"), "1");
    // `close` was meant for the gateway.
    assert_eq!(connection.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_client_cannot_name_the_gateways_own_fields_away() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;
    let names = "x-forwarded-for, x-forwarded-proto, x-forwarded-host, forwarded, via, host";

    let request = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close, {names}\r\n\r\n");
    let answer = gateway.raw().await.answer_to(request).await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for name in names.split(", ") {
        assert_ne!(upstream.last_header(name), "", "{name}");
    }
}

#[tokio::test]
async fn the_upstream_is_told_who_asked_for_what() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    gateway
        .request("GET", "/")
        .header("host", "shop.example:8080")
        .send()
        .await;

    assert_eq!(upstream.last_header("host"), "shop.example:8080");
    assert_eq!(upstream.last_header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(upstream.last_header("x-forwarded-proto"), "http");
    assert_eq!(upstream.last_header("x-forwarded-host"), "shop.example:8080");
    let forwarded = upstream.last_header("forwarded");
    assert!(
        forwarded.contains("for=127.0.0.1") && forwarded.contains("proto=http"),
        "{forwarded}"
    );
    assert!(
        upstream.last_header("via").starts_with("1.1 "),
        "{}",
        upstream.last_header("via")
    );
}

#[tokio::test]
async fn what_an_untrusted_client_says_of_itself_is_not_believed() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    let request = gateway
        .request("GET", "/")
        .header("x-forwarded-for", "6.6.6.6")
        .header("forwarded", "for=6.6.6.6");
    request
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-port", "6666")
        .header("x-forwarded-client-cert", "CN=evil")
        .header("x-real-ip", "6.6.6.6")
        .send()
        .await;

    assert_eq!(upstream.last_header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(upstream.last_header("x-forwarded-proto"), "http");
    assert_eq!(upstream.last_header("x-forwarded-host"), "localhost");
    for name in ["x-forwarded-port", "x-forwarded-client-cert", "x-real-ip"] {
        assert_eq!(upstream.last_header(name), "", "{name}");
    }
    assert!(!upstream.last_header("forwarded").contains("6.6.6.6"));
    assert_eq!(gateway.logged(|line| line["path"] == "/").await["client"], "127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_the_client_before_it() {
    let upstream = Upstream::echo().await;
    let configuration = Gateway::proxying_configuration(&upstream);
    let gateway = Gateway::start(format!("{configuration}[server]\ntrusted_proxies = ['127.0.0.0/8']\n")).await;

    let request = gateway
        .request("GET", "/")
        .header("x-forwarded-for", "6.6.6.6, 203.0.113.9");
    request.header("x-forwarded-proto", "https").send().await;

    // The last address that no trusted proxy vouches for is the client; what stands before it may be invented.
    assert_eq!(
        gateway.logged(|line| line["path"] == "/").await["client"],
        "203.0.113.9"
    );
    assert_eq!(
        upstream.last_header("x-forwarded-for"),
        "6.6.6.6, 203.0.113.9, 127.0.0.1"
    );
    assert_eq!(upstream.last_header("x-forwarded-proto"), "https");
}

#[tokio::test]
async fn a_rewritten_host_is_what_the_upstream_sees() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::start(format!(
        r#"
        upstream.service.targets = ["{upstream}"]
        [[route]]
        match = "/"
        to = "service"
        rewrite = {{ host = "internal.example" }}
        "#
    ))
    .await;

    let seen = gateway
        .request("GET", "/")
        .header("host", "shop.example")
        .send()
        .await
        .json();

    assert_eq!(seen["headers"]["host"], json!(["internal.example"]));
    assert_eq!(seen["headers"]["x-forwarded-host"], json!(["shop.example"]));
}

#[tokio::test]
async fn responses_pass_through_with_all_their_own_fields() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nserver: mine\r\n\
          date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
    )
    .await;
    let gateway = Gateway::proxying(&upstream).await;

    let response = gateway.get("/").await;

    assert_eq!(response.header_values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.header("server"), "mine");
    assert_eq!(response.header_values("date"), ["Sun, 06 Nov 1994 08:49:37 GMT"]);
}
