//! A target that keeps failing is left out for a while.

use std::fmt::Display;

use portcullis_tests::{Gateway, Service, Upstream, empty, eventually, generated, stepwise, with_trailers};

async fn gateway(targets: &str, settings: &str) -> Gateway {
    Gateway::start(format!(
        r#"
        [upstream.service]
        targets = [{targets}]
        balance = "round-robin"
        {settings}
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        timeout = "20s"
        "#
    ))
    .await
}

async fn ejections(gateway: &Gateway) -> f64 {
    gateway
        .metric("portcullis_upstream_ejections_total", &[("upstream", "service")])
        .await
}

/// Sends requests until a target is ejected.
async fn until_ejected(gateway: &Gateway) {
    eventually("a target is ejected", async || {
        gateway.request("GET", "/").try_send().await.ok();
        ejections(gateway).await > 0.0
    })
    .await;
}

#[tokio::test]
async fn a_target_that_answers_500_gets_no_more_requests_and_comes_back() {
    let (good, bad) = (Service::start().await, Service::start().await);
    bad.set_answers(500);
    let gateway = gateway(&format!("\"{good}\", \"{bad}\""), "eject = { after = 3, for = \"5s\" }").await;
    until_ejected(&gateway).await;
    let labels = [("target", &*bad.address().to_string()), ("upstream", "service")];
    assert_eq!(gateway.metric("portcullis_upstream_target_ejected", &labels).await, 1.0);

    let before = bad.requests();
    for _ in 0..20 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }
    assert_eq!(bad.requests(), before);

    bad.set_answers(200);
    gateway
        .log_line(&["target is back after its ejection", &bad.address().to_string()])
        .await;
    assert_eq!(gateway.metric("portcullis_upstream_target_ejected", &labels).await, 0.0);
    eventually("it gets requests again", async || {
        gateway.get("/").await;
        bad.requests() > before
    })
    .await;
}

#[tokio::test]
async fn ejection_is_on_by_default_after_five_failures_in_a_row() {
    let (good, bad) = (Service::start().await, Service::start().await);
    bad.set_answers(503);
    let gateway = gateway(&format!("\"{good}\", \"{bad}\""), "").await;
    until_ejected(&gateway).await;
    assert_eq!(bad.requests(), 5);
}

#[tokio::test]
async fn targets_that_refuse_hang_reset_or_talk_nonsense_are_ejected() {
    let good = Service::start().await;
    let hangs = Service::start().await;
    hangs.hang();
    let resets = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
    })
    .await;
    let nonsense = Upstream::saying(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    let exceeds = Upstream::saying(b"HTTP/1.1 999 High\r\ncontent-length: 0\r\n\r\n").await;
    let refuses = format!("http://{}", Upstream::absent().await);
    let bad = [&hangs as &dyn Display, &resets, &nonsense, &exceeds].map(ToString::to_string);
    for bad in bad.iter().chain([&refuses]) {
        let settings = "eject = { after = 1, for = \"1h\" }\nresponse_timeout = \"2s\"\nconnect_timeout = \"2s\"";
        let gateway = gateway(&format!("\"{good}\", \"{bad}\""), settings).await;
        until_ejected(&gateway).await;
        for _ in 0..10 {
            assert_eq!(gateway.get("/").await.status(), 200, "{bad}");
        }
        assert_eq!(ejections(&gateway).await, 1.0, "{bad}");
    }
}

#[tokio::test]
async fn a_route_that_runs_out_of_time_blames_the_target_that_hangs() {
    let (good, bad) = (Service::start().await, Service::start().await);
    bad.hang();
    let text = format!(
        r#"
        [upstream.service]
        targets = ["{good}", "{bad}"]
        balance = "round-robin"
        eject = {{ after = 2, for = "1h" }}
        [[route]]
        match = "/"
        to = "service"
        timeout = "2s"
        "#
    );
    let gateway = Gateway::start(text).await;
    until_ejected(&gateway).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }
}

#[tokio::test]
async fn a_success_between_failures_begins_the_count_again() {
    let (good, odd) = (Service::start().await, Service::start().await);
    let gateway = gateway(&format!("\"{good}\", \"{odd}\""), "eject = { after = 4, for = \"1h\" }").await;
    for _ in 0..4 {
        odd.set_answers(500);
        let before = odd.requests();
        while odd.requests() < before + 3 {
            gateway.get("/").await;
        }
        odd.set_answers(200);
        while odd.requests() < before + 4 {
            gateway.get("/").await;
        }
    }
    assert_eq!(ejections(&gateway).await, 0.0);
}

#[tokio::test]
async fn a_client_that_errs_or_leaves_ejects_nobody() {
    let (one, two) = (Service::start().await, Service::start().await);
    one.set_answers(404);
    two.set_answers(429);
    let gateway = gateway(&format!("\"{one}\", \"{two}\""), "eject = { after = 1 }").await;
    for _ in 0..10 {
        gateway.get("/").await;
    }
    one.hang();
    two.hang();
    for asked in 1..=4 {
        let mut client = gateway.raw().await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        eventually("it was asked", async || one.requests() + two.requests() == 10 + asked).await;
    }
    gateway.logged(|line| line["outcome"] == "client-gone").await;
    assert_eq!(ejections(&gateway).await, 0.0);
}

