//! The smaller configurations in `config/`, run as their first lines say.
//!
//! `microservices.toml` and `demo.toml` have suites of their own.

use portcullis_tests::grpc::{EchoClient, Word};
use portcullis_tests::{Gateway, Response, Service, Upstream, WebSocket, eventually, full, repository, shipped};

async fn start(file: &str) -> Gateway {
    Gateway::start(shipped(file, &[])).await
}

async fn get_with(gateway: &Gateway, path: &str, name: &str, value: &str) -> Response {
    gateway.request("GET", path).header(name, value).send().await
}

#[tokio::test]
async fn api_key_lets_partners_in() {
    let gateway = start("api-key.toml").await;

    assert_eq!(gateway.get("/orders").await.status(), 401);
    for (key, partner, plan) in [("acme-key", "acme", "gold"), ("globex-key", "globex", "free")] {
        let response = get_with(&gateway, "/orders", "x-api-key", key).await;
        assert_eq!(
            (
                response.status(),
                response.header("x-partner"),
                response.header("x-plan")
            ),
            (200, partner, plan)
        );
    }
}

#[tokio::test]
async fn jwt_takes_the_token_that_its_comment_shows() {
    let text = std::fs::read_to_string(repository().join("config/jwt.toml")).expect("jwt.toml");
    let token = text
        .lines()
        .find_map(|line| line.split_once("TOKEN="))
        .expect("a token")
        .1;
    let gateway = start("jwt.toml").await;

    assert_eq!(gateway.get("/me").await.status(), 401);
    let response = get_with(&gateway, "/me", "authorization", &format!("Bearer {token}")).await;
    assert_eq!((response.status(), response.header("x-user")), (200, "ada"));
}

