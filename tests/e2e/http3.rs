//! HTTP/3: everything that the gateway does, over QUIC.

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use portcullis_tests::grpc::Word;
use portcullis_tests::http3::{answer, send_body};
use portcullis_tests::{
    Authority, Certificate, Folder, Gateway, Http3Client, Process, Secured, Upstream, chunked, empty, eventually, full,
    generated, has_program, with_trailers, write_pair,
};
use prost::Message;
use rcgen::PublicKeyData;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

const HELLO: &str = "[[route]]\nmatch = '/{rest...}'\nrespond = { body = 'hello' }\n";
const MIB: u64 = 1 << 20;

async fn proxying(upstream: &Upstream) -> Secured {
    Secured::with_http3(&["shop.example"], "true", &Gateway::proxying_configuration(upstream)).await
}

#[tokio::test]
async fn requests_and_answers_go_through() {
    let upstream = Upstream::echo().await;
    let secured = proxying(&upstream).await;
    let mut connection = secured.http3("shop.example").await;

    let answer = connection.get("/a?b=1").await;

    assert_eq!((answer.status(), answer.version()), (200, http::Version::HTTP_3));
    assert!(answer.has("date"));
    assert_eq!(upstream.last_target(), "/a?b=1");
    assert_eq!(upstream.last_header("x-forwarded-proto"), "https");
    assert!(upstream.last_header("host").starts_with("shop.example"));
    // It is clear that there is no body, so none is announced.
    assert_eq!(upstream.last_header("transfer-encoding"), "");
    let head = connection.request("POST", "/b").header("content-length", "5");
    let answer = connection.send(head.body(full("12345")).unwrap()).await;
    assert!(answer.text().contains("\"length\":5"), "{}", answer.text());
    assert_eq!(upstream.last_header("content-length"), "5");
    let log = secured.gateway.logged(|line| line["path"] == "/b").await;
    assert_eq!(
        (log["protocol"].as_str(), log["status"].as_u64()),
        (Some("HTTP/3"), Some(200))
    );
}

#[tokio::test]
async fn an_answer_to_head_announces_only_what_the_upstream_announces() {
    let upstream = Upstream::with(|request| async move {
        let chunks = request.uri().path() == "/chunks";
        http::Response::new(if chunks { chunked("hello") } else { full("hello") })
    })
    .await;
    let secured = proxying(&upstream).await;
    let mut connection = secured.http3("shop.example").await;
    for (path, length) in [("/chunks", None), ("/whole", Some("5"))] {
        let head = connection.request("HEAD", path).body(empty()).unwrap();
        let answer = connection.send(head).await;
        let announced = answer.has("content-length").then(|| answer.header("content-length"));
        assert_eq!(announced.map(|length| length.to_string()).as_deref(), length, "{path}");
    }
}

