//! Upstreams that speak HTTP/2: connections are shared and full ones added to, and what a target refuses is sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_tests::{Gateway, Raw, Upstream, eventually, full};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

/// A server's side of a connection, frame by frame (RFC 9113 section 4).
struct Frames(Raw);

impl Frames {
    /// Takes a connection over, with these settings.
    async fn accept(mut socket: Raw, settings: &[u8]) -> Frames {
        socket.read_exactly(24).await;
        let mut frames = Frames(socket);
        frames.send(SETTINGS, 0, 0, settings).await;
        frames
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.send(frame).await;
    }

    /// The stream of the next request, once its head is there; none when the client has gone.
    async fn request(&mut self) -> Option<u32> {
        loop {
            let head = self.0.read_exactly(9).await;
            let [l1, l2, l3, kind, flags, s1, s2, s3, s4] = head[..] else {
                return None;
            };
            let length = u32::from_be_bytes([0, l1, l2, l3]);
            let payload = self.0.read_exactly(length as usize).await;
            match kind {
                HEADERS => return Some(u32::from_be_bytes([s1, s2, s3, s4])),
                SETTINGS if flags & 1 == 0 => self.send(SETTINGS, 1, 0, &[]).await,
                PING if flags & 1 == 0 => self.send(PING, 1, 0, &payload).await,
                _ => {}
            }
        }
    }

    /// Answers 200 with `ok`.
    async fn answer(&mut self, stream: u32) {
        // `:status: 200` is the eighth of HPACK's static table.
        self.send(HEADERS, 4, stream, &[0x88]).await;
        self.send(DATA, 1, stream, b"ok").await;
    }

    /// Says that it is leaving, and has looked at streams up to `last`.
    async fn leave(&mut self, last: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend([0; 4]);
        self.send(GOAWAY, 0, 0, &payload).await;
    }
}

/// An upstream of HTTP/2 whose connections are handled frame by frame, numbered from 0.
async fn frames<F, R>(settings: &'static [u8], handler: F) -> Upstream
where
    F: Fn(usize, Frames) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let count = Arc::new(AtomicUsize::new(0));
    Upstream::raw(move |socket| {
        let (number, handler) = (count.fetch_add(1, Ordering::SeqCst), handler.clone());
        async move { handler(number, Frames::accept(socket, settings).await).await }
    })
    .await
}

/// A gateway with one thread, so that all connections are in one place.
async fn before(upstream: &Upstream, settings: &str) -> Gateway {
    Gateway::start(format!(
        "[server]\nthreads = 1\n[upstream.service]\ntargets = [\"{upstream}\"]\nhttp = \"2\"\n{settings}\n[[route]]\n\
         match = \"/{{rest...}}\"\nto = \"service\"\n"
    ))
    .await
}

/// Sends so many requests at once and gives their statuses.
async fn at_once(gateway: &Gateway, count: usize) -> Vec<u16> {
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..count {
        requests.spawn(gateway.request("GET", "/").send());
    }
    let answers = requests.join_all().await;
    answers.iter().map(|answer| answer.status()).collect()
}

