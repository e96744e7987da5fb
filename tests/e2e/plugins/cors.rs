//! `cors`

use portcullis_tests::{Gateway, Response, Upstream};

use super::filtering;

const SETTINGS: &str = "{ use = 'cors', settings = { allow_origins = ['https://shop.example', 'https://*.shop.example'], \
    allow_methods = ['GET', 'PUT'], allow_headers = ['content-type'], allow_credentials = true, max_age = '10m' } }";

async fn preflight(gateway: &Gateway, origin: &str) -> Response {
    let request = gateway.request("OPTIONS", "/").header("origin", origin);
    request.header("access-control-request-method", "PUT").send().await
}

#[tokio::test]
async fn a_preflight_from_an_allowed_origin_is_answered_here() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(&upstream, SETTINGS).await;

    for origin in ["https://shop.example", "https://a.b.shop.example"] {
        let response = preflight(&gateway, origin).await;
        assert_eq!(
            (response.status(), response.header("access-control-allow-origin")),
            (204, origin)
        );
        assert!(response.header("access-control-allow-methods").contains("PUT"));
        assert_eq!(
            response.header("access-control-allow-headers").to_lowercase(),
            "content-type"
        );
        assert_eq!(response.header("access-control-allow-credentials"), "true");
        assert_eq!(response.header("access-control-max-age"), "600");
        assert!(
            response
                .header_values("vary")
                .join(",")
                .to_lowercase()
                .contains("origin")
        );
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_preflight_from_another_origin_gets_nothing() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(&upstream, SETTINGS).await;

    for origin in [
        "https://evil.example",
        "http://shop.example",
        "https://shop.example.evil.example",
        "https://evilshop.example",
        "null",
    ] {
        let response = preflight(&gateway, origin).await;
        assert_eq!(
            (response.status(), response.has("access-control-allow-origin")),
            (403, false),
            "{origin}"
        );
    }
}

#[tokio::test]
async fn responses_say_who_may_read_them() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\naccess-control-allow-origin: *\r\nvary: accept\r\n\r\n",
    )
    .await;
    let gateway = filtering(&upstream, SETTINGS).await;

    let allowed = gateway
        .request("GET", "/")
        .header("origin", "https://shop.example")
        .send()
        .await;
    assert_eq!(
        allowed.header_values("access-control-allow-origin"),
        ["https://shop.example"]
    );
    let other = gateway
        .request("GET", "/")
        .header("origin", "https://evil.example")
        .send()
        .await;
    assert_eq!((other.status(), other.has("access-control-allow-origin")), (200, false));
    let vary = other.header_values("vary").join(",").to_lowercase();
    assert!(vary.contains("accept") && vary.contains("origin"), "{vary}");
}

#[tokio::test]
async fn a_page_may_read_why_it_was_refused() {
    let upstream = Upstream::answering("").await;
    let filters = format!("{SETTINGS}, {{ use = 'token-auth', settings = {{ tokens = ['t'] }} }}");
    let gateway = filtering(&upstream, &filters).await;

    let refused = gateway
        .request("GET", "/")
        .header("origin", "https://shop.example")
        .send()
        .await;

    assert_eq!(
        (refused.status(), refused.header("access-control-allow-origin")),
        (401, "https://shop.example")
    );
}

#[tokio::test]
async fn everybody_and_credentials_do_not_go_together() {
    let said = Gateway::refused(
        "[[route]]\nmatch = '/'\nrespond = {}\n\
         filters = [{ use = 'cors', settings = { allow_origins = ['*'], allow_credentials = true } }]\n",
    )
    .await;

    assert!(said.contains("allow_credentials"), "{said}");
}
