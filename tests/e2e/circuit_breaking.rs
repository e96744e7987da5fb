//! An upstream that is busy or broken is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portcullis_tests::{Gateway, Upstream, empty, eventually, full};

async fn with(upstream: &dyn std::fmt::Display, settings: &str) -> Gateway {
    Gateway::start(format!(
        r#"
        [upstream.service]
        targets = ["{upstream}"]
        {settings}
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        "#
    ))
    .await
}

async fn refused(gateway: &Gateway, reason: &str) -> f64 {
    let labels = [("upstream", "service"), ("reason", reason)];
    gateway.metric("portcullis_upstream_refused_total", &labels).await
}

async fn breaker(gateway: &Gateway) -> f64 {
    gateway
        .metric("portcullis_upstream_breaker", &[("upstream", "service")])
        .await
}

/// Answers 500 while the switch is on, 200 otherwise.
async fn switched() -> (Upstream, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(true));
    let switch = broken.clone();
    let upstream = Upstream::with(move |_| {
        let broken = broken.load(Ordering::SeqCst);
        async move {
            let mut response = http::Response::new(full("answer"));
            if broken {
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            }
            response
        }
    })
    .await;
    (upstream, switch)
}

#[tokio::test]
async fn no_more_requests_than_the_limit_are_under_way_over_all_threads() {
    let upstream = Upstream::with(|request: http::Request<hyper::body::Incoming>| async move {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        http::Response::new(full("answer"))
    })
    .await;
    let gateway = with(&upstream, "limits = { requests = 4 }").await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut client = gateway.raw().await;
        client.send("GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
        waiting.push(client);
    }
    eventually("they are under way", async || upstream.in_flight() == 4).await;

    let response = gateway.get("/x").await;

    assert_eq!((response.status(), response.code().as_str()), (503, "upstream-busy"));
    assert_eq!(response.header("retry-after"), "1");
    assert_eq!((upstream.requests(), refused(&gateway, "requests").await), (4, 1.0));
    assert_eq!(gateway.outcome("/x").await, "upstream-busy");
    waiting.pop();
    eventually("there is room again", async || gateway.get("/").await.status() == 200).await;
    waiting.clear();
    eventually("they are gone", async || upstream.in_flight() == 0).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }
}

#[tokio::test]
async fn no_more_requests_than_the_limit_wait_for_a_connection() {
    let full = Upstream::full().await;
    let gateway = with(&full, "connect_timeout = '20s'\nlimits = { pending = 1 }").await;
    // One of the two waits; which one is for the gateway's threads to say.
    let mut clients = [gateway.raw().await, gateway.raw().await];
    for client in &mut clients {
        client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    }

    assert_eq!(gateway.outcome("/x").await, "upstream-busy");

    assert_eq!(refused(&gateway, "pending").await, 1.0);
    assert_eq!(gateway.access_log().len(), 1);
}

#[tokio::test]
async fn a_breaker_opens_probes_and_closes_again() {
    let (upstream, broken) = switched().await;
    let settings = "breaker = { errors = '50%', least = 10, window = '60s', open = '1s', probes = 2 }";
    let gateway = with(&upstream, settings).await;
    assert_eq!(breaker(&gateway).await, 0.0);
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.status(), 500);
    }

    let response = gateway.get("/x").await;

    assert_eq!((response.status(), response.code().as_str()), (503, "circuit-open"));
    let after: u64 = response.header("retry-after").parse().expect("seconds");
    assert!((1..=2).contains(&after), "{after}");
    assert_eq!((upstream.requests(), breaker(&gateway).await), (10, 2.0));
    assert_eq!(gateway.outcome("/x").await, "circuit-open");
    assert!(refused(&gateway, "circuit-open").await >= 1.0);

    eventually("it is half-open", async || breaker(&gateway).await == 1.0).await;
    assert_eq!(gateway.get("/").await.status(), 500);
    assert_eq!(
        (gateway.get("/").await.code().as_str(), upstream.requests()),
        ("circuit-open", 11)
    );

    broken.store(false, Ordering::SeqCst);
    eventually("it is half-open again", async || breaker(&gateway).await == 1.0).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }
    assert_eq!(breaker(&gateway).await, 0.0);
}

#[tokio::test]
async fn failures_to_answer_open_a_breaker_too_and_few_errors_do_not() {
    let closing = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
    })
    .await;
    let settings = "retry = 'off'\nbreaker = { errors = '60%', least = 5, open = '60s' }";
    let gateway = with(&closing, settings).await;
    for _ in 0..5 {
        assert_eq!(gateway.get("/").await.code(), "upstream-reset");
    }
    assert_eq!(gateway.get("/").await.code(), "circuit-open");

    let half = Upstream::with(|request: http::Request<hyper::body::Incoming>| async move {
        let mut response = http::Response::new(empty());
        if request.uri().path() == "/bad" {
            *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        }
        response
    })
    .await;
    let gateway = with(&half, settings).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/good").await.status(), 200);
        assert_eq!(gateway.get("/bad").await.status(), 502);
    }
    assert_eq!(breaker(&gateway).await, 0.0);
}

#[tokio::test]
async fn retries_stop_when_the_breaker_opens() {
    let (upstream, _broken) = switched().await;
    let settings = "retry = { tries = 50, on = '500', backoff = '1ms', budget_least = 100 }\n\
        breaker = { least = 5, open = '60s' }";
    let gateway = with(&upstream, settings).await;

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.text().as_str()), (500, "answer"));
    assert_eq!(upstream.requests(), 5);
}

#[tokio::test]
async fn an_open_breaker_outlives_a_reload_that_leaves_its_upstream_alone() {
    let (upstream, _broken) = switched().await;
    let configuration = |more: &str| {
        format!(
            "[upstream.service]\ntargets = ['{upstream}']\nbreaker = {{ least = 5, open = '60s' }}\n\
             [[route]]\nmatch = '/{{rest...}}'\nto = 'service'\n{more}"
        )
    };
    let gateway = Gateway::start(configuration("")).await;
    for _ in 0..5 {
        gateway.get("/").await;
    }
    assert_eq!(gateway.get("/").await.code(), "circuit-open");

    gateway
        .reload_with(configuration("[[route]]\nmatch = '/new'\nrespond = {}\n"))
        .await;

    eventually("the new route is there", async || {
        gateway.get("/new").await.status() == 200
    })
    .await;
    assert_eq!(gateway.get("/").await.code(), "circuit-open");
    assert_eq!(breaker(&gateway).await, 2.0);
}
