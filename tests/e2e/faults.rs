//! What goes wrong on purpose.

use std::time::{Duration, Instant};

use portcullis_tests::{Gateway, Upstream};

async fn with(upstream: &Upstream, fault: &str) -> Gateway {
    Gateway::start(format!(
        r#"
        upstream.service.targets = "{upstream}"
        [[route]]
        name = "all"
        match = "/{{rest...}}"
        to = "service"
        timeout = "2s"
        fault = {fault}
        "#
    ))
    .await
}

async fn faults(gateway: &Gateway, kind: &str) -> f64 {
    let labels = [("route", "all"), ("kind", kind)];
    gateway.metric("portcullis_faults_total", &labels).await
}

#[tokio::test]
async fn requests_fail_on_purpose() {
    let upstream = Upstream::answering("").await;
    let gateway = with(&upstream, "{ abort = 503 }").await;

    let response = gateway.get("/x").await;

    assert_eq!((response.status(), response.code().as_str()), (503, "fault"));
    assert_eq!((upstream.requests(), faults(&gateway, "abort").await), (0, 1.0));
    assert_eq!(gateway.outcome("/x").await, "fault");
}

#[tokio::test]
async fn a_share_of_them_fails() {
    let upstream = Upstream::answering("").await;
    let gateway = with(&upstream, "{ abort = 418, abort_share = '25%' }").await;
    let mut connection = gateway.connect().await;
    let mut failed = 0;

    for _ in 0..400 {
        failed += usize::from(connection.get("/").await.status() == 418);
    }

    assert!((54..=146).contains(&failed), "{failed}");
    assert_eq!(upstream.requests(), 400 - failed);
}

#[tokio::test]
async fn requests_are_delayed_on_purpose() {
    let upstream = Upstream::answering("late").await;
    let gateway = with(&upstream, "{ delay = '300ms' }").await;
    let begin = Instant::now();

    assert_eq!(gateway.get("/").await.text(), "late");

    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert_eq!(faults(&gateway, "delay").await, 1.0);
}

#[tokio::test]
async fn a_delay_counts_against_the_deadline() {
    let upstream = Upstream::answering("").await;
    let gateway = with(&upstream, "{ delay = '1h' }").await;

    assert_eq!(gateway.get("/").await.code(), "deadline");

    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_grpc_call_fails_in_its_own_words() {
    let upstream = Upstream::answering("").await;
    let gateway = with(&upstream, "{ abort = 503 }").await;

    let request = gateway
        .request("POST", "/a.B/C")
        .header("content-type", "application/grpc");
    let response = request.body("x").http2().send().await;

    assert_eq!((response.status(), response.header("grpc-status")), (200, "14"));
}
