//! Bodies stream: a gibibyte costs no memory, and a slow side holds the other back.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use portcullis_tests::{Body, Gateway, Upstream, eventually, full, generated, stepwise};

const GIB: u64 = 1 << 30;
/// How much the gateway may grow while it streams, in KiB: buffers of sockets and of the allocator, not bodies.
const FLAT: u64 = 24 * 1024;

async fn accepting_everything(upstream: &Upstream, http: &str) -> Gateway {
    Gateway::start(format!(
        r#"
        upstream.service = {{ targets = ["{upstream}"], http = "{http}" }}
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        body_size = "2GiB"
        "#
    ))
    .await
}

async fn counting() -> Upstream {
    Upstream::with(|request| async move {
        let mut body = request.into_body();
        let mut count = 0;
        while let Some(Ok(frame)) = body.frame().await {
            count += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        http::Response::new(full(count.to_string()))
    })
    .await
}

/// Reads a body to its end; gives its length and the most memory that the gateway held meanwhile.
async fn drain(mut body: hyper::body::Incoming, gateway: &Gateway) -> (u64, u64) {
    let (mut count, mut peak, mut next) = (0, 0, 0);
    while let Some(frame) = body.frame().await {
        count += frame.expect("a frame").data_ref().map_or(0, |data| data.len() as u64);
        if count >= next {
            peak = peak.max(gateway.rss_kib());
            next += GIB / 32;
        }
    }
    (count, peak)
}

#[tokio::test]
async fn a_gibibyte_goes_down_in_flat_memory() {
    let upstream = Upstream::with(|_| async { http::Response::new(generated(GIB)) }).await;
    let gateway = accepting_everything(&upstream, "1.1").await;
    let before = gateway.rss_kib();

    let response = gateway.request("GET", "/").stream().await;
    let (count, peak) = drain(response.into_body(), &gateway).await;

    assert_eq!(count, GIB);
    assert!(peak < before + FLAT, "grew from {before} to {peak} KiB");
}

#[tokio::test]
async fn a_gibibyte_goes_up_in_flat_memory() {
    let upstream = counting().await;
    let gateway = accepting_everything(&upstream, "1.1").await;
    let before = gateway.rss_kib();

    // Not `send`, which gives up after the harness's patience: a debug build may take longer.
    let response = gateway
        .request("POST", "/")
        .streaming(generated(GIB))
        .try_stream()
        .await;
    let response = response
        .expect("an answer")
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();

    assert_eq!(response, GIB.to_string());
    assert!(
        gateway.rss_kib() < before + FLAT,
        "grew from {before} to {} KiB",
        gateway.rss_kib()
    );
}

#[tokio::test]
async fn http_2_streams_in_flat_memory_too() {
    let upstream = Upstream::with(|_| async { http::Response::new(generated(GIB / 8)) }).await;
    let gateway = accepting_everything(&upstream, "2").await;
    let before = gateway.rss_kib();

    let response = gateway.request("GET", "/").http2().stream().await;
    let (count, peak) = drain(response.into_body(), &gateway).await;

    assert_eq!(count, GIB / 8);
    assert!(peak < before + FLAT, "grew from {before} to {peak} KiB");
}

#[tokio::test]
async fn the_first_bytes_arrive_before_the_last_are_sent() {
    let (mut sender, body) = stepwise();
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    let upstream = Upstream::with(move |_| {
        let body: Option<Body> = body.lock().expect("a body").take();
        async move { http::Response::new(body.unwrap_or_else(portcullis_tests::empty)) }
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;

    let mut response = gateway.request("GET", "/").stream().await.into_body();
    for word in ["one", "two", "three"] {
        sender.send_data(Bytes::from(word)).await.expect("somebody reads");
        let frame = response
            .frame()
            .await
            .expect("a frame")
            .expect("data")
            .into_data()
            .expect("data");
        assert_eq!(frame, word);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_upstream_back() {
    let upstream = Upstream::with(|_| async { http::Response::new(generated(GIB)) }).await;
    let gateway = accepting_everything(&upstream, "1.1").await;
    let before = gateway.rss_kib();

    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = gateway.raw().await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(client.sip(1024).await > 0);
        clients.push(client);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;

    assert!(
        gateway.rss_kib() < before + FLAT,
        "grew from {before} to {} KiB",
        gateway.rss_kib()
    );
    assert_eq!(gateway.admin("/health").await.status(), 200);
}

#[tokio::test]
async fn an_upstream_that_does_not_read_holds_the_client_back() {
    let upstream = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = accepting_everything(&upstream, "1.1").await;
    let before = gateway.rss_kib();

    let (mut sender, body) = stepwise();
    let request = gateway.request("POST", "/").streaming(body);
    let client = tokio::spawn(async move { request.try_stream().await.map(drop) });
    let mut taken = 0_u64;
    let chunk = Bytes::from(vec![0; 65_536]);
    let patience = Duration::from_millis(500);
    while let Ok(Ok(())) = tokio::time::timeout(patience, sender.send_data(chunk.clone())).await {
        taken += 65_536;
    }

    assert!(taken < 64 << 20, "{taken} bytes were taken though nobody read them");
    assert!(
        gateway.rss_kib() < before + FLAT,
        "grew from {before} to {} KiB",
        gateway.rss_kib()
    );
    client.abort();
}

#[tokio::test]
async fn slow_readers_do_not_slow_others_down() {
    let upstream = Upstream::with(|request| async move {
        let size = if request.uri().path() == "/large" { GIB } else { 2 };
        http::Response::new(generated(size))
    })
    .await;
    let gateway = accepting_everything(&upstream, "1.1").await;
    let mut slow = gateway.raw().await;
    slow.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;

    for _ in 0..50 {
        assert_eq!(gateway.get("/").await.bytes().len(), 2);
    }

    assert!(slow.sip(1024).await > 0);
    drop(slow);
    eventually("the abandoned exchange ends", async || {
        gateway
            .access_log()
            .iter()
            .any(|line| line["path"] == "/large" && line["outcome"] == "client-gone")
    })
    .await;
}
