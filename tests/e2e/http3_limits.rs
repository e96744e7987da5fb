//! What clients may not do over HTTP/3.

use std::time::Duration;

use bytes::Bytes;
use portcullis_tests::http3::{answer, send_body};
use portcullis_tests::{Gateway, Http3, Http3Client, Secured, Upstream, chunked, empty, eventually, full};

const HELLO: &str = "[[route]]\nmatch = '/{rest...}'\nrespond = { body = 'hello' }\n";

async fn limited(limits: &str, routes: &str) -> Secured {
    let configuration = format!("{routes}[server]\n{limits}\n");
    Secured::with_http3(&["shop.example"], "true", &configuration).await
}

/// The status and the code of a refusal.
async fn refused(connection: &mut Http3, request: http::request::Builder) -> (u16, String) {
    let answer = connection.send(request.body(empty()).expect("a request")).await;
    assert_eq!(answer.header("content-type"), "application/problem+json");
    (answer.status(), answer.code())
}

#[tokio::test]
async fn heads_have_limits() {
    let secured = limited(
        "limits = { header_size = '4KiB', header_count = 20, uri_size = '1KiB' }",
        HELLO,
    )
    .await;
    let mut connection = secured.http3("shop.example").await;
    let with = |connection: &Http3, count: usize, length: usize| {
        let head = connection.request("GET", "/");
        (0..count).fold(head, |head, at| head.header(format!("x-{at}"), "y".repeat(length)))
    };

    let large = with(&connection, 1, 5000);
    assert_eq!(
        refused(&mut connection, large).await,
        (431, "headers-too-large".to_owned())
    );
    let many = with(&connection, 30, 1);
    assert_eq!(
        refused(&mut connection, many).await,
        (431, "headers-too-large".to_owned())
    );
    let long = connection.request("GET", &format!("/{}", "a".repeat(1200)));
    assert_eq!(refused(&mut connection, long).await, (414, "uri-too-long".to_owned()));
    let within = with(&connection, 10, 300);
    assert_eq!(connection.send(within.body(empty()).unwrap()).await.status(), 200);
    // What is many times too large the client does not even send, since it was told.
    let huge = with(&connection, 10, 5000).body(empty()).unwrap();
    assert!(connection.try_send(huge).await.is_err());
}

#[tokio::test]
async fn bodies_have_limits_and_the_length_that_was_announced() {
    let upstream = Upstream::echo().await;
    let routes = Gateway::proxying_configuration(&upstream);
    let secured = limited("limits = { body_size = '1KiB' }", &routes).await;
    let mut connection = secured.http3("shop.example").await;
    let post = |connection: &Http3, length: Option<usize>| {
        let head = connection.request("POST", "/");
        length
            .into_iter()
            .fold(head, |head, length| head.header("content-length", length))
    };

    let announced = post(&connection, Some(1025)).body(full(vec![0; 1025])).unwrap();
    assert_eq!(connection.send(announced).await.status(), 413);
    let streamed = post(&connection, None).body(chunked(vec![0; 1025])).unwrap();
    assert_eq!(connection.send(streamed).await.status(), 413);
    let within = post(&connection, None).body(chunked(vec![0; 1024])).unwrap();
    assert_eq!(connection.send(within).await.status(), 200);
    for (announced, sent) in [(10, 9), (10, 11), (10, 0), (0, 1)] {
        let wrong = post(&connection, Some(announced)).body(chunked(vec![0; sent])).unwrap();
        assert_eq!(connection.send(wrong).await.status(), 400, "{announced} {sent}");
    }
    let right = post(&connection, Some(10)).body(chunked(vec![0; 10])).unwrap();
    assert_eq!(connection.send(right).await.status(), 200);
}

#[tokio::test]
async fn trailers_have_the_limits_of_heads() {
    let upstream = Upstream::echo().await;
    let limits = "limits = { header_size = '2KiB', header_count = 20 }";
    let secured = limited(limits, &Gateway::proxying_configuration(&upstream)).await;
    let mut connection = secured.http3("shop.example").await;
    let within = [(1, 1500), (20, 10)];
    let beyond = [(1, 2048), (21, 10)];
    for ((count, length), status) in within
        .map(|size| (size, 200))
        .into_iter()
        .chain(beyond.map(|size| (size, 431)))
    {
        let name = |at: usize| http::HeaderName::try_from(format!("x-{at}")).unwrap();
        let value = http::HeaderValue::try_from("y".repeat(length)).unwrap();
        let trailers = (0..count).map(|at| (name(at), value.clone())).collect();
        let head = connection.request("POST", "/").body(()).unwrap();
        let mut stream = connection.open(head).await.unwrap();
        stream.send_data(Bytes::from_static(b"body")).await.unwrap();
        stream.send_trailers(trailers).await.unwrap();
        let _ = stream.finish().await;
        assert_eq!(
            answer(&mut stream).await.unwrap().status(),
            status,
            "{count} of {length}"
        );
    }
}

