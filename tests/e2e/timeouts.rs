//! Nothing waits for ever.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use portcullis_tests::{Gateway, Upstream, chunked, eventually, full, stepwise};

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_504() {
    let upstream = Upstream::with(|_| std::future::pending()).await;
    let gateway = Gateway::before(&[&upstream], "response_timeout = '200ms'", "").await;
    let begin = Instant::now();

    let response = gateway.get("/x").await;

    assert_eq!((response.status(), response.code().as_str()), (504, "upstream-timeout"));
    assert!(begin.elapsed() >= Duration::from_millis(200));
    assert_eq!(gateway.outcome("/x").await, "upstream-timeout");
    eventually("the upstream is let go", async || upstream.in_flight() == 0).await;
}

#[tokio::test]
async fn an_upstream_has_its_time_from_the_end_of_an_upload_on() {
    let upstream = Upstream::with(|request| async move {
        _ = request.into_body().collect().await;
        tokio::time::sleep(Duration::from_millis(1000)).await;
        http::Response::new(full("late"))
    })
    .await;
    let gateway = Gateway::before(&[&upstream], "response_timeout = '2s'", "").await;
    let (mut upload, body) = stepwise();
    let uploading = tokio::spawn(async move {
        for _ in 0..15 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            _ = upload.send_data("x".into()).await;
        }
    });

    let response = gateway.request("POST", "/").streaming(body).send().await;

    assert_eq!((response.status(), response.text().as_str()), (200, "late"));
    uploading.await.expect("an upload that ended before");
}

#[tokio::test]
async fn an_upstream_that_is_silent_after_an_upload_is_504() {
    let upstream = Upstream::with(|request| async move {
        _ = request.into_body().collect().await;
        std::future::pending().await
    })
    .await;
    let gateway = Gateway::before(&[&upstream], "response_timeout = '300ms'", "").await;
    let begin = Instant::now();

    let response = gateway
        .request("POST", "/")
        .streaming(chunked(vec![0; 100_000]))
        .send()
        .await;

    assert_eq!((response.status(), response.code().as_str()), (504, "upstream-timeout"));
    assert!(begin.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn each_request_of_a_connection_has_its_own_time() {
    let upstream = Upstream::with(|request| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
        http::Response::new(full("answer"))
    })
    .await;
    let gateway = Gateway::before(&[&upstream], "response_timeout = '2s'", "").await;
    let mut connection = gateway.connect().await;

    // What is left of the time of one request is not what the next one has.
    for path in ["/", "/slow", "/", "/slow", "/slow"] {
        assert_eq!(connection.get(path).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn an_upstream_that_takes_no_connection_in_time_is_504() {
    let full = Upstream::full().await;
    let gateway = Gateway::before(&[&full], "connect_timeout = '200ms'", "").await;

    let response = gateway.get("/x").await;

    assert_eq!((response.status(), response.code().as_str()), (504, "upstream-timeout"));
    assert_eq!(gateway.outcome("/x").await, "upstream-timeout");
}

#[tokio::test]
async fn an_exchange_that_passes_its_deadline_is_504() {
    let upstream = Upstream::with(|_| std::future::pending()).await;
    let gateway = Gateway::before(&[&upstream], "", "timeout = '200ms'").await;

    let response = gateway.get("/x").await;

    assert_eq!((response.status(), response.code().as_str()), (504, "deadline"));
    assert_eq!(gateway.outcome("/x").await, "deadline");
}

#[tokio::test]
async fn a_deadline_covers_all_tries() {
    let full = [Upstream::full().await, Upstream::full().await, Upstream::full().await];
    let [one, two, three] = &full;
    let gateway = Gateway::before(&[one, two, three], "connect_timeout = '20s'", "timeout = '300ms'").await;
    let begin = Instant::now();

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.code().as_str()), (504, "deadline"));
    assert!(begin.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_response_that_stalls_is_broken_off() {
    let upstream = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
        socket
            .send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome of it")
            .await;
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = Gateway::before(&[&upstream], "idle_timeout = '200ms'", "").await;

    let response = gateway.request("GET", "/x").try_send().await;

    assert!(response.is_err(), "{response:?}");
    assert_eq!(gateway.outcome("/x").await, "upstream-timeout");
}

#[tokio::test]
async fn a_response_may_take_long_while_it_moves() {
    let upstream = Upstream::with(|_| async {
        let (mut sender, body) = stepwise();
        tokio::spawn(async move {
            for _ in 0..25 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                _ = sender.send_data("x".into()).await;
            }
        });
        http::Response::new(body)
    })
    .await;
    let gateway = Gateway::before(&[&upstream], "idle_timeout = '2s'", "timeout = '2s'").await;

    assert_eq!(gateway.get("/").await.text(), "x".repeat(25));
}
