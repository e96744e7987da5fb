//! A filter that does wrong costs its own request a clear answer, one log line and one metric, and nothing else.
// Long because every wrong that a filter can do, but for its edits, is a test here, side by side.

mod edits;

use std::time::Duration;

use portcullis_tests::{Gateway, Upstream, eventually, misbehaving};
use serde_json::json;

/// A gateway with a filter that does this wrong on `/bad`, and an upstream without filters on `/good`.
async fn doing(upstream: &Upstream, act: &str, rules: &str) -> Gateway {
    Gateway::start(doing_configuration(upstream, act, rules)).await
}

fn doing_configuration(upstream: &Upstream, act: &str, rules: &str) -> String {
    configuration_with(misbehaving(), upstream, act, rules)
}

fn configuration_with(plugin: &str, upstream: &Upstream, act: &str, rules: &str) -> String {
    format!(
        r#"
        upstream.service.targets = ["{upstream}"]
        [plugin.misbehaving]
        source = "{plugin}"
        {rules}
        [[route]]
        name = "the-bad-one"
        match = "/bad"
        to = "service"
        filters = [{{ use = "misbehaving", name = "wrong", settings = {{ act = "{act}" }} }}]
        [[route]]
        match = "/good"
        to = "service"
        "#
    )
}

/// Sends one request to `/bad` and sees it fail in this phase for this reason: 500, a log line, a metric; then sees
/// that the gateway is well.
async fn fails(act: &str, phase: &str, reason: &str) {
    let upstream = Upstream::echo().await;
    // More than the default: on a busy machine even 16 MiB take more than 10 ms to touch.
    let gateway = doing(&upstream, act, "limits = { cpu = '200ms' }").await;

    let response = gateway.request("POST", "/bad").body("hello").send().await;

    assert_eq!((response.status(), response.code().as_str()), (500, "filter-failed"));
    assert!(
        !response.text().contains("as told"),
        "the client was told what the log is for: {}",
        response.text()
    );
    gateway
        .log_line(&["misbehaving", "wrong", "the-bad-one", phase, reason])
        .await;
    let labels = [("filter", "wrong"), ("plugin", "misbehaving"), ("route", "the-bad-one")];
    let labels = [labels.as_slice(), &[("phase", phase), ("reason", reason)]].concat();
    assert_eq!(gateway.metric("portcullis_filter_failures_total", &labels).await, 1.0);
    assert_eq!(gateway.outcome("/bad").await, "filter-failed");
    assert_eq!(gateway.get("/good").await.status(), 200);
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    fails("panic", "request", "trap").await;
}

#[tokio::test]
async fn an_endless_loop_costs_one_request() {
    fails("loop", "request", "cpu").await;
}

#[tokio::test]
async fn endless_allocation_costs_one_request() {
    fails("allocate", "request", "memory").await;
}

#[tokio::test]
async fn endless_recursion_costs_one_request() {
    fails("recurse", "request", "trap").await;
}

#[tokio::test]
async fn an_exit_costs_one_request() {
    fails("exit", "request", "trap").await;
}

#[tokio::test]
async fn waiting_without_an_end_costs_one_request() {
    fails("sleep", "request", "time").await;
}

#[tokio::test]
async fn an_error_costs_one_request() {
    fails("fail", "request", "error").await;
}

#[tokio::test]
async fn a_status_that_does_not_exist_costs_one_request() {
    fails("bad-reply-status", "request", "malformed").await;
}

#[tokio::test]
async fn a_header_name_that_is_none_costs_one_request() {
    fails("bad-reply-header", "request", "malformed").await;
}

#[tokio::test]
async fn a_header_that_is_huge_costs_one_request() {
    fails("huge-reply-header", "request", "malformed").await;
}

#[tokio::test]
async fn a_panic_at_the_request_body_costs_one_request() {
    fails("panic-at-body", "request-body", "trap").await;
}

#[tokio::test]
async fn a_panic_at_the_response_costs_one_request() {
    fails("panic-at-response", "response", "trap").await;
}

#[tokio::test]
async fn an_endless_loop_at_the_response_costs_one_request() {
    fails("loop-at-response", "response", "cpu").await;
}