#[tokio::test]
async fn heads_have_one_meaning() {
    let secured = limited("", HELLO).await;
    let mut connection = secured.http3("shop.example").await;
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("x_y", "1"),
        ("content-length", "1, 1"),
    ] {
        let head = connection.request("GET", "/").header(name, value);
        assert_eq!(
            refused(&mut connection, head).await,
            (400, "bad-request".to_owned()),
            "{name}"
        );
    }
    for method in ["CONNECT", "TRACE"] {
        let head = connection.request(method, "/");
        assert_eq!(refused(&mut connection, head).await.0, 501);
    }
    let expecting = connection.request("POST", "/").header("expect", "tea");
    assert_eq!(refused(&mut connection, expecting).await.0, 417);
    assert_eq!(connection.get("/").await.status(), 200);
}

/// Sends these bytes as a request, and gives what came back, or the code that the stream was reset with.
async fn raw(connection: &quinn::Connection, bytes: &[u8]) -> Result<Vec<u8>, u64> {
    let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
    send.write_all(bytes).await.expect("room");
    let _ = send.finish();
    match receive.read_to_end(1 << 16).await {
        Ok(answer) => Ok(answer),
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => Err(code.into_inner()),
        Err(quinn::ReadToEndError::Read(quinn::ReadError::ConnectionLost(
            quinn::ConnectionError::ApplicationClosed(close),
        ))) => Err(close.error_code.into_inner()),
        Err(error) => panic!("{error}"),
    }
}

/// A HEADERS frame with these fields, as literals.
fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0, 0];
    for (name, value) in fields {
        // A literal with a literal name of up to 6 bytes, or more (RFC 9204 section 4.5.6).
        match name.len() {
            length @ 0..7 => block.push(0x20 | length as u8),
            length => block.extend([0x27, (length - 7) as u8]),
        }
        block.extend(name.bytes());
        block.push(value.len() as u8);
        block.extend(value.bytes());
    }
    let mut frame = vec![1, 0x40 | (block.len() >> 8) as u8, block.len() as u8];
    frame.extend(block);
    frame
}

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "shop.example"),
    (":path", "/"),
];
const H3_FRAME_UNEXPECTED: u64 = 0x105;
const H3_FRAME_ERROR: u64 = 0x106;
const H3_EXCESSIVE_LOAD: u64 = 0x107;
const H3_MESSAGE_ERROR: u64 = 0x10e;
const QPACK_DECOMPRESSION_FAILED: u64 = 0x200;

#[tokio::test]
async fn malformed_requests_cost_their_stream() {
    let secured = limited("", HELLO).await;
    let client = Http3Client::trusting(&secured.authority);
    let quic = client
        .quic(secured.gateway.secure_address(), "shop.example")
        .await
        .unwrap();

    assert!(raw(&quic, &headers(&GET)).await.is_ok());
    for missing in GET {
        let without: Vec<_> = GET.into_iter().filter(|field| *field != missing).collect();
        assert_eq!(
            raw(&quic, &headers(&without)).await,
            Err(H3_MESSAGE_ERROR),
            "{missing:?}"
        );
    }
    for field in [
        ("host", "other.example"),
        ("X-Upper", "1"),
        (":strange", "1"),
        ("x y", "1"),
        ("x", "a\nb"),
        ("", "1"),
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "other.example"),
        (":path", "/other"),
        (":status", "200"),
        (":protocol", "websocket"),
    ] {
        let fields = [&GET[..], &[field]].concat();
        assert_eq!(raw(&quic, &headers(&fields)).await, Err(H3_MESSAGE_ERROR), "{field:?}");
    }
    let late = [&[("x", "1")][..], &GET].concat();
    assert_eq!(raw(&quic, &headers(&late)).await, Err(H3_MESSAGE_ERROR));
    assert!(raw(&quic, &headers(&GET)).await.is_ok());
    let log = secured.gateway.logged(|line| line["outcome"] == "bad-request").await;
    assert_eq!(
        (log["protocol"].as_str(), log["status"].as_u64()),
        (Some("HTTP/3"), Some(400))
    );
}

