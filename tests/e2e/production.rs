//! `config/production.toml`, with everything that it shows in use.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use portcullis_tests::{
    Authority, Certificate, Connection, DnsServer, Folder, Gateway, Request, Response, Service, TlsClient, Upstream,
    WebSocket, eventually, shipped, write_pair,
};

/// The shop: its gateway, what is behind it, and whoever signs its certificates.
struct Shop {
    gateway: Gateway,
    authority: Authority,
    orders: Upstream,
    payments: Upstream,
    shadow: Upstream,
    _others: Others,
}

type Others = (Service, Service, Service, Upstream, Upstream, DnsServer);

impl Shop {
    /// None where there is no dnsmasq on this machine.
    async fn open() -> Option<Shop> {
        let dns = DnsServer::start("127.0.0.1 orders.internal\n", &[]).await?;
        let authority = Authority::new();
        let (one, two, next) = (Service::start().await, Service::start().await, Service::start().await);
        let (orders, shadow) = (Upstream::echo().await, Upstream::answering("").await);
        let payments = authority.issue(&["payments.internal"]).server_for(&authority);
        let payments = Upstream::secure_echo(payments).await;
        let live = Upstream::websockets(WebSocket::echo).await;
        let (heard, _) = tokio::sync::mpsc::unbounded_channel();
        let stock = Upstream::grpc(heard).await;

        let upstreams = [
            ("payments", &payments),
            ("live", &live),
            ("stock", &stock),
            ("shadow", &shadow),
        ];
        let mut text = shipped("production.toml", &upstreams);
        for (port, service) in [(9001, &one), (9002, &two), (9003, &next)] {
            text = text.replace(&format!("http://127.0.0.1:{port}"), &service.to_string());
        }
        let port = orders.address().port();
        for (written, here) in [
            ("orders.internal:9004", format!("orders.internal:{port}")),
            ("10.0.0.2:53", dns.to_string()),
            ("10.0.0.0/8", "127.0.0.0/8".to_owned()),
            ("/run/portcullis/handover.sock", "handover.sock".to_owned()),
        ] {
            assert!(text.contains(written), "{written} is not in the file any more");
            text = text.replace(written, &here);
        }
        let folder = Folder::new();
        folder.write("certificates/ca.pem", authority.pem());
        for (name, hosts) in [
            ("shop", &["shop.example", "live.shop.example"][..]),
            ("internal", &["internal.shop.example"]),
            ("gateway", &["gateway.shop.example"]),
        ] {
            write_pair(&folder, &format!("certificates/{name}"), &authority.issue(hosts));
        }
        Some(Shop {
            gateway: Gateway::start_in(folder, text, &[]).await,
            authority,
            orders,
            payments,
            shadow,
            _others: (one, two, next, live, stock, dns),
        })
    }

    fn edge(&self) -> SocketAddr {
        self.gateway.secure_addresses()[0]
    }

    fn internal(&self) -> SocketAddr {
        self.gateway.secure_addresses()[1]
    }

    async fn visit(&self) -> Connection {
        TlsClient::trusting(&self.authority)
            .http1(self.edge(), "shop.example")
            .await
    }

    async fn get(&self, path: &str) -> Response {
        let mut visit = self.visit().await;
        let request = visit.request("GET", path).header("host", "shop.example");
        request.header("accept-encoding", "gzip").send().await
    }

    fn service(&self) -> Certificate {
        self.authority.issue(&["stock-keeper.internal"])
    }
}

#[tokio::test]
async fn visitors_are_led_to_https_and_to_the_storefront() {
    let Some(shop) = Shop::open().await else { return };

    let plain = Request::to(shop.gateway.address(), "GET", "/tea?x=1").header("host", "shop.example");
    let plain = plain.send().await;
    assert_eq!(
        (plain.status(), plain.header("location")),
        (308, "https://shop.example/tea?x=1")
    );

    // One in twenty gets the next version, which keeps nobody.
    eventually("the storefront keeps its visitor", async || {
        let answer = shop.get("/tea").await;
        assert_eq!(answer.status(), 200);
        answer.header("set-cookie").starts_with("shop=")
    })
    .await;
    // A scanner that names no host, or another one, is shown nothing.
    let stranger = TlsClient::trusting(&shop.authority)
        .connect(shop.edge(), "other.example")
        .await;
    assert!(stranger.is_err());
}

#[tokio::test]
async fn orders_are_found_by_dns_told_their_deadline_and_whom_they_are_for() {
    let Some(shop) = Shop::open().await else { return };
    let mut visit = shop.visit().await;

    let request = visit.request("GET", "/api/orders/7").header("host", "shop.example");
    let response = request.header("x-forwarded-for", "203.0.113.9").send().await;

    assert_eq!(
        (response.status(), shop.orders.last_target().as_str()),
        (200, "/api/orders/7")
    );
    assert!(!shop.orders.last_header("x-request-id").is_empty());
    let left: u64 = shop
        .orders
        .last_header("x-request-timeout-ms")
        .parse()
        .expect("milliseconds");
    assert!(left <= 2_000, "{left}");
    // The load balancer is believed.
    let line = shop.gateway.logged(|line| line["path"] == "/api/orders/7").await;
    assert_eq!(
        (&line["client"], &line["route"]),
        (&"203.0.113.9".into(), &"orders".into())
    );
}

