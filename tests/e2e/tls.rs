//! HTTPS: certificates by name, versions, resumption, and new certificates while connections stay.

use std::time::Duration;

use portcullis_tests::{
    Authority, Folder, Gateway, Raw, Secured, TlsClient, Upstream, eventually, has_program, write_pair,
};

const HELLO: &str = "[[route]]\nmatch = '/'\nrespond = { body = 'hello' }\n";

#[tokio::test]
async fn clients_speak_https_in_both_protocols() {
    if !has_program("curl") {
        return;
    }
    let upstream = Upstream::echo().await;
    let secured = Secured::start(&["shop.example"], "", &Gateway::proxying_configuration(&upstream)).await;

    for (option, version) in [("--http2", "HTTP/2 200"), ("--http1.1", "HTTP/1.1 200")] {
        let answer = secured.curl("shop.example", "/a", &[option]).await;

        assert!(answer.text.starts_with(version), "{answer:?}");
        assert_eq!(upstream.last_header("x-forwarded-proto"), "https");
        assert!(upstream.last_header("forwarded").ends_with(";proto=https"));
    }
}

#[tokio::test]
async fn a_body_goes_both_ways_over_tls() {
    if !has_program("curl") {
        return;
    }
    let upstream = Upstream::echo().await;
    let secured = Secured::start(&["shop.example"], "", &Gateway::proxying_configuration(&upstream)).await;
    let file = secured.gateway.folder().write("body", vec![b'x'; 3 << 20]);
    let data = format!("@{}", file.display());

    for option in ["--http2", "--http1.1"] {
        let answer = secured
            .curl("shop.example", "/", &[option, "--data-binary", &data])
            .await;
        assert!(answer.text.contains("\"length\":3145728"), "{answer:?}");
    }
}

/// The subject of the certificate that a client is shown for a host.
async fn shown(secured: &Secured, host: &str) -> Result<Vec<u8>, String> {
    let client = TlsClient::trusting(&secured.authority);
    let stream = client.connect(secured.gateway.secure_address(), host).await;
    let stream = stream.map_err(|error| error.to_string())?;
    Ok(stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec())
}

#[tokio::test]
async fn each_host_gets_its_own_certificate() {
    let (folder, authority) = (Folder::new(), Authority::new());
    // The first stands in for hosts that none is for, and is made to be for them here, so that the client agrees.
    write_pair(
        &folder,
        "first",
        &authority.issue(&["first.example", "unknown.example"]),
    );
    write_pair(&folder, "wild", &authority.issue(&["*.shop.example"]));
    write_pair(&folder, "exact", &authority.issue(&["api.shop.example"]));
    let names = ["first", "wild", "exact"];
    let listed: Vec<_> = names
        .iter()
        .map(|name| format!("{{ certificate = '{name}.pem', key = '{name}.key' }}"))
        .collect();
    let listed = format!("certificates = [{}]", listed.join(", "));
    let secured = Secured::start_in(folder, authority, &listed, HELLO).await;

    let first = shown(&secured, "first.example").await.unwrap();
    let wild = shown(&secured, "www.shop.example").await.unwrap();
    let exact = shown(&secured, "api.shop.example").await.unwrap();

    assert!(first != wild && wild != exact && first != exact);
    assert_eq!(shown(&secured, "unknown.example").await.unwrap(), first);
}

#[tokio::test]
async fn a_strict_listener_shows_strangers_nothing() {
    let secured = Secured::start(&["shop.example", "*.shop.example"], "strict_sni = true", HELLO).await;

    assert!(shown(&secured, "www.shop.example").await.is_ok());
    let refused = shown(&secured, "a.b.shop.example").await.unwrap_err();
    assert!(refused.contains("alert"), "{refused}");
}

#[tokio::test]
async fn the_oldest_version_is_a_setting() {
    for (tls, served) in [("", true), ("min_version = '1.3'", false)] {
        let secured = Secured::start(&["shop.example"], tls, HELLO).await;
        let address = secured.gateway.secure_address();

        let old = TlsClient::old(&secured.authority)
            .get(address, "shop.example", "/")
            .await;
        let new = TlsClient::trusting(&secured.authority)
            .get(address, "shop.example", "/")
            .await;

        assert_eq!(old.is_ok(), served, "{old:?}");
        assert!(new.unwrap().0.ends_with("hello"));
    }
}

