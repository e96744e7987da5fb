//! Floods of HTTP/2 frames: each ends its own connection, soon, with the word that HTTP/2 has for it, and harms no other.

use http_body_util::BodyExt;
use portcullis_tests::raw_http2::{Answer, END_HEADERS, END_STREAM, Frame, kind, request};
use portcullis_tests::{Gateway, RawHttp2, Upstream, eventually, full};
use tokio::task::JoinSet;

/// ENHANCE_YOUR_CALM
const CALM: u32 = 0xb;
/// Far more than any budget.
const MANY: usize = 100_000;

/// Sends a flood after these frames, and sees it end as it should.
async fn ends(reason: &str, first: &[Frame], flood: impl Fn(usize) -> Vec<u8>) {
    let upstream = Upstream::with(|request| async move {
        // Only who reads a body hears that its sender has gone.
        if request.uri().path() == "/never" && request.into_body().collect().await.is_ok() {
            std::future::pending::<()>().await;
        }
        http::Response::new(full("hello"))
    })
    .await;
    let gateway = Gateway::start(format!(
        "log.level = 'debug'\n{}",
        Gateway::proxying_configuration(&upstream)
    ))
    .await;
    let mut others = [
        gateway.connect_http2().await,
        gateway.connect_http2().await,
        gateway.connect().await,
    ];
    for other in &mut others {
        assert_eq!(other.get("/").await.status(), 200);
    }
    let (memory, cpu) = (gateway.rss_kib(), gateway.cpu_time());

    let mut client = RawHttp2::connect(gateway.address()).await;
    for frame in first {
        client.send(frame).await;
    }
    let whole = |frame: &&Frame| frame.kind == kind::HEADERS && frame.flags & END_HEADERS != 0;
    let asked = first.iter().filter(whole).count();
    eventually("what was asked is under way", async || upstream.in_flight() == asked).await;
    let served = async {
        for _ in 0..20 {
            for other in &mut others {
                assert_eq!(other.get("/").await.status(), 200);
            }
        }
    };
    let (sent, ()) = tokio::join!(client.flood_with(MANY, flood), served);
    let code = client.ended().await;

    assert!(matches!(code, Some(CALM) | None), "GOAWAY {code:?} after {sent} frames");
    gateway.log_line(&["too many HTTP/2 frames", reason]).await;
    let ended = gateway.metric("portcullis_http2_floods", &[("reason", reason)]).await;
    assert_eq!(ended, 1.0, "{}", gateway.log());
    assert_eq!(gateway.log().matches("too many HTTP/2 frames").count(), 1);
    eventually("the upstream is let go", async || upstream.in_flight() == 0).await;
    let grown = gateway.rss_kib().saturating_sub(memory);
    assert!(grown < 32 << 10, "{grown} KiB more");
    let spent = gateway.cpu_time() - cpu;
    assert!(spent.as_millis() < 3000, "{spent:?} of CPU time");
    for other in &mut others {
        assert_eq!(other.get("/").await.status(), 200);
    }
}

fn stream(number: usize) -> u32 {
    number as u32 * 2 + 1
}

#[tokio::test]
async fn rapid_reset() {
    ends("resets", &[], |number| {
        let reset = Frame::new(kind::RST_STREAM, 0, stream(number), [0, 0, 0, 8]);
        [Frame::get(stream(number), "/never").bytes(), reset.bytes()].concat()
    })
    .await;
}

#[tokio::test]
async fn resets_that_the_gateway_is_made_to_send() {
    ends("provoked-resets", &[], |number| {
        // A body that is longer than it says, for an exchange that is under way.
        let fields = [&request("POST", "/never")[..], &[("content-length", "1")]].concat();
        let longer = Frame::new(kind::DATA, 0, stream(number), b"longer");
        [
            Frame::headers(stream(number), END_HEADERS, &fields).bytes(),
            longer.bytes(),
        ]
        .concat()
    })
    .await;
}

#[tokio::test]
async fn continuations() {
    let open = Frame::headers(1, END_STREAM, &request("GET", "/"));
    ends("continuations", std::slice::from_ref(&open), |number| {
        Frame::new(
            kind::CONTINUATION,
            0,
            1,
            portcullis_tests::raw_http2::block(&[(format!("x-{number}"), "y")]),
        )
        .bytes()
    })
    .await;
    ends("continuations", &[open], |_| {
        Frame::new(kind::CONTINUATION, 0, 1, b"").bytes()
    })
    .await;
}

