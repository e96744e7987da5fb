//! Trailer fields, both ways, over both protocols.

use portcullis_tests::{Gateway, Upstream, with_trailers};
use serde_json::json;

async fn sending_trailers() -> Upstream {
    Upstream::with(|_| async {
        let mut response = http::Response::new(with_trailers("body", "x-checksum", "abc"));
        response
            .headers_mut()
            .insert("trailer", http::HeaderValue::from_static("x-checksum"));
        response
    })
    .await
}

/// A gateway that speaks this version of HTTP to the upstream.
async fn speaking(upstream: &Upstream, http: &str) -> Gateway {
    Gateway::start(format!(
        r#"
        upstream.service = {{ targets = ["{upstream}"], http = "{http}" }}
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        "#
    ))
    .await
}

#[tokio::test]
async fn an_upstreams_trailers_reach_a_client_of_http_1_that_takes_them() {
    let upstream = sending_trailers().await;
    let gateway = Gateway::proxying(&upstream).await;

    let response = gateway.request("GET", "/").header("te", "trailers").send().await;

    assert_eq!(
        (response.text().as_str(), response.trailer("x-checksum")),
        ("body", "abc")
    );
}

#[tokio::test]
async fn an_upstreams_trailers_reach_a_client_of_http_2() {
    let upstream = sending_trailers().await;
    let gateway = Gateway::proxying(&upstream).await;

    let response = gateway
        .request("GET", "/")
        .header("te", "trailers")
        .http2()
        .send()
        .await;

    assert_eq!(
        (response.text().as_str(), response.trailer("x-checksum")),
        ("body", "abc")
    );
}

#[tokio::test]
async fn a_clients_trailers_reach_an_upstream_of_either_protocol() {
    let upstream = Upstream::echo().await;
    for http in ["1.1", "2"] {
        let gateway = speaking(&upstream, http).await;
        for from_http2 in [false, true] {
            let request = gateway.request("POST", "/").header("trailer", "x-checksum");
            let request = request.streaming(with_trailers("body", "x-checksum", "abc"));
            let request = if from_http2 { request.http2() } else { request };

            let seen = request.send().await.json();

            assert_eq!(seen["body"], "body");
            assert_eq!(
                seen["trailers"]["x-checksum"],
                json!(["abc"]),
                "from h2: {from_http2}, to {http}"
            );
        }
    }
}

#[tokio::test]
async fn trailers_of_an_upstream_of_http_2_reach_a_client_of_http_2() {
    let upstream = sending_trailers().await;
    let gateway = speaking(&upstream, "2").await;

    let response = gateway.request("GET", "/").http2().send().await;

    assert_eq!(
        (response.text().as_str(), response.trailer("x-checksum")),
        ("body", "abc")
    );
}
