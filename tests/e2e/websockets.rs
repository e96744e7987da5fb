//! WebSockets through the gateway, with tungstenite at both ends, and with a browser.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_tests::{
    Folder, Gateway, Process, Secured, TlsClient, Upstream, WebSocket, eventually, full, has_program,
};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

async fn echoing() -> (Upstream, Gateway) {
    let upstream = Upstream::websockets(WebSocket::echo).await;
    let gateway = Gateway::proxying(&upstream).await;
    (upstream, gateway)
}

async fn open_now(gateway: &Gateway) -> f64 {
    gateway.metric("portcullis_connections_upgraded", &[]).await
}

#[tokio::test]
async fn messages_go_both_ways_and_are_counted() {
    let (upstream, gateway) = echoing().await;
    let mut socket = gateway.websocket("/chat?room=1").await;
    assert_eq!(upstream.last_target(), "/chat?room=1");
    assert_eq!(upstream.last_header("x-forwarded-proto"), "http");

    socket.send("hello").await;
    assert_eq!(socket.text().await, "hello");
    socket.send(vec![0, 159, 146, 150]).await;
    assert_eq!(
        socket.next().await.expect("a message"),
        Message::from(vec![0, 159, 146, 150])
    );
    assert_eq!(open_now(&gateway).await, 1.0);
    assert_eq!(gateway.metric("portcullis_connections", &[]).await, 1.0);
    socket.close(1000, "").await;
    drop(socket);

    let line = gateway.logged(|line| line["path"] == "/chat").await;
    assert_eq!((&line["status"], &line["outcome"]), (&101.into(), &"upgraded".into()));
    // Two messages and a close frame: masked with four bytes each on the way up, and with none on the way back.
    assert_eq!(
        (&line["request_bytes"], &line["response_bytes"]),
        (&(11 + 10 + 8).into(), &(7 + 6 + 4).into())
    );
    eventually("it is counted out", async || open_now(&gateway).await == 0.0).await;
}

#[tokio::test]
async fn a_thousand_messages_come_back_in_order() {
    let (_upstream, gateway) = echoing().await;
    let mut socket = gateway.websocket("/").await;
    for group in 0..10 {
        for number in 0..100 {
            socket.send(format!("message {group} {number}")).await;
        }
        for number in 0..100 {
            assert_eq!(socket.text().await, format!("message {group} {number}"));
        }
    }
}

#[tokio::test]
async fn a_large_message_passes_whole() {
    let (_upstream, gateway) = echoing().await;
    let mut socket = gateway.websocket("/").await;
    let large: Vec<u8> = (0..15_000_000_u32).map(|at| (at % 251) as u8).collect();

    socket.send(large.clone()).await;

    assert!(socket.next().await.expect("a message").into_data() == large);
}

