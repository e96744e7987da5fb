//! `rewrite-body`

use portcullis_tests::{Upstream, stepwise};

use super::filtering;

const RESPONSE: &str =
    "{ use = 'rewrite-body', settings = { response = [{ find = 'internal', replace = 'public' }] } }";

/// Answers with these chunks, one after the other, as this media type.
async fn sending(chunks: &'static [&'static str], media: &'static str) -> Upstream {
    Upstream::with(move |_| async move {
        let (mut sender, body) = stepwise();
        tokio::spawn(async move {
            for chunk in chunks {
                if sender.send_data((*chunk).into()).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
        let mut response = http::Response::new(body);
        response
            .headers_mut()
            .insert("content-type", http::HeaderValue::from_static(media));
        response
    })
    .await
}

#[tokio::test]
async fn text_is_replaced_across_chunk_borders() {
    let upstream = sending(&["an inter", "nal and an i", "n", "ternal, not an inter"], "text/plain").await;
    let gateway = filtering(&upstream, RESPONSE).await;

    assert_eq!(gateway.get("/").await.text(), "an public and an public, not an inter");
    assert_eq!(
        gateway.request("GET", "/").http2().send().await.text(),
        "an public and an public, not an inter"
    );
}

#[tokio::test]
async fn what_is_no_text_passes_as_it_is() {
    let upstream = sending(&["internal"], "image/png").await;
    let gateway = filtering(&upstream, RESPONSE).await;

    assert_eq!(gateway.get("/").await.text(), "internal");
}

#[tokio::test]
async fn the_length_is_that_of_the_new_body() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\ncontent-type: text/plain\r\netag: \"1\"\r\n\r\ninternal",
    )
    .await;
    let gateway = filtering(&upstream, RESPONSE).await;

    let response = gateway.get("/").await;

    assert_eq!(
        (response.text().as_str(), response.header("etag")),
        ("public", "W/\"1\"")
    );
    assert_ne!(response.header("content-length"), "8");
}

#[tokio::test]
async fn requests_are_rewritten_too() {
    let upstream = Upstream::echo().await;
    let gateway = filtering(
        &upstream,
        "{ use = 'rewrite-body', settings = { request = [{ find = 'a', replace = 'bb' }, { find = 'ab', replace = '' }] } }",
    )
    .await;

    let request = gateway
        .request("POST", "/")
        .header("content-type", "text/plain")
        .body("a-ab-c-a");
    assert_eq!(request.send().await.json()["body"], "bb--c-bb");
}

#[tokio::test]
async fn a_large_body_streams_through() {
    let upstream = Upstream::with(|_| async {
        let mut response = http::Response::new(portcullis_tests::full("internal ".repeat(1_000_000)));
        response
            .headers_mut()
            .insert("content-type", http::HeaderValue::from_static("text/plain"));
        response
    })
    .await;
    let gateway = filtering(&upstream, RESPONSE).await;
    let before = gateway.rss_kib();

    let response = gateway.get("/").await;

    assert!(response.text() == "public ".repeat(1_000_000));
    assert!(
        gateway.rss_kib() < before + 24 * 1024,
        "grew from {before} to {} KiB",
        gateway.rss_kib()
    );
}