#[tokio::test]
async fn who_waits_with_a_body_is_told_to_go_on_only_when_somebody_asks_for_it() {
    let upstream = Upstream::echo().await;
    let configuration = format!(
        "{}body_size = '1KiB'\n[[route]]\nmatch = '/fixed'\nrespond = {{ body = 'hello' }}\n",
        Gateway::proxying_configuration(&upstream)
    );
    let secured = Secured::with_http3(&["shop.example"], "true", &configuration).await;
    let mut connection = secured.http3("shop.example").await;
    for (path, length, status) in [("/fixed", 5, 200), ("/large", 2000, 413), ("/", 5, 100)] {
        let head = connection.request("POST", path).header("expect", "100-continue");
        let head = head.header("content-length", length).body(()).unwrap();
        let mut stream = connection.open(head).await.unwrap();

        assert_eq!(stream.recv_response().await.unwrap().status(), status, "{path}");

        if status == 100 {
            send_body(&mut stream, full("12345")).await.unwrap();
            let answer = answer(&mut stream).await.unwrap();
            assert!(answer.text().contains("\"length\":5"), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn large_bodies_stream_both_ways_in_flat_memory() {
    let upstream = Upstream::with(|request| async move {
        let mut count = 0;
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            count += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        let answer = http::Response::builder().header("x-count", count);
        answer.body(generated(100 * MIB)).expect("a response")
    })
    .await;
    let configuration = Gateway::proxying_configuration(&upstream) + "body_size = '1GiB'\n";
    let secured = Secured::with_http3(&["shop.example"], "true", &configuration).await;
    let mut connection = secured.http3("shop.example").await;
    connection.get("/").await;
    let before = secured.gateway.rss_kib();

    let head = connection
        .request("POST", "/")
        .header("content-length", 100 * MIB)
        .body(())
        .unwrap();
    let mut stream = connection.open(head).await.unwrap();
    send_body(&mut stream, generated(100 * MIB)).await.unwrap();
    let response = stream.recv_response().await.unwrap();
    let uploaded = secured.gateway.rss_kib();
    let mut received = 0;
    while let Some(data) = stream.recv_data().await.unwrap() {
        received += data.remaining() as u64;
    }
    let downloaded = secured.gateway.rss_kib();

    assert_eq!(response.headers()["x-count"], (100 * MIB).to_string());
    assert_eq!(received, 100 * MIB);
    let most = before + 24 * 1024;
    assert!(
        uploaded < most && downloaded < most,
        "{before} {uploaded} {downloaded} KiB"
    );
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let upstream = Upstream::with(|request| async move {
        let body = request.into_body().collect().await.expect("a body");
        let sum = body.trailers().and_then(|trailers| trailers.get("x-sum").cloned());
        let answer = http::Response::builder()
            .header("trailer", "x-end")
            .header("x-got", sum.unwrap_or_else(|| "none".parse().unwrap()));
        answer
            .body(with_trailers("answer", "x-end", "done"))
            .expect("a response")
    })
    .await;
    let secured = proxying(&upstream).await;
    let mut connection = secured.http3("shop.example").await;

    let request = connection
        .request("POST", "/")
        .header("te", "trailers")
        .header("trailer", "x-sum");
    let answer = connection
        .send(request.body(with_trailers("question", "x-sum", "7")).unwrap())
        .await;

    assert_eq!((answer.header("x-got"), answer.trailer("x-end")), ("7", "done"));
    assert_eq!(answer.text(), "answer");
}

fn message(text: &str) -> Bytes {
    let word = Word::new(text).encode_to_vec();
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(word.len() as u32);
    bytes.put_slice(&word);
    bytes.freeze()
}

#[tokio::test]
async fn grpc_calls_a_tonic_service() {
    let upstream = Upstream::grpc(mpsc::unbounded_channel().0).await;
    let configuration = format!(
        "upstream.echo = {{ targets = ['{upstream}'], http = '2' }}\n[[route]]\nmatch = '/{{rest...}}'\nto = 'echo'\n"
    );
    let secured = Secured::with_http3(&["shop.example"], "true", &configuration).await;
    let mut connection = secured.http3("shop.example").await;
    let call = |method: &str| {
        let head = connection.request("POST", &format!("/portcullis.test.v1.Echo/{method}"));
        head.header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap()
    };
    let (say, chat) = (call("Say"), call("Chat"));

    let mut stream = connection.open(say).await.unwrap();
    send_body(&mut stream, full(message("hello"))).await.unwrap();
    let said = answer(&mut stream).await.unwrap();
    // Each message passes when it is sent.
    let mut stream = connection.open(chat).await.unwrap();
    stream.send_data(message("one")).await.unwrap();
    stream.recv_response().await.unwrap();
    let mut heard = Vec::new();
    for word in ["one", "two"] {
        if word == "two" {
            stream.send_data(message("two")).await.unwrap();
        }
        let mut data = stream.recv_data().await.unwrap().expect("a message");
        heard.push(data.copy_to_bytes(data.remaining()));
    }
    stream.finish().await.unwrap();
    assert!(stream.recv_data().await.unwrap().is_none());

    assert_eq!(
        (said.bytes(), said.trailer("grpc-status")),
        (&message("hello!")[..], "0")
    );
    assert_eq!(heard, [message("one!"), message("two!")]);
    assert_eq!(
        stream.recv_trailers().await.unwrap().expect("trailers")["grpc-status"],
        "0"
    );
}

#[tokio::test]
async fn clients_of_https_are_told_where_http3_is_spoken() {
    if !has_program("curl") {
        return;
    }
    let secured = Secured::with_http3(&["shop.example"], "true", HELLO).await;
    let port = secured.gateway.secure_address().port();
    let told = async |secured: &Secured, option: &str| {
        let answer = secured.curl("shop.example", "/", &[option]).await;
        let line = answer
            .text
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("alt-svc: ").map(str::to_owned));
        line.unwrap_or_default()
    };
    for option in ["--http1.1", "--http2"] {
        assert_eq!(told(&secured, option).await, format!("h3=\":{port}\"; ma=86400"));
    }
    assert!(!secured.http3("shop.example").await.get("/").await.has("alt-svc"));

    // What an upstream says of itself is not true of the gateway.
    let upstream = Upstream::with(|_| async {
        let answer = http::Response::builder().header("alt-svc", "h3=\":1\"");
        answer.body(full("hello")).expect("a response")
    })
    .await;
    let before = proxying(&upstream).await;
    assert!(!before.http3("shop.example").await.get("/").await.has("alt-svc"));
    let port = before.gateway.secure_address().port();
    assert_eq!(told(&before, "--http2").await, format!("h3=\":{port}\"; ma=86400"));

    let other = Secured::with_http3(&["shop.example"], "{ port = 443, max_age = '1h' }", HELLO).await;
    assert_eq!(told(&other, "--http2").await, "h3=\":443\"; ma=3600");
    let silent = Secured::with_http3(&["shop.example"], "{ max_age = '0s' }", HELLO).await;
    assert_eq!(told(&silent, "--http2").await, "");
}

#[tokio::test]
async fn each_host_gets_its_certificate_and_a_new_one_after_a_reload() {
    let (folder, authority) = (Folder::new(), Authority::new());
    for name in ["a", "b"] {
        write_pair(&folder, name, &authority.issue(&[&format!("{name}.example")]));
    }
    let tls = "certificates = [{ certificate = 'a.pem', key = 'a.key' }, { certificate = 'b.pem', key = 'b.key' }]";
    let secured = Secured::with_http3_in(folder, authority, tls, "true", HELLO).await;
    let shown = async |host: &str| -> Vec<u8> {
        let client = Http3Client::trusting(&secured.authority);
        let quic = client
            .quic(secured.gateway.secure_address(), host)
            .await
            .expect("a connection");
        let shown = quic.peer_identity().expect("certificates");
        shown
            .downcast::<Vec<rustls::pki_types::CertificateDer<'_>>>()
            .expect("of rustls")[0]
            .to_vec()
    };
    // The client checks the names.
    let before = shown("b.example").await;
    assert_ne!(shown("a.example").await, before);

    write_pair(secured.gateway.folder(), "b", &secured.authority.issue(&["b.example"]));
    eventually("the new certificate is shown", async || {
        shown("b.example").await != before
    })
    .await;
}

#[tokio::test]
async fn clients_prove_who_they_are() {
    let upstream = Upstream::echo().await;
    let (folder, authority, clients) = (Folder::new(), Authority::new(), Authority::new());
    folder.write("clients.pem", clients.pem());
    write_pair(&folder, "a", &authority.issue(&["shop.example"]));
    let tls = "client = { roots = 'clients.pem', forward = true }";
    let routes = Gateway::proxying_configuration(&upstream);
    let secured = Secured::with_http3_in(folder, authority, tls, "true", &routes).await;
    let address = secured.gateway.secure_address();
    let showing = |certificate: &Certificate| Http3Client::showing(&secured.authority, certificate);

    let strangers = [
        Http3Client::trusting(&secured.authority),
        showing(&Authority::new().issue(&["alice.example"])),
    ];
    for stranger in strangers {
        // A client of TLS 1.3 is done before it is refused.
        if let Ok(quic) = stranger.quic(address, "shop.example").await {
            let ended = quic.closed().await;
            assert!(matches!(ended, quinn::ConnectionError::ConnectionClosed(_)), "{ended}");
        }
    }
    assert_eq!(upstream.requests(), 0);
    let mut alice = showing(&clients.issue(&["alice.example"]))
        .connect(address, "shop.example")
        .await;
    assert_eq!(alice.get("/").await.status(), 200);
    assert!(upstream.last_header("client-cert").starts_with(':'));
}

#[tokio::test]
async fn draining_lets_what_is_under_way_finish_and_sends_clients_away() {
    let upstream = Upstream::with(|_| async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        http::Response::new(generated(3 * MIB))
    })
    .await;
    let secured = proxying(&upstream).await;
    let mut connection = secured.http3("shop.example").await;
    let head = connection.request("GET", "/").body(()).unwrap();
    let mut stream = connection.open(head).await.unwrap();
    stream.finish().await.unwrap();
    eventually("it is under way", async || upstream.in_flight() == 1).await;

    let began = Instant::now();
    secured.gateway.signal("TERM");
    let response = answer(&mut stream).await.expect("all of the answer");

    assert_eq!(response.bytes().len() as u64, 3 * MIB);
    eventually("the client is told to open no more streams", async || {
        let head = connection.request("GET", "/").body(()).unwrap();
        connection.open(head).await.is_err()
    })
    .await;
    assert!(connection.ended().await.contains("H3_NO_ERROR"));
    assert_eq!(secured.gateway.exited().await, 0);
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_client_that_gives_up_cancels_its_exchange() {
    let upstream = Upstream::with(|_| async {
        std::future::pending::<()>().await;
        http::Response::new(full(""))
    })
    .await;
    let secured = proxying(&upstream).await;
    let mut connection = secured.http3("shop.example").await;
    let head = connection.request("GET", "/slow").body(()).unwrap();
    let mut stream = connection.open(head).await.unwrap();
    stream.finish().await.unwrap();
    eventually("it is under way", async || upstream.in_flight() == 1).await;

    stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);

    eventually("the upstream is left alone", async || upstream.in_flight() == 0).await;
    assert_eq!(secured.gateway.outcome("/slow").await, "client-gone");
}

#[tokio::test]
async fn a_response_that_breaks_off_is_never_a_short_good_one() {
    let upstream = Upstream::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let chunked = Upstream::saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    for upstream in [upstream, chunked] {
        let secured = proxying(&upstream).await;
        let mut connection = secured.http3("shop.example").await;
        let request = connection.request("GET", "/").body(portcullis_tests::empty()).unwrap();

        let broken = connection.try_send(request).await.unwrap_err();

        assert!(broken.contains("H3_INTERNAL_ERROR"), "{broken}");
    }
}

/// Flags for a browser that is to speak QUIC at once to a gateway whose certificate nobody has signed for it.
fn quic_flags(secured: &Secured) -> Vec<String> {
    let address = secured.gateway.secure_address();
    let key = std::fs::read_to_string(secured.gateway.folder().path().join("a.key")).expect("a key");
    let key = rcgen::KeyPair::from_pem(&key).expect("a key");
    let digest = BASE64_STANDARD.encode(Sha256::digest(key.subject_public_key_info()));
    vec![
        format!("--origin-to-force-quic-on=shop.example:{}", address.port()),
        format!("--host-resolver-rules=MAP shop.example {}", address.ip()),
        format!("--ignore-certificate-errors-spki-list={digest}"),
    ]
}

const PAGE: &str = r#"<!doctype html><title>page</title><script>
(async () => {
  const text = await (await fetch('/data', { method: 'POST', body: 'x'.repeat(300000) })).text();
  const protocol = performance.getEntriesByName(location.origin + '/data')[0].nextHopProtocol;
  await fetch('/report', { method: 'POST', body: protocol + ' ' + text.length });
})();
</script>"#;

#[tokio::test]
async fn a_browser_speaks_http3() {
    if !has_program("chromium") {
        return;
    }
    let (sender, mut reports) = mpsc::unbounded_channel();
    let upstream = Upstream::with(move |request: http::Request<hyper::body::Incoming>| {
        let sender = sender.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            match head.uri.path() {
                "/data" => http::Response::new(generated(2 * MIB + body.len() as u64)),
                "/report" => {
                    _ = sender.send(String::from_utf8_lossy(&body).into_owned());
                    http::Response::new(full(""))
                }
                _ => {
                    let page = http::Response::builder().header("content-type", "text/html");
                    page.body(full(PAGE)).expect("a response")
                }
            }
        }
    })
    .await;
    let secured = proxying(&upstream).await;
    let profile = Folder::new();
    let page = format!("https://shop.example:{}/", secured.gateway.secure_address().port());

    let _browser = Process::browser_with(&quic_flags(&secured), &page, profile.path());
    let report = tokio::time::timeout(Duration::from_secs(60), reports.recv()).await;

    let length = 2 * MIB + 300_000;
    assert_eq!(report.expect("a browser that starts"), Some(format!("h3 {length}")));
    let log = secured.gateway.logged(|line| line["path"] == "/data").await;
    assert_eq!(log["protocol"], "HTTP/3");
}