#[tokio::test]
async fn broken_frames_cost_the_connection() {
    let upstream = Upstream::echo().await;
    let secured = limited("", &Gateway::proxying_configuration(&upstream)).await;
    let address = secured.gateway.secure_address();
    let client = Http3Client::trusting(&secured.authority);
    let with = |more: &[u8]| [&headers(&GET)[..], more].concat();
    for (bytes, code) in [
        (vec![0, 1, b'x'], H3_FRAME_UNEXPECTED),
        (vec![4, 0], H3_FRAME_UNEXPECTED),
        (with(&[2, 1, 0]), H3_FRAME_UNEXPECTED),
        (with(&[0, 9, b'x']), H3_FRAME_ERROR),
        (with(&[0]), H3_FRAME_ERROR),
        (vec![1, 0x80, 0x7f, 0xff, 0xff], H3_EXCESSIVE_LOAD),
        (vec![1, 3, 2, 0, 0x80], QPACK_DECOMPRESSION_FAILED),
    ] {
        let quic = client.quic(address, "shop.example").await.unwrap();
        // What stood before the mistake may have been answered.
        let _ = raw(&quic, &bytes).await;
        match portcullis_tests::within(&format!("{bytes:?} ends the connection"), quic.closed()).await {
            quinn::ConnectionError::ApplicationClosed(close) => {
                assert_eq!(close.error_code.into_inner(), code, "{bytes:?}");
            }
            error => panic!("{error}"),
        }
    }
    assert_eq!(secured.http3("shop.example").await.get("/").await.status(), 200);
}

#[tokio::test]
async fn frames_of_no_known_type_and_empty_ones_are_left_out() {
    let upstream = Upstream::echo().await;
    let secured = limited("", &Gateway::proxying_configuration(&upstream)).await;
    let client = Http3Client::trusting(&secured.authority);
    let quic = client
        .quic(secured.gateway.secure_address(), "shop.example")
        .await
        .unwrap();
    let post = [&[(":method", "POST")][..], &GET[1..]].concat();

    let head = headers(&post);
    let sent = [
        &[0x21, 1, 7],
        &head[..],
        &[0, 0, 0, 2, b'a', b'b', 0x40, 0x41, 2, 9, 9, 0, 1, b'c', 0, 0],
    ]
    .concat();
    let answer = raw(&quic, &sent).await.unwrap();

    assert!(String::from_utf8_lossy(&answer).contains("\"length\":3"));
    let path = [&post[..3], &[(":path", "/trailers")]].concat();
    let trailing = [&headers(&path)[..], &[0, 1, b'a'], &headers(&[(":path", "/")])].concat();
    let _ = raw(&quic, &trailing).await;
    assert_eq!(secured.gateway.outcome("/trailers").await, "bad-request");
}

#[tokio::test]
async fn floods_end_their_connection() {
    let secured = limited(
        "limits.http2 = { resets = '5/s', empty_frames = '5/s', unknown_frames = '5/s' }",
        HELLO,
    )
    .await;
    let address = secured.gateway.secure_address();
    let client = Http3Client::trusting(&secured.authority);
    let ended = async |quic: &quinn::Connection| {
        let ended = portcullis_tests::within("the flood ends", quic.closed()).await;
        matches!(ended, quinn::ConnectionError::ApplicationClosed(close) if close.error_code.into_inner() == H3_EXCESSIVE_LOAD)
    };

    let quic = client.quic(address, "shop.example").await.unwrap();
    let (mut send, _receive) = quic.open_bi().await.unwrap();
    let _ = send
        .write_all(&[&headers(&GET)[..], &[0, 0].repeat(200)].concat())
        .await;
    // Nobody reads on once it is answered.
    let quic_unknown = client.quic(address, "shop.example").await.unwrap();
    let (mut send, _receive) = quic_unknown.open_bi().await.unwrap();
    let _ = send.write_all(&[0x21, 0].repeat(200)).await;
    assert!(ended(&quic_unknown).await);

    let quic = client.quic(address, "shop.example").await.unwrap();
    while quic.close_reason().is_none() {
        let Ok((mut send, mut receive)) = quic.open_bi().await else {
            break;
        };
        let _ = send.write_all(&headers(&GET)[..4]).await;
        let _ = (send.reset(1u32.into()), receive.stop(1u32.into()));
        tokio::task::yield_now().await;
    }
    assert!(ended(&quic).await);
    let floods = secured
        .gateway
        .metric("portcullis_http2_floods_total", &[("reason", "resets")])
        .await;
    assert_eq!(floods, 1.0);
    assert_eq!(secured.http3("shop.example").await.get("/").await.status(), 200);
}

