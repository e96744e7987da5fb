//! A request that failed is sent again, where that is safe.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use portcullis_tests::{Body, Gateway, Upstream, chunked, empty, eventually, full, generated, stepwise, with_trailers};

fn answer(status: u16, text: &str) -> http::Response<Body> {
    let mut response = http::Response::new(full(text.to_owned()));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    response
}

/// Answers the first requests with this status, all others with 200.
async fn failing_first(times: usize, status: u16) -> Upstream {
    let asked = Arc::new(AtomicUsize::new(0));
    Upstream::with(move |request: http::Request<Incoming>| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            match number < times {
                true => answer(status, "its own failure"),
                false => answer(200, &format!("got {}", body.len())),
            }
        }
    })
    .await
}

async fn always(status: u16) -> Upstream {
    failing_first(usize::MAX, status).await
}

#[tokio::test]
async fn a_status_that_is_named_is_tried_on_another_target() {
    let (bad, good) = (always(503).await, Upstream::answering("good").await);
    let gateway = Gateway::in_turn(&[&bad, &good], "retry = { on = '503', budget = '100%' }", "").await;

    for number in 0..20 {
        let response = gateway.get(&format!("/{number}")).await;
        assert_eq!((response.status(), response.text().as_str()), (200, "good"));
    }

    assert_eq!(good.requests(), 20);
    assert!(bad.requests() > 0);
    let labels = [("upstream", "service"), ("reason", "status")];
    let retries = gateway.metric("portcullis_upstream_retries_total", &labels).await;
    assert_eq!(retries, bad.requests() as f64);
    let line = gateway.logged(|line| line["attempts"] == 2).await;
    assert_eq!(line["target"], good.address().to_string());
    assert_eq!(line["outcome"], "ok");
}

#[tokio::test]
async fn a_status_that_is_not_named_is_passed_on() {
    let upstream = always(503).await;
    let gateway = Gateway::in_turn(&[&upstream], "", "").await;

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.text().as_str()), (503, "its own failure"));
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn the_last_failure_is_passed_on_as_it_is() {
    let upstream = always(503).await;
    let gateway = Gateway::in_turn(&[&upstream], "retry = { tries = 4, on = '5xx', backoff = '1ms' }", "").await;

    let response = gateway.get("/x").await;

    assert_eq!((response.status(), response.text().as_str()), (503, "its own failure"));
    assert_eq!(upstream.requests(), 4);
    let line = gateway.logged(|line| line["path"] == "/x").await;
    assert_eq!((&line["attempts"], &line["outcome"]), (&4.into(), &"ok".into()));
}

#[tokio::test]
async fn a_method_that_is_not_idempotent_is_sent_once() {
    let (bad, closing) = (
        always(503).await,
        Upstream::raw(|mut socket| async move {
            socket.read_head().await;
        })
        .await,
    );
    for (upstream, status) in [(&bad, 503), (&closing, 502)] {
        let gateway = Gateway::in_turn(&[upstream], "retry = { on = ['503', 'reset'], backoff = '1ms' }", "").await;
        assert_eq!(gateway.request("POST", "/").body("x").send().await.status(), status);
        assert_eq!(gateway.request("PATCH", "/").body("x").send().await.status(), status);
        assert_eq!(upstream.connections(), if status == 503 { 1 } else { 2 });
    }
    assert_eq!(bad.requests(), 2);
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_tried_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::raw(move |mut socket| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            socket.read_head().await;
            if number > 0 {
                socket.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                socket.read_to_end().await;
            }
        }
    })
    .await;
    let gateway = Gateway::in_turn(&[&upstream], "retry = { backoff = '1ms' }", "").await;

    assert_eq!(gateway.get("/").await.text(), "ok");

    let labels = [("upstream", "service"), ("reason", "reset")];
    assert_eq!(gateway.metric("portcullis_upstream_retries_total", &labels).await, 1.0);
}

#[tokio::test]
async fn half_an_answer_is_never_tried_again() {
    let upstream = Upstream::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it").await;
    let gateway = Gateway::in_turn(&[&upstream], "retry = { on = ['reset', '5xx'] }", "").await;

    assert!(gateway.request("GET", "/x").try_send().await.is_err());

    assert_eq!(upstream.connections(), 1);
    assert_eq!(gateway.outcome("/x").await, "upstream-reset");
}