#[tokio::test]
async fn pings() {
    ends("pings", &[], |_| Frame::new(kind::PING, 0, 0, [0; 8]).bytes()).await;
}

#[tokio::test]
async fn settings() {
    ends("settings", &[], |_| {
        Frame::new(kind::SETTINGS, 0, 0, [0, 4, 0, 0, 255, 255]).bytes()
    })
    .await;
}

#[tokio::test]
async fn priorities() {
    ends("priorities", &[], |number| {
        let dependency = [&stream(number).to_be_bytes()[..], &[16]].concat();
        Frame::new(kind::PRIORITY, 0, stream(number) + 2, dependency).bytes()
    })
    .await;
}

#[tokio::test]
async fn window_updates() {
    ends("window-updates", &[], |_| {
        Frame::new(kind::WINDOW_UPDATE, 0, 0, 1_u32.to_be_bytes()).bytes()
    })
    .await;
}

#[tokio::test]
async fn empty_frames() {
    let open = Frame::headers(1, END_HEADERS, &request("POST", "/never"));
    ends("empty-frames", std::slice::from_ref(&open), |_| {
        Frame::new(kind::DATA, 0, 1, b"").bytes()
    })
    .await;
    // Nothing but padding is nothing, too.
    const PADDED: u8 = 8;
    ends("empty-frames", &[open], |_| {
        Frame::new(kind::DATA, PADDED, 1, [2, 0, 0]).bytes()
    })
    .await;
}

#[tokio::test]
async fn frames_of_no_known_type() {
    ends("unknown-frames", &[], |number| {
        Frame::new(0xb0, 0, 0, number.to_be_bytes()).bytes()
    })
    .await;
}

#[tokio::test]
async fn a_budget_may_be_another_one_or_none() {
    let start = async |http2: &str| {
        let upstream = Upstream::answering("hello").await;
        let routes = Gateway::proxying_configuration(&upstream);
        (
            Gateway::start(format!("{routes}[server.limits.http2]\n{http2}\n")).await,
            upstream,
        )
    };
    let ping = Frame::new(kind::PING, 0, 0, [0; 8]);

    // Ten seconds' worth at once is within, one more is not.
    let (strict, _upstream) = start("pings = '1/s'").await;
    let mut client = RawHttp2::connect(strict.address()).await;
    assert_eq!(client.flood(&ping, 10).await, 10);
    assert_eq!(client.get(1, "/").await, Answer::Status(200));
    client.flood(&ping, 20).await;
    assert!(matches!(client.ended().await, Some(CALM) | None));

    let (lenient, _upstream) = start("pings = 'off'").await;
    let mut client = RawHttp2::connect(lenient.address()).await;
    for number in 0..20 {
        assert_eq!(client.flood(&ping, 100).await, 100);
        assert_eq!(client.get(stream(number), "/").await, Answer::Status(200));
    }
}

#[tokio::test]
async fn a_busy_client_is_no_flood() {
    let upstream = Upstream::answering("hello").await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut requests = JoinSet::new();
    let connections = [gateway.connect_http2().await, gateway.connect_http2().await];

    for client in 0..100 {
        let mut connection = connections[client % 2].share();
        requests.spawn(async move {
            for _ in 0..50 {
                assert_eq!(connection.get("/").await.text(), "hello");
            }
        });
    }
    while let Some(ended) = requests.join_next().await {
        ended.expect("every request is answered");
    }

    assert_eq!(upstream.requests(), 5000);
    assert_eq!(gateway.metric("portcullis_http2_floods", &[]).await, 0.0);
}

#[tokio::test]
async fn a_client_that_takes_back_half_of_its_requests_is_no_flood() {
    let upstream = Upstream::answering("hello").await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut client = RawHttp2::connect(gateway.address()).await;

    for number in 0..1000 {
        assert_eq!(client.get(stream(number * 2), "/").await, Answer::Status(200));
        let taken_back = stream(number * 2 + 1);
        client.send(&Frame::get(taken_back, "/")).await;
        client
            .send(&Frame::new(kind::RST_STREAM, 0, taken_back, [0, 0, 0, 8]))
            .await;
    }

    assert_eq!(client.get(stream(2000), "/").await, Answer::Status(200));
}
