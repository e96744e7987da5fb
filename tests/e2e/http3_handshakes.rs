//! Handshakes of HTTP/3: anybody can write any address into a packet, so that what is unproven is bounded in number and time.

use portcullis_tests::{Http3Client, Relay, Secured, eventually};
use tokio::task::JoinSet;

const HELLO: &str = "[[route]]\nmatch = '/{rest...}'\nrespond = { body = 'hello' }\n";

/// The answer to a client behind this relay.
async fn hello(secured: &Secured, relay: &Relay) -> String {
    let client = Http3Client::trusting(&secured.authority);
    client
        .connect(relay.address(), "shop.example")
        .await
        .get("/")
        .await
        .text()
}

#[tokio::test]
async fn every_client_may_have_to_show_that_its_address_is_its_own() {
    for (http3, retries) in [("true", 0), ("{ retry = true }", 1)] {
        let secured = Secured::with_http3(&["shop.example"], http3, HELLO).await;
        let relay = Relay::before(secured.gateway.secure_address()).await;

        assert_eq!(hello(&secured, &relay).await, "hello");

        // One, or another for a packet that was sent twice.
        assert_eq!(relay.retries().min(1), retries, "{http3}");
    }
}

#[tokio::test]
async fn while_many_handshakes_are_open_clients_show_that_their_addresses_are_their_own() {
    let server = format!("{HELLO}[server]\nthreads = 1\ntimeouts = {{ handshake = '60s' }}\n");
    let secured = Secured::with_http3(&["shop.example"], "true", &server).await;
    let mut relays = Vec::new();
    let mut handshakes = JoinSet::new();
    for _ in 0..70 {
        let relay = Relay::before(secured.gateway.secure_address()).await;
        relay.lose_answers();
        let (client, address) = (Http3Client::trusting(&secured.authority), relay.address());
        handshakes.spawn(async move { client.try_connect(address, "shop.example").await.is_ok() });
        relays.push(relay);
    }

    eventually("each has an answer", async || {
        relays.iter().all(|relay| relay.answers() > 0)
    })
    .await;

    let asked = relays.iter().filter(|relay| relay.retries() > 0).count();
    assert_eq!(asked, 70 - 64);
    let relay = Relay::before(secured.gateway.secure_address()).await;
    assert_eq!(hello(&secured, &relay).await, "hello");
    assert!(relay.retries() > 0, "it has shown that its address is its own");
}

#[tokio::test]
async fn who_does_not_finish_a_handshake_is_left_in_time() {
    let server = format!("{HELLO}[server]\ntimeouts = {{ handshake = '300ms' }}\n");
    let secured = Secured::with_http3(&["shop.example"], "true", &server).await;
    let relay = Relay::before(secured.gateway.secure_address()).await;
    relay.lose_answers();
    let (client, address) = (Http3Client::trusting(&secured.authority), relay.address());
    let unanswered = tokio::spawn(async move { client.quic(address, "shop.example").await });

    let refused = [("reason", "handshake")];
    eventually("it is counted", async || {
        let counted = secured
            .gateway
            .metric("portcullis_connections_refused_total", &refused)
            .await;
        counted >= 1.0
    })
    .await;

    unanswered.abort();
    assert_eq!(secured.http3("shop.example").await.get("/").await.status(), 200);
}