#[tokio::test]
async fn what_an_upstream_breaks_off_is_no_flood() {
    let upstream = Upstream::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let limits = "limits.http2 = { resets = '1/s' }";
    let secured = limited(limits, &Gateway::proxying_configuration(&upstream)).await;
    let mut connection = secured.http3("shop.example").await;
    for _ in 0..40 {
        let request = connection.request("GET", "/").body(empty()).unwrap();
        let broken = connection.try_send(request).await.unwrap_err();
        assert!(broken.contains("H3_INTERNAL_ERROR"), "{broken}");
    }
}

#[tokio::test]
async fn an_upload_that_is_given_up_counts_once() {
    let upstream = Upstream::echo().await;
    let limits = "limits.http2 = { resets = '1/s' }";
    let secured = limited(limits, &Gateway::proxying_configuration(&upstream)).await;
    let mut connection = secured.http3("shop.example").await;
    for _ in 0..9 {
        let head = connection.request("POST", "/").header("content-length", "10");
        let mut stream = connection.open(head.body(()).unwrap()).await.unwrap();
        stream.send_data(Bytes::from_static(b"half")).await.unwrap();
        eventually("it is under way", async || upstream.in_flight() == 1).await;
        stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
        stream.stop_stream(h3::error::Code::H3_REQUEST_CANCELLED);
        eventually("it has ended", async || upstream.in_flight() == 0).await;
    }
    assert_eq!(connection.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_client_has_so_many_connections_and_a_connection_so_many_streams() {
    let upstream = Upstream::with(|_| async {
        std::future::pending::<()>().await;
        http::Response::new(full(""))
    })
    .await;
    let limits = "limits = { connections_per_client = 2, http2_streams = 3 }";
    let secured = limited(limits, &Gateway::proxying_configuration(&upstream)).await;
    let client = Http3Client::trusting(&secured.authority);
    let address = secured.gateway.secure_address();
    let mut one = client.connect(address, "shop.example").await;
    let two = client.connect(address, "shop.example").await;

    let three = client.quic(address, "shop.example").await;
    if let Ok(three) = three {
        portcullis_tests::within("it is refused", three.closed()).await;
    }
    drop(two);
    let refused = [("reason", "client-limit")];
    assert_eq!(
        secured
            .gateway
            .metric("portcullis_connections_refused_total", &refused)
            .await,
        1.0
    );

    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = one.open(one.request("GET", "/").body(()).unwrap()).await.unwrap();
        stream.finish().await.unwrap();
        streams.push(stream);
    }
    eventually("three are under way", async || upstream.in_flight() == 3).await;
    let fourth = one.request("GET", "/").body(()).unwrap();
    let fourth = tokio::time::timeout(Duration::from_millis(300), one.open(fourth)).await;
    assert!(fourth.is_err());
}

#[tokio::test]
async fn who_stops_half_way_is_not_waited_for() {
    let upstream = Upstream::echo().await;
    let timeouts = "timeouts = { header = '300ms', stall = '300ms', idle = '2s' }";
    let secured = limited(timeouts, &Gateway::proxying_configuration(&upstream)).await;
    let mut connection = secured.http3("shop.example").await;

    let head = connection
        .request("POST", "/")
        .header("content-length", "10")
        .body(())
        .unwrap();
    let mut stalled = connection.open(head).await.unwrap();
    stalled.send_data(Bytes::from_static(b"half")).await.unwrap();
    assert_eq!(answer(&mut stalled).await.unwrap().status(), 408);
    let (mut send, mut receive) = connection.quic.open_bi().await.unwrap();
    send.write_all(&headers(&GET)[..5]).await.unwrap();
    let reset = portcullis_tests::within("the stream ends", receive.read_to_end(100)).await;
    assert!(reset.is_err());
    assert!(connection.ended().await.contains("H3_NO_ERROR"), "it was idle");
}

#[tokio::test]
async fn a_body_in_spite_of_a_refusal_does_no_harm() {
    let secured = limited("limits = { body_size = '1KiB' }", HELLO).await;
    let mut connection = secured.http3("shop.example").await;
    let head = connection
        .request("POST", "/")
        .header("content-length", 1 << 20)
        .body(())
        .unwrap();
    let mut stream = connection.open(head).await.unwrap();
    let _ = send_body(&mut stream, full(vec![0; 1 << 20])).await;
    assert_eq!(answer(&mut stream).await.unwrap().status(), 413);
    assert_eq!(connection.get("/").await.text(), "hello");
}
