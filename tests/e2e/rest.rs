//! Connections of HTTP/1 that are idle for more than a second hold no buffers, and nobody can tell: what comes next is
//! treated as if it had come at once.

use std::time::{Duration, Instant};

use portcullis_tests::{Gateway, Raw, Secured, TlsClient, eventually};

const ROUTES: &str = "
    [[route]]
    match = '/'
    respond = { body = 'hello' }
    [server.timeouts]
    idle = '4s'
    header = '2s'
";
const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn resting(gateway: &Gateway, connections: f64) {
    eventually("the connection rests", async || {
        gateway.metric("portcullis_connections_resting", &[]).await == connections
    })
    .await;
}

/// A connection that has served a request, and rests.
async fn rested(gateway: &Gateway) -> Raw {
    let mut raw = gateway.raw().await;
    raw.send(GET).await;
    raw.read_until("hello").await;
    resting(gateway, 1.0).await;
    raw
}

#[tokio::test]
async fn it_serves_requests_as_before() {
    let gateway = Gateway::start(ROUTES).await;
    let mut raw = rested(&gateway).await;

    // In one piece, in two, and byte by byte.
    raw.send(format!("{GET}{GET}")).await;
    raw.read_until("hello").await;
    raw.read_until("hello").await;
    resting(&gateway, 1.0).await;
    for byte in GET.bytes() {
        raw.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert!(raw.read_until("hello").await.starts_with("HTTP/1.1 200 "));
    resting(&gateway, 1.0).await;
    let large = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    raw.send(large).await;
    assert!(raw.read_until("hello").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn what_is_malformed_is_refused_as_before() {
    let gateway = Gateway::start(ROUTES).await;
    let mut raw = rested(&gateway).await;

    raw.send("GET / HTTP/1.1\r\nhost : localhost\r\n\r\n").await;

    assert!(raw.read_to_end().await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_too_late() {
    let gateway = Gateway::start(ROUTES).await;
    let mut raw = rested(&gateway).await;

    raw.send("GET / HTTP/1.1\r\n").await;

    assert!(raw.read_to_end().await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn it_is_closed_when_it_was_idle_for_too_long() {
    let gateway = Gateway::start(ROUTES).await;
    let mut raw = rested(&gateway).await;

    assert_eq!(raw.read_to_end().await, "");
    resting(&gateway, 0.0).await;
}

#[tokio::test]
async fn its_client_may_leave() {
    let gateway = Gateway::start(ROUTES).await;
    drop(rested(&gateway).await);

    eventually("it is gone", async || {
        gateway.metric("portcullis_connections", &[]).await == 0.0
    })
    .await;
    resting(&gateway, 0.0).await;
}

#[tokio::test]
async fn it_does_not_hold_up_the_end() {
    let gateway = Gateway::start(ROUTES).await;
    let mut raw = rested(&gateway).await;
    let begin = Instant::now();

    assert_eq!(gateway.stop().await, 0);

    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(raw.read_to_end().await, "");
}

#[tokio::test]
async fn it_rests_under_tls_as_well() {
    let edge = Secured::start(&["localhost"], "", ROUTES).await;
    let client = TlsClient::trusting(&edge.authority);
    let mut connection = client.http1(edge.gateway.secure_address(), "localhost").await;

    for _ in 0..3 {
        assert_eq!(connection.get("/").await.text(), "hello");
        resting(&edge.gateway, 1.0).await;
    }
}