#[tokio::test]
async fn a_target_that_hangs_is_left_for_another() {
    let hanging = Upstream::with(|_| std::future::pending()).await;
    let good = Upstream::answering("good").await;
    let gateway = Gateway::in_turn(
        &[&hanging, &good],
        "try_timeout = '1s'\nretry = { on = 'timeout', budget = '100%' }",
        "timeout = '20s'",
    )
    .await;

    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.text(), "good");
    }

    assert!(hanging.requests() > 0);
    eventually("its connections are closed", async || hanging.open_connections() == 0).await;
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_504_where_it_is_the_last() {
    let hanging = Upstream::with(|_| std::future::pending()).await;
    let gateway = Gateway::in_turn(&[&hanging], "retry = 'off'", "try_timeout = '150ms'").await;
    let begin = Instant::now();

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.code().as_str()), (504, "upstream-timeout"));
    assert!(begin.elapsed() >= Duration::from_millis(150));
    assert_eq!(hanging.requests(), 1);
}

#[tokio::test]
async fn a_body_is_kept_to_be_sent_again() {
    for body in [
        full("hello"),
        chunked("hello"),
        with_trailers("hello", "x-t", "v"),
        empty(),
    ] {
        let upstream = failing_first(2, 502).await;
        let gateway = Gateway::in_turn(&[&upstream], "retry = { on = '502', backoff = '1ms' }", "").await;
        let length = if hyper::body::Body::is_end_stream(&body) { 0 } else { 5 };

        let response = gateway.request("PUT", "/").streaming(body).send().await;

        assert_eq!((response.status(), response.text()), (200, format!("got {length}")));
        assert_eq!(upstream.requests(), 3);
    }
}

#[tokio::test]
async fn a_body_that_has_not_ended_goes_on_with_the_next_target() {
    // Answers before it has read the body.
    let hasty = Upstream::with(|_| async { answer(503, "") }).await;
    let echo = Upstream::echo().await;
    let gateway = Gateway::in_turn(&[&hasty, &echo], "retry = { on = '503', budget = '100%' }", "").await;
    for _ in 0..4 {
        let (mut sender, body) = stepwise();
        sender.send_data("first, ".into()).await.expect("room");
        let sent = echo.requests();
        let request = tokio::spawn(gateway.request("PUT", "/").streaming(body).send());
        eventually("the second target has it", async || echo.requests() > sent).await;
        sender.send_data("second".into()).await.expect("somebody reads");
        drop(sender);
        assert_eq!(request.await.expect("no panic").json()["body"], "first, second");
    }
    assert!(hasty.requests() > 0);
}

#[tokio::test]
async fn a_body_too_large_to_be_kept_is_sent_once() {
    for body in [generated(5000), chunked(vec![b'x'; 5000])] {
        let upstream = always(502).await;
        let gateway = Gateway::in_turn(&[&upstream], "retry = { on = '502', body = '4KiB' }", "").await;

        let response = gateway.request("PUT", "/").streaming(body).send().await;

        assert_eq!(response.status(), 502);
        assert_eq!(upstream.requests(), 1);
    }
}

#[tokio::test]
async fn a_route_may_say_otherwise() {
    let upstream = always(503).await;
    let gateway = Gateway::start(format!(
        r#"
        [upstream.service]
        targets = ["{upstream}"]
        retry = {{ tries = 3, on = "503", backoff = "1ms" }}
        [[route]]
        match = "/default"
        to = "service"
        [[route]]
        match = "/twice"
        to = "service"
        retry = {{ tries = 2 }}
        [[route]]
        match = "/off"
        to = "service"
        retry = "off"
        "#
    ))
    .await;
    for (path, requests) in [("/default", 3), ("/twice", 2), ("/off", 1)] {
        let before = upstream.requests();
        assert_eq!(gateway.get(path).await.status(), 503);
        assert_eq!(upstream.requests() - before, requests, "{path}");
    }
}

