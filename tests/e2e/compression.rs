//! Responses that leave smaller than they came: for whom, which of them, and how soon.

use bytes::Bytes;
use http_body_util::BodyExt;
use portcullis_tests::{
    Body, Gateway, Process, Upstream, chunked, decoding, eventually, full, generated, has_program, stepwise,
    with_trailers, within,
};
use tokio::io::AsyncReadExt;

fn text() -> String {
    "All that is gold does not glitter, not all those who wander are lost. ".repeat(200)
}

/// An upstream whose answer has these fields and this body.
async fn answering(fields: &'static [(&'static str, &'static str)], body: fn() -> Body) -> Upstream {
    Upstream::with(move |_| async move {
        let mut response = http::Response::new(body());
        for (name, value) in fields {
            if *name == "status" {
                *response.status_mut() = value.parse().expect("a status");
            } else {
                response.headers_mut().append(*name, value.parse().expect("a value"));
            }
        }
        response
    })
    .await
}

/// A gateway with this line in its one route.
async fn gateway(upstream: &Upstream, line: &str) -> Gateway {
    Gateway::start(format!(
        "upstream.service.targets = ['{upstream}']\n[[route]]\nmatch = '/{{rest...}}'\nto = 'service'\n{line}\n"
    ))
    .await
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json; charset=utf-8")];

#[tokio::test]
async fn a_client_gets_what_it_likes_best() {
    let upstream = answering(JSON, || full(text())).await;
    let gateway = gateway(&upstream, "compress = true").await;
    for http2 in [false, true] {
        for (accepted, encoding) in [
            ("gzip", "gzip"),
            ("br", "br"),
            ("gzip, deflate, br, zstd", "zstd"),
            ("zstd;q=0.1, br;q=0.9, gzip;q=0.5", "br"),
            ("*", "zstd"),
            ("identity", ""),
            ("gzip;q=0", ""),
            ("", ""),
        ] {
            let request = gateway.request("GET", "/").header("accept-encoding", accepted);
            let response = if http2 { request.http2() } else { request }.send().await;

            assert_eq!(response.header("content-encoding"), encoding, "{accepted}");
            assert_eq!(response.decoded().await, text().as_bytes(), "{accepted}");
            assert_eq!(response.header("vary"), "accept-encoding");
            assert_eq!(response.has("content-length"), encoding.is_empty());
            if !encoding.is_empty() {
                assert!(
                    response.bytes().len() < text().len() / 20,
                    "{encoding}: {}",
                    response.bytes().len()
                );
            }
        }
    }
}

#[tokio::test]
async fn it_is_off_until_it_is_asked_for_and_a_route_decides_for_itself() {
    let upstream = answering(JSON, || full(text())).await;
    let route = |path: &str, line: &str| format!("[[route]]\nmatch = '/{path}'\nto = 'service'\n{line}\n");
    let routes = route("as-the-server", "")
        + &route("off", "compress = false")
        + &route("gzip", "compress = { encodings = 'gzip' }");
    let start = async |server: &str| {
        Gateway::start(format!(
            "upstream.service.targets = ['{upstream}']\n{routes}[server]\n{server}\n"
        ))
        .await
    };
    let encoding = async |gateway: &Gateway, path: &str| {
        let request = gateway.request("GET", path).header("accept-encoding", "br, gzip");
        request.send().await.header("content-encoding").to_owned()
    };

    let off = start("").await;
    assert_eq!(encoding(&off, "/as-the-server").await, "");
    assert_eq!(encoding(&off, "/gzip").await, "gzip");

    let on = start("compress = { least = '100B' }").await;
    assert_eq!(encoding(&on, "/as-the-server").await, "br");
    assert_eq!(encoding(&on, "/off").await, "");
    assert_eq!(encoding(&on, "/gzip").await, "gzip");
}

#[tokio::test]
async fn what_is_not_worth_it_or_may_not_be_goes_as_it_is() {
    for fields in [
        &[("content-type", "image/png")][..],
        &[("content-type", "text/event-stream")],
        &[("content-type", "Text/Event-Stream; charset=utf-8")],
        &[("content-type", "application/grpc")],
        &[("content-type", "application/grpc-web+json")],
        &[],
        &[("content-type", "text/html"), ("content-encoding", "gzip")],
        &[("content-type", "text/html"), ("cache-control", "public, no-transform")],
        &[
            ("content-type", "text/html"),
            ("status", "206"),
            ("content-range", "bytes 0-13999/20000"),
        ],
        &[("content-type", "text/html"), ("status", "404")],
        &[("content-type", "text/html"), ("status", "500")],
        &[("content-type", "text/html"), ("content-digest", "sha-256=:AAAA:")],
    ] {
        let upstream = answering(fields, || full(text())).await;
        let gateway = gateway(
            &upstream,
            "compress = { types = ['text/*', 'application/*', 'application/*+json'] }",
        )
        .await;
        let response = gateway
            .request("GET", "/")
            .header("accept-encoding", "gzip, br")
            .send()
            .await;
        assert_eq!(response.text(), text(), "{fields:?}");
        assert_eq!(
            response.header("content-length"),
            text().len().to_string(),
            "{fields:?}"
        );
        assert!(!response.has("vary"), "{fields:?}");
    }
}

#[tokio::test]
async fn small_ones_go_as_they_are_where_their_size_is_known() {
    let upstream = answering(JSON, || full("{}")).await;
    let unknown = answering(JSON, || chunked("{}")).await;
    let request = |gateway: &Gateway| gateway.request("GET", "/").header("accept-encoding", "gzip");

    let small = request(&gateway(&upstream, "compress = true").await).send().await;
    assert_eq!((small.text().as_str(), small.has("vary")), ("{}", false));
    let small = request(&gateway(&upstream, "compress = { least = 0 }").await)
        .send()
        .await;
    assert_eq!(small.header("content-encoding"), "gzip");
    let unknown = request(&gateway(&unknown, "compress = true").await).send().await;
    assert_eq!(
        (unknown.header("content-encoding"), unknown.decoded().await),
        ("gzip", b"{}".to_vec())
    );
}

#[tokio::test]
async fn validators_become_weak_and_vary_is_added_to() {
    const FIELDS: &[(&str, &str)] = &[
        ("content-type", "text/css"),
        ("etag", "\"v1\""),
        ("vary", "origin"),
        ("accept-ranges", "bytes"),
    ];
    let upstream = answering(FIELDS, || full(text())).await;
    let gateway = gateway(&upstream, "compress = true").await;

    let plain = gateway.get("/").await;
    assert_eq!(
        (plain.header("etag"), plain.header("accept-ranges")),
        ("\"v1\"", "bytes")
    );
    assert_eq!(plain.header_values("vary"), ["origin", "accept-encoding"]);

    let encoded = gateway
        .request("GET", "/")
        .header("accept-encoding", "zstd")
        .send()
        .await;
    assert_eq!(
        (encoded.header("etag"), encoded.has("accept-ranges")),
        ("W/\"v1\"", false)
    );
    assert_eq!(encoded.header_values("vary"), ["origin", "accept-encoding"]);
}

#[tokio::test]
async fn a_304_has_the_fields_of_the_response_that_it_stands_for() {
    const BARE: &[(&str, &str)] = &[("status", "304"), ("etag", "\"v1\"")];
    const IMAGE: &[(&str, &str)] = &[("status", "304"), ("etag", "\"v1\""), ("content-type", "image/png")];
    for (fields, accepted, tag, vary) in [
        (BARE, "gzip", "W/\"v1\"", "accept-encoding"),
        (BARE, "", "\"v1\"", "accept-encoding"),
        (IMAGE, "gzip", "\"v1\"", ""),
    ] {
        let upstream = answering(fields, || full("")).await;
        let gateway = gateway(&upstream, "compress = true").await;
        let request = gateway.request("GET", "/").header("accept-encoding", accepted);

        let response = request.header("if-none-match", "W/\"v1\"").send().await;

        assert_eq!(response.status(), 304);
        assert_eq!(
            (response.header("etag"), response.header("vary")),
            (tag, vary),
            "{fields:?}"
        );
    }
}

#[tokio::test]
async fn head_says_what_get_would() {
    const FIELDS: &[(&str, &str)] = &[("content-type", "text/plain"), ("etag", "\"v1\"")];
    let upstream = answering(FIELDS, || full(text())).await;
    let gateway = gateway(&upstream, "compress = true").await;
    for accepted in ["gzip", "identity"] {
        let [get, head] =
            ["GET", "HEAD"].map(|method| gateway.request(method, "/").header("accept-encoding", accepted).send());
        let (get, head) = tokio::join!(get, head);
        for field in ["content-encoding", "content-length", "etag", "vary", "content-type"] {
            assert_eq!(
                head.header_values(field),
                get.header_values(field),
                "{field} for {accepted}"
            );
        }
        assert!(head.bytes().is_empty());
    }
}

#[tokio::test]
async fn each_chunk_arrives_before_the_next_is_sent() {
    for encoding in ["gzip", "br", "zstd"] {
        let (mut sender, body) = stepwise();
        let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
        let upstream = Upstream::with(move |_| {
            let body = body.lock().expect("a body").take().expect("one request");
            async move {
                let response = http::Response::builder().header("content-type", "text/plain");
                response.body(body).expect("a response")
            }
        })
        .await;
        let gateway = gateway(&upstream, "compress = true").await;

        let response = gateway
            .request("GET", "/")
            .header("accept-encoding", encoding)
            .stream()
            .await;
        assert_eq!(response.headers()["content-encoding"], encoding);
        let mut decoded = decoding(response);
        for number in 0..10 {
            let line = format!("line {number}\n");
            sender.send_data(line.clone().into()).await.expect("somebody reads");
            let mut got = vec![0; line.len()];
            within("the line comes", decoded.read_exact(&mut got))
                .await
                .expect("a line");
            assert_eq!(got, line.as_bytes(), "{encoding}");
        }
        drop(sender);
        let mut rest = Vec::new();
        decoded.read_to_end(&mut rest).await.expect("the end");
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn trailers_follow_and_what_breaks_off_does_not_end_well() {
    let upstream = Upstream::with(|request| async move {
        let body = if request.uri().path() == "/whole" {
            with_trailers(text(), "x-checksum", "abc")
        } else {
            let (mut sender, body) = stepwise();
            tokio::spawn(async move {
                sender.send_data(text().into()).await.expect("somebody reads");
                sender.abort(std::io::Error::other("broken"));
            });
            body
        };
        let response = http::Response::builder()
            .header("content-type", "text/plain")
            .header("trailer", "x-checksum");
        response.body(body).expect("a response")
    })
    .await;
    let gateway = gateway(&upstream, "compress = true").await;
    let asking = |path| {
        gateway
            .request("GET", path)
            .header("accept-encoding", "br")
            .header("te", "trailers")
    };

    let response = asking("/whole").send().await;
    assert_eq!(
        (response.trailer("x-checksum"), response.decoded().await),
        ("abc", text().into_bytes())
    );
    assert!(asking("/broken").try_send().await.is_err());
    assert_eq!(gateway.outcome("/broken").await, "upstream-reset");
}

#[tokio::test]
async fn a_large_response_streams_through_in_little_memory() {
    let upstream = Upstream::with(|_| async {
        let response = http::Response::builder().header("content-type", "text/plain");
        response.body(generated(100_000_000)).expect("a response")
    })
    .await;
    let gateway = gateway(&upstream, "compress = true").await;
    gateway
        .request("GET", "/")
        .header("accept-encoding", "zstd")
        .send()
        .await;
    let before = gateway.rss_kib();

    for encoding in ["zstd", "br", "gzip"] {
        let mut response = gateway
            .request("GET", "/")
            .header("accept-encoding", encoding)
            .stream()
            .await;
        let mut received = 0;
        while let Some(frame) = response.body_mut().frame().await {
            received += frame.expect("a frame").data_ref().map_or(0, Bytes::len);
        }
        assert!(received > 1000 && received < 10_000_000, "{encoding}: {received}");
    }
    assert!(
        gateway.rss_kib() < before + 16 * 1024,
        "{} to {} KiB",
        before,
        gateway.rss_kib()
    );
}

#[tokio::test]
async fn what_comes_on_top_of_the_limit_goes_as_it_is() {
    let upstream = Upstream::with(|_| async {
        let (sender, body) = stepwise();
        // Kept open for as long as the test runs.
        std::mem::forget(sender);
        let response = http::Response::builder().header("content-type", "text/plain");
        response.body(body).expect("a response")
    })
    .await;
    let gateway = Gateway::start(format!(
        "upstream.service.targets = ['{upstream}']\n[[route]]\nmatch = '/'\nto = 'service'\n\
         compress = {{ at_once = 2 }}\n[server]\nthreads = 1\n"
    ))
    .await;
    let encoded = async |gateway: &Gateway| {
        let response = gateway
            .request("GET", "/")
            .header("accept-encoding", "gzip")
            .stream()
            .await;
        (response.headers().contains_key("content-encoding"), response)
    };
    let (first, second) = (encoded(&gateway).await, encoded(&gateway).await);
    assert!(first.0 && second.0);
    assert!(!encoded(&gateway).await.0);

    drop(first);
    eventually("there is room again", async || encoded(&gateway).await.0).await;
}

#[tokio::test]
async fn curl_reads_them_all() {
    if !has_program("curl") {
        return;
    }
    let upstream = answering(JSON, || chunked(text())).await;
    let gateway = gateway(&upstream, "compress = true").await;
    for encoding in ["gzip", "br", "zstd"] {
        let url = format!("http://{}/", gateway.address());
        let accepted = format!("accept-encoding: {encoding}");
        let curl = Process::curl(&["-sS", "--compressed", "-H", &accepted, &url]);
        assert_eq!(curl.exited().await, 0, "{encoding}: {:?}", curl.stderr());
        assert_eq!(curl.stdout(), [text()], "{encoding}");
    }
}