#[tokio::test]
async fn pings_and_close_codes_pass() {
    let (sender, mut closed) = mpsc::unbounded_channel();
    let upstream = Upstream::websockets(move |mut socket: WebSocket| {
        let sender = sender.clone();
        async move {
            while let Ok(message) = socket.next().await {
                if let Message::Close(Some(frame)) = message {
                    sender.send((frame.code, frame.reason.to_string())).expect("a test");
                }
            }
        }
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut socket = gateway.websocket("/").await;

    socket.send(Message::Ping("are you there".into())).await;
    assert_eq!(
        socket.next().await.expect("a pong"),
        Message::Pong("are you there".into())
    );
    socket.close(4321, "enough").await;

    let (code, reason) = closed.recv().await.expect("a close frame");
    assert_eq!((code, reason.as_str()), (CloseCode::Library(4321), "enough"));
}

#[tokio::test]
async fn filters_see_the_handshake_and_its_answer() {
    let upstream = Upstream::websockets(WebSocket::echo).await;
    let gateway = Gateway::start(format!(
        r#"
        upstream.service.targets = ["{upstream}"]
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        filters = [
            {{ use = "token-auth", settings = {{ tokens = ["good"] }} }},
            {{ use = "edit-headers", settings = {{ response = {{ set = {{ x-seen = "yes" }} }} }} }},
            {{ use = "rewrite-body", settings = {{ response = [{{ find = "hello", replace = "bye" }}] }} }},
        ]
        "#
    ))
    .await;

    let refused = WebSocket::open(gateway.address(), "/", &[])
        .await
        .expect_err("no token");
    assert_eq!(refused.status(), 401);
    assert_eq!(upstream.requests(), 0);

    let token = [("x-access-tokens", "good")];
    let (mut socket, response) = WebSocket::open(gateway.address(), "/", &token).await.expect("a token");
    assert_eq!(response.headers()["x-seen"], "yes");
    socket.send("hello").await;
    assert_eq!(socket.text().await, "hello", "what follows the handshake is no body");
}

#[tokio::test]
async fn a_slow_reader_holds_the_sender_and_not_the_gateways_memory() {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let upstream = Upstream::websockets(move |mut socket: WebSocket| {
        let counted = counted.clone();
        async move {
            while socket.try_send(vec![7; 100_000]).await.is_ok() {
                counted.fetch_add(100_000, Ordering::SeqCst);
            }
        }
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let before = gateway.rss_kib();
    let mut socket = gateway.websocket("/").await;

    let mut last = u64::MAX;
    eventually("the sender is held", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = sent.load(Ordering::SeqCst);
        now == std::mem::replace(&mut last, now)
    })
    .await;

    // What is under way lies in the kernel's buffers.
    assert!(gateway.rss_kib() < before + 8 * 1024, "{} KiB", gateway.rss_kib());
    for _ in 0..300 {
        assert_eq!(socket.next().await.expect("a message").len(), 100_000);
    }
}

#[tokio::test]
async fn either_end_hears_that_the_other_has_gone() {
    let (ended, mut heard) = mpsc::unbounded_channel();
    let upstream = Upstream::websockets(move |mut socket: WebSocket| {
        let ended = ended.clone();
        async move {
            while let Ok(message) = socket.next().await {
                if message.is_text() {
                    // Without a word.
                    return;
                }
            }
            ended.send(()).expect("a test");
        }
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;

    drop(gateway.websocket("/client-leaves").await);
    heard.recv().await.expect("the upstream hears of it");

    let mut socket = gateway.websocket("/upstream-leaves").await;
    socket.send("leave").await;
    assert!(socket.next().await.is_err());
    drop(socket);
    eventually("nothing is left of them", async || open_now(&gateway).await == 0.0).await;
}

#[tokio::test]
async fn a_silent_one_is_closed_in_time_and_a_talking_one_is_not() {
    let upstream = Upstream::websockets(WebSocket::echo).await;
    let configuration = Gateway::proxying_configuration(&upstream);
    let gateway = Gateway::start(format!(
        "{configuration}[server.timeouts]\nupgrade_idle = '2s'\nidle = '100ms'\n"
    ))
    .await;
    let (mut silent, mut talking) = (gateway.websocket("/silent").await, gateway.websocket("/talking").await);

    let talked = async {
        for _ in 0..30 {
            talking.send("on").await;
            assert_eq!(talking.text().await, "on");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (ended, ()) = tokio::join!(silent.next(), talked);

    assert!(ended.is_err());
    assert_eq!(gateway.outcome("/silent").await, "upgrade-idle");
    assert_eq!(open_now(&gateway).await, 1.0);
}

#[tokio::test]
async fn it_lives_through_reloads_and_ends_with_draining() {
    let upstream = Upstream::websockets(WebSocket::echo).await;
    let configuration = Gateway::proxying_configuration(&upstream) + "[server.timeouts]\ndrain = '3s'\n";
    let gateway = Gateway::start(&configuration).await;
    let mut socket = gateway.websocket("/").await;

    for number in 0..3 {
        let changed = format!("{configuration}[[route]]\nmatch = '/new/{number}'\nrespond = {{ body = 'new' }}\n");
        gateway.reload_with(changed).await;
        assert_eq!(gateway.get(&format!("/new/{number}")).await.text(), "new");
        socket.send("still here").await;
        assert_eq!(socket.text().await, "still here");
    }
    gateway.signal("TERM");
    socket.send("and now").await;
    assert_eq!(socket.text().await, "and now");

    assert!(socket.next().await.is_err());
    assert_eq!(gateway.exited().await, 0);
    assert_eq!(gateway.outcome("/").await, "drained");
}

#[tokio::test]
async fn over_tls_it_is_the_same() {
    let upstream = Upstream::websockets(WebSocket::echo).await;
    let secured = Secured::start(&["localhost"], "", &Gateway::proxying_configuration(&upstream)).await;
    let client = TlsClient::trusting(&secured.authority);
    let stream = client.connect(secured.gateway.secure_address(), "localhost").await;

    let opened = WebSocket::over(stream.expect("a TLS session"), "wss://localhost/chat", &[]).await;

    let (mut socket, _) = opened.expect("an open one");
    assert_eq!(upstream.last_header("x-forwarded-proto"), "https");
    for number in 0..100 {
        socket.send(format!("message {number}")).await;
        assert_eq!(socket.text().await, format!("message {number}"));
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    socket.send(large.clone()).await;
    assert!(socket.next().await.expect("a message").into_data() == large);
    socket.close(1000, "").await;
    drop(socket);
    let line = secured.gateway.logged(|line| line["path"] == "/chat").await;
    assert_eq!(line["status"], 101);
}

const PAGE: &str = r#"<!doctype html><title>echo</title><script>
const report = (text) => fetch('/report', { method: 'POST', body: text });
const socket = new WebSocket(location.origin.replace('http', 'ws') + '/ws');
const got = [];
socket.onopen = () => { for (let n = 0; n < 100; n++) socket.send('message ' + n); };
socket.onmessage = (event) => { if (got.push(event.data) == 100) socket.close(4000, 'done'); };
socket.onclose = (event) => report(got.length + ' ' + got[99] + ' ' + event.code + ' ' + event.wasClean);
socket.onerror = () => report('error');
</script>"#;

/// An upstream with a page that talks to it, and what the page reports.
async fn with_page() -> (Upstream, mpsc::UnboundedReceiver<String>) {
    let (sender, reports) = mpsc::unbounded_channel();
    let upstream = Upstream::with(move |request: http::Request<hyper::body::Incoming>| {
        let sender = sender.clone();
        async move {
            match request.uri().path() {
                "/ws" => WebSocket::accept(request, WebSocket::echo),
                "/report" => {
                    let body = http_body_util::BodyExt::collect(request.into_body())
                        .await
                        .expect("a body");
                    _ = sender.send(String::from_utf8_lossy(&body.to_bytes()).into_owned());
                    http::Response::new(full(""))
                }
                _ => {
                    let page = http::Response::builder().header("content-type", "text/html");
                    page.body(full(PAGE)).expect("a response")
                }
            }
        }
    })
    .await;
    (upstream, reports)
}

/// What the page reports, opened in a browser.
async fn browsed(url: &str, arguments: &[String], mut reports: mpsc::UnboundedReceiver<String>) -> String {
    let profile = Folder::new();
    let _browser = Process::browser_with(arguments, url, profile.path());
    let report = tokio::time::timeout(Duration::from_secs(60), reports.recv()).await;
    report.expect("a browser that starts").expect("a report")
}

#[tokio::test]
async fn a_browser_talks_to_the_upstream() {
    if !has_program("chromium") {
        return;
    }
    let (upstream, reports) = with_page().await;
    let gateway = Gateway::proxying(&upstream).await;

    let report = browsed(&format!("http://{}/", gateway.address()), &[], reports).await;

    assert_eq!(report, "100 message 99 4000 true");
}

#[tokio::test]
async fn a_browser_talks_over_tls() {
    if !has_program("chromium") {
        return;
    }
    let (upstream, reports) = with_page().await;
    let secured = Secured::start(&["localhost"], "", &Gateway::proxying_configuration(&upstream)).await;
    let url = format!("https://localhost:{}/", secured.gateway.secure_address().port());

    let report = browsed(&url, &["--ignore-certificate-errors".to_owned()], reports).await;

    assert_eq!(report, "100 message 99 4000 true");
    let socket = secured.gateway.logged(|line| line["path"] == "/ws").await;
    assert_eq!(socket["outcome"], "upgraded");
}
