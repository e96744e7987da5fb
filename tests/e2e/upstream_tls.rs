//! Targets that are reached over TLS: whom the gateway trusts, who it is, and what it says when a handshake fails.

use portcullis_tests::{Authority, Certificate, Folder, Gateway, Raw, Upstream, eventually};

const LOCAL: &[&str] = &["localhost", "127.0.0.1"];

/// A gateway with these settings of its only upstream, and these files beside its configuration.
async fn gateway(settings: &str, files: &[(&str, &str)]) -> Gateway {
    gateway_in(settings, files, &[]).await
}

async fn gateway_in(settings: &str, files: &[(&str, &str)], environment: &[(&str, &str)]) -> Gateway {
    let folder = Folder::new();
    for (name, text) in files {
        folder.write(name, text);
    }
    Gateway::start_in(folder, configuration(settings), environment).await
}

fn configuration(settings: &str) -> String {
    format!("[upstream.service]\n{settings}\n[[route]]\nmatch = \"/{{rest...}}\"\nto = \"service\"\n")
}

async fn trusting(authority: &Authority, upstream: &Upstream, settings: &str) -> Gateway {
    let settings = format!("targets = [\"{upstream}\"]\ntls = {{ roots = \"ca.pem\" }}\n{settings}");
    gateway(&settings, &[("ca.pem", authority.pem())]).await
}

#[tokio::test]
async fn a_target_that_a_named_root_has_signed_is_trusted() {
    let authority = Authority::new();
    let upstream = Upstream::secure_echo(authority.issue(LOCAL).server()).await;
    let gateway = trusting(&authority, &upstream, "").await;

    let response = gateway.request("POST", "/a?b=c").body(vec![b'x'; 300_000]).send().await;

    let seen = response.json();
    assert_eq!((response.status(), seen["length"].as_u64()), (200, Some(300_000)));
    assert_eq!(seen["version"], "HTTP/1.1");
    assert_eq!(seen["headers"]["host"][0], "localhost");
}

