//! Server-sent events: each arrives when it is sent, whatever the route does to other responses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Sender;
use portcullis_tests::{Gateway, Process, Upstream, eventually, has_program, stepwise, within};

/// A service that sends what the test sends, as events, to its first client.
async fn sending() -> (Upstream, Sender<Bytes, std::io::Error>) {
    let (sender, body) = stepwise();
    let body = Arc::new(Mutex::new(Some(body)));
    let upstream = Upstream::with(move |_| {
        let body = body.lock().expect("a body").take().expect("one request");
        async move {
            let response = http::Response::builder()
                .header("content-type", "text/event-stream")
                .header("cache-control", "no-cache");
            response.body(body).expect("a response")
        }
    })
    .await;
    (upstream, sender)
}

/// A gateway that compresses, and whose filters do not read bodies.
async fn gateway(upstream: &Upstream) -> Gateway {
    Gateway::start(format!(
        r#"
        upstream.service.targets = ["{upstream}"]
        [[route]]
        match = "/events"
        to = "service"
        filters = [
            {{ use = "token-auth", settings = {{ tokens = ["good"] }} }},
            {{ use = "edit-headers", settings = {{ response = {{ set = {{ x-seen = "yes" }} }} }} }},
        ]
        [server]
        compress = {{ least = 0 }}
        "#
    ))
    .await
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    for http2 in [false, true] {
        let (upstream, mut sender) = sending().await;
        let gateway = gateway(&upstream).await;
        let request = gateway.request("GET", "/events").header("x-access-tokens", "good");
        let request = request
            .header("accept-encoding", "gzip, br")
            .header("accept", "text/event-stream");
        let request = if http2 { request.http2() } else { request };

        let mut response = request.stream().await;
        assert!(!response.headers().contains_key("content-encoding"));
        assert_eq!(response.headers()["x-seen"], "yes");
        for number in 0..20 {
            let event = format!("id: {number}\ndata: event {number}\n\n");
            sender.send_data(event.clone().into()).await.expect("somebody reads");
            let frame = within("the event comes", response.body_mut().frame()).await;
            let frame = frame.expect("a frame").expect("no error").into_data().expect("data");
            assert_eq!(frame, event);
        }
        drop(sender);
        // HTTP/2 ends with a frame of its own, which is empty.
        assert!(response.collect().await.expect("a whole body").to_bytes().is_empty());
        assert_eq!(gateway.outcome("/events").await, "ok");
    }
}

#[tokio::test]
async fn the_service_hears_of_a_reader_that_has_gone() {
    let (upstream, mut sender) = sending().await;
    let gateway = gateway(&upstream).await;
    let request = gateway.request("GET", "/events").header("x-access-tokens", "good");
    let response = request.stream().await;
    sender.send_data("data: 1\n\n".into()).await.expect("somebody reads");

    drop(response);

    eventually("nobody reads any more", async || {
        let sent = sender.send_data("data: 2\n\n".into());
        tokio::time::timeout(Duration::from_secs(1), sent)
            .await
            .is_ok_and(|sent| sent.is_err())
    })
    .await;
    assert_eq!(gateway.outcome("/events").await, "client-gone");
}

#[tokio::test]
async fn curl_shows_each_event_as_it_comes() {
    if !has_program("curl") {
        return;
    }
    let (upstream, mut sender) = sending().await;
    let gateway = gateway(&upstream).await;
    let url = format!("http://{}/events", gateway.address());
    let curl = Process::curl(&["-sSN", "--compressed", "-H", "x-access-tokens: good", &url]);
    for number in 0..5 {
        sender
            .send_data(format!("data: {number}\n\n").into())
            .await
            .expect("somebody reads");
        eventually("curl prints it", async || {
            curl.stdout().contains(&format!("data: {number}"))
        })
        .await;
    }
    drop(sender);
    assert_eq!(curl.exited().await, 0);
}
