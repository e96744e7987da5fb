//! How filters take part in an exchange, whatever they do.

use portcullis_tests::{Gateway, Upstream};

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

    assert_eq!(
        response.json()["headers"]["x-way"],
        serde_json::json!(["first", "second"])
    );
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
