//! One deadline for a request, whoever waits for it.

use std::time::{Duration, Instant};

use portcullis_tests::{Gateway, Upstream, eventually};

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

const HEADER: &str = "deadline_header = 'x-request-timeout-ms'";

#[tokio::test]
async fn a_target_is_told_what_is_left_of_the_time() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], HEADER, "timeout = '5s'").await;

    gateway.get("/").await;

    let left = number(&upstream.last_header("x-request-timeout-ms"));
    assert!((3_000..=5_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_client_may_shorten_the_deadline_and_not_lengthen_it() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], HEADER, "timeout = '5s'").await;
    for (said, least, most) in [("2000", 1_000, 2_000), ("900000", 3_000, 5_000), ("soon", 3_000, 5_000)] {
        gateway
            .request("GET", "/")
            .header("x-request-timeout-ms", said)
            .send()
            .await;
        let left = number(&upstream.last_header("x-request-timeout-ms"));
        assert!((least..=most).contains(&left), "{said}: {left}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_less_is_told_so_in_time() {
    let upstream = Upstream::with(|_| std::future::pending()).await;
    let gateway = Gateway::before(&[&upstream], HEADER, "").await;
    let begin = Instant::now();

    let request = gateway.request("GET", "/x").header("x-request-timeout-ms", "200");
    let response = request.send().await;

    assert_eq!((response.status(), response.code().as_str()), (504, "deadline"));
    assert!(begin.elapsed() < Duration::from_secs(10));
    eventually("the upstream is let go", async || upstream.in_flight() == 0).await;
}

#[tokio::test]
async fn tries_are_told_less_each_time() {
    let upstream = Upstream::with(|_| std::future::pending()).await;
    let settings = format!("{HEADER}\ntry_timeout = '300ms'\nretry = {{ tries = 2, on = 'timeout' }}");
    let gateway = Gateway::before(&[&upstream], &settings, "timeout = '5s'").await;

    assert_eq!(gateway.get("/").await.code(), "upstream-timeout");

    assert_eq!(upstream.requests(), 2);
    let left = number(&upstream.last_header("x-request-timeout-ms"));
    assert!(left <= 4_700, "{left}");
}

#[tokio::test]
async fn tries_end_with_the_deadline() {
    let upstream = Upstream::with(|_| std::future::pending()).await;
    let settings = "try_timeout = '600ms'\nretry = { tries = 100, on = 'timeout', budget_least = 100 }";
    let gateway = Gateway::before(&[&upstream], settings, "timeout = '1500ms'").await;
    let begin = Instant::now();

    let response = gateway.get("/").await;

    assert_eq!(response.status(), 504);
    let requests = upstream.requests();
    assert!((2..=3).contains(&requests), "{requests}");
    assert!(begin.elapsed() < Duration::from_secs(20));
}

async fn call(gateway: &Gateway, timeout: Option<&str>) -> portcullis_tests::Response {
    let mut request = gateway
        .request("POST", "/shop.Orders/Get")
        .header("content-type", "application/grpc");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    request.body("message").http2().send().await
}

#[tokio::test]
async fn a_grpc_call_takes_its_deadline_along() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], "http = '2'", "timeout = '5s'").await;
    for (said, least, most) in [
        (Some("2S"), 1_000, 2_000),
        (Some("1H"), 3_000, 5_000),
        (None, 3_000, 5_000),
    ] {
        call(&gateway, said).await;
        let told = upstream.last_header("grpc-timeout");
        let left = number(told.strip_suffix('m').expect("milliseconds"));
        assert!((least..=most).contains(&left), "{said:?}: {told}");
    }
}

#[tokio::test]
async fn a_stream_without_a_deadline_is_given_none() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&[&upstream], "http = '2'", "").await;

    call(&gateway, None).await;
    assert_eq!(upstream.last_header("grpc-timeout"), "");
    call(&gateway, Some("2H")).await;
    let told = upstream.last_header("grpc-timeout");
    assert!(
        number(told.strip_suffix('m').expect("milliseconds")) > 7_000_000,
        "{told}"
    );
}

#[tokio::test]
async fn a_grpc_call_that_takes_too_long_hears_it_in_its_own_words() {
    let upstream = Upstream::with(|_| std::future::pending()).await;
    let gateway = Gateway::before(&[&upstream], "http = '2'", "").await;

    let response = call(&gateway, Some("200m")).await;

    assert_eq!(
        (response.status(), response.header("content-type")),
        (200, "application/grpc")
    );
    assert_eq!((response.header("grpc-status"), response.text().as_str()), ("4", ""));
    assert!(response.header("grpc-message").contains("deadline"));
    assert_eq!(gateway.outcome("/shop.Orders/Get").await, "deadline");
}

#[tokio::test]
async fn a_grpc_call_that_goes_nowhere_is_unimplemented() {
    let gateway = Gateway::greeting().await;

    let response = call(&gateway, None).await;

    assert_eq!((response.status(), response.header("grpc-status")), (200, "12"));
    // HTTP/1.1 cannot carry gRPC, so this is a mistake in plain words.
    let request = gateway
        .request("POST", "/shop.Orders/Get")
        .header("content-type", "application/grpc");
    assert_eq!(request.body("x").send().await.code(), "no-route");
}
