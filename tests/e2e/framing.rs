//! Messages without bodies, and messages before messages.

use portcullis_tests::{Gateway, Upstream};

#[tokio::test]
async fn a_head_response_keeps_its_length_and_has_no_body() {
    let upstream = Upstream::answering("twelve bytes").await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut connection = gateway.connect().await;

    let response = connection.request("HEAD", "/").send().await;

    assert_eq!(response.header("content-length"), "12");
    assert_eq!(response.bytes(), b"");
    // The connection is still in step.
    assert_eq!(connection.get("/").await.text(), "twelve bytes");
}

#[tokio::test]
async fn a_204_and_a_304_have_no_body_and_leave_the_connection_in_step() {
    let upstream = Upstream::with(|request| async move {
        let mut response = http::Response::new(portcullis_tests::empty());
        let status = request.uri().path()[1..].parse().unwrap_or(200);
        *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
        response
            .headers_mut()
            .insert("etag", http::HeaderValue::from_static("\"1\""));
        response
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut connection = gateway.connect().await;

    for (path, status) in [("/204", 204), ("/304", 304), ("/204", 204), ("/200", 200)] {
        let response = connection.get(path).await;
        assert_eq!((response.status(), response.header("etag")), (status, "\"1\""));
        assert_eq!(response.bytes(), b"");
    }
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_and_then_the_answer() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;
    let mut client = gateway.raw().await;

    client
        .send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n")
        .await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 100"));
    client.send("hello").await;

    let answer = client.read_to_end().await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains(r#""body":"hello""#),
        "{answer}"
    );
}

#[tokio::test]
async fn a_client_that_expects_100_can_be_refused_before_it_sends_anything() {
    let gateway = Gateway::start("[[route]]\nmatch = '/'\nrespond = { status = 403, body = 'no' }").await;
    let mut client = gateway.raw().await;

    client
        .send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        .await;

    assert!(client.read_head().await.starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn an_upstreams_interim_responses_do_not_stand_for_its_answer() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n\
          HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfinal",
    )
    .await;
    let gateway = Gateway::proxying(&upstream).await;

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.text().as_str()), (200, "final"));
}

#[tokio::test]
async fn an_upstream_may_end_its_body_by_closing() {
    let upstream = Upstream::saying(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
    let gateway = Gateway::proxying(&upstream).await;

    assert_eq!(gateway.get("/").await.text(), "until the end");
}

#[tokio::test]
async fn a_client_of_http_1_0_is_answered_and_closed() {
    let upstream = Upstream::answering("hello").await;
    let gateway = Gateway::proxying(&upstream).await;

    let answer = gateway.raw().await.answer_to("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;

    assert!(
        answer.starts_with("HTTP/1.") && answer.ends_with("\r\n\r\nhello"),
        "{answer}"
    );
    assert!(!answer.contains("chunked"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;

    let answer = gateway
        .raw()
        .await
        .answer_to(
            "GET /first HTTP/1.1\r\nhost: a\r\n\r\nPOST /second HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc\
             GET /third HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )
        .await;

    let places = ["/first", "/second", "/third"].map(|path| answer.find(path).expect("an answer"));
    assert!(places.is_sorted(), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3);
}