#[tokio::test]
async fn a_budget_keeps_retries_from_becoming_a_storm() {
    let upstream = always(503).await;
    let retry = "retry = { on = '503', backoff = '1ms', budget = '20%', budget_least = 0 }";
    let gateway = Gateway::in_turn(&[&upstream], retry, "").await;
    let mut connection = gateway.connect().await;

    for _ in 0..100 {
        assert_eq!(connection.get("/").await.status(), 503);
    }

    assert_eq!(upstream.requests(), 120);
    let refused = gateway
        .metric(
            "portcullis_upstream_retries_over_budget_total",
            &[("upstream", "service")],
        )
        .await;
    assert!(refused >= 80.0, "{refused}");
}

#[tokio::test]
async fn retry_after_is_respected_where_there_is_time() {
    let asked = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::with(move |request: http::Request<Incoming>| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut response = answer(if number == 0 { 429 } else { 200 }, "");
            let after = if request.uri().path() == "/long" { "3600" } else { "1" };
            response
                .headers_mut()
                .insert("retry-after", after.parse().expect("a value"));
            if request.uri().path() == "/long" {
                *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            }
            response
        }
    })
    .await;
    let gateway = Gateway::in_turn(&[&upstream], "retry = { on = ['429', '503'] }", "timeout = '60s'").await;
    let begin = Instant::now();

    assert_eq!(gateway.get("/").await.status(), 200);
    assert!(begin.elapsed() >= Duration::from_secs(1));

    let response = gateway.get("/long").await;
    assert_eq!((response.status(), response.header("retry-after")), (503, "3600"));
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn another_target_need_not_wait_until_the_first_one_is_well() {
    let busy = Upstream::saying(b"HTTP/1.1 503 Busy\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n").await;
    let good = Upstream::answering("good").await;
    let gateway = Gateway::in_turn(&[&busy, &good], "retry = { on = '503', budget = '100%' }", "").await;
    let begin = Instant::now();

    for _ in 0..4 {
        assert_eq!(gateway.get("/").await.text(), "good");
    }

    assert!(busy.connections() > 0);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn an_answer_that_is_passed_on_for_want_of_budget_keeps_its_upload() {
    // Answers before it has read the body, and says at its end what it was.
    let early = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
        socket
            .send("HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        let body = socket.read_until("\r\n0\r\n\r\n").await;
        let seen = if body.contains("second half") {
            "whole"
        } else {
            "broken"
        };
        socket.send(format!("{:x}\r\n{seen}\r\n0\r\n\r\n", seen.len())).await;
    })
    .await;
    let settings = "retry = { on = '503', budget = '0%', budget_least = 0 }";
    let gateway = Gateway::in_turn(&[&early], settings, "").await;
    let mut client = gateway.raw().await;
    let head = "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(format!("{head}a\r\nfirst half\r\n")).await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 503 "));

    client.send("b\r\nsecond half\r\n0\r\n\r\n").await;

    assert!(client.read_until("0\r\n\r\n").await.contains("whole"));
}

#[tokio::test]
async fn a_back_off_lies_between_tries() {
    let upstream = failing_first(3, 503).await;
    let retry = "retry = { tries = 4, on = '503', backoff = '200ms', longest_backoff = '400ms', budget_least = 10 }";
    let gateway = Gateway::in_turn(&[&upstream], retry, "").await;
    let begin = Instant::now();

    assert_eq!(gateway.get("/").await.status(), 200);

    // Half to all of 200, 400 and 400 ms.
    let waited = begin.elapsed();
    assert!(waited >= Duration::from_millis(500), "{waited:?}");
}

#[tokio::test]
async fn a_back_off_grows_no_longer_than_the_longest() {
    let upstream = failing_first(7, 503).await;
    let retry = "retry = { tries = 8, on = '503', backoff = '100ms', longest_backoff = '100ms', budget_least = 10 }";
    let gateway = Gateway::in_turn(&[&upstream], retry, "").await;
    let begin = Instant::now();

    assert_eq!(gateway.get("/").await.status(), 200);

    // If each were twice as long as the one before, at least half of 12.7 s.
    let waited = begin.elapsed();
    assert!(waited < Duration::from_secs(6), "{waited:?}");
}

#[tokio::test]
async fn a_few_retries_a_second_are_free_and_no_more() {
    let upstream = always(503).await;
    let retry = "retry = { tries = 2, on = '503', backoff = '1ms', budget = '0%', budget_least = 2 }";
    let begin = Instant::now();
    let gateway = Gateway::in_turn(&[&upstream], retry, "").await;

    let mut asked = 0;
    eventually("time has paid for another one", async || {
        asked += 1;
        assert_eq!(gateway.get("/").await.status(), 503);
        upstream.requests() - asked > 4
    })
    .await;

    let repeated = (upstream.requests() - asked) as f64;
    let paid = 2.0 + 2.0 * begin.elapsed().as_secs_f64();
    assert!(repeated <= paid, "{repeated} retries of {paid}");
}

