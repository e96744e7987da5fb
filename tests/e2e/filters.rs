//! How filters take part in an exchange, whatever they do.

use portcullis_tests::{Gateway, Upstream, misbehaving};
use serde_json::json;

#[tokio::test]
async fn a_filter_can_answer_without_calling_the_upstream() {
    let upstream = Upstream::answering("never seen").await;
    let gateway = Gateway::start(format!(
        r#"
        upstream.service.targets = ["{upstream}"]
        [[route]]
        match = "/"
        to = "service"
        filters = [{{ use = "token-auth", settings = {{ tokens = ["t"] }} }}]
        "#
    ))
    .await;

    let response = gateway.get("/").await;

    assert_eq!(response.status(), 401);
    assert_eq!(upstream.requests(), 0);
    assert_eq!(gateway.outcome("/").await, "replied");
}

#[tokio::test]
async fn filters_run_in_the_order_written_and_back() {
    let upstream = Upstream::echo().await;
    let edit = |word: &str| {
        format!(
            "{{ use = 'edit-headers', name = '{word}', settings = {{ request = {{ append = {{ x-way = '{word}' }} }}, \
             response = {{ append = {{ x-way = '{word}' }} }} }} }}"
        )
    };
    let gateway = Gateway::start(format!(
        "upstream.service.targets = ['{upstream}']\n[[route]]\nmatch = '/'\nto = 'service'\nfilters = [{}, {}]",
        edit("first"),
        edit("second")
    ))
    .await;

    let response = gateway.get("/").await;

    assert_eq!(response.json()["headers"]["x-way"], json!(["first", "second"]));
    assert_eq!(response.header_values("x-way"), ["second", "first"]);
}

#[tokio::test]
async fn a_filter_may_be_shared_by_name() {
    let gateway = Gateway::start(
        r#"
        [filter.signed-in]
        use = "token-auth"
        settings = { tokens = ["t"] }
        [[route]]
        match = "/a"
        respond = { body = "a" }
        filters = ["signed-in"]
        [[route]]
        match = "/b"
        respond = { body = "b" }
        filters = ["signed-in"]
        "#,
    )
    .await;

    for path in ["/a", "/b"] {
        assert_eq!(gateway.get(path).await.status(), 401);
        assert_eq!(
            gateway
                .request("GET", path)
                .header("x-access-tokens", "t")
                .send()
                .await
                .status(),
            200
        );
    }
    assert_eq!(
        gateway
            .metric("portcullis_filter_calls_total", &[("filter", "signed-in")])
            .await,
        4.0
    );
}

#[tokio::test]
async fn settings_that_the_plugin_does_not_know_are_refused_with_their_place() {
    let said = Gateway::refused(
        "[[route]]\nmatch = '/'\nrespond = {}\nfilters = [{ use = 'token-auth', settings = { token = ['t'] } }]",
    )
    .await;

    assert!(
        said.contains("portcullis.toml:") && said.contains("token") && said.contains("tokens"),
        "{said}"
    );
}

/// Two filters, `outer` before `inner`, which edit responses while their requests go by (see `tests/misbehaving`).
const TWO_AHEAD: &str = "{ use = 'acting', name = 'outer', settings = { act = 'edit-ahead', word = 'outer' } }, \
    { use = 'acting', name = 'inner', settings = { act = 'edit-ahead', word = 'inner' } }";

/// A gateway whose one route, on every path, leads to this (TOML) by way of these filters.
async fn acting(leads: &str, filters: &str) -> Gateway {
    let plugin = misbehaving();
    Gateway::start(format!(
        "plugin.acting.source = '{plugin}'\n[[route]]\nmatch = '/{{rest...}}'\nfilters = [{filters}]\n{leads}\n"
    ))
    .await
}

/// The same with an upstream at this address, which has 2 s to answer.
async fn acting_before(address: &str, filters: &str) -> Gateway {
    let leads = format!(
        "to = 'service'\n[upstream.service]\ntargets = ['{address}']\nresponse_timeout = '2s'\nconnect_timeout = '2s'\n"
    );
    acting(&leads, filters).await
}