#[tokio::test]
async fn cors_tells_pages_apart() {
    let gateway = start("cors.toml").await;
    let preflight = async |origin: &str| {
        let request = gateway.request("OPTIONS", "/catalog").header("origin", origin);
        request
            .header("access-control-request-method", "PUT")
            .send()
            .await
            .status()
    };

    assert_eq!(preflight("https://shop.example").await, 204);
    assert_eq!(preflight("https://evil.example").await, 403);
    let response = get_with(&gateway, "/public", "origin", "https://anybody.example").await;
    assert_eq!(response.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn rate_limit_counts_by_client_by_tenant_and_in_the_shadow() {
    let gateway = start("rate-limit.toml").await;

    for _ in 0..5 {
        assert_eq!(gateway.get("/search").await.status(), 200);
    }
    assert_eq!(gateway.get("/search").await.status(), 429);
    assert_eq!(gateway.get("/reports/7").await.status(), 403);
    assert_eq!(get_with(&gateway, "/reports/7", "x-tenant", "acme").await.status(), 200);
    for _ in 0..10 {
        assert_eq!(gateway.get("/trial").await.status(), 200);
    }
}

#[tokio::test]
async fn edit_headers_edits_both_ways() {
    let files = Upstream::echo().await;
    let gateway = Gateway::start(shipped("edit-headers.toml", &[("files", &files)])).await;

    let response = get_with(&gateway, "/files/a/b", "x-debug", "1").await;
    assert_eq!(response.header("x-served-by"), "portcullis");
    assert_eq!(files.last_target(), "/a/b");
    assert_eq!(
        (
            files.last_header("x-debug").as_str(),
            files.last_header("x-route").as_str()
        ),
        ("", "files")
    );
    assert_eq!(gateway.get("/users/7").await.header("x-user-id"), "7");
}

#[tokio::test]
async fn rewrite_body_leads_links_outside() {
    let gateway = start("rewrite-body.toml").await;

    let catalog = gateway.get("/catalog").await.text();

    assert!(
        catalog.contains("https://shop.example/catalog/tea") && !catalog.contains("internal"),
        "{catalog}"
    );
}

#[tokio::test]
async fn routing_takes_the_most_specific_route() {
    let users = Upstream::echo().await;
    let gateway = Gateway::start(shipped("routing.toml", &[("users", &users)])).await;

    assert_eq!(gateway.get("/users/me").await.json()["name"], "you");
    assert_eq!(gateway.get("/v2/accounts/7/a?x=1").await.status(), 200);
    assert_eq!(users.last_target(), "/users/7/a?x=1");
    assert_eq!(
        get_with(&gateway, "/search", "x-beta", "1").await.json()["version"],
        "beta"
    );
    assert_eq!(gateway.get("/search?page=3").await.json()["version"], "with a page");
    assert_eq!(gateway.get("/find").await.json()["version"], "stable");
    let moved = gateway.get("/old/tea?x=1").await;
    assert_eq!(
        (moved.status(), moved.header("location")),
        (308, "https://shop.example/new/tea?x=1")
    );
}

#[tokio::test]
async fn own_plugin_runs_before_there_is_one() {
    let gateway = start("own-plugin.toml").await;
    assert_eq!(gateway.get("/hello").await.text(), "hello");
}

#[tokio::test]
async fn upstreams_keep_carts_and_browsers_with_their_target_and_fail_over() {
    let (mut one, mut two, spare) = (Service::start().await, Service::start().await, Service::start().await);
    let mut text = shipped("upstreams.toml", &[]);
    for (port, service) in [(9001, &one), (9002, &two), (9003, &spare)] {
        text = text.replace(&format!("http://127.0.0.1:{port}"), &service.to_string());
    }
    let gateway = Gateway::start(text).await;

    let cart = gateway.get("/carts/7").await.header("x-service").to_owned();
    for _ in 0..5 {
        assert_eq!(gateway.get("/carts/7").await.header("x-service"), cart);
    }
    let first = gateway.get("/shop/").await;
    let cookie = first.header("set-cookie").split(';').next().expect("a cookie");
    let again = get_with(&gateway, "/shop/", "cookie", cookie).await;
    assert!(!spare.answered(&first) && again.header("x-service") == first.header("x-service"));

    one.stop().await;
    two.stop().await;
    let after = get_with(&gateway, "/shop/", "cookie", cookie).await;
    assert!(
        after.status() == 200 && spare.answered(&after),
        "the second site serves"
    );
    eventually("the probes have noticed", async || {
        let healthy = gateway
            .metric("portcullis_upstream_target_healthy", &[("upstream", "shop")])
            .await;
        healthy == 1.0
    })
    .await;
}

#[tokio::test]
async fn resilience_forgives_a_target_that_is_gone() {
    let (orders, next, shadow) = (
        Upstream::echo().await,
        Upstream::echo().await,
        Upstream::answering("").await,
    );
    let upstreams = [("orders", &orders), ("orders-next", &next), ("shadow", &shadow)];
    let text = shipped("resilience.toml", &upstreams);
    // Both targets of `orders` are this upstream now, and a target is listed once.
    let text = text.replacen(
        &format!(", \"{orders}\""),
        &format!(", \"http://{}\"", Upstream::absent().await),
        1,
    );
    let gateway = Gateway::start(text).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/orders/7").await.status(), 200);
        assert_eq!(gateway.get("/prices/7").await.status(), 200);
    }
    let left: u64 = orders
        .last_header("x-request-timeout-ms")
        .parse()
        .expect("milliseconds");
    assert!(left <= 60_000, "{left}");

    let mut outcomes = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let response = gateway.get("/practice").await;
        outcomes.insert(response.status());
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [200, 503]);
}

#[tokio::test]
async fn realtime_keeps_connections_open_and_compresses_the_rest() {
    let chat = Upstream::websockets(WebSocket::echo).await;
    let feed = Upstream::with(|request| async move {
        let events = request.uri().path() == "/events";
        let kind = if events { "text/event-stream" } else { "text/html" };
        let response = http::Response::builder().header("content-type", kind);
        response.body(full("data: x\n\n".repeat(500))).expect("a response")
    })
    .await;
    let (heard, _) = tokio::sync::mpsc::unbounded_channel();
    let words = Upstream::grpc(heard).await;
    let upstreams = [("chat", &chat), ("feed", &feed), ("words", &words)];
    let gateway = Gateway::start(shipped("realtime.toml", &upstreams)).await;

    let address = gateway.address();
    let refused = WebSocket::open(address, "/chat/1", &[]).await.expect_err("no token");
    assert_eq!(refused.status(), 401);
    let token = [("x-access-tokens", "chat-token")];
    let (mut socket, _) = WebSocket::open(address, "/chat/1", &token).await.expect("a token");
    socket.send("hello").await;
    assert_eq!(socket.text().await, "hello");
    for (path, encoding) in [("/events", ""), ("/", "zstd"), ("/reports/1", "br")] {
        let response = get_with(&gateway, path, "accept-encoding", "gzip, br, zstd").await;
        assert_eq!(response.header("content-encoding"), encoding, "{path}");
    }
    let mut client = EchoClient::connect(format!("http://{address}"))
        .await
        .expect("a connection");
    let answer = client.say(Word::new("hello")).await.expect("an answer");
    assert_eq!(answer.get_ref().text, "hello!");
}
