//! Which target of an upstream gets a request.

use std::time::Duration;

use portcullis_tests::{Gateway, Request, Service, Upstream, eventually, full};

/// A gateway with one thread, since each thread takes turns by itself.
async fn balancing(targets: &str, balance: &str) -> Gateway {
    let balance = if balance.starts_with('{') {
        balance.to_owned()
    } else {
        format!("\"{balance}\"")
    };
    Gateway::start(format!(
        r#"
        [server]
        threads = 1
        [upstream.service]
        targets = [{targets}]
        balance = {balance}
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
    for balance in [
        "round-robin",
        "least-request",
        "random",
        "peak-ewma",
        "{ hash = 'client-ip' }",
    ] {
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

#[tokio::test]
async fn random_spreads_over_all() {
    let (one, two) = (Service::start().await, Service::start().await);
    let gateway = balancing(&format!("\"{one}\", \"{two}\""), "random").await;
    for _ in 0..100 {
        gateway.get("/").await;
    }
    assert!(
        one.requests() > 20 && two.requests() > 20,
        "{} and {}",
        one.requests(),
        two.requests()
    );
}

#[tokio::test]
async fn peak_ewma_avoids_the_slow_target() {
    let fast = Service::start().await;
    let slow = Upstream::with(|_| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        http::Response::new(full(""))
    })
    .await;
    let gateway = balancing(&format!("\"{fast}\", \"{slow}\""), "peak-ewma").await;
    for _ in 0..40 {
        gateway.get("/").await;
    }
    assert!(
        slow.requests() <= 3 && fast.requests() >= 37,
        "{} to the slow one",
        slow.requests()
    );
}

/// The service that a request goes to, by its place.
async fn asked(services: &[Service], request: Request<'_>) -> usize {
    let response = request.send().await;
    assert_eq!(response.status(), 200);
    services
        .iter()
        .position(|service| service.answered(&response))
        .expect("one of them")
}

/// Starts some services, and a gateway that hashes a part of the request.
async fn hashing(part: &str) -> (Vec<Service>, Gateway) {
    let mut services = vec![];
    for _ in 0..4 {
        services.push(Service::start().await);
    }
    let targets: Vec<String> = services.iter().map(|service| format!("\"{service}\"")).collect();
    let text = format!(
        r#"
        [upstream.service]
        targets = [{}]
        balance = {{ hash = "{part}" }}
        [[route]]
        match = "/users/{{id}}"
        to = "service"
        "#,
        targets.join(", ")
    );
    let gateway = Gateway::start(text).await;
    (services, gateway)
}

#[tokio::test]
async fn requests_that_are_equal_in_what_is_hashed_go_to_one_target() {
    let with =
        |gateway: &Gateway, path: String, name: &str, value: &str| gateway.request("GET", &path).header(name, value);
    for part in ["header:x-user", "cookie:user", "path:id", "query:user"] {
        let (services, gateway) = hashing(part).await;
        let mut used = std::collections::HashSet::new();
        for user in 0..20 {
            let request = || match part {
                "header:x-user" => with(&gateway, "/users/1".to_owned(), "x-user", &format!("u{user}")),
                "cookie:user" => with(&gateway, "/users/1".to_owned(), "cookie", &format!("a=b; user=u{user}")),
                "path:id" => with(&gateway, format!("/users/u{user}?{user}"), "x-user", "same"),
                _ => with(&gateway, format!("/users/1?a=b&user=u{user}"), "x-user", "same"),
            };
            let first = asked(&services, request()).await;
            for _ in 0..3 {
                assert_eq!(asked(&services, request()).await, first, "{part}");
            }
            used.insert(first);
        }
        assert!(used.len() >= 3, "{part}: 20 keys on {} of 4 targets", used.len());
    }
}

#[tokio::test]
async fn a_surplus_sends_what_is_too_much_for_one_target_to_others() {
    let upstreams = [0; 4].map(|_| Upstream::with(|_| std::future::pending()));
    let upstreams = futures_util::future::join_all(upstreams).await;
    let targets: Vec<&dyn std::fmt::Display> = upstreams.iter().map(|upstream| upstream as _).collect();
    let settings = "balance = { hash = 'header:x-user', surplus = '0%' }";
    let gateway = Gateway::before(&targets, settings, "[server]\nthreads = 1").await;
    let mut clients = Vec::new();
    for asked in 1..=8 {
        let mut client = gateway.raw().await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\nx-user: ann\r\n\r\n").await;
        clients.push(client);
        eventually("somebody is asked", async || {
            upstreams.iter().map(Upstream::requests).sum::<usize>() == asked
        })
        .await;
    }

    let counts: Vec<usize> = upstreams.iter().map(Upstream::requests).collect();
    assert_eq!(counts, [2, 2, 2, 2]);
}

#[tokio::test]
async fn the_client_address_is_hashed_and_a_missing_part_leaves_the_choice_open() {
    let (services, gateway) = hashing("client-ip").await;
    let first = asked(&services, gateway.request("GET", "/users/1")).await;
    for user in 0..10 {
        assert_eq!(
            asked(&services, gateway.request("GET", &format!("/users/{user}"))).await,
            first
        );
    }

    let (services, gateway) = hashing("header:x-user").await;
    for _ in 0..60 {
        gateway.get("/users/1").await;
    }
    assert!(services.iter().all(|service| service.requests() > 0));
}

#[tokio::test]
async fn keys_of_a_dead_target_move_and_others_stay() {
    let (mut services, gateway) = hashing("header:x-user").await;
    let request = |user: usize| gateway.request("GET", "/users/1").header("x-user", format!("u{user}"));
    let mut before = vec![];
    for user in 0..40 {
        before.push(asked(&services, request(user)).await);
    }
    services[0].stop().await;
    for (user, before) in before.into_iter().enumerate() {
        let after = asked(&services, request(user)).await;
        assert!(after != 0 && (before == 0 || before == after), "user {user}");
    }
}

#[tokio::test]
async fn the_second_priority_serves_while_the_first_is_down() {
    let (mut first, second) = (Service::start().await, Service::start().await);
    let text = format!(
        r#"
        [upstream.service]
        targets = ["{first}", {{ url = "{second}", priority = 1 }}]
        health = {{ path = "/healthz", every = "50ms" }}
        [[route]]
        match = "/"
        to = "service"
        "#
    );
    let gateway = Gateway::start(text).await;
    for _ in 0..10 {
        gateway.get("/").await;
    }
    assert_eq!((first.requests(), second.requests()), (10, 0));
    first.stop().await;
    for _ in 0..10 {
        assert_eq!(
            gateway.get("/").await.status(),
            200,
            "tried before it is known to be down"
        );
    }
    assert_eq!(second.requests(), 10);
    first.restart().await;
    eventually("the first serves again", async || {
        let before = second.requests();
        gateway.get("/").await;
        second.requests() == before
    })
    .await;
}

#[tokio::test]
async fn a_zone_is_preferred_and_the_others_help_out() {
    let (near, far) = (Service::start().await, Service::start().await);
    let text = format!(
        r#"
        [upstream.service]
        targets = [{{ url = "{far}", zone = "b" }}, {{ url = "{near}", zone = "a" }}]
        prefer_zone = "a"
        eject = {{ after = 1, for = "1h" }}
        [[route]]
        match = "/"
        to = "service"
        "#
    );
    let gateway = Gateway::start(text).await;
    for _ in 0..10 {
        gateway.get("/").await;
    }
    assert_eq!((near.requests(), far.requests()), (10, 0));
    near.set_answers(500);
    gateway.get("/").await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }
    assert_eq!(far.requests(), 10);
}
