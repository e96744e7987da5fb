//! Which protocols a connection may go on in, and what becomes of the bytes around the change.

use std::time::Duration;

use portcullis_tests::{Gateway, Raw, Upstream};

const ASKING: &str = "GET /up HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";

/// A gateway whose route has this line.
async fn allowing(upstream: &Upstream, line: &str) -> Gateway {
    Gateway::start(format!(
        "upstream.service.targets = ['{upstream}']\n[[route]]\nmatch = '/{{rest...}}'\nto = 'service'\n{line}\n"
    ))
    .await
}

/// Agrees to any protocol, whatever it is asked, and sends back all that follows; then says `bye`.
async fn agreeing(answer: &'static str) -> Upstream {
    Upstream::raw(move |mut socket: Raw| async move {
        let head = socket.read_head().await;
        if head.is_empty() {
            return;
        }
        socket.send(answer).await;
        let rest = socket.read_to_end().await;
        socket.send(format!("{rest} bye")).await;
        socket.finish().await;
    })
    .await
}

#[tokio::test]
async fn what_is_sent_before_the_answer_is_not_lost_and_each_half_ends_by_itself() {
    let upstream =
        agreeing("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nfirst ").await;
    let gateway = Gateway::proxying(&upstream).await;

    // In one piece, and in two with the answer still to come.
    for split in [0, 5] {
        let mut socket = gateway.raw().await;
        let early = "\u{1}early\r\n\r\n";
        let (with_head, later) = early.split_at(early.len() - split);
        socket.send(format!("{ASKING}{with_head}")).await;
        socket.send(later).await;
        assert!(socket.read_head().await.starts_with("HTTP/1.1 101 "));
        assert_eq!(socket.read_until("first ").await, "first ");
        socket.send(" late").await;
        socket.finish().await;
        assert_eq!(socket.read_to_end().await, "\u{1}early\r\n\r\n late bye");
    }
}

#[tokio::test]
async fn the_answer_names_the_protocol_and_nothing_else_of_the_connection() {
    let upstream = agreeing(
        "HTTP/1.1 101 Go on\r\nconnection: Upgrade, x-hop\r\nx-hop: 1\r\nupgrade: WebSocket\r\nx-kept: 2\r\n\r\n",
    )
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut socket = gateway.raw().await;

    socket.send(ASKING).await;
    let head = socket.read_head().await;

    assert!(
        head.contains("upgrade: WebSocket\r\n") && head.contains("connection: upgrade\r\n"),
        "{head}"
    );
    assert!(head.contains("x-kept: 2") && !head.contains("x-hop"), "{head}");
    assert!(
        !head.contains("content-length") && !head.contains("transfer-encoding"),
        "{head}"
    );
}

#[tokio::test]
async fn only_what_the_route_lists_is_asked_for() {
    let upstream = Upstream::echo().await;
    for (line, asked, passed) in [
        ("", "websocket", "websocket"),
        ("", "h2c, WebSocket", "WebSocket"),
        ("", "h2c", ""),
        ("", "irc/6.9", ""),
        ("upgrade = ['irc']", "websocket, IRC/6.9", "IRC/6.9"),
        ("upgrade = 'irc'", "websocket", ""),
        ("upgrade = []", "websocket", ""),
    ] {
        let gateway = allowing(&upstream, line).await;
        let request = gateway.request("GET", "/").header("connection", "upgrade");
        let response = request.header("upgrade", asked).send().await;
        assert_eq!(response.status(), 200);
        assert_eq!(upstream.last_header("upgrade"), passed, "{line}: {asked}");
        assert_eq!(
            upstream.last_header("connection"),
            if passed.is_empty() { "" } else { "upgrade" }
        );
    }
}

#[tokio::test]
async fn what_is_no_wish_for_another_protocol_is_passed_on_as_none() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;
    for request in [
        "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade, close\r\ncontent-length: 2\r\n\r\nhi",
        "POST / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ] {
        let answer = gateway.raw().await.answer_to(request).await;
        assert!(answer.contains(" 200 OK\r\n"), "{request}: {answer}");
        assert_eq!(upstream.last_header("upgrade"), "", "{request}");
    }
}

#[tokio::test]
async fn an_upstream_of_http_2_is_not_asked() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::start(format!(
        "upstream.service = {{ targets = ['{upstream}'], http = '2' }}\n[[route]]\nmatch = '/{{rest...}}'\nto = 'service'\n"
    ))
    .await;
    let request = gateway.request("GET", "/").header("connection", "upgrade");
    let seen = request.header("upgrade", "websocket").send().await.json();
    assert_eq!(
        (&seen["version"], seen["headers"].get("upgrade")),
        (&"HTTP/2.0".into(), None)
    );
}

#[tokio::test]
async fn a_refused_wish_is_a_normal_answer_and_the_next_request_a_request() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut socket = gateway.raw().await;

    let next = "GET /next HTTP/1.1\r\nhost: a\r\n\r\n";
    let last = "GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    // The plain one before is answered while the wish is already known, and must not be taken for its answer.
    socket
        .send(format!("GET /before HTTP/1.1\r\nhost: a\r\n\r\n{ASKING}{next}"))
        .await;
    for path in ["/before", "/up", "/next"] {
        assert!(socket.read_head().await.starts_with("HTTP/1.1 200 "), "{path}");
        let body = socket.read_until("}}").await;
        assert!(body.contains(&format!("\"path\":\"{path}\"")), "{path}: {body}");
    }
    assert!(socket.answer_to(last).await.contains("\"path\":\"/last\""));
}

#[tokio::test]
async fn what_follows_a_refused_wish_is_held_to_the_rules() {
    let upstream = Upstream::answering("no").await;
    let gateway = Gateway::proxying(&upstream).await;
    let smuggled = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab";

    let answers = gateway.raw().await.answer_to(format!("{ASKING}{smuggled}")).await;

    assert!(answers.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
    assert!(answers.contains("HTTP/1.1 400 Bad Request\r\n"), "{answers}");
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn an_answer_of_101_that_nobody_asked_for_is_malformed() {
    for (answer, request) in [
        (AGREED, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
        ),
    ] {
        let upstream = agreeing(answer).await;
        let gateway = Gateway::proxying(&upstream).await;
        let answer = gateway.raw().await.answer_to(request).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(answer.contains("upstream-malformed"), "{answer}");
    }
}

#[tokio::test]
async fn nothing_is_read_of_a_client_while_its_wish_is_open_and_its_leaving_is_heard() {
    let upstream = Upstream::raw(|mut socket: Raw| async move {
        socket.read_head().await;
        socket.read_to_end().await;
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut socket = gateway.raw().await;

    socket.send(ASKING).await;
    assert!(socket.is_silent_for(Duration::from_millis(100)).await);
    drop(socket);

    assert_eq!(gateway.outcome("/up").await, "client-gone");
}
