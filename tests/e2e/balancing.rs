//! Which target of an upstream gets a request.

use portcullis_tests::{Gateway, Upstream, eventually, full};

/// A gateway with one thread, since each thread takes turns by itself.
async fn balancing(targets: &str, balance: &str) -> Gateway {
    Gateway::start(format!(
        r#"
        [server]
        threads = 1
        [upstream.service]
        targets = [{targets}]
        balance = "{balance}"
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        "#
    ))
    .await
}

#[tokio::test]
async fn round_robin_spreads_evenly() {
    let upstreams = [
        Upstream::answering("").await,
        Upstream::answering("").await,
        Upstream::answering("").await,
    ];
    let targets = upstreams
        .each_ref()
        .map(|upstream| format!("\"{upstream}\""))
        .join(", ");
    let gateway = balancing(&targets, "round-robin").await;

    for _ in 0..30 {
        gateway.get("/").await;
    }

    assert_eq!(upstreams.each_ref().map(Upstream::requests), [10, 10, 10]);
}

#[tokio::test]
async fn weights_shift_the_shares() {
    let (light, heavy) = (Upstream::answering("").await, Upstream::answering("").await);
    let targets = format!("\"{light}\", {{ url = \"{heavy}\", weight = 3 }}");
    let gateway = balancing(&targets, "round-robin").await;

    for _ in 0..40 {
        gateway.get("/").await;
    }

    assert_eq!((light.requests(), heavy.requests()), (10, 30));
}

#[tokio::test]
async fn least_request_prefers_the_idle_target() {
    let answer = |request: http::Request<hyper::body::Incoming>| async move {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        http::Response::new(full(""))
    };
    let (one, two) = (Upstream::with(answer).await, Upstream::with(answer).await);
    let gateway = balancing(&format!("\"{one}\", \"{two}\""), "least-request").await;
    let mut waiting = gateway.raw().await;
    waiting.send("GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("one of them is busy", async || one.in_flight() + two.in_flight() == 1).await;
    let (busy, idle) = if one.in_flight() == 1 {
        (&one, &two)
    } else {
        (&two, &one)
    };

    for _ in 0..20 {
        gateway.get("/").await;
    }

    assert_eq!((busy.requests(), idle.requests()), (1, 20));
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_costs_no_request() {
    let upstream = Upstream::echo().await;
    let (absent, gone) = (Upstream::absent().await, Upstream::absent().await);
    for balance in ["round-robin", "least-request"] {
        let targets = format!("\"http://{absent}\", \"{upstream}\", \"http://{gone}\"");
        let gateway = balancing(&targets, balance).await;
        for _ in 0..20 {
            let response = gateway.request("POST", "/").body("kept").send().await;
            assert_eq!(
                (response.status(), &response.json()["body"]),
                (200, &"kept".into()),
                "{balance}"
            );
        }
    }
}

#[tokio::test]
async fn targets_that_all_refuse_are_502() {
    let (one, two) = (Upstream::absent().await, Upstream::absent().await);
    let gateway = balancing(&format!("\"http://{one}\", \"http://{two}\""), "round-robin").await;

    let response = gateway.get("/x").await;

    assert_eq!((response.status(), response.code().as_str()), (502, "upstream-connect"));
    assert!(
        !response.text().contains(&one.port().to_string()),
        "the answer names an address of the inside"
    );
    assert_eq!(gateway.outcome("/x").await, "upstream-connect");
    assert!(
        gateway
            .metric("portcullis_upstream_requests_total", &[("upstream", "service")])
            .await
            >= 2.0
    );
}
