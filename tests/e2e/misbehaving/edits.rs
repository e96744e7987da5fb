//! Edits of filters that fail, are skipped, or may not edit: nothing of them is left, and none passes its limits.

use portcullis_tests::{Gateway, Upstream, lawless};
use serde_json::json;

use super::{configuration_with, doing};

#[tokio::test]
async fn a_filter_that_was_skipped_is_not_called_in_later_phases() {
    let upstream = Upstream::echo().await;
    let gateway = doing(&upstream, "fail-then-mark", "on_failure = 'skip'").await;

    let response = gateway.get("/bad").await;

    assert_eq!((response.status(), response.has("x-marked")), (200, false));
}

#[tokio::test]
async fn a_skipped_filter_leaves_no_trace_of_its_edits() {
    for (act, reason) in [
        ("edit-and-panic", "trap"),
        ("edit-and-fail", "error"),
        ("edit-and-loop", "cpu"),
    ] {
        let upstream = Upstream::echo().await;
        let gateway = doing(&upstream, act, "on_failure = 'skip'").await;

        let request = gateway.request("GET", "/bad?x=1").header("x-kept", "yes");
        let response = request.send().await;

        assert_eq!((response.status(), response.has("x-edited")), (200, false), "{act}");
        assert!(response.has("content-type"), "{act}");
        let seen = response.json();
        assert_eq!((&seen["path"], &seen["query"]), (&json!("/bad"), &json!("x=1")));
        assert_eq!(seen["headers"]["x-kept"], json!(["yes"]));
        assert_eq!(seen["headers"]["x-edited"], json!(null));
        assert_eq!(
            gateway.logged(|line| line["path"] == "/bad").await["notes"],
            json!(null)
        );
        let labels = [("filter", "wrong"), ("reason", reason)];
        assert_eq!(gateway.metric("portcullis_filter_failures_total", &labels).await, 1.0);
    }
}

