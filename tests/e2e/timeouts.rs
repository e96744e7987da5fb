//! Nothing waits for ever.

use std::time::{Duration, Instant};

use portcullis_tests::{Gateway, Upstream, eventually, stepwise};

async fn with_limits(upstream: &str, of_upstream: &str, of_route: &str) -> Gateway {
    Gateway::start(format!(
        r#"
        [upstream.service]
        targets = ["{upstream}"]
        {of_upstream}
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        {of_route}
        "#
    ))
    .await
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_504() {
    let upstream = Upstream::with(|_| std::future::pending()).await;
    let gateway = with_limits(&upstream.to_string(), "response_timeout = '200ms'", "").await;
    let begin = Instant::now();

    let response = gateway.get("/x").await;

    assert_eq!((response.status(), response.code().as_str()), (504, "upstream-timeout"));
    assert!(begin.elapsed() >= Duration::from_millis(200));
    assert_eq!(gateway.outcome("/x").await, "upstream-timeout");
    eventually("the upstream is let go", async || upstream.in_flight() == 0).await;
}

#[tokio::test]
async fn an_upstream_that_takes_no_connection_in_time_is_502() {
    let full = Upstream::full().await;
    let gateway = with_limits(&full.to_string(), "connect_timeout = '200ms'", "").await;

    let response = gateway.get("/x").await;

    // As where it refuses the connection: the request was never sent.
    assert_eq!((response.status(), response.code().as_str()), (502, "upstream-connect"));
    assert_eq!(gateway.outcome("/x").await, "upstream-connect");
}

#[tokio::test]
async fn an_exchange_that_passes_its_deadline_is_504() {
    let upstream = Upstream::with(|_| std::future::pending()).await;
    let gateway = with_limits(&upstream.to_string(), "", "timeout = '200ms'").await;

    let response = gateway.get("/x").await;

    assert_eq!((response.status(), response.code().as_str()), (504, "deadline"));
    assert_eq!(gateway.outcome("/x").await, "deadline");
}

#[tokio::test]
async fn a_deadline_covers_all_tries() {
    let full = [Upstream::full().await, Upstream::full().await, Upstream::full().await];
    let targets = full.each_ref().map(ToString::to_string).join("\", \"");
    let gateway = with_limits(&targets, "connect_timeout = '5s'", "timeout = '300ms'").await;
    let begin = Instant::now();

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.code().as_str()), (504, "deadline"));
    assert!(begin.elapsed() < Duration::from_secs(4));
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
    let gateway = with_limits(&upstream.to_string(), "idle_timeout = '200ms'", "").await;

    let response = gateway.request("GET", "/x").try_send().await;

    assert!(response.is_err(), "{response:?}");
    assert_eq!(gateway.outcome("/x").await, "upstream-timeout");
}

#[tokio::test]
async fn a_response_may_take_long_while_it_moves() {
    let upstream = Upstream::with(|_| async {
        let (mut sender, body) = stepwise();
        tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(60)).await;
                _ = sender.send_data("x".into()).await;
            }
        });
        http::Response::new(body)
    })
    .await;
    let gateway = with_limits(&upstream.to_string(), "idle_timeout = '400ms'", "timeout = '300ms'").await;

    assert_eq!(gateway.get("/").await.text(), "xxxxxxxxxx");
}
