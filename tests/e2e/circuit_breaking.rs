//! An upstream that is busy or broken is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portcullis_tests::{Gateway, Upstream, empty, eventually, full, with_trailers};

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
    let gateway = Gateway::before(&[&upstream], "limits = { requests = 4 }", "").await;
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
    let gateway = Gateway::before(&[&full], "connect_timeout = '20s'\nlimits = { pending = 1 }", "").await;
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
    let settings = "breaker = { errors = '50%', least = 10, window = '60s', open = '3s', probes = 2 }";
    let gateway = Gateway::before(&[&upstream], settings, "").await;
    assert_eq!(breaker(&gateway).await, 0.0);
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.status(), 500);
    }

    let response = gateway.get("/x").await;

    assert_eq!((response.status(), response.code().as_str()), (503, "circuit-open"));
    let after: u64 = response.header("retry-after").parse().expect("seconds");
    assert!((1..=4).contains(&after), "{after}");
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
    let gateway = Gateway::before(&[&closing], settings, "").await;
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
    let gateway = Gateway::before(&[&half], settings, "").await;
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
    let gateway = Gateway::before(&[&upstream], settings, "").await;

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.text().as_str()), (500, "answer"));
    assert_eq!(upstream.requests(), 5);
}

#[tokio::test]
async fn an_answer_is_never_replaced_by_the_breakers_own() {
    let asked = Arc::new(AtomicBool::new(false));
    let upstream = Upstream::with(move |request: http::Request<hyper::body::Incoming>| {
        let again = request.uri().path() == "/limited" && asked.swap(true, Ordering::SeqCst);
        async move {
            let status = match request.uri().path() {
                "/hanging" => std::future::pending().await,
                "/limited" if again => 200,
                "/limited" => 429,
                _ => 500,
            };
            let mut response = http::Response::new(full("answer"));
            *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
            response
                .headers_mut()
                .insert("retry-after", "1".parse().expect("a value"));
            response
        }
    })
    .await;
    let settings = "retry = { on = '429' }\nbreaker = { least = 5, open = '1s', probes = 2 }";
    let gateway = Gateway::before(&[&upstream], settings, "").await;
    for _ in 0..5 {
        gateway.get("/bad").await;
    }
    eventually("it is half-open", async || breaker(&gateway).await == 1.0).await;

    // Between its two tries others want to have all places.
    let limited = tokio::spawn(gateway.request("GET", "/limited").send());
    eventually("it was asked", async || upstream.requests() == 6).await;
    let mut hanging = Vec::new();
    for _ in 0..3 {
        let mut client = gateway.raw().await;
        client.send("GET /hanging HTTP/1.1\r\nhost: a\r\n\r\n").await;
        hanging.push(client);
    }

    assert_eq!(limited.await.expect("no panic").status(), 200);
}

#[tokio::test]
async fn a_grpc_upstream_that_says_unavailable_after_its_messages_opens_the_breaker() {
    let upstream = Upstream::with(|_| async {
        let mut response = http::Response::new(with_trailers("message", "grpc-status", "14"));
        let kind = "application/grpc".parse().expect("a value");
        response.headers_mut().insert("content-type", kind);
        response
    })
    .await;
    let settings = "http = '2'\nretry = 'off'\nbreaker = { least = 5, open = '60s' }";
    let gateway = Gateway::before(&[&upstream], settings, "").await;

    for _ in 0..8 {
        let call = gateway.request("POST", "/shop.Orders/Get").body("message").http2();
        call.header("content-type", "application/grpc").send().await;
    }

    assert_eq!((upstream.requests(), breaker(&gateway).await), (5, 2.0));
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

#[tokio::test]
async fn errors_of_long_ago_open_no_breaker() {
    let (upstream, _broken) = switched().await;
    let settings = "retry = 'off'\neject = 'off'\nbreaker = { least = 6, window = '1s', open = '60s' }";
    let gateway = Gateway::before(&[&upstream], settings, "").await;

    for _ in 0..3 {
        for _ in 0..5 {
            assert_eq!(gateway.get("/").await.status(), 500);
        }
        tokio::time::sleep(std::time::Duration::from_millis(1300)).await;
    }

    assert_eq!((upstream.requests(), breaker(&gateway).await), (15, 0.0));
}