#[tokio::test]
async fn requests_share_one_connection_even_if_they_all_come_first() {
    let upstream = Upstream::with(|_| async { http::Response::new(full("ok")) }).await;
    let gateway = before(&upstream, "").await;

    assert_eq!(at_once(&gateway, 30).await, vec![200; 30]);

    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_takes_no_more_requests_is_joined_by_another() {
    // SETTINGS_MAX_CONCURRENT_STREAMS is 2. Only the first request of a connection, which makes that known, is answered.
    let (held, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = (held.clone(), most.clone());
    let upstream = frames(&[0, 3, 0, 0, 0, 2], move |_, mut frames| {
        let (held, most) = seen.clone();
        async move {
            let mut here = 0;
            while let Some(stream) = frames.request().await {
                if stream == 1 {
                    frames.answer(stream).await;
                    continue;
                }
                here += 1;
                most.fetch_max(here, Ordering::SeqCst);
                held.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let gateway = before(&upstream, "").await;

    let mut requests = tokio::task::JoinSet::new();
    for expected in 1..=6 {
        while held.load(Ordering::SeqCst) < expected {
            let answered = requests.len();
            requests.spawn(gateway.request("GET", "/").send());
            eventually("the request is answered, or held", async || {
                while requests.try_join_next().is_some() {}
                requests.len() <= answered || held.load(Ordering::SeqCst) >= expected
            })
            .await;
        }
    }

    assert_eq!((upstream.connections(), most.load(Ordering::SeqCst)), (3, 2));
}

#[tokio::test]
async fn what_a_leaving_target_has_not_looked_at_is_sent_again_whatever_it_is() {
    let upstream = frames(&[], |number, mut frames| async move {
        while let Some(stream) = frames.request().await {
            if number == 0 && stream > 1 {
                frames.leave(1).await;
                frames.request().await;
                return;
            }
            frames.answer(stream).await;
        }
    })
    .await;
    let gateway = before(&upstream, "").await;
    assert_eq!(gateway.get("/").await.text(), "ok");

    let response = gateway.request("POST", "/").send().await;

    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again() {
    let upstream = frames(&[], |_, mut frames| async move {
        while let Some(stream) = frames.request().await {
            if stream == 1 {
                frames.send(RST_STREAM, 0, stream, &REFUSED_STREAM).await;
            } else {
                frames.answer(stream).await;
            }
        }
    })
    .await;
    let gateway = before(&upstream, "").await;

    let response = gateway.request("POST", "/").send().await;

    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
}

#[tokio::test]
async fn a_target_that_refuses_everything_is_given_up() {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let upstream = frames(&[], move |_, mut frames| {
        let count = count.clone();
        async move {
            while let Some(stream) = frames.request().await {
                count.fetch_add(1, Ordering::SeqCst);
                frames.send(RST_STREAM, 0, stream, &REFUSED_STREAM).await;
            }
        }
    })
    .await;
    let gateway = before(&upstream, "").await;

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.code().as_str()), (502, "upstream-reset"));
    // Three times for nothing, and then as often as `retry.tries` says.
    assert_eq!(refused.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn a_connection_that_died_costs_only_what_must_not_be_repeated() {
    // Each connection answers one request, and closes without a word when the second has come.
    let upstream = frames(&[], |_, mut frames| async move {
        if let Some(stream) = frames.request().await {
            frames.answer(stream).await;
        }
        frames.request().await;
    })
    .await;
    let gateway = before(&upstream, "").await;

    for number in 0..20 {
        assert_eq!(gateway.get("/").await.status(), 200, "request {number}");
    }
    let post = || gateway.request("POST", "/").send();
    let (first, second) = (post().await, post().await);
    assert!([first.status(), second.status()].contains(&502), "{first:?} {second:?}");
}

#[tokio::test]
async fn a_connection_that_is_never_idle_gives_way_to_other_threads() {
    let asked = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::with(move |_| {
        // They are not to end together.
        let number = asked.fetch_add(1, Ordering::SeqCst) as u64;
        async move {
            tokio::time::sleep(std::time::Duration::from_millis(20 + number * 17 % 50)).await;
            http::Response::new(full("ok"))
        }
    })
    .await;
    let settings = "http = '2'\nconnections = 1\nconnect_timeout = '4s'\nretry = 'off'";
    let gateway = Gateway::before(&[&upstream], settings, "").await;

    // So many that both threads have some, each with a request at any time.
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let mut client = gateway.connect().await;
        clients.spawn(async move {
            let begin = std::time::Instant::now();
            while begin.elapsed() < std::time::Duration::from_secs(6) {
                assert_eq!(client.get("/").await.text(), "ok");
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("every request was answered");
    }
}