#[tokio::test]
async fn a_panic_is_logged_with_its_words_and_a_backtrace_of_names() {
    let upstream = Upstream::echo().await;
    let gateway = doing(&upstream, "panic", "").await;

    gateway.get("/bad").await;

    let line = gateway.log_line(&["the-bad-one", "as told"]).await;
    assert!(line.contains("filter@0.1.0#on-request"), "no function names in {line}");
}

#[tokio::test]
async fn other_connections_are_served_while_a_filter_loops() {
    let upstream = Upstream::answering("hello").await;
    let rules = "limits = { cpu = '5s', time = '60s' }\nquarantine = { after = 0 }";
    let configuration = format!(
        "{}[server]\nthreads = 1\n",
        doing_configuration(&upstream, "loop", rules)
    );
    let gateway = Gateway::start(configuration).await;
    let mut stuck = gateway.raw().await;
    stuck
        .send("GET /bad HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;

    // On the same thread, since there is but one.
    for _ in 0..20 {
        assert_eq!(gateway.get("/good").await.status(), 200);
    }

    assert!(stuck.is_silent_for(Duration::from_millis(50)).await, "it has ended");
    assert!(stuck.read_to_end().await.starts_with("HTTP/1.1 500"));
}

/// A gateway with one thread that has been idle for long enough for its clock to rest.
async fn idle(upstream: &Upstream, act: &str, rules: &str) -> Gateway {
    let configuration = doing_configuration(upstream, act, rules);
    let gateway = Gateway::start(format!("{configuration}[server]\nthreads = 1\n")).await;
    assert_eq!(gateway.get("/good").await.status(), 200);
    rest().await;
    gateway
}

async fn rest() {
    // Nothing to wait for: that nothing happens is the point.
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_loop_in_an_idle_gateway_ends_soon_after_its_budget() {
    let upstream = Upstream::answering("hello").await;
    let rules = "limits = { cpu = '10ms', time = '60s' }\nquarantine = { after = 0 }";
    let gateway = idle(&upstream, "loop", rules).await;

    let mut took = Vec::new();
    for _ in 0..5 {
        rest().await;
        let begin = std::time::Instant::now();
        assert_eq!(gateway.get("/bad").await.status(), 500);
        took.push(begin.elapsed());
    }

    // The third of five: a busy machine may hold one of them up.
    took.sort();
    assert!(took[2] < Duration::from_secs(2), "{took:?}");
    let labels = [("filter", "wrong"), ("reason", "cpu")];
    assert_eq!(gateway.metric("portcullis_filter_failures_total", &labels).await, 5.0);
}

#[tokio::test]
async fn a_loop_in_an_idle_gateway_does_not_hold_its_thread() {
    let upstream = Upstream::answering("hello").await;
    let rules = "limits = { cpu = '5s', time = '60s' }\nquarantine = { after = 0 }";
    let gateway = idle(&upstream, "loop", rules).await;
    let mut stuck = gateway.raw().await;
    stuck
        .send("GET /bad HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;

    assert_eq!(gateway.get("/good").await.status(), 200);

    assert!(stuck.is_silent_for(Duration::from_millis(500)).await, "it has ended");
    assert!(stuck.read_to_end().await.starts_with("HTTP/1.1 500"));
}

#[tokio::test]
async fn a_huge_note_is_refused() {
    // The typed error, passed on with `?`.
    fails("huge-note", "request", "error").await;
}

#[tokio::test]
async fn a_huge_log_message_is_cut_and_stays_on_one_line() {
    let upstream = Upstream::answering("hello").await;
    let gateway = doing(&upstream, "huge-log", "limits = { cpu = '200ms' }").await;

    assert_eq!(gateway.get("/bad").await.status(), 200);

    let line = gateway.log_line(&["wrong", "break"]).await;
    assert!(line.len() < 32 * 1024, "{} bytes", line.len());
    assert!(!line.contains('\u{1b}'), "a control character reached the terminal");
    assert!(!gateway.log().lines().any(|line| line.starts_with("break")));
}

#[tokio::test]
async fn what_a_filter_prints_goes_to_the_log() {
    let upstream = Upstream::answering("hello").await;
    let gateway = doing(&upstream, "print", "[log]\nlevel = 'debug'").await;

    assert_eq!(gateway.get("/bad").await.status(), 200);

    gateway.log_line(&["printed to stdout"]).await;
    gateway.log_line(&["printed to stderr"]).await;
    assert!(gateway.access_log().iter().all(|line| line["method"].is_string()));
}

#[tokio::test]
async fn a_reply_is_framed_by_the_gateway_alone() {
    let upstream = Upstream::answering("never seen").await;
    let gateway = doing(&upstream, "framing-reply", "").await;
    let mut connection = gateway.connect().await;

    let response = connection.get("/bad").await;

    match response.status() {
        200 => assert_eq!(
            (response.header("content-length"), response.text().as_str()),
            ("5", "short")
        ),
        status => assert_eq!((status, response.code().as_str()), (500, "filter-failed")),
    }
    assert_eq!(connection.get("/good").await.status(), 200);
}

#[tokio::test]
async fn a_filter_may_not_buffer_more_than_it_was_granted() {
    let upstream = Upstream::echo().await;
    let gateway = doing(&upstream, "buffer-too-much", "limits = { body = '1KiB' }").await;

    let large = gateway.request("POST", "/bad").body(vec![b'x'; 1025]).send().await;

    assert_eq!((large.status(), large.code().as_str()), (413, "body-too-large"));
    assert_eq!(upstream.requests(), 0);
    let fits = gateway.request("POST", "/bad").body(vec![b'x'; 1024]).send().await;
    assert_eq!((fits.status(), &fits.json()["length"]), (200, &json!(1024)));
}

#[tokio::test]
async fn a_body_transform_that_fails_breaks_the_body_off() {
    for (act, reason) in [
        ("panic-in-transform", "trap"),
        ("loop-in-transform", "cpu"),
        ("inflate", "memory"),
    ] {
        let upstream = Upstream::with(|_| async { http::Response::new(portcullis_tests::generated(1 << 20)) }).await;
        let gateway = doing(&upstream, act, "").await;

        // Before the head is sent it is a clean 500, after that a broken body; never a short good one.
        let response = gateway.request("GET", "/bad").try_send().await;

        assert!(!response.is_ok_and(|response| response.status() != 500), "{act}");
        eventually("the failure is counted", async || {
            gateway
                .metric(
                    "portcullis_filter_failures_total",
                    &[("filter", "wrong"), ("reason", reason)],
                )
                .await
                >= 1.0
        })
        .await;
        assert_eq!(gateway.get("/good").await.status(), 200);
    }
}

#[tokio::test]
async fn a_panic_at_the_end_does_not_touch_the_answer() {
    let upstream = Upstream::answering("hello").await;
    let gateway = doing(&upstream, "panic-at-end", "").await;

    let response = gateway.get("/bad").await;

    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
    gateway.log_line(&["wrong", "complete", "trap"]).await;
}

#[tokio::test]
async fn an_instance_that_failed_is_never_used_again() {
    let upstream = Upstream::echo().await;
    let configuration = doing_configuration(&upstream, "panic-at-third", "");
    let gateway = Gateway::start(format!("{configuration}[server]\nthreads = 1\n")).await;

    let mut calls = Vec::new();
    for _ in 0..9 {
        let response = gateway.get("/bad").await;
        calls.push(if response.status() == 200 {
            response.json()["headers"]["x-calls"][0].clone()
        } else {
            json!("-")
        });
    }

    // Each instance serves two calls, fails in its third, and is replaced by a fresh one.
    assert_eq!(json!(calls), json!(["1", "2", "-", "1", "2", "-", "1", "2", "-"]));
}

#[tokio::test]
async fn a_filter_that_hoards_memory_is_retired_before_it_fails() {
    let upstream = Upstream::answering("hello").await;
    let gateway = doing(&upstream, "hoard", "limits = { memory = '16MiB' }").await;

    for _ in 0..100 {
        assert_eq!(gateway.get("/bad").await.status(), 200);
    }

    assert!(gateway.rss_kib() < 300 * 1024, "{} KiB", gateway.rss_kib());
}

#[tokio::test]
async fn repeated_failures_take_a_filter_out_of_service_for_a_while() {
    let upstream = Upstream::echo().await;
    let gateway = doing(
        &upstream,
        "panic",
        "quarantine = { after = 3, first = '2s', longest = '2s' }",
    )
    .await;

    for _ in 0..3 {
        assert_eq!(gateway.get("/bad").await.status(), 500);
    }
    let response = gateway.get("/bad").await;

    assert_eq!(
        (response.status(), response.code().as_str()),
        (503, "filter-quarantined")
    );
    assert_eq!(
        gateway
            .metric("portcullis_filter_quarantined", &[("filter", "wrong")])
            .await,
        1.0
    );
    assert_eq!(gateway.get("/good").await.status(), 200);
    eventually("it is tried again", async || gateway.get("/bad").await.status() == 500).await;
    eventually("its next pause is no longer than the longest", async || {
        gateway.log().matches("seconds=2.0").count() == 2
    })
    .await;
}

#[tokio::test]
async fn a_pause_grows_while_a_filter_fails_and_ends_when_it_is_well() {
    let upstream = Upstream::echo().await;
    let rules = "quarantine = { after = 2, first = '1s', longest = '10s' }";
    let gateway = doing(&upstream, "panic-when-told", rules).await;
    let told = async || {
        let request = gateway.request("GET", "/bad").header("x-panic", "now");
        request.send().await.status()
    };
    let out_of_service = async || {
        let labels = [("filter", "wrong")];
        gateway.metric("portcullis_filter_quarantined", &labels).await
    };

    assert_eq!((told().await, told().await, told().await), (500, 500, 503));
    gateway.log_line(&["quarantined", "wrong", "seconds=1"]).await;
    eventually("it is tried and fails", async || told().await == 500).await;
    gateway.log_line(&["quarantined", "wrong", "seconds=2"]).await;
    assert_eq!((told().await, out_of_service().await), (503, 1.0));

    eventually("it is tried and is well", async || {
        gateway.get("/bad").await.status() == 200
    })
    .await;
    assert_eq!((gateway.get("/bad").await.status(), out_of_service().await), (200, 0.0));
    // One failure is none in a row: it counts anew.
    assert_eq!((told().await, gateway.get("/bad").await.status()), (500, 200));
}

#[tokio::test]
async fn a_quarantined_filter_that_may_be_skipped_is_skipped() {
    let upstream = Upstream::answering("hello").await;
    let rules = "on_failure = 'skip'\nquarantine = { after = 2, first = '60s', longest = '60s' }";
    let gateway = doing(&upstream, "panic", rules).await;

    for _ in 0..10 {
        assert_eq!(gateway.get("/bad").await.text(), "hello");
    }

    // Two calls failed; the others were not made.
    assert_eq!(
        gateway
            .metric("portcullis_filter_failures_total", &[("filter", "wrong")])
            .await,
        2.0
    );
}

#[tokio::test]
async fn a_thousand_failures_leave_nothing_behind() {
    let upstream = Upstream::answering("hello").await;
    let gateway = doing(&upstream, "panic", "quarantine = { after = 0 }").await;
    for _ in 0..100 {
        gateway.get("/bad").await;
    }
    let (memory, descriptors) = (gateway.rss_kib(), gateway.fds());

    for _ in 0..1000 {
        assert_eq!(gateway.get("/bad").await.status(), 500);
    }

    assert!(
        gateway.rss_kib() < memory + 16 * 1024,
        "grew from {memory} to {} KiB",
        gateway.rss_kib()
    );
    eventually("descriptors are given back", async || gateway.fds() <= descriptors + 2).await;
    assert_eq!(gateway.get("/good").await.status(), 200);
}

#[tokio::test]
async fn a_filter_that_cannot_be_made_is_a_configuration_error() {
    let upstream = Upstream::answering("hello").await;
    for (act, words) in [
        ("panic-at-start", "at the start"),
        ("refuse-settings", "these settings will not do"),
    ] {
        let said = Gateway::refused(doing_configuration(&upstream, act, "")).await;
        assert!(said.contains(words) && said.contains("misbehaving"), "{said}");
    }
}

#[tokio::test]
async fn a_filter_that_only_takes_its_time_is_served() {
    let upstream = Upstream::answering("hello").await;
    let gateway = doing(&upstream, "dawdle", "limits = { cpu = '100ms' }").await;

    for _ in 0..20 {
        assert_eq!(gateway.get("/bad").await.status(), 200);
    }
}
