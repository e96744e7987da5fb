//! Floods of HTTP/2 frames from a target: they end its connection, and cost no request but those on it.

use portcullis_tests::raw_http2::{END_HEADERS, END_STREAM, Frame, block, kind};
use portcullis_tests::{Gateway, Raw, Upstream, eventually};

/// Far more than any budget.
const MANY: usize = 20_000;

/// Takes a connection over as a server: the next request's stream.
async fn accept(socket: &mut Raw) -> u32 {
    socket.read_exactly(24).await;
    send(socket, &Frame::new(kind::SETTINGS, 0, 0, [])).await;
    request(socket).await.unwrap_or_default()
}

/// The stream of the next request; none when the gateway has gone.
async fn request(socket: &mut Raw) -> Option<u32> {
    loop {
        let head = socket.read_exactly(9).await;
        let [l1, l2, l3, kind, flags, s1, s2, s3, s4] = head[..] else {
            return None;
        };
        let length = u32::from_be_bytes([0, l1, l2, l3]);
        socket.read_exactly(length as usize).await;
        match kind {
            kind::HEADERS => return Some(u32::from_be_bytes([s1, s2, s3, s4])),
            kind::SETTINGS if flags & 1 == 0 => send(socket, &Frame::new(kind::SETTINGS, 1, 0, [])).await,
            _ => {}
        }
    }
}

async fn send(socket: &mut Raw, frame: &Frame) {
    socket.send(frame.bytes()).await;
}

/// The head of a good answer.
fn head(stream: u32, flags: u8) -> Frame {
    Frame::new(kind::HEADERS, flags, stream, [0x88])
}

/// A target answers the first request of its connection with a head, where it has these flags, and then with these frames,
/// again and again: that ends as it should.
async fn ends(reason: &str, first: Option<u8>, flood: impl Fn(u32, usize) -> Frame + Copy + Send + Sync + 'static) {
    let upstream = Upstream::raw(move |mut socket| async move {
        let stream = accept(&mut socket).await;
        if let Some(flags) = first {
            send(&mut socket, &head(stream, flags)).await;
        }
        for piece in 0..MANY / 100 {
            let frames = (piece * 100..(piece + 1) * 100).flat_map(|number| flood(stream, number).bytes());
            if !socket.try_send(&frames.collect::<Vec<u8>>()).await {
                return;
            }
        }
        // Whoever takes all of that is answered.
        if first.is_none() {
            send(&mut socket, &head(stream, END_HEADERS | END_STREAM)).await;
        }
        socket.read_to_end().await;
    })
    .await;
    let good = Upstream::answering("hello").await;
    let gateway = Gateway::start(format!(
        "log.level = 'debug'\n[upstream.bad]\ntargets = ['{upstream}']\nhttp = '2'\n[upstream.good]\ntargets = ['{good}']\n\
         [[route]]\nmatch = '/bad'\nto = 'bad'\n[[route]]\nmatch = '/good'\nto = 'good'\n"
    ))
    .await;
    let (memory, cpu) = (gateway.rss_kib(), gateway.cpu_time());

    let bad = gateway
        .raw()
        .await
        .answer_to("GET /bad HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let others = async {
        for _ in 0..20 {
            assert_eq!(gateway.get("/good").await.status(), 200);
        }
    };
    let (answer, ()) = tokio::join!(bad, others);

    // A head that has come is passed on, and its body breaks off; one that comes together with the flood is not seen.
    let is_refused = answer.starts_with("HTTP/1.1 502") && answer.contains("upstream-malformed");
    let breaks_off = answer.starts_with("HTTP/1.1 200") && !answer.ends_with("0\r\n\r\n");
    let head_is_whole = first.is_some_and(|flags| flags & END_HEADERS != 0);
    assert!(is_refused || head_is_whole && breaks_off, "{answer}");
    // A GET whose stream was reset is sent again, to be answered in the same way.
    eventually("the connection is closed", async || {
        let reason = [("upstream", "bad"), ("reason", "flood")];
        gateway
            .metric("portcullis_upstream_connections_closed_total", &reason)
            .await
            >= 1.0
    })
    .await;
    let grown = gateway.rss_kib().saturating_sub(memory);
    assert!(grown < 32 << 10, "{grown} KiB more");
    let spent = gateway.cpu_time() - cpu;
    assert!(spent.as_millis() < 3000, "{spent:?} of CPU time");
    gateway
        .log_line(&["too many HTTP/2 frames from a target", reason])
        .await;
    assert_eq!(gateway.get("/good").await.status(), 200);
}

