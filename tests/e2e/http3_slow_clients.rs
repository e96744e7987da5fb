//! Clients of HTTP/3 that do not take what they have asked for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use portcullis_tests::http3::answer;
use portcullis_tests::{
    Gateway, Http3, Http3Client, Http3Stream, Relay, Secured, Upstream, eventually, full, generated,
};

/// Answers at length, and what is asked of `/late` after a while.
async fn upstream() -> Upstream {
    Upstream::with(|request| async move {
        if request.uri().path() == "/late" {
            tokio::time::sleep(Duration::from_secs(2)).await;
            return http::Response::new(full("late"));
        }
        http::Response::new(generated(8 << 20))
    })
    .await
}

async fn impatient(upstream: &Upstream) -> Secured {
    let routes = Gateway::proxying_configuration(upstream);
    let configuration = format!("{routes}[server]\ntimeouts = {{ stall = '300ms' }}\n");
    Secured::with_http3(&["shop.example"], "true", &configuration).await
}

/// A request that is sent whole, and of whose answer nothing is read yet.
async fn asked(connection: &mut Http3, request: http::request::Builder) -> Http3Stream {
    let mut stream = connection.open(request.body(()).unwrap()).await.unwrap();
    stream.finish().await.unwrap();
    stream
}

#[tokio::test]
async fn who_does_not_read_a_response_loses_its_stream_alone() {
    let upstream = upstream().await;
    let secured = impatient(&upstream).await;
    let mut connection = secured.http3("shop.example").await;
    let unread = connection.request("GET", "/unread");
    let mut unread = asked(&mut connection, unread).await;

    // It takes longer than any number of stalls that could end the connection.
    assert_eq!(connection.get("/late").await.text(), "late");

    assert_eq!(secured.gateway.outcome("/unread").await, "client-gone");
    assert!(answer(&mut unread).await.is_err());
    eventually("the upstream is left alone", async || upstream.in_flight() == 0).await;
    assert_eq!(connection.get("/late").await.text(), "late");
}

#[tokio::test]
async fn who_has_no_room_for_a_head_loses_its_stream_alone() {
    let upstream = upstream().await;
    let secured = impatient(&upstream).await;
    let client = Http3Client::trusting(&secured.authority).with_window(3);
    let mut connection = client.connect(secured.gateway.secure_address(), "shop.example").await;
    let get = connection.request("GET", "/get");
    let mut get = asked(&mut connection, get).await;
    let head = connection.request("HEAD", "/head");
    let mut head = asked(&mut connection, head).await;
    // What is refused at once is written down without its path.
    let refused = connection.request("TRACE", "/");
    let mut refused = asked(&mut connection, refused).await;

    for (path, stream) in [("/get", &mut get), ("/head", &mut head), ("/", &mut refused)] {
        assert_eq!(secured.gateway.outcome(path).await, "client-gone", "{path}");
        assert!(answer(stream).await.is_err(), "{path}");
    }
    eventually("the upstream is left alone", async || upstream.in_flight() == 0).await;
    assert_eq!(connection.get("/late").await.text(), "late");
}

#[tokio::test]
async fn who_acknowledges_nothing_is_not_kept() {
    let configuration = "[[route]]\nmatch = '/{rest...}'\nrespond = { body = 'hello' }\n\
        [server]\ntimeouts = { idle = '300ms', stall = '300ms' }\n";
    let secured = Secured::with_http3(&["shop.example"], "true", configuration).await;
    let relay = Relay::before(secured.gateway.secure_address()).await;
    let mut connection = Http3Client::trusting(&secured.authority)
        .connect(relay.address(), "shop.example")
        .await;
    let request = connection.request("GET", "/unheard");
    relay.lose_answers();
    let _stream = asked(&mut connection, request).await;

    assert_eq!(secured.gateway.outcome("/unheard").await, "responded");
    let answered = Instant::now();
    eventually("the connection ends", async || {
        secured.gateway.metric("portcullis_connections", &[]).await == 0.0
    })
    .await;

    assert!(connection.quic.close_reason().is_none(), "the client has not gone");
    assert!(answered.elapsed() < Duration::from_secs(10));
}

/// A gateway that wants bodies to move at this rate, in both directions.
async fn paced(upstream: &Upstream, rate: &str) -> Secured {
    let routes = Gateway::proxying_configuration(upstream);
    let server = format!("[server]\ntimeouts = {{ body_grace = '300ms' }}\nlimits = {{ body_rate = '{rate}' }}\n");
    Secured::with_http3(&["shop.example"], "true", &format!("{routes}{server}")).await
}

#[tokio::test]
async fn who_sends_a_body_too_slowly_is_not_waited_for() {
    let upstream = Upstream::echo().await;
    let secured = paced(&upstream, "1KiB/s").await;
    let mut connection = secured.http3("shop.example").await;
    let head = connection.request("POST", "/trickle").body(()).unwrap();
    let mut stream = connection.open(head).await.unwrap();

    for _ in 0..200 {
        if stream.send_data(Bytes::from_static(b"x")).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let response = answer(&mut stream).await.unwrap();
    assert_eq!((response.status(), response.code().as_str()), (408, "request-timeout"));
    assert_eq!(secured.gateway.outcome("/trickle").await, "request-timeout");
    assert_eq!(connection.get("/").await.status(), 200);
}

#[tokio::test]
async fn who_takes_a_response_too_slowly_loses_it() {
    let upstream = upstream().await;
    let secured = paced(&upstream, "50MiB/s").await;
    let client = Http3Client::trusting(&secured.authority).with_window(1000);
    let mut connection = client.connect(secured.gateway.secure_address(), "shop.example").await;
    let sipped = connection.request("GET", "/sipped");
    let mut sipped = asked(&mut connection, sipped).await;
    sipped.recv_response().await.unwrap();

    let broken_off = loop {
        match sipped.recv_data().await {
            Ok(Some(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Ok(None) => break false,
            Err(_) => break true,
        }
    };

    assert!(broken_off, "all of it came");
    assert_eq!(secured.gateway.outcome("/sipped").await, "client-gone");
}
