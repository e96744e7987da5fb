//! Answers that need no upstream: redirects and fixed responses.

use portcullis_tests::Gateway;
use serde_json::json;

#[tokio::test]
async fn a_redirect_carries_parameters_and_query() {
    let gateway =
        Gateway::start("[[route]]\nmatch = '/old/{rest...}'\nredirect = 'https://example.com/new/{rest}'").await;

    let response = gateway.get("/old/a/b?x=1").await;

    assert_eq!(response.status(), 308);
    assert_eq!(response.header("location"), "https://example.com/new/a/b?x=1");
    assert_eq!(gateway.outcome("/old/a/b").await, "redirected");
}

#[tokio::test]
async fn a_redirect_may_choose_its_status_and_drop_the_query() {
    let gateway = Gateway::start(
        "[[route]]\nmatch = '/'\nredirect = { to = 'https://example.com/', status = 301, keep_query = false }",
    )
    .await;

    let response = gateway.get("/?x=1").await;

    assert_eq!(
        (response.status(), response.header("location")),
        (301, "https://example.com/")
    );
}

#[tokio::test]
async fn a_parameter_cannot_break_out_of_a_redirect() {
    let gateway = Gateway::start("[[route]]\nmatch = '/{rest...}'\nredirect = 'https://example.com/{rest}'").await;

    for path in ["/%0d%0aset-cookie:%20a=b", "/%0D%0A%0D%0A"] {
        let response = gateway.get(path).await;
        assert!(!response.has("set-cookie") && response.bytes().len() < 500, "{path}");
    }
}

#[tokio::test]
async fn a_fixed_response_may_be_json() {
    let gateway = Gateway::start(
        "[[route]]\nmatch = '/'\nrespond = { status = 201, json = { message = 'hello', list = [1, 2.5] } }",
    )
    .await;

    let response = gateway.get("/").await;

    assert_eq!(
        (response.status(), response.header("content-type")),
        (201, "application/json")
    );
    assert_eq!(response.json(), json!({ "message": "hello", "list": [1, 2.5] }));
    assert_eq!(gateway.outcome("/").await, "responded");
}

#[tokio::test]
async fn a_fixed_response_may_have_headers_and_text() {
    let gateway = Gateway::start(
        "[[route]]\nmatch = '/'\nrespond = { body = '<p>hi', headers = { content-type = 'text/html', x-a = 'b' } }",
    )
    .await;

    let response = gateway.get("/").await;

    assert_eq!(
        (response.header("content-type"), response.header("x-a")),
        ("text/html", "b")
    );
    assert_eq!(response.text(), "<p>hi");
    let head = gateway.request("HEAD", "/").send().await;
    assert_eq!((head.header("content-length"), head.bytes()), ("5", b"".as_slice()));
}