#[tokio::test]
async fn a_client_that_sends_too_slowly_ejects_nobody() {
    let service = Service::start().await;
    service.hang();
    let text = format!(
        r#"
        [upstream.service]
        targets = ["{service}"]
        eject = {{ after = 1 }}
        [[route]]
        match = "/"
        to = "service"
        timeout = "300ms"
        "#
    );
    let gateway = Gateway::start(text).await;
    let (_sender, body) = stepwise();
    let response = gateway.request("POST", "/").streaming(body).send().await;
    assert_eq!((response.status(), response.code().as_str()), (504, "deadline"));
    assert_eq!(ejections(&gateway).await, 0.0);

    assert_eq!(gateway.get("/").await.status(), 504);
    assert_eq!(ejections(&gateway).await, 1.0, "a whole request that gets no answer");
}

#[tokio::test]
async fn a_target_that_takes_nothing_of_an_upload_is_blamed() {
    let stuck = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
        std::future::pending::<()>().await;
    })
    .await;
    for (settings, of_route, code) in [
        ("response_timeout = \"300ms\"", "", "upstream-timeout"),
        ("", "timeout = \"3s\"", "deadline"),
    ] {
        let settings = format!("eject = {{ after = 1 }}\n{settings}");
        let of_route = format!("body_size = \"off\"\n{of_route}");
        let gateway = Gateway::before(&[&stuck], &settings, &of_route).await;
        let upload = gateway.request("POST", "/x").streaming(generated(200 << 20));
        upload.try_send().await.ok();
        assert_eq!(gateway.outcome("/x").await, code);
        assert_eq!(ejections(&gateway).await, 1.0, "{code}");
    }
}

#[tokio::test]
async fn a_grpc_target_that_says_unavailable_is_ejected_wherever_it_says_so() {
    for in_trailers in [false, true] {
        let answering = async |status: &'static str| {
            Upstream::with(move |_| async move {
                let mut response = if in_trailers {
                    http::Response::new(with_trailers("message", "grpc-status", status))
                } else {
                    http::Response::new(empty())
                };
                let headers = response.headers_mut();
                headers.insert("content-type", "application/grpc".parse().expect("a value"));
                if !in_trailers {
                    headers.insert("grpc-status", status.parse().expect("a value"));
                }
                response
            })
            .await
        };
        let (good, bad) = (answering("0").await, answering("14").await);
        let settings = "http = \"2\"\neject = { after = 3, for = \"1h\" }";
        let gateway = gateway(&format!("\"{good}\", \"{bad}\""), settings).await;
        let call = async || {
            let call = gateway.request("POST", "/shop.Orders/Get").body("message").http2();
            call.header("content-type", "application/grpc").send().await
        };
        eventually("it is ejected", async || {
            call().await;
            ejections(&gateway).await > 0.0
        })
        .await;
        let before = bad.requests();
        for _ in 0..10 {
            call().await;
        }
        assert_eq!(
            (bad.requests(), ejections(&gateway).await),
            (before, 1.0),
            "{in_trailers}"
        );
    }
}

#[tokio::test]
async fn half_of_the_targets_at_most_are_ejected_and_the_last_one_serves_on() {
    let (one, two, three) = (Service::start().await, Service::start().await, Service::start().await);
    for service in [&one, &two, &three] {
        service.set_answers(500);
    }
    let targets = format!("\"{one}\", \"{two}\", \"{three}\"");
    let gateway = gateway(&targets, "eject = { after = 1, for = \"1h\" }").await;
    for _ in 0..30 {
        assert_eq!(gateway.get("/").await.status(), 500, "the answer is the service's own");
    }
    assert_eq!(ejections(&gateway).await, 1.0);

    // The only target is ejected, too, and asked all the same.
    let only = self::gateway(&format!("\"{one}\""), "eject = { after = 1, for = \"1h\" }").await;
    for _ in 0..5 {
        assert_eq!(only.get("/").await.status(), 500);
    }
    assert_eq!(ejections(&only).await, 1.0);
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let bad = Service::start().await;
    bad.set_answers(500);
    let gateway = gateway(&format!("\"{bad}\""), "eject = \"off\"").await;
    for _ in 0..20 {
        gateway.get("/").await;
    }
    assert_eq!(ejections(&gateway).await, 0.0);
}

#[tokio::test]
async fn an_ejection_outlives_a_reload_that_changes_other_settings() {
    let (good, bad) = (Service::start().await, Service::start().await);
    bad.set_answers(500);
    let text = |keep: usize| {
        format!(
            r#"
            [upstream.service]
            targets = ["{good}", "{bad}"]
            balance = "round-robin"
            keep = {keep}
            eject = {{ after = 1, for = "1h" }}
            [[route]]
            match = "/"
            to = "service"
            "#
        )
    };
    let gateway = Gateway::start(text(1)).await;
    until_ejected(&gateway).await;
    let before = bad.requests();
    gateway.reload_with(text(2)).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }
    assert_eq!(bad.requests(), before);
}

#[tokio::test]
async fn each_ejection_lasts_longer_than_the_one_before_up_to_the_longest() {
    let (good, bad) = (Service::start().await, Service::start().await);
    bad.set_answers(500);
    let settings = "eject = { after = 1, for = \"1s\", longest = \"2s\" }";
    let gateway = gateway(&format!("\"{good}\", \"{bad}\""), settings).await;

    for (times, seconds) in [(1, 1), (2, 2), (3, 2)] {
        let (times, seconds) = (format!("times={times}"), format!("seconds={seconds}.0"));
        eventually("it is ejected again", async || {
            gateway.get("/").await;
            let log = gateway.log();
            log.lines()
                .any(|line| line.contains("target ejected") && line.contains(&times))
        })
        .await;
        gateway.log_line(&["target ejected", &times, &seconds]).await;
    }
}
