//! WebSockets over HTTP/2 (RFC 8441), with tungstenite at both ends.

use std::time::Duration;

use portcullis_tests::raw_http2::{Answer, END_HEADERS, Frame, kind, request};
use portcullis_tests::{Gateway, RawHttp2, Upstream, WebSocket, eventually};
use tokio_tungstenite::tungstenite::Message;

async fn echoing() -> (Upstream, Gateway) {
    let upstream = Upstream::websockets(WebSocket::echo).await;
    let gateway = Gateway::proxying(&upstream).await;
    (upstream, gateway)
}

#[tokio::test]
async fn messages_go_both_ways_beside_other_requests() {
    let (upstream, gateway) = echoing().await;
    let mut client = gateway.connect_http2().await;
    assert_eq!(client.get("/plain").await.status(), 426);
    let mut one = WebSocket::open_over(&mut client, "/chat?room=1")
        .await
        .expect("a WebSocket");
    assert_eq!(upstream.last_target(), "/chat?room=1");
    assert_eq!(upstream.last_header("sec-websocket-version"), "13");
    assert_eq!(upstream.last_header(":protocol"), "");
    let mut other = WebSocket::open_over(&mut client, "/chat?room=2")
        .await
        .expect("a WebSocket");

    for number in 0..100 {
        one.send(format!("one {number}")).await;
        other.send(format!("other {number}")).await;
    }
    for number in 0..100 {
        assert_eq!(other.text().await, format!("other {number}"));
        assert_eq!(one.text().await, format!("one {number}"));
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    one.send(large.clone()).await;
    assert!(one.next().await.expect("a message") == Message::from(large));
    assert_eq!(client.get("/plain").await.status(), 426);
    assert_eq!(gateway.metric("portcullis_connections_upgraded", &[]).await, 2.0);
    assert_eq!(gateway.metric("portcullis_connections", &[]).await, 1.0);

    one.close(1000, "").await;
    drop(one);
    let line = gateway.logged(|line| line["path"] == "/chat").await;
    assert_eq!((&line["status"], &line["outcome"]), (&200.into(), &"upgraded".into()));
    assert_eq!(line["protocol"], "HTTP/2");
    other.send("still there").await;
    assert_eq!(other.text().await, "still there");
    drop((other, client));
    eventually("they are counted out", async || {
        gateway.metric("portcullis_connections_upgraded", &[]).await == 0.0
    })
    .await;
}

#[tokio::test]
async fn what_the_target_refuses_is_refused() {
    let upstream = Upstream::answering("no").await;
    let broken = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
        socket
            .send(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            )
            .await;
        socket.read_to_end().await;
    })
    .await;
    let gateway = Gateway::start(format!(
        "upstream.plain.targets = ['{upstream}']\nupstream.broken.targets = ['{broken}']\n\
         [[route]]\nmatch = '/plain'\nto = 'plain'\n[[route]]\nmatch = '/broken'\nto = 'broken'\n\
         [[route]]\nmatch = '/never'\nto = 'plain'\nupgrade = []\n"
    ))
    .await;
    let mut client = gateway.connect_http2().await;
    assert_eq!(client.get("/plain").await.status(), 200);

    // A success without 101 is none; nor is an answer to another handshake.
    for (path, status) in [("/plain", 502), ("/broken", 502), ("/never", 501), ("/nowhere", 404)] {
        let refused = WebSocket::open_over(&mut client, path).await.expect_err("refused");
        assert_eq!(refused.status(), status, "{path}");
    }
    assert_eq!(client.get("/plain").await.status(), 200);
}

#[tokio::test]
async fn other_ways_to_connect_are_refused_as_before() {
    let (_upstream, gateway) = echoing().await;
    let mut client = RawHttp2::connect(gateway.address()).await;
    let mut fields = request("CONNECT", "/").to_vec();
    fields.push((":protocol", "connect-udp"));
    client.send(&Frame::headers(1, END_HEADERS, &fields)).await;
    assert_eq!(client.answer(1).await, Answer::Status(501));
    client
        .send(&Frame::headers(
            3,
            END_HEADERS,
            &[(":method", "CONNECT"), (":authority", "a:1")],
        ))
        .await;
    assert_eq!(client.answer(3).await, Answer::Status(501));
}

#[tokio::test]
async fn it_is_only_announced_where_a_route_goes_on_so() {
    let (_upstream, with) = echoing().await;
    let without = Gateway::greeting().await;
    for (gateway, announced) in [(&with, true), (&without, false)] {
        let mut client = RawHttp2::connect(gateway.address()).await;
        let settings = loop {
            match client.next().await.expect("SETTINGS") {
                frame if frame.kind == kind::SETTINGS && frame.flags == 0 => break frame,
                _ => {}
            }
        };
        let enabled = settings.payload.chunks(6).any(|setting| setting == [0, 8, 0, 0, 0, 1]);
        assert_eq!(enabled, announced);
    }
}

#[tokio::test]
async fn a_silent_one_is_closed_in_time_and_its_connection_stays() {
    let upstream = Upstream::websockets(WebSocket::echo).await;
    let gateway = Gateway::start(format!(
        "{}[server.timeouts]\nupgrade_idle = '2s'\n",
        Gateway::proxying_configuration(&upstream)
    ))
    .await;
    let mut client = gateway.connect_http2().await;
    assert_eq!(client.get("/plain").await.status(), 426);
    let mut socket = WebSocket::open_over(&mut client, "/chat").await.expect("a WebSocket");
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        socket.send("hello").await;
        assert_eq!(socket.text().await, "hello");
    }

    assert!(socket.next().await.is_err());

    assert_eq!(gateway.outcome("/chat").await, "upgrade-idle");
    assert_eq!(client.get("/plain").await.status(), 426);
}