#[tokio::test]
async fn the_connection_of_an_answer_that_was_not_wanted_is_used_again() {
    let upstream = failing_first(2, 503).await;
    let gateway = Gateway::in_turn(&[&upstream], "retry = { on = '503', backoff = '50ms' }", "").await;

    assert_eq!(gateway.get("/").await.status(), 200);

    assert_eq!((upstream.requests(), upstream.connections()), (3, 1));
}

#[tokio::test]
async fn an_answer_without_end_that_was_not_wanted_is_closed() {
    let endless = Upstream::with(|_| async {
        let mut response = http::Response::new(generated(1 << 40));
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        response
    })
    .await;
    let good = Upstream::answering("good").await;
    let gateway = Gateway::in_turn(&[&endless, &good], "retry = { on = '503', budget = '100%' }", "").await;

    for _ in 0..4 {
        assert_eq!(gateway.get("/").await.text(), "good");
    }

    assert!(endless.requests() > 0);
    eventually("nobody reads it", async || endless.open_connections() == 0).await;
}

#[tokio::test]
async fn filters_that_see_the_request_later_change_nothing_about_it() {
    let upstream = failing_first(2, 503).await;
    let filters = "filters = [{ use = 'cors', settings = { allow_origins = ['https://shop.example'] } }]";
    let gateway = Gateway::in_turn(&[&upstream], "retry = { on = '503', backoff = '1ms' }", filters).await;

    let request = gateway.request("PUT", "/a?b=c").header("x-kept", "yes").body("hello");
    let response = request.header("origin", "https://shop.example").send().await;

    assert_eq!((response.status(), response.text().as_str()), (200, "got 5"));
    assert_eq!(
        (upstream.last_header("x-kept"), upstream.last_target()),
        ("yes".into(), "/a?b=c".into())
    );
    assert_eq!(upstream.last_header("x-forwarded-for"), "127.0.0.1");
}

#[tokio::test]
async fn requests_are_tried_again_over_http2_too() {
    let upstream = failing_first(2, 503).await;
    let gateway = Gateway::in_turn(&[&upstream], "http = '2'\nretry = { on = '503', backoff = '1ms' }", "").await;

    let request = gateway.request("PUT", "/a").header("x-kept", "yes").body("hello");
    let response = request.http2().send().await;

    assert_eq!((response.status(), response.text().as_str()), (200, "got 5"));
    assert_eq!(
        (upstream.requests(), upstream.last_header("x-kept").as_str()),
        (3, "yes")
    );
}

#[tokio::test]
async fn a_grpc_call_that_was_not_taken_is_tried_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::with(move |request: http::Request<Incoming>| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            let length = request.into_body().collect().await.expect("a body").to_bytes().len();
            let mut response = http::Response::new(empty());
            let headers = response.headers_mut();
            headers.insert("content-type", "application/grpc".parse().expect("a value"));
            headers.insert(
                "grpc-status",
                if number == 0 { "14" } else { "0" }.parse().expect("a value"),
            );
            headers.insert("x-length", length.into());
            response
        }
    })
    .await;
    let gateway = Gateway::in_turn(
        &[&upstream],
        "http = '2'\nretry = { on = 'unavailable', backoff = '1ms' }",
        "",
    )
    .await;

    let request = gateway
        .request("POST", "/shop.Orders/Get")
        .header("content-type", "application/grpc");
    let response = request.body("message").http2().send().await;

    assert_eq!(
        (response.header("grpc-status"), response.header("x-length")),
        ("0", "7")
    );
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn a_stale_pooled_connection_costs_no_try_and_no_budget() {
    // Promises to keep the connection, and closes it.
    let upstream = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
        socket.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let gateway = Gateway::in_turn(&[&upstream], "retry = 'off'", "").await;
    let mut connection = gateway.connect().await;

    for _ in 0..50 {
        assert_eq!(connection.get("/").await.text(), "ok");
    }
}
