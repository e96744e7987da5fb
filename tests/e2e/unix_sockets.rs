//! Targets at Unix sockets.

use portcullis_tests::{Authority, Folder, Gateway, Upstream, eventually};

/// A gateway before these targets, with one thread, so that what it keeps is in one place.
async fn before(targets: &[&Upstream], settings: &str) -> Gateway {
    let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    let targets = targets.join(", ");
    Gateway::start(format!(
        "[server]\nthreads = 1\n[upstream.service]\ntargets = [{targets}]\n{settings}\n[[route]]\n\
         match = \"/{{rest...}}\"\nto = \"service\"\n"
    ))
    .await
}

#[tokio::test]
async fn a_target_may_be_a_unix_socket() {
    let folder = Folder::new();
    let upstream = Upstream::echo_at(&folder.path().join("app.sock")).await;
    let gateway = before(&[&upstream], "").await;

    for size in [0, 3, 400_000] {
        let response = gateway.request("POST", "/a").body(vec![b'x'; size]).send().await;
        assert_eq!(response.json()["length"], size);
    }

    assert_eq!(upstream.connections(), 1);
    let target = format!("{upstream}");
    assert!(
        gateway
            .metric("portcullis_upstream_requests_total", &[("target", &target)])
            .await
            >= 3.0
    );
}

#[tokio::test]
async fn over_a_unix_socket_http2_and_tls_go_as_well() {
    let folder = Folder::new();
    let plain = Upstream::echo_at(&folder.path().join("plain.sock")).await;
    let gateway = before(&[&plain], "http = \"2\"").await;
    assert_eq!(gateway.get("/").await.json()["version"], "HTTP/2.0");

    // What does not speak TLS shows that it was spoken.
    let (authority, folder) = (Authority::new(), Folder::new());
    let settings = format!(
        "[upstream.service]\ntargets = [\"{plain}\"]\ntls = {{ roots = \"ca.pem\", server_name = \"users.internal\" }}\n\
         [[route]]\nmatch = \"/\"\nto = \"service\"\n"
    );
    folder.write("ca.pem", authority.pem());
    let gateway = Gateway::start_in(folder, settings, &[]).await;
    assert_eq!(gateway.get("/").await.code(), "upstream-tls");
}

#[tokio::test]
async fn sockets_and_ports_share_the_load() {
    let folder = Folder::new();
    let first = Upstream::echo_at(&folder.path().join("app.sock")).await;
    let second = Upstream::echo().await;
    let gateway = before(&[&first, &second], "balance = \"round-robin\"").await;

    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }

    assert_eq!((first.requests(), second.requests()), (5, 5));
}

#[tokio::test]
async fn a_socket_that_nobody_listens_at_is_upstream_connect_until_somebody_does() {
    let folder = Folder::new();
    let path = folder.path().join("app.sock");
    let mut upstream = Upstream::echo_at(&path).await;
    let gateway = before(&[&upstream], "").await;
    assert_eq!(gateway.get("/").await.status(), 200);

    upstream.stop().await;
    let response = gateway.get("/").await;
    assert_eq!((response.status(), response.code().as_str()), (502, "upstream-connect"));

    // As services do when they start again.
    std::fs::remove_file(&path).expect("the stale socket");
    let _again = Upstream::echo_at(&path).await;
    eventually("it answers again", async || gateway.get("/").await.status() == 200).await;
}

#[tokio::test]
async fn a_pooled_connection_that_died_costs_no_request() {
    let folder = Folder::new();
    let upstream = Upstream::raw_at(&folder.path().join("app.sock"), |mut socket| async move {
        socket.read_head().await;
        socket.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let gateway = before(&[&upstream], "").await;
    let mut connection = gateway.connect().await;

    for number in 0..100 {
        let response = connection.get("/").await;
        assert_eq!(
            (response.status(), response.text().as_str()),
            (200, "ok"),
            "request {number}"
        );
    }
}
