//! `edit-headers`

use portcullis_tests::{Gateway, Upstream, signed};
use serde_json::json;

use super::filtering;

#[tokio::test]
async fn requests_are_edited_before_they_go_on() {
    let upstream = Upstream::echo().await;
    let gateway = filtering(
        &upstream,
        "{ use = 'edit-headers', settings = { request = { remove = ['x-debug'], rename = { x-old = 'x-new' }, \
           set = { x-set = 'mine' }, append = { x-more = 'two' } } } }",
    )
    .await;

    let request = gateway
        .request("GET", "/")
        .header("x-debug", "1")
        .header("x-old", "kept")
        .header("x-set", "theirs");
    let headers = request.header("x-more", "one").send().await.json()["headers"].clone();

    assert_eq!((&headers["x-debug"], &headers["x-old"]), (&json!(null), &json!(null)));
    assert_eq!(
        (&headers["x-new"], &headers["x-set"]),
        (&json!(["kept"]), &json!(["mine"]))
    );
    assert_eq!(headers["x-more"], json!(["one", "two"]));
}

#[tokio::test]
async fn responses_are_edited_before_the_client_sees_them() {
    let upstream =
        Upstream::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nserver: inside/1.0\r\nx-internal: 7\r\n\r\n").await;
    let gateway = filtering(
        &upstream,
        "{ use = 'edit-headers', settings = { response = { remove = ['server'], rename = { x-internal = 'x-id' }, \
           set = { cache-control = 'no-store' } } } }",
    )
    .await;

    let response = gateway.get("/").await;

    assert!(!response.header("server").contains("inside") && !response.has("x-internal"));
    assert_eq!(
        (response.header("x-id"), response.header("cache-control")),
        ("7", "no-store")
    );
}

#[tokio::test]
async fn values_may_be_made_of_what_is_known_of_the_exchange() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(
        &upstream,
        "{ use = 'edit-headers', settings = { request = { set = { x-client = '{client-address}', \
           x-user = 'user-{path.id}', x-route = '{route}', x-id = '{request-id}', x-braces = '{{}}', \
           x-claim = '{jwt.sub}' } } } }",
    )
    .await;

    gateway
        .request("GET", "/users/7")
        .header("x-claim", "forged")
        .send()
        .await;

    assert_eq!(upstream.last_header("x-client"), "127.0.0.1");
    assert_eq!(upstream.last_header("x-user"), "user-7");
    assert_eq!(upstream.last_header("x-route"), "filtered");
    assert_eq!(upstream.last_header("x-braces"), "{}");
    assert_eq!(upstream.last_header("x-claim"), "");
    let line = gateway.logged(|line| line["path"] == "/users/7").await;
    assert_eq!(line["id"], upstream.last_header("x-id"));
}

#[tokio::test]
async fn values_may_be_made_of_the_claims_of_a_token() {
    let upstream = Upstream::answering("").await;
    let secret = "a secret of thirty-two characters";
    let gateway = filtering(
        &upstream,
        &format!(
            "{{ use = 'jwt-auth', settings = {{ algorithms = ['HS256'], secret = '{secret}' }} }}, \
             {{ use = 'edit-headers', settings = {{ request = {{ set = {{ x-claim = 'is {{jwt.sub}}' }} }} }} }}"
        ),
    )
    .await;
    let token = signed(&json!({ "sub": "ada", "exp": 9_999_999_999_u64 }), secret);

    let request = gateway.request("GET", "/").header("x-claim", "forged");
    let request = request.header("authorization", format!("Bearer {token}"));
    assert_eq!(request.send().await.status(), 200);

    assert_eq!(upstream.last_header("x-claim"), "is ada");
}

#[tokio::test]
async fn fields_of_the_connection_cannot_be_edited() {
    for name in ["content-length", "connection", "transfer-encoding", "host"] {
        let said = Gateway::refused(format!(
            "[[route]]\nmatch = '/'\nrespond = {{}}\n\
             filters = [{{ use = 'edit-headers', settings = {{ request = {{ set = {{ {name} = '1' }} }} }} }}]\n"
        ))
        .await;
        assert!(said.contains(name), "{said}");
    }
}