#[tokio::test]
async fn the_roots_of_the_system_are_trusted_by_default() {
    let authority = Authority::new();
    let upstream = Upstream::secure_echo(authority.issue(LOCAL).server()).await;
    let folder = Folder::new();
    let roots = folder.write("system.pem", authority.pem());
    let roots = roots.to_str().expect("a path");

    let settings = format!("targets = [\"{upstream}\"]");
    let gateway = gateway_in(&settings, &[], &[("SSL_CERT_FILE", roots)]).await;

    assert_eq!(gateway.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_target_that_cannot_be_trusted_is_upstream_tls_and_the_log_says_why() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let cases: [(Certificate, &str); 3] = [
        (stranger.issue(LOCAL), "unknown issuer"),
        (authority.issue_expired(LOCAL), "has expired"),
        (authority.issue(&["elsewhere.example"]), "for another name"),
    ];
    for (certificate, reason) in cases {
        let upstream = Upstream::secure_echo(certificate.server()).await;
        let gateway = trusting(&authority, &upstream, "").await;

        let response = gateway.get("/").await;

        assert_eq!((response.status(), response.code().as_str()), (502, "upstream-tls"));
        assert!(!response.text().contains("certificate"), "{}", response.text());
        assert_eq!(gateway.outcome("/").await, "upstream-tls");
        gateway
            .log_line(&["WARN", reason, &upstream.address().to_string()])
            .await;
        let failures = [("upstream", "service"), ("reason", "tls")];
        let failures = gateway
            .metric("portcullis_upstream_connect_failures_total", &failures)
            .await;
        assert!(failures >= 1.0);
        assert_eq!(upstream.requests(), 0);
    }
}

#[tokio::test]
async fn a_target_that_speaks_no_tls_is_told_from_one_that_cannot_be_trusted() {
    let authority = Authority::new();
    let plain = Upstream::answering("hello").await;
    let settings = format!(
        "targets = [\"https://{}\"]\ntls = {{ roots = \"ca.pem\" }}",
        plain.address()
    );
    let gateway = gateway(&settings, &[("ca.pem", authority.pem())]).await;

    assert_eq!(gateway.get("/").await.code(), "upstream-tls");
    gateway.log_line(&["the target does not speak TLS"]).await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_bounded_by_the_connect_timeout() {
    let authority = Authority::new();
    let silent = Upstream::raw(|mut socket| async move {
        socket.read_to_end().await;
    })
    .await;
    let settings = format!(
        "targets = [\"https://{}\"]\ntls = {{ roots = \"ca.pem\" }}\nconnect_timeout = \"200ms\"",
        silent.address()
    );
    let gateway = gateway(&settings, &[("ca.pem", authority.pem())]).await;

    let response = gateway.get("/").await;

    assert_eq!((response.status(), response.code().as_str()), (504, "upstream-timeout"));
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_targets_that_ask_for_one() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let us = clients.issue(&["gateway.example"]);
    let upstream = Upstream::secure_echo(authority.issue(LOCAL).server_for(&clients)).await;
    let files = [
        ("ca.pem", authority.pem()),
        ("us.pem", us.pem.as_str()),
        ("us.key", us.key.as_str()),
    ];

    let with = format!(
        "targets = [\"{upstream}\"]\ntls = {{ roots = \"ca.pem\", certificate = \"us.pem\", key = \"us.key\" }}"
    );
    let with = gateway(&with, &files).await;
    assert_eq!(with.get("/").await.status(), 200);

    let without = trusting(&authority, &upstream, "").await;
    let response = without.get("/").await;
    assert_eq!(response.status(), 502, "{}", response.text());
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn the_name_that_is_expected_can_be_set_and_is_never_that_of_the_request() {
    let authority = Authority::new();
    let upstream = Upstream::secure_echo(authority.issue(&["users.internal"]).server()).await;
    let settings =
        format!("targets = [\"{upstream}\"]\ntls = {{ roots = \"ca.pem\", server_name = \"users.internal\" }}");
    let gateway = gateway(&settings, &[("ca.pem", authority.pem())]).await;

    let response = gateway.request("GET", "/").header("host", "shop.example").send().await;

    assert_eq!(response.json()["headers"]["host"][0], "shop.example");
    assert_eq!(upstream.server_name().as_deref(), Some("users.internal"));
}

#[tokio::test]
async fn the_version_of_http_is_agreed_upon_in_the_handshake() {
    let authority = Authority::new();
    let certificate = authority.issue(LOCAL);
    let both = Upstream::secure_echo(certificate.server()).await;
    let mut only_old = certificate.server();
    only_old.alpn_protocols = vec![b"http/1.1".to_vec()];
    let only_old = Upstream::secure_echo(only_old).await;

    for (upstream, http, expected) in [
        (&both, "auto", "HTTP/2.0"),
        (&both, "2", "HTTP/2.0"),
        (&both, "1.1", "HTTP/1.1"),
        (&only_old, "auto", "HTTP/1.1"),
    ] {
        let gateway = trusting(&authority, upstream, &format!("http = \"{http}\"")).await;
        for path in ["/one", "/two?three"] {
            let seen = gateway.request("POST", path).body("body").send().await.json();
            assert_eq!(
                (&seen["version"], &seen["body"]),
                (&expected.into(), &"body".into()),
                "{http}"
            );
        }
    }
    assert!(both.last_target().ends_with("/two?three"), "{}", both.last_target());

    let gateway = trusting(&authority, &only_old, "http = \"2\"").await;
    assert_eq!(gateway.get("/").await.code(), "upstream-tls");
    gateway.log_line(&["does not speak this version of HTTP"]).await;
}

#[tokio::test]
async fn over_http2_the_scheme_is_https() {
    let authority = Authority::new();
    let upstream = Upstream::secure_echo(authority.issue(LOCAL).server()).await;
    let gateway = trusting(&authority, &upstream, "http = \"2\"").await;

    gateway.get("/path").await;

    assert_eq!(upstream.last_target(), "https://localhost/path");
}

#[tokio::test]
async fn verification_can_be_switched_off() {
    let upstream = Upstream::secure_echo(Authority::new().issue_expired(&["elsewhere.example"]).server()).await;
    let settings = format!("targets = [\"{upstream}\"]\ntls = {{ verify = \"off\" }}");
    let gateway = gateway(&settings, &[]).await;

    assert_eq!(gateway.get("/").await.status(), 200);
    let checked = Gateway::checked(configuration(&settings));
    assert!(checked.stdout.contains("not verified") || checked.stderr.contains("not verified"));
}

#[tokio::test]
async fn versions_of_tls_that_are_too_old_are_refused() {
    let authority = Authority::new();
    let old = Upstream::secure_echo(authority.issue(LOCAL).old_server()).await;
    assert_eq!(trusting(&authority, &old, "").await.get("/").await.status(), 200);

    let settings = format!("targets = [\"{old}\"]\ntls = {{ roots = \"ca.pem\", min_version = \"1.3\" }}");
    let gateway = gateway(&settings, &[("ca.pem", authority.pem())]).await;

    assert_eq!(gateway.get("/").await.code(), "upstream-tls");
    gateway.log_line(&["no version or cipher of TLS in common"]).await;
}

#[tokio::test]
async fn sessions_are_resumed() {
    let authority = Authority::new();
    let upstream = Upstream::secure_echo(authority.issue(LOCAL).server()).await;
    let gateway = trusting(&authority, &upstream, "keep = 0").await;

    for _ in 0..4 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }

    assert_eq!(upstream.connections(), 4);
    // The first of each of two threads may have been made before there was a session.
    assert!(upstream.resumed() >= 2, "{}", upstream.resumed());
}

#[tokio::test]
async fn a_change_of_the_roots_is_noticed_and_a_bad_one_changes_nothing() {
    let (authority, next) = (Authority::new(), Authority::new());
    let before = Upstream::secure_echo(authority.issue(LOCAL).server()).await;
    let gateway = trusting(&authority, &before, "").await;
    assert_eq!(gateway.get("/").await.status(), 200);

    gateway.folder().write("ca.pem", "no certificate at all");
    eventually("a reload has failed", async || {
        gateway
            .metric("portcullis_reloads_total", &[("result", "failed")])
            .await
            >= 1.0
    })
    .await;
    assert_eq!(gateway.get("/").await.status(), 200);

    gateway.folder().write("ca.pem", next.pem());
    eventually("the old root is trusted no longer", async || {
        gateway.get("/").await.status() == 502
    })
    .await;
}

#[tokio::test]
async fn a_pooled_connection_that_died_costs_no_request() {
    // Promises to keep the connection, and closes it; now with a farewell, now without.
    let authority = Authority::new();
    let upstream = Upstream::secure_raw(authority.issue(LOCAL).server(), |mut socket: Raw| async move {
        let head = socket.read_head().await;
        socket.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        if head.contains("politely") {
            socket.finish().await;
        }
    })
    .await;
    let gateway = trusting(&authority, &upstream, "").await;
    let mut connection = gateway.connect().await;

    for number in 0..60 {
        let path = if number % 2 == 0 { "/politely" } else { "/" };
        let response = connection.get(path).await;
        assert_eq!(
            (response.status(), response.text().as_str()),
            (200, "ok"),
            "request {number}"
        );
    }
}

#[tokio::test]
async fn a_response_that_is_cut_off_is_never_a_short_good_one() {
    // Its length is its end, and that comes without TLS's own farewell: somebody may have cut it off.
    let authority = Authority::new();
    let upstream = Upstream::secure_raw(authority.issue(LOCAL).server(), |mut socket: Raw| async move {
        socket.read_head().await;
        socket
            .send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf of it")
            .await;
    })
    .await;
    let gateway = trusting(&authority, &upstream, "").await;

    assert!(gateway.request("GET", "/").try_send().await.is_err());
    assert_eq!(gateway.outcome("/").await, "upstream-reset");
}

#[tokio::test]
async fn no_key_is_ever_shown() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let us = clients.issue(&["gateway.example"]);
    let upstream = Upstream::secure_echo(authority.issue(LOCAL).server_for(&clients)).await;
    let settings = format!(
        "targets = [\"{upstream}\"]\ntls = {{ roots = \"ca.pem\", certificate = \"us.pem\", key = \"us.key\" }}\n\
         [log]\nlevel = \"trace\""
    );
    let files = [
        ("ca.pem", authority.pem()),
        ("us.pem", us.pem.as_str()),
        ("us.key", us.key.as_str()),
    ];
    let gateway = gateway(&settings, &files).await;
    assert_eq!(gateway.get("/").await.status(), 200);

    let line = us.key.lines().nth(1).expect("a line of the key");
    assert!(!gateway.log().contains(line));
    assert!(!gateway.log().contains("PRIVATE KEY"));
}
