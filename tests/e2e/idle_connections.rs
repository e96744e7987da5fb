//! Connections on which nothing happens for a while. `benches/idle.rs` has 10,000 of them, and reads the memory.

use futures_util::{StreamExt, stream};
use portcullis_tests::{Connection, Gateway, Secured, TlsClient};

const GREETING: &str = "[[route]]\nmatch = '/'\nrespond = { body = 'hello' }\n";

/// Asks once on each connection, and gives them back.
async fn asked(connections: impl IntoIterator<Item = Connection>) -> Vec<Connection> {
    let asked = stream::iter(connections).map(async |mut connection| {
        assert_eq!(connection.get("/").await.text(), "hello");
        connection
    });
    asked.buffer_unordered(50).collect().await
}

#[tokio::test]
async fn five_hundred_connections_stay_open_and_still_answer() {
    // Most shells give a program no more than 1,024 descriptors. It takes what it can have.
    let gateway = Gateway::start_with_descriptors(200, GREETING).await;
    let mut connections = Vec::new();
    for _ in 0..500 {
        connections.push(gateway.connect().await);
    }

    let connections = asked(connections).await;
    assert!(gateway.fds() > 500);
    let connections = asked(connections).await;

    assert_eq!(gateway.metric("portcullis_connections", &[]).await, 500.0);
    assert_eq!(connections.len(), 500);
}

#[tokio::test]
async fn so_do_those_of_http2() {
    let gateway = Gateway::start(GREETING).await;
    let mut connections = Vec::new();
    for _ in 0..200 {
        connections.push(gateway.connect_http2().await);
    }

    for _ in 0..2 {
        connections = asked(connections).await;
    }

    assert_eq!(gateway.metric("portcullis_connections", &[]).await, 200.0);
}

#[tokio::test]
async fn so_do_those_under_tls() {
    let edge = Secured::start(&["localhost"], "", GREETING).await;
    let client = TlsClient::trusting(&edge.authority);
    let mut connections = Vec::new();
    for _ in 0..200 {
        connections.push(client.http1(edge.gateway.secure_address(), "localhost").await);
    }

    for _ in 0..2 {
        connections = asked(connections).await;
    }

    assert_eq!(edge.gateway.metric("portcullis_connections", &[]).await, 200.0);
}