#[tokio::test]
async fn sessions_are_resumed_on_every_thread_and_after_a_reload() {
    let secured = Secured::start(&["shop.example"], "", HELLO).await;
    let address = secured.gateway.secure_address();

    for client in [
        TlsClient::trusting(&secured.authority),
        TlsClient::old(&secured.authority),
    ] {
        let first = client.get(address, "shop.example", "/").await.unwrap();
        assert!(!first.1, "there was no session to resume");
        // The kernel spreads connections over both threads.
        for _ in 0..12 {
            let (answer, resumed) = client.get(address, "shop.example", "/").await.unwrap();
            assert!(resumed && answer.contains("hello"), "{answer}");
        }
        let reloaded = Secured::configuration("", &HELLO.replace("hello", "hello again"));
        secured.gateway.reload_with(reloaded).await;
        let (_, resumed) = client.get(address, "shop.example", "/").await.unwrap();
        assert!(resumed);
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_while_connections_live_on() {
    let secured = Secured::start(&["shop.example"], "", HELLO).await;
    let (gateway, client) = (&secured.gateway, TlsClient::trusting(&secured.authority));
    let mut kept = client.http1(gateway.secure_address(), "shop.example").await;
    assert_eq!(kept.get("/").await.text(), "hello");
    let before = shown(&secured, "shop.example").await.unwrap();

    write_pair(gateway.folder(), "a", &secured.authority.issue(&["shop.example"]));

    eventually("the new certificate is shown", async || {
        shown(&secured, "shop.example").await.unwrap() != before
    })
    .await;
    assert_eq!(kept.get("/").await.text(), "hello");
}

#[tokio::test]
async fn a_bad_pair_leaves_the_old_one() {
    let secured = Secured::start(&["shop.example"], "", HELLO).await;
    let gateway = &secured.gateway;
    let before = shown(&secured, "shop.example").await.unwrap();

    gateway
        .folder()
        .write("a.key", secured.authority.issue(&["other.example"]).key);

    gateway.log_line(&["the key does not belong to the certificate"]).await;
    assert_eq!(shown(&secured, "shop.example").await.unwrap(), before);
}

#[tokio::test]
async fn plain_http_gets_an_answer_that_says_so() {
    let secured = Secured::start(&["shop.example"], "", HELLO).await;

    let raw = Raw::connect(secured.gateway.secure_address()).await;
    let answer = raw.answer_to("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;

    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.contains("plain HTTP was sent to an address of HTTPS"),
        "{answer}"
    );
    let line = secured.gateway.logged(|line| line["status"] == 400).await;
    assert_eq!(line["outcome"], "bad-request");
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_is_left_in_time() {
    let rest = format!("[server]\ntimeouts = {{ handshake = '200ms' }}\n{HELLO}");
    let secured = Secured::start(&["shop.example"], "", &rest).await;
    let gateway = &secured.gateway;

    for bytes in ["", "\u{16}\u{3}\u{1}", "garbage"] {
        let raw = Raw::connect(gateway.secure_address()).await;
        let said = raw.answer_to(bytes).await;
        assert!(!said.contains("HTTP"), "{said}");
    }

    let refused = [("reason", "handshake")];
    eventually("all three are counted", async || {
        gateway.metric("portcullis_connections_refused_total", &refused).await >= 3.0
    })
    .await;
}

#[tokio::test]
async fn a_handshake_under_way_is_finished_when_the_gateway_stops() {
    let secured = Secured::start(&["shop.example"], "", HELLO).await;
    let mut silent = Raw::connect(secured.gateway.secure_address()).await;
    assert!(silent.is_silent_for(Duration::from_millis(50)).await);

    assert_eq!(secured.gateway.stop().await, 0);
    assert_eq!(silent.read_to_end().await, "");
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_refused_with_their_place() {
    let authority = Authority::new();
    let (good, other) = (authority.issue(&["a.example"]), authority.issue(&["a.example"]));
    let expired = authority.issue_expired(&["a.example"]);
    let early = authority.issue_with(&["a.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2200, 1, 1);
        params.not_after = rcgen::date_time_ymd(2201, 1, 1);
    });
    for (pem, key, said) in [
        (&good.pem, &other.key, "the key does not belong to the certificate"),
        (&expired.pem, &expired.key, "it ended at 2002-01-01T00:00:00Z"),
        (&early.pem, &early.key, "it counts from 2200-01-01T00:00:00Z on"),
        (&good.key, &good.key, "no certificate in PEM form"),
        (&good.pem, &good.pem, "no private key in PEM form"),
    ] {
        let folder = Folder::new();
        folder.write("a.pem", pem);
        folder.write("a.key", key);
        let text = format!("version = 1\n{}", Secured::configuration("", HELLO));
        folder.write("portcullis.toml", text);

        let ran = portcullis_tests::portcullis_in(folder.path(), &["check", "portcullis.toml"]);

        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            ran.code == 1 && all.contains(said) && all.contains("portcullis.toml:9:"),
            "{all}"
        );
        let secret = key.lines().nth(1).expect("a line of the key");
        assert!(!all.contains(secret), "{all}");
    }
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_a_warning() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let soon = authority.issue_with(&["shop.example"], |params| {
        params.not_after = std::time::SystemTime::now().into();
        params.not_after += Duration::from_secs(3 * 24 * 3600);
    });
    write_pair(&folder, "a", &soon);

    let secured = Secured::start_in(folder, authority, "", HELLO).await;

    secured.gateway.log_line(&["the certificate expires soon"]).await;
    assert!(shown(&secured, "shop.example").await.is_ok());
}