#[tokio::test]
async fn pings() {
    ends("pings", None, |_, _| Frame::new(kind::PING, 0, 0, [0; 8])).await;
}

#[tokio::test]
async fn settings() {
    ends("settings", None, |_, _| {
        Frame::new(kind::SETTINGS, 0, 0, [0, 4, 0, 0, 255, 255])
    })
    .await;
}

#[tokio::test]
async fn priorities() {
    ends("priorities", None, |stream, _| {
        Frame::new(kind::PRIORITY, 0, stream, [0, 0, 0, 9, 16])
    })
    .await;
}

#[tokio::test]
async fn window_updates() {
    ends("window-updates", None, |_, _| {
        Frame::new(kind::WINDOW_UPDATE, 0, 0, 1_u32.to_be_bytes())
    })
    .await;
}

#[tokio::test]
async fn frames_of_no_known_type() {
    ends("unknown-frames", None, |_, number| {
        Frame::new(0xb0, 0, 0, number.to_be_bytes())
    })
    .await;
}

#[tokio::test]
async fn continuations() {
    ends("continuations", Some(0), |stream, number| {
        Frame::new(kind::CONTINUATION, 0, stream, block(&[(format!("x-{number}"), "y")]))
    })
    .await;
}

#[tokio::test]
async fn resets() {
    // Of a stream that the first one has ended.
    ends("resets", None, |_, _| Frame::new(kind::RST_STREAM, 0, 1, [0, 0, 0, 8])).await;
}

#[tokio::test]
async fn empty_frames() {
    ends("empty-frames", Some(END_HEADERS), |stream, _| {
        Frame::new(kind::DATA, 0, stream, [])
    })
    .await;
}

#[tokio::test]
async fn a_target_that_refuses_many_uploads_is_no_flood() {
    // Each request gets its answer before its body is read, and its stream is reset: far more often than clients may.
    let upstream = Upstream::raw(|mut socket| async move {
        let mut next = Some(accept(&mut socket).await);
        while let Some(stream) = next {
            send(&mut socket, &head(stream, END_HEADERS | END_STREAM)).await;
            send(&mut socket, &Frame::new(kind::RST_STREAM, 0, stream, [0; 4])).await;
            next = request(&mut socket).await;
        }
    })
    .await;
    let gateway = Gateway::before(&[&upstream], "http = '2'", "[server]\nthreads = 1").await;
    let mut client = gateway.connect().await;

    for _ in 0..1_000 {
        assert_eq!(client.get("/").await.status(), 200);
    }

    let reason = [("reason", "flood")];
    let floods = gateway
        .metric("portcullis_upstream_connections_closed_total", &reason)
        .await;
    assert_eq!((floods, upstream.connections()), (0.0, 1));
}

#[tokio::test]
async fn the_budgets_are_those_of_clients() {
    let upstream = Upstream::raw(|mut socket| async move {
        let mut next = Some(accept(&mut socket).await);
        while let Some(stream) = next {
            for _ in 0..100 {
                send(&mut socket, &Frame::new(kind::PING, 0, 0, [0; 8])).await;
            }
            send(&mut socket, &head(stream, END_HEADERS | END_STREAM)).await;
            next = request(&mut socket).await;
        }
    })
    .await;
    let status = async |limits: &str| {
        let of_route = format!("[server.limits.http2]\n{limits}");
        let gateway = Gateway::before(&[&upstream], "http = '2'", &of_route).await;
        gateway.get("/").await.status()
    };

    assert_eq!(status("pings = '20/s'").await, 200);
    assert_eq!(status("pings = '5/s'").await, 502);
    assert_eq!(status("pings = 'off'").await, 200);
}