#[tokio::test]
async fn edits_of_a_response_that_is_yet_to_come_are_made_on_its_way_back() {
    let upstream = Upstream::with(|_| async {
        let mut response = http::Response::new(portcullis_tests::full("hello"));
        for (name, value) in [("x-way", "backend"), ("x-last", "backend"), ("x-hidden", "yes")] {
            let value = http::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    })
    .await;
    let gateway = acting_before(&upstream.to_string(), TWO_AHEAD).await;

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
    // The filter nearest to the backend first, each before its own response phase.
    assert_eq!(response.header_values("x-way"), ["backend", "inner", "outer"]);
    assert_eq!(
        response.header_values("x-found"),
        ["inner finds backend+inner", "outer finds backend+inner+outer"]
    );
    assert_eq!(response.header_values("x-last"), ["outer"]);
    assert!(!response.has("x-hidden"));
    // They are the response's alone.
    assert_eq!(upstream.last_header("x-way"), "");
}

#[tokio::test]
async fn a_redirect_and_a_fixed_response_are_edited_like_any_other() {
    for (leads, status) in [
        ("redirect = 'https://example.com/'", 308),
        ("respond = { body = 'hello' }", 200),
    ] {
        let gateway = acting(leads, TWO_AHEAD).await;

        let response = gateway.get("/").await;

        assert_eq!(response.header_values("x-way"), ["inner", "outer"], "{leads}");
        assert_eq!(response.status(), status);
    }
}

#[tokio::test]
async fn the_gateways_own_errors_are_edited_like_any_other_response() {
    let full = Upstream::full().await;
    for (address, status) in [
        (format!("http://{}", Upstream::absent().await), 502),
        (full.to_string(), 504),
    ] {
        let gateway = acting_before(&address, TWO_AHEAD).await;

        let response = gateway.get("/").await;

        assert_eq!(response.header_values("x-way"), ["inner", "outer"], "{status}");
        assert_eq!(response.status(), status);
        assert_eq!(response.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn the_reply_of_a_later_filter_is_edited_and_a_filters_own_is_not() {
    let replying = "{ use = 'acting', name = 'replying', \
        settings = { act = 'edit-ahead-and-reply', word = 'its own' } }";
    let filters = format!("{TWO_AHEAD}, {replying}");
    let gateway = acting("respond = { body = 'never seen' }", &filters).await;

    let response = gateway.get("/").await;

    assert_eq!(
        (response.status(), response.text().as_str()),
        (418, "answered by the filter")
    );
    assert_eq!(response.header_values("x-way"), ["inner", "outer"]);
    let gateway = acting("respond = { body = 'never seen' }", replying).await;
    assert!(!gateway.get("/").await.has("x-way"));
}

#[tokio::test]
async fn the_failure_of_a_later_filter_is_edited_like_any_other_response() {
    for act in ["panic", "panic-at-response"] {
        let filters = format!("{TWO_AHEAD}, {{ use = 'acting', name = 'failing', settings = {{ act = '{act}' }} }}");
        let gateway = acting("respond = { body = 'never seen' }", &filters).await;

        let response = gateway.get("/").await;

        assert_eq!((response.status(), response.code().as_str()), (500, "filter-failed"));
        assert_eq!(response.header_values("x-way"), ["inner", "outer"], "{act}");
    }
}

#[tokio::test]
async fn a_filter_sees_its_own_edits_of_the_request() {
    let reading = "{ use = 'acting', settings = { act = 'read-own-edits' } }";
    let gateway = acting("respond = { body = 'never seen' }", reading).await;

    let request = gateway.request("GET", "/before?x=1").header("x-kept", "1");
    let found = request.header("x-dropped", "1").send().await.json();

    assert_eq!(
        found,
        json!({
            "appended": ["1", "2"], "set": ["3"], "removed": true, "named": ["x-kept"],
            "path": "/b", "query": null, "note": "ada",
        })
    );
}

#[tokio::test]
async fn a_filter_sees_its_own_edits_of_the_response() {
    let reading = "{ use = 'acting', settings = { act = 'read-own-edits-at-response' } }";
    let headers = "headers = { x-kept = '1', x-dropped = '1' }";
    let gateway = acting(&format!("respond = {{ body = 'never seen', {headers} }}"), reading).await;

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.has("x-kept")), (200, false));
    assert_eq!(
        response.json(),
        json!({
            "appended": ["1", "2"], "set": ["3"], "removed": true, "status": 203, "note": "ada",
            "late": "Err(TooLate)",
        })
    );
}
