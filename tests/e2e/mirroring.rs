//! Copies of requests for another upstream.

use http_body_util::BodyExt;
use portcullis_tests::{Gateway, Upstream, chunked, empty, eventually, generated, stepwise, within};
use sha2::Digest;

async fn mirroring(upstream: &Upstream, shadow: &dyn std::fmt::Display, mirror: &str) -> Gateway {
    Gateway::start(format!(
        r#"
        [server.limits]
        body_size = "off"
        [upstream.service]
        targets = ["{upstream}"]
        [upstream.shadow]
        targets = ["{shadow}"]
        [[route]]
        name = "all"
        match = "/{{rest...}}"
        to = "service"
        mirror = {mirror}
        "#
    ))
    .await
}

async fn copies(gateway: &Gateway, result: &str) -> f64 {
    let labels = [("route", "all"), ("upstream", "shadow"), ("result", result)];
    gateway.metric("portcullis_mirrored_requests_total", &labels).await
}

#[tokio::test]
async fn another_upstream_gets_a_copy_and_nobody_its_answer() {
    let (upstream, shadow) = (Upstream::echo().await, Upstream::answering("shadow").await);
    let gateway = mirroring(&upstream, &shadow, "'shadow'").await;

    let response = gateway
        .request("POST", "/a?b")
        .header("x-own", "1")
        .body("hello")
        .send()
        .await;

    assert_eq!(response.json()["body"], "hello");
    eventually("the copy is answered", async || copies(&gateway, "ok").await == 1.0).await;
    assert_eq!(shadow.last_target(), "/a?b");
    assert_eq!(
        (
            shadow.last_header("x-portcullis-mirror").as_str(),
            shadow.last_header("x-own").as_str()
        ),
        ("1", "1")
    );
    assert_eq!(upstream.last_header("x-portcullis-mirror"), "");
    assert_eq!(gateway.logged(|line| line["path"] == "/a").await["upstream"], "service");
}

#[tokio::test]
async fn the_copy_has_the_same_body_however_it_came() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let shadow = Upstream::with(move |request: http::Request<hyper::body::Incoming>| {
        let tell = tell.clone();
        async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            tell.send(body).expect("the test listens");
            http::Response::new(empty())
        }
    })
    .await;
    let upstream = Upstream::echo().await;
    let gateway = mirroring(&upstream, &shadow, "'shadow'").await;
    for body in [generated(300_000), chunked(vec![b'x'; 100_000])] {
        let response = gateway.request("POST", "/").streaming(body).send().await;
        let copied = within("a copy comes", told.recv()).await.expect("a copy");
        let hash = sha2::Sha256::digest(&copied);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (&response.json()["length"], &response.json()["sha256"]),
            (&copied.len().into(), &hash.into())
        );
    }
}

#[tokio::test]
async fn only_a_share_is_copied() {
    let (upstream, shadow) = (Upstream::answering("").await, Upstream::answering("").await);
    let gateway = mirroring(&upstream, &shadow, "{ to = 'shadow', share = '25%' }").await;
    let mut connection = gateway.connect().await;

    for _ in 0..400 {
        connection.get("/").await;
    }

    eventually("the copies are answered", async || {
        copies(&gateway, "ok").await == shadow.requests() as f64
    })
    .await;
    assert!((54..=146).contains(&shadow.requests()), "{}", shadow.requests());
}

#[tokio::test]
async fn a_mirror_that_fails_harms_nobody() {
    let upstream = Upstream::echo().await;
    let absent = format!("http://{}", Upstream::absent().await);
    let closing = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
    })
    .await;
    for shadow in [&absent as &dyn std::fmt::Display, &closing] {
        let gateway = mirroring(&upstream, shadow, "'shadow'").await;
        for number in 1..=5 {
            assert_eq!(gateway.request("POST", "/").body("hello").send().await.status(), 200);
            eventually("it is counted", async || {
                copies(&gateway, "failed").await == f64::from(number)
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_mirror_that_hangs_delays_nobody_and_is_given_up() {
    let (upstream, hanging) = (Upstream::echo().await, Upstream::with(|_| std::future::pending()).await);
    let gateway = Gateway::start(format!(
        r#"
        upstream.service.targets = "{upstream}"
        upstream.shadow = {{ targets = "{hanging}", response_timeout = "2s" }}
        [[route]]
        name = "all"
        match = "/"
        to = "service"
        timeout = "2s"
        mirror = "shadow"
        "#
    ))
    .await;

    for _ in 0..5 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }

    eventually("they are given up", async || copies(&gateway, "given-up").await == 5.0).await;
    eventually("and closed", async || hanging.in_flight() == 0).await;
}

#[tokio::test]
async fn a_mirror_that_does_not_keep_up_costs_bounded_memory() {
    // Reads the head, and nothing after that.
    let stuck = Upstream::raw(|mut socket| async move {
        socket.read_head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let upstream = Upstream::echo().await;
    let gateway = mirroring(&upstream, &stuck, "'shadow'").await;
    gateway.request("POST", "/").streaming(generated(1 << 20)).send().await;
    let before = gateway.rss_kib();

    let response = gateway
        .request("POST", "/")
        .streaming(generated(200 << 20))
        .send()
        .await;

    assert_eq!(response.json()["length"], 200 << 20);
    let grown = gateway.rss_kib().saturating_sub(before);
    assert!(grown < 50 << 10, "{grown} KiB more");
    eventually("it is given up", async || copies(&gateway, "given-up").await >= 1.0).await;
}

#[tokio::test]
async fn copies_hold_no_more_than_their_buffer() {
    // Takes no connection, so that nothing of a copy goes away.
    let (upstream, full) = (Upstream::echo().await, Upstream::full().await);
    let gateway = mirroring(&upstream, &full, "{ to = 'shadow', buffer = '64KiB' }").await;

    let large = gateway
        .request("POST", "/")
        .streaming(generated(200 << 10))
        .send()
        .await;
    assert_eq!(large.json()["length"], 200 << 10);
    eventually("it is given up", async || copies(&gateway, "given-up").await == 1.0).await;

    let small = gateway.request("POST", "/").streaming(generated(20 << 10)).send().await;
    assert_eq!(small.json()["length"], 20 << 10);
    eventually("it fails for another reason", async || {
        copies(&gateway, "failed").await == 1.0
    })
    .await;
}

#[tokio::test]
async fn a_request_that_breaks_off_breaks_its_copy_off() {
    let (upstream, shadow) = (Upstream::echo().await, Upstream::echo().await);
    let gateway = mirroring(&upstream, &shadow, "'shadow'").await;
    let (mut sender, body) = stepwise();
    let request = tokio::spawn(gateway.request("POST", "/").streaming(body).try_send());
    sender.send_data("half".into()).await.expect("room");
    eventually("both have it", async || upstream.in_flight() + shadow.in_flight() == 2).await;

    sender.abort(std::io::ErrorKind::BrokenPipe.into());

    assert!(request.await.expect("no panic").is_err());
    eventually("its copy fails, too", async || {
        copies(&gateway, "failed").await + copies(&gateway, "given-up").await == 1.0
    })
    .await;
    eventually("its connection is closed", async || shadow.open_connections() == 0).await;
}
