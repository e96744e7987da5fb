//! SIGTERM: what is in flight finishes, nothing new begins, and the process ends well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_tests::{Connection, Gateway, Upstream, eventually, full};
use tokio::sync::Semaphore;

/// An upstream that answers each request when it is told to.
async fn waiting() -> (Upstream, Arc<Semaphore>) {
    let release = Arc::new(Semaphore::new(0));
    let released = release.clone();
    let upstream = Upstream::with(move |_| {
        let released = released.clone();
        async move {
            drop(released.acquire().await);
            http::Response::new(full("finished"))
        }
    })
    .await;
    (upstream, release)
}

#[tokio::test]
async fn what_is_in_flight_finishes_and_nothing_new_begins() {
    let (upstream, release) = waiting().await;
    let gateway = Gateway::proxying(&upstream).await;
    let in_flight = [gateway.request("GET", "/"), gateway.request("GET", "/").http2()];
    let in_flight = in_flight.map(|request| tokio::spawn(request.send()));
    eventually("the upstream works on both", async || upstream.in_flight() == 2).await;

    gateway.signal("TERM");
    eventually("new connections are refused", async || {
        Connection::try_http1(gateway.address()).await.is_err()
    })
    .await;
    assert!(gateway.runs());
    release.add_permits(1);

    for request in in_flight {
        assert_eq!(request.await.expect("no panic").text(), "finished");
    }
    assert_eq!(gateway.exited().await, 0);
}

#[tokio::test]
async fn readiness_ends_before_the_process_does() {
    let (upstream, release) = waiting().await;
    let gateway = Gateway::proxying(&upstream).await;
    let in_flight = tokio::spawn(gateway.request("GET", "/").send());
    eventually("the upstream works on it", async || upstream.in_flight() == 1).await;

    gateway.signal("TERM");

    eventually("it is not ready", async || {
        gateway.admin("/ready").await.status() == 503
    })
    .await;
    assert_eq!(gateway.admin("/health").await.status(), 200);
    release.add_permits(1);
    assert_eq!(in_flight.await.expect("no panic").status(), 200);
    assert_eq!(gateway.exited().await, 0);
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up() {
    let gateway = Gateway::greeting().await;
    let (mut kept, mut multiplexed) = (gateway.connect().await, gateway.connect_http2().await);
    kept.get("/").await;
    multiplexed.get("/").await;
    let begin = Instant::now();

    assert_eq!(gateway.stop().await, 0);

    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_second_sigterm_stops_at_once() {
    let (upstream, _release) = waiting().await;
    let gateway = Gateway::proxying(&upstream).await;
    let in_flight = tokio::spawn(gateway.request("GET", "/").try_send());
    eventually("the upstream works on it", async || upstream.in_flight() == 1).await;

    gateway.signal("TERM");
    eventually("it drains", async || {
        Connection::try_http1(gateway.address()).await.is_err()
    })
    .await;
    let begin = Instant::now();
    gateway.signal("TERM");
    gateway.exited().await;

    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    assert!(in_flight.await.expect("no panic").is_err());
}

#[tokio::test]
async fn draining_has_an_end() {
    let (upstream, _release) = waiting().await;
    let configuration = Gateway::proxying_configuration(&upstream);
    let gateway = Gateway::start(format!("{configuration}[server.timeouts]\ndrain = '300ms'\n")).await;
    let in_flight = tokio::spawn(gateway.request("GET", "/").try_send());
    eventually("the upstream works on it", async || upstream.in_flight() == 1).await;

    let begin = Instant::now();
    gateway.stop().await;

    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    assert!(in_flight.await.expect("no panic").is_err());
}