#[tokio::test]
async fn payments_go_over_tls_once_and_are_limited() {
    let Some(shop) = Shop::open().await else { return };
    let mut statuses = Vec::new();

    for _ in 0..12 {
        let mut visit = shop.visit().await;
        let request = visit.request("POST", "/api/payments").header("host", "shop.example");
        statuses.push(request.body("{}").send().await.status());
    }
    let mut visit = shop.visit().await;
    let large = visit.request("POST", "/api/payments").header("host", "shop.example");
    let large = large.body(vec![b'x'; 17 << 10]).send().await;

    assert_eq!(statuses, [vec![200; 10], vec![429; 2]].concat());
    assert_eq!((shop.payments.requests(), large.status()), (10, 413));
}

#[tokio::test]
async fn the_next_search_engine_sees_copies_and_big_answers_are_compressed() {
    let Some(shop) = Shop::open().await else { return };

    eventually("a copy arrives", async || {
        let question = format!("/api/search?q={}", "tea".repeat(400));
        let answer = shop.get(&question).await;
        assert_eq!((answer.status(), answer.header("content-encoding")), (200, "gzip"));
        shop.shadow.requests() > 0
    })
    .await;

    assert!(shop.shadow.last_target().starts_with("/api/search?q="));
}

#[tokio::test]
async fn the_live_feed_is_a_websocket() {
    let Some(shop) = Shop::open().await else { return };
    let client = TlsClient::trusting(&shop.authority);
    let stream = client
        .connect(shop.edge(), "live.shop.example")
        .await
        .expect("a session");

    let (mut socket, _) = WebSocket::over(stream, "wss://live.shop.example/tea", &[])
        .await
        .expect("a handshake");

    socket.send("hello").await;
    assert_eq!(socket.text().await, "hello");
}

#[tokio::test]
async fn services_ask_for_the_stock_with_certificates_and_nobody_else_does() {
    let Some(shop) = Shop::open().await else { return };
    let service = TlsClient::showing(&shop.authority, &shop.service());
    let host = "internal.shop.example";
    // A message of one field, the text `tea`, in gRPC's frame.
    let call = [&[0, 0, 0, 0, 5, 10, 3][..], b"tea"].concat();

    let mut connection = service.http2(shop.internal(), host).await;
    let request = connection
        .request("POST", "/portcullis.test.v1.Echo/Say")
        .header("host", host);
    let answer = request
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(call)
        .send()
        .await;

    assert_eq!((answer.status(), answer.trailer("grpc-status")), (200, "0"));
    assert!(answer.text().ends_with("tea!"), "{answer:?}");
    let stranger = TlsClient::trusting(&shop.authority)
        .get(shop.internal(), host, "/status")
        .await;
    assert!(stranger.is_err(), "{stranger:?}");
    // What is for services is not on the edge.
    shop.get("/portcullis.test.v1.Echo/Say").await;
    let line = shop
        .gateway
        .logged(|line| line["method"] == "GET" && line["host"] == "shop.example")
        .await;
    assert_eq!(line["route"], "storefront");
}

#[tokio::test]
async fn a_new_version_takes_over_without_refusing_anybody() {
    let Some(shop) = Shop::open().await else { return };
    let mut kept = shop.visit().await;
    let before = kept
        .request("GET", "/status")
        .header("host", "shop.example")
        .send()
        .await;

    let text = std::fs::read_to_string(shop.gateway.file()).expect("the configuration");
    let handover = shop.gateway.folder().path().join("handover.sock");
    let folder = Folder::new();
    for name in [
        "ca.pem",
        "shop.pem",
        "shop.key",
        "internal.pem",
        "internal.key",
        "gateway.pem",
        "gateway.key",
    ] {
        let name = format!("certificates/{name}");
        let file = std::fs::read(shop.gateway.folder().path().join(&name)).expect("a file");
        folder.write(&name, file);
    }
    eventually("it can be followed", async || handover.exists()).await;
    let text = text.replace("handover.sock", handover.to_str().expect("a path"));
    let (server, mut rest) = text
        .split_once("[[listener]]")
        .map(|(server, rest)| (server, rest.to_owned()))
        .expect("a listener");
    for address in [shop.gateway.address(), shop.edge(), shop.internal()] {
        rest = rest.replacen("127.0.0.1:0", &address.to_string(), 1);
    }
    let text = format!("{server}[[listener]]{rest}");
    let next = Gateway::start_in(folder, text, &[]).await;

    assert_eq!(shop.gateway.exited().await, 0);
    let taken: BTreeSet<_> = next.secure_addresses().iter().collect();
    assert_eq!(taken, shop.gateway.secure_addresses().iter().collect());
    let answer = TlsClient::trusting(&shop.authority)
        .get(shop.edge(), "shop.example", "/status")
        .await;
    assert!(answer.expect("an answer").0.contains("\"well\":true"));
    assert_eq!(before.status(), 200);
}
