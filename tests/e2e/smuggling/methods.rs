//! Methods, and bodies where nobody expects one (CL.0, 0.CL).

use super::{forwarded, hold, refused};

/// A request of this method with these field lines and this body.
fn request(method: &str, fields: &str, body: &str) -> String {
    format!("{method} / HTTP/1.1\r\nhost: a\r\n{fields}\r\n{body}")
}

#[tokio::test]
async fn a_body_belongs_to_its_request_whatever_the_method() {
    const EVIL: &str = "GET /evil HTTP/1.1\r\nx: ";
    let mut messages = vec![
        refused(501, request("CONNECT", "", "")),
        refused(501, "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n"),
        refused(
            501,
            "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\ncontent-length: 5\r\n\r\nhello",
        ),
        refused(501, request("TRACE", "", "")),
        refused(501, request("TRACE", "max-forwards: 0\r\n", "")),
        refused(501, request("TRACE", "content-length: 5\r\n", "hello")),
        forwarded(
            request("OPTIONS", "max-forwards: 0\r\n", ""),
            "OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n<own>\r\n",
        ),
    ];
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH", "PUT", "POST", "FOO"] {
        messages.push(forwarded(
            request(method, "content-length: 23\r\n", EVIL),
            format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: 23\r\n<own>\r\n{EVIL}"),
        ));
        messages.push(forwarded(
            request(
                method,
                "transfer-encoding: chunked\r\n",
                &format!("17\r\n{EVIL}\r\n0\r\n\r\n"),
            ),
            format!(
                "{method} / HTTP/1.1\r\nhost: a\r\n<own>transfer-encoding: chunked\r\n\r\n17\r\n{EVIL}\r\n0\r\n\r\n"
            ),
        ));
    }
    hold(23, messages).await;
}

#[tokio::test]
async fn a_request_for_no_path_is_for_the_gateway_itself() {
    let upstream = portcullis_tests::StrictUpstream::start().await;
    let gateway = portcullis_tests::Gateway::proxying(upstream.upstream()).await;

    let request = "OPTIONS * HTTP/1.1\r\nhost: a\r\nmax-forwards: 1\r\nconnection: close\r\n\r\n";
    let answer = gateway.raw().await.answer_to(request).await;

    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(upstream.take().whole.is_empty());
    assert_eq!(gateway.outcome("*").await, "responded");
}
