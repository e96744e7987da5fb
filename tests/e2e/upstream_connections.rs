//! Connections to upstreams are kept and used again, and a dead one costs no request.

use std::time::Duration;

use portcullis_tests::{Gateway, Upstream, eventually, full};

#[tokio::test]
async fn a_connection_to_the_upstream_is_used_again() {
    let upstream = Upstream::answering("hello").await;
    let gateway = Gateway::proxying(&upstream).await;

    for _ in 0..50 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }

    // One for each of the two threads.
    assert!(upstream.connections() <= 2, "{}", upstream.connections());
}

#[tokio::test]
async fn a_client_keeps_its_connection_over_many_requests() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut connection = gateway.connect().await;

    for size in [0, 10, 100_000, 0, 3] {
        let response = connection.request("POST", "/").body(vec![b'x'; size]).send().await;
        assert_eq!(response.json()["length"], size);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_pooled_connection_that_died_costs_no_request() {
    // Promises to keep the connection, and closes it.
    let upstream = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
        socket.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut connection = gateway.connect().await;

    for number in 0..100 {
        let response = connection.get("/").await;
        assert_eq!(
            (response.status(), response.text().as_str()),
            (200, "ok"),
            "request {number}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_comes_back_is_used_again() {
    let mut upstream = Upstream::answering("first").await;
    let gateway = Gateway::proxying(&upstream).await;
    assert_eq!(gateway.get("/").await.text(), "first");

    upstream.stop().await;
    let response = gateway.get("/").await;
    assert_eq!((response.status(), response.code().as_str()), (502, "upstream-connect"));

    let _second = Upstream::answering_at(upstream.address(), "second").await;
    eventually("it answers again", async || gateway.get("/").await.text() == "second").await;
}

#[tokio::test]
async fn idle_connections_to_upstreams_are_closed_in_time() {
    let upstream = Upstream::answering("hello").await;
    let gateway = Gateway::start(format!(
        r#"
        upstream.service = {{ targets = ["{upstream}"], keep_for = "200ms" }}
        [[route]]
        match = "/"
        to = "service"
        "#
    ))
    .await;
    gateway.get("/").await;

    eventually("the idle connection is closed", async || {
        upstream.open_connections() == 0
    })
    .await;

    assert_eq!(gateway.get("/").await.status(), 200);
}

/// A gateway with one route, to an upstream with these settings.
async fn with(upstream: &Upstream, threads: usize, settings: &str) -> Gateway {
    Gateway::start(format!(
        "[server]\nthreads = {threads}\n[upstream.service]\ntargets = [\"{upstream}\"]\n{settings}\n[[route]]\n\
         match = \"/{{rest...}}\"\nto = \"service\"\n"
    ))
    .await
}

/// Answers after a while.
async fn slow() -> Upstream {
    Upstream::with(|_| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        http::Response::new(full("done"))
    })
    .await
}

/// Sends so many requests at once and gives their statuses.
async fn at_once(gateway: &Gateway, count: usize) -> Vec<u16> {
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..count {
        requests.spawn(gateway.request("GET", "/").send());
    }
    let answers = requests.join_all().await;
    answers.iter().map(|answer| answer.status()).collect()
}

#[tokio::test]
async fn connections_to_a_target_are_limited_over_all_threads_and_requests_wait_for_them() {
    let upstream = slow().await;
    let gateway = with(&upstream, 2, "connections = 3\nconnect_timeout = \"20s\"").await;

    let statuses = at_once(&gateway, 60).await;

    assert_eq!(statuses, vec![200; 60]);
    assert_eq!(upstream.most_in_flight(), 3);
}

#[tokio::test]
async fn who_waits_for_too_long_or_behind_too_many_is_told_that_the_service_is_busy() {
    let upstream = Upstream::with(|_| async { std::future::pending().await }).await;
    let gateway = with(
        &upstream,
        1,
        "connections = 1\npending = 2\nconnect_timeout = \"400ms\"\nresponse_timeout = \"6s\"",
    )
    .await;
    let held = tokio::spawn(gateway.request("GET", "/held").send());
    eventually("the only connection is in use", async || upstream.in_flight() == 1).await;

    let first = tokio::spawn(gateway.request("GET", "/waits").send());
    let second = tokio::spawn(gateway.request("GET", "/waits").send());
    eventually("one more is refused at once", async || {
        let response = gateway.get("/refused").await;
        (response.status(), response.code().as_str()) == (503, "upstream-busy")
    })
    .await;

    for waited in [first, second] {
        let response = waited.await.expect("no panic");
        assert_eq!((response.status(), response.code().as_str()), (503, "upstream-busy"));
        assert_eq!(response.header("retry-after"), "1");
    }
    assert_eq!(held.await.expect("no panic").code(), "upstream-timeout");
}

#[tokio::test]
async fn an_idle_connection_of_one_thread_gives_way_to_a_request_on_another() {
    let upstream = Upstream::answering("hello").await;
    let gateway = with(&upstream, 4, "connections = 1\nconnect_timeout = \"20s\"").await;

    // The kernel spreads these over the threads; all but the first find the only connection elsewhere, or at home.
    for _ in 0..12 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }

    let opened = gateway
        .metric("portcullis_upstream_connections_opened_total", &[])
        .await;
    let closed = gateway
        .metric("portcullis_upstream_connections_closed_total", &[])
        .await;
    assert_eq!(opened - closed, 1.0);
}

#[tokio::test]
async fn a_connection_serves_so_many_requests_and_no_more() {
    let upstream = Upstream::answering("hello").await;
    for (http, path) in [("1.1", "/one"), ("2", "/two")] {
        let before = upstream.connections();
        let settings = format!("requests_per_connection = 5\nhttp = \"{http}\"");
        let gateway = with(&upstream, 1, &settings).await;

        for _ in 0..20 {
            assert_eq!(gateway.get(path).await.status(), 200);
        }

        assert_eq!(upstream.connections() - before, 4, "HTTP/{http}");
        let age = [("upstream", "service"), ("reason", "age")];
        eventually("those of age are counted", async || {
            gateway
                .metric("portcullis_upstream_connections_closed_total", &age)
                .await
                >= 3.0
        })
        .await;
    }
}

#[tokio::test]
async fn a_connection_that_is_too_old_serves_no_longer() {
    let upstream = Upstream::answering("hello").await;
    let gateway = with(&upstream, 1, "reuse_for = \"300ms\"").await;

    eventually("there is a second connection", async || {
        assert_eq!(gateway.get("/").await.status(), 200);
        upstream.connections() >= 2
    })
    .await;
    eventually(
        "and the last is closed in time, though it is kept for longer",
        async || upstream.open_connections() == 0,
    )
    .await;
}

#[tokio::test]
async fn connections_are_counted() {
    let upstream = Upstream::answering("hello").await;
    let gateway = with(&upstream, 1, "keep_for = \"2s\"").await;
    for _ in 0..5 {
        gateway.get("/").await;
    }

    let service = [("upstream", "service")];
    let opened = gateway
        .metric("portcullis_upstream_connections_opened_total", &service)
        .await;
    let reused = gateway
        .metric("portcullis_upstream_connections_reused_total", &service)
        .await;
    let connects = gateway
        .metric("portcullis_upstream_connect_duration_seconds_count", &service)
        .await;

    assert_eq!((opened, reused, connects), (1.0, 4.0, 1.0));
    let idle = [("upstream", "service"), ("reason", "idle")];
    eventually("the idle one is closed and counted", async || {
        gateway
            .metric("portcullis_upstream_connections_closed_total", &idle)
            .await
            >= 1.0
    })
    .await;
}

#[tokio::test]
async fn targets_are_told_the_clients_address_by_the_proxy_protocol() {
    for version in ["v1", "v2"] {
        let (told, heard) = std::sync::mpsc::channel();
        let upstream = Upstream::raw(move |mut socket| {
            let told = told.clone();
            async move {
                let first = if version == "v1" {
                    socket.read_until("\r\n").await.into_bytes()
                } else {
                    socket.read_exactly(28).await
                };
                told.send(first).expect("somebody listens");
                while !socket.read_head().await.is_empty() {
                    socket.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            }
        })
        .await;
        let settings = format!("proxy_protocol = \"{version}\"");
        let gateway = with(&upstream, 1, &settings).await;
        let mut client = gateway.connect().await;

        for _ in 0..3 {
            assert_eq!(client.get("/").await.text(), "ok");
        }

        // A connection tells of one client, so no other request may ever go over it.
        assert_eq!(upstream.connections(), 3);
        let port = gateway.address().port();
        for _ in 0..3 {
            let first = heard.recv().expect("the upstream told");
            if version == "v1" {
                let line = String::from_utf8(first).expect("text");
                assert!(line.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{line}");
                assert!(line.ends_with(&format!(" {port}\r\n")), "{line}");
            } else {
                assert_eq!(&first[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
                assert_eq!(&first[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
                assert_eq!(&first[26..], port.to_be_bytes());
            }
        }
    }
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_the_limit() {
    let upstream = Upstream::with(|_| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        http::Response::new(full("done"))
    })
    .await;
    let gateway = with(&upstream, 1, "keep = 2").await;

    assert_eq!(at_once(&gateway, 8).await, vec![200; 8]);

    assert!(upstream.most_in_flight() > 2, "{}", upstream.most_in_flight());
    eventually("two are left", async || upstream.open_connections() == 2).await;
    assert_eq!(at_once(&gateway, 2).await, vec![200; 2]);
    assert_eq!(upstream.open_connections(), 2);
}

/// Hundredths of a second until the kernel asks the peer at this port whether it is still there; none where it does not.
fn asked_in(port: u16) -> Option<u64> {
    let connections = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's connections");
    let peer = format!("0100007F:{port:04X}");
    let fields = connections
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The peer's address is the third field, the timer the sixth: which one runs, and how long.
    fields
        .filter(|fields| fields.len() > 5 && fields[2] == peer)
        .find_map(|fields| {
            let (kind, left) = fields[5].split_once(':')?;
            (kind == "02").then(|| u64::from_str_radix(left, 16).expect("a number"))
        })
}

#[tokio::test]
async fn silent_targets_are_asked_whether_they_are_still_there() {
    let upstream = Upstream::answering("hello").await;
    for (setting, least, most) in [("", 3_000, 6_000), ("tcp_keepalive = \"200s\"", 15_000, 20_000)] {
        let gateway = with(&upstream, 1, setting).await;
        assert_eq!(gateway.get("/").await.status(), 200);

        eventually("the kernel will ask", async || {
            asked_in(upstream.address().port()).is_some_and(|left| (least..=most).contains(&left))
        })
        .await;
    }
}

#[tokio::test]
async fn connections_of_settings_that_are_gone_keep_no_place_from_others() {
    let upstream = Upstream::with(|request| async move {
        if request.uri().path() == "/held" {
            std::future::pending::<()>().await;
        }
        http::Response::new(full("ok"))
    })
    .await;
    for http in ["1.1", "2"] {
        let settings = |keep: u32| {
            format!(
                "[server]\nthreads = 1\n[upstream.service]\ntargets = [\"{upstream}\"]\nhttp = \"{http}\"\nconnections = 2\n\
                 connect_timeout = \"20s\"\nkeep_for = \"{keep}m\"\n[[route]]\nmatch = \"/{{rest...}}\"\nto = \"service\"\n"
            )
        };
        let gateway = Gateway::start(settings(5)).await;
        // One connection is in use until the end; over HTTP/1.1 another one lies idle.
        let held = tokio::spawn(gateway.request("GET", "/held").send());
        eventually("a request is held", async || upstream.in_flight() == 1).await;
        assert_eq!(gateway.get("/").await.status(), 200);

        for keep in 6..9 {
            gateway.reload_with(settings(keep)).await;
            assert_eq!(gateway.get("/").await.status(), 200, "HTTP/{http}, {keep}");
        }

        let gone = [("upstream", "service"), ("reason", "gone")];
        eventually("what nobody uses is closed", async || {
            let closed = gateway
                .metric("portcullis_upstream_connections_closed_total", &gone)
                .await;
            closed == if http == "2" { 2.0 } else { 3.0 }
        })
        .await;
        held.abort();
        let _ = held.await;
        gateway.stop().await;
        eventually("the request is let go", async || upstream.in_flight() == 0).await;
    }
}
