//! Early hints: a target's 103 reaches a client of HTTP/1.1 before the answer does.

use std::time::Duration;

use portcullis_tests::{Gateway, Process, Raw, Upstream, eventually, has_program};

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\n\
                    content-length: 7\r\nx-kept: 2\r\n\r\n";
const PASSED: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nx-kept: 2\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Gives these interim answers at once, and the final one when it is told to.
async fn hinting(interim: String) -> (Upstream, tokio::sync::mpsc::UnboundedSender<()>) {
    let (release, released) = tokio::sync::mpsc::unbounded_channel();
    let released = std::sync::Arc::new(tokio::sync::Mutex::new(released));
    let upstream = Upstream::raw(move |mut socket: Raw| {
        let (interim, released) = (interim.clone(), released.clone());
        async move {
            while !socket.read_head().await.is_empty() {
                socket.send(&interim).await;
                released.lock().await.recv().await;
                socket.send(ANSWER).await;
            }
        }
    })
    .await;
    (upstream, release)
}

/// A gateway that passes hints on.
async fn gateway(upstream: &Upstream, line: &str) -> Gateway {
    Gateway::start(format!(
        "upstream.service.targets = ['{upstream}']\n[[route]]\nmatch = '/{{rest...}}'\nto = 'service'\n{line}\n"
    ))
    .await
}

const ASKING: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_hint_arrives_before_the_answer_is_given() {
    let (upstream, release) = hinting(HINT.to_owned()).await;
    let gateway = gateway(&upstream, "early_hints = true").await;
    let mut socket = gateway.raw().await;
    for _ in 0..3 {
        socket.send(ASKING).await;
        assert_eq!(socket.read_head().await, PASSED);
        assert!(socket.is_silent_for(Duration::from_millis(50)).await);
        release.send(()).expect("an upstream");
        assert!(socket.read_head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(socket.read_until("hello").await, "hello");
    }
}

#[tokio::test]
async fn other_interim_answers_end_at_the_gateway_and_hints_are_bounded() {
    let others = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n";
    let (upstream, release) = hinting(format!("{others}{}", HINT.repeat(20))).await;
    let gateway = gateway(&upstream, "early_hints = true").await;
    let mut socket = gateway.raw().await;

    socket.send(ASKING).await;
    for _ in 0..8 {
        assert_eq!(socket.read_head().await, PASSED);
    }
    assert!(socket.is_silent_for(Duration::from_millis(50)).await);
    release.send(()).expect("an upstream");
    assert!(socket.read_head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn hints_of_a_mirror_reach_nobody() {
    let (shadow, release) = hinting(HINT.to_owned()).await;
    let (upstream, released) = hinting(String::new()).await;
    let gateway = Gateway::start(format!(
        "upstream.service.targets = ['{upstream}']\nupstream.shadow.targets = ['{shadow}']\n\
         [[route]]\nmatch = '/'\nto = 'service'\nmirror = 'shadow'\nearly_hints = true\n"
    ))
    .await;
    let mut socket = gateway.raw().await;

    socket.send(ASKING).await;
    release.send(()).expect("a mirror");
    let copies = [("upstream", "shadow"), ("result", "ok")];
    eventually("the copy is answered", async || {
        gateway.metric("portcullis_mirrored_requests_total", &copies).await == 1.0
    })
    .await;
    released.send(()).expect("an upstream");

    assert!(socket.read_head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn who_cannot_take_hints_or_is_not_to_gets_none() {
    let (upstream, release) = hinting(HINT.to_owned()).await;
    let (on, off) = (
        gateway(&upstream, "early_hints = true").await,
        gateway(&upstream, "").await,
    );
    (0..4).for_each(|_| release.send(()).expect("an upstream"));

    let old = on.raw().await.answer_to("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert!(
        old.starts_with("HTTP/1.0 200 OK\r\n") && old.ends_with("hello"),
        "{old}"
    );
    let closing = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let plain = off.raw().await.answer_to(closing).await;
    assert!(
        plain.starts_with("HTTP/1.1 200 OK\r\n") && plain.ends_with("hello"),
        "{plain}"
    );
    // hyper has no way to send them over HTTP/2.
    assert_eq!(on.request("GET", "/").http2().send().await.text(), "hello");
}

#[tokio::test]
async fn a_hint_waits_for_the_answer_before_it_however_slowly_that_is_read() {
    let upstream = Upstream::raw(|mut socket: Raw| async move {
        loop {
            let head = socket.read_head().await;
            if head.starts_with("GET /large ") {
                socket.send("HTTP/1.1 200 OK\r\ncontent-length: 8000000\r\n\r\n").await;
                socket.send(vec![b'x'; 8_000_000]).await;
            } else if head.is_empty() {
                break;
            } else {
                socket.send(HINT).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
                socket.send(ANSWER).await;
            }
        }
    })
    .await;
    let gateway = gateway(&upstream, "early_hints = true").await;
    let mut socket = gateway.raw().await;

    socket
        .send(format!("GET /large HTTP/1.1\r\nhost: a\r\n\r\n{ASKING}"))
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;

    assert!(socket.read_head().await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(socket.take(8_000_000).await.into_iter().all(|byte| byte == b'x'));
    let rest = socket.read_head().await;
    // It is there where it was in time, and nothing else ever is.
    assert!(rest == PASSED || rest.starts_with("HTTP/1.1 200 OK\r\n"), "{rest}");
    assert!(socket.read_until("hello").await.ends_with("hello"));
}

#[tokio::test]
async fn curl_shows_them() {
    if !has_program("curl") {
        return;
    }
    let (upstream, release) = hinting(HINT.to_owned()).await;
    let gateway = gateway(&upstream, "early_hints = true").await;
    let curl = Process::curl(&["-sSv", &format!("http://{}/", gateway.address())]);

    eventually("curl prints the hint", async || {
        curl.stderr().iter().any(|line| line.starts_with("< HTTP/1.1 103"))
    })
    .await;
    release.send(()).expect("an upstream");

    assert_eq!((curl.exited().await, curl.stdout()), (0, vec!["hello".to_owned()]));
}