#[tokio::test]
async fn a_failed_filter_leaves_no_trace_of_its_edits_in_the_answer() {
    let upstream = Upstream::echo().await;
    let gateway = doing(&upstream, "edit-and-panic", "").await;

    let response = gateway.get("/bad").await;

    assert_eq!((response.status(), response.has("x-edited")), (500, false));
    assert_eq!(response.header("content-type"), "application/problem+json");
    assert_eq!(
        gateway.logged(|line| line["path"] == "/bad").await["notes"],
        json!(null)
    );
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_filter_skipped_at_the_response_leaves_no_trace_of_its_edits() {
    let upstream = Upstream::echo().await;
    let gateway = doing(&upstream, "panic-at-response", "on_failure = 'skip'").await;

    let response = gateway.get("/bad").await;

    assert_eq!((response.status(), response.has("x-edited")), (200, false));
    assert_eq!(response.json()["path"], "/bad");
}

#[tokio::test]
async fn a_body_survives_the_filter_that_asked_for_it_and_was_skipped() {
    let upstream = Upstream::echo().await;
    let gateway = doing(&upstream, "panic-at-body", "on_failure = 'skip'").await;

    let response = gateway.request("POST", "/bad").body("hello").send().await;

    assert_eq!((response.status(), &response.json()["body"]), (200, &json!("hello")));
}

#[tokio::test]
async fn edits_that_are_not_allowed_are_refused_and_cost_nothing() {
    let upstream = Upstream::echo().await;
    let gateway = doing(&upstream, "bad-headers", "").await;

    let seen = gateway.get("/bad").await.json();

    let refused = seen["headers"]["x-refused"][0]
        .as_str()
        .expect("a report")
        .split(',')
        .collect::<Vec<_>>();
    let (name, value, own) = ("InvalidName", "InvalidValue", "Protected");
    assert_eq!(
        refused,
        [name, name, name, value, value, own, own, own, value, value, value]
    );
    assert_eq!(seen["headers"]["x-mine"], json!(null));
    assert_eq!(seen["headers"]["x-other"], json!(null));
}

#[tokio::test]
async fn edits_end_where_the_gateways_limits_are() {
    let upstream = Upstream::echo().await;
    let gateway = doing(&upstream, "many-headers", "limits = { cpu = '1s' }").await;

    let seen = gateway.get("/bad").await.json();

    let many = seen["headers"]["x-many"].as_array().expect("some").len();
    // 256 KiB for one exchange; each edit costs its name, its value of 1,000 bytes, and 64 to remember it.
    assert_eq!(many, 256 * 1024 / ("x-many".len() + 1000 + 64));
}

/// A gateway with a plugin made without the SDK (see `tests/misbehaving/lawless`) that does this on `/bad`, and an upstream
/// without filters on `/good`.
async fn unlawful(upstream: &Upstream, act: &str, rules: &str) -> Gateway {
    Gateway::start(configuration_with(lawless(), upstream, act, rules)).await
}

#[tokio::test]
async fn the_gateway_itself_refuses_edits_and_keeps_nothing_of_them() {
    let upstream = Upstream::echo().await;
    let gateway = unlawful(&upstream, "bad-edits", "").await;

    let response = gateway.get("/bad").await;

    let seen = response.json();
    assert_eq!(
        seen["headers"]["x-refused"],
        json!(["name value value value protected protected protected large \
             name value protected protected large value value name name"])
    );
    assert_eq!(
        response.header("x-refused"),
        "name value protected protected large value value"
    );
    assert_eq!((&seen["path"], &seen["query"]), (&json!("/bad"), &json!(null)));
    for name in ["x-mine", "x-other", "transfer-encoding"] {
        assert_eq!(seen["headers"][name], json!(null), "{name}");
    }
    assert!(seen["headers"]["host"].is_array());
    assert!(!response.has("x-mine") && !response.has("set-cookie") && response.has("content-length"));
    assert_eq!(
        gateway.logged(|line| line["path"] == "/bad").await["notes"],
        json!(null)
    );
}

#[tokio::test]
async fn what_was_sent_can_no_longer_be_edited() {
    let upstream = Upstream::echo().await;
    let gateway = unlawful(&upstream, "late-edits", "").await;

    let response = gateway.get("/bad").await;

    assert_eq!(response.header("x-refused"), ["late"; 8].join(" "));
    assert!(!response.has("x-edited") && response.has("content-type"));
}

#[tokio::test]
async fn fields_and_notes_are_counted() {
    let upstream = Upstream::raw(async |mut socket: portcullis_tests::Raw| {
        let head = socket.read_head().await;
        let lines = head.lines().filter(|line| line.starts_with("x-many:")).count();
        socket
            .send(format!(
                "HTTP/1.1 200 OK\r\nx-count: {lines}\r\ncontent-length: 0\r\n\r\n"
            ))
            .await;
    })
    .await;
    let gateway = unlawful(&upstream, "fill", "limits = { cpu = '1s' }").await;

    let response = gateway.request("GET", "/bad").header("x-own", "1").send().await;

    // 256 with those of the client: `host`, which is kept elsewhere, and `x-own`.
    let count = response.header("x-count").parse::<usize>().expect("a number");
    assert!((254..=256).contains(&count), "{count}");
    let line = gateway.logged(|line| line["path"] == "/bad").await;
    assert_eq!(line["notes"].as_object().map(serde_json::Map::len), Some(128));
}

/// Acts that call or ask out of time, after good edits; in which phase, and how they fail.
const OUT_OF_TIME: [(&str, &str, &str); 3] = [
    ("response-too-early", "request", "trap"),
    ("body-without-phase", "request", "malformed"),
    ("body-without-phase-at-response", "response", "malformed"),
];

#[tokio::test]
async fn what_is_called_out_of_its_time_costs_one_request() {
    for (act, phase, reason) in OUT_OF_TIME {
        let upstream = Upstream::echo().await;
        let gateway = unlawful(&upstream, act, "").await;

        let response = gateway.get("/bad").await;

        assert_eq!((response.status(), response.code().as_str()), (500, "filter-failed"));
        assert!(!response.has("x-edited") && !response.has("x-ahead"), "{act}");
        let labels = [("filter", "wrong"), ("phase", phase), ("reason", reason)];
        let failures = gateway.metric("portcullis_filter_failures_total", &labels).await;
        assert_eq!(failures, 1.0, "{act}");
        assert_eq!(gateway.get("/good").await.status(), 200, "after {act}");
    }
}

#[tokio::test]
async fn what_is_called_out_of_its_time_leaves_no_trace_of_that_calls_edits() {
    for (act, phase, _) in OUT_OF_TIME {
        let upstream = Upstream::echo().await;
        let gateway = unlawful(&upstream, act, "on_failure = 'skip'").await;

        let request = gateway.request("GET", "/bad").header("x-kept", "yes");
        let response = request.send().await;

        let edited_at_request = phase == "response";
        assert_eq!((response.status(), response.has("x-edited")), (200, false), "{act}");
        assert_eq!(response.has("x-ahead"), edited_at_request, "{act}");
        let seen = response.json();
        assert_eq!(seen["path"] == "/elsewhere", edited_at_request, "{act}");
        assert_eq!(seen["query"] == "changed=1", edited_at_request, "{act}");
        assert_eq!(seen["headers"]["x-edited"].is_array(), edited_at_request, "{act}");
        assert_eq!(seen["headers"]["x-kept"].is_null(), edited_at_request, "{act}");
        let notes = gateway.logged(|line| line["path"] == "/bad").await["notes"].clone();
        assert_eq!(notes.is_object(), edited_at_request, "{act}");
    }
}

#[tokio::test]
async fn a_body_transform_has_no_request_at_hand() {
    let upstream = Upstream::answering("hello").await;
    let gateway = unlawful(&upstream, "request-in-transform", "on_failure = 'skip'").await;

    let response = gateway.request("GET", "/bad").try_send().await;

    assert!(
        !response.is_ok_and(|response| response.status() < 500),
        "a whole answer"
    );
    gateway
        .log_line(&["wrong", "response-body", "no request is at hand"])
        .await;
    assert_eq!(gateway.get("/good").await.status(), 200);
}

#[tokio::test]
async fn no_response_is_at_hand_when_all_is_over() {
    let upstream = Upstream::answering("hello").await;
    let gateway = unlawful(&upstream, "response-at-the-end", "").await;

    assert_eq!(gateway.get("/bad").await.text(), "hello");

    gateway.log_line(&["wrong", "complete", "no response is at hand"]).await;
}

#[tokio::test]
async fn no_request_is_at_hand_while_a_filter_is_configured() {
    let upstream = Upstream::answering("hello").await;
    let said = Gateway::refused(configuration_with(lawless(), &upstream, "request-at-configure", "")).await;

    assert!(said.contains("no request is at hand"), "{said}");
}
