//! The PROXY protocol: a load balancer in front says who the client is.

use std::time::Duration;

use portcullis_tests::{Authority, Folder, Gateway, Raw, Secured, Upstream, curl, eventually, has_program, write_pair};

/// The configuration of a listener behind a load balancer of this machine.
fn behind(upstream: &Upstream, more: &str) -> String {
    format!(
        "{}\n[[listener]]\naddress = '127.0.0.1:0'\nproxy_protocol = {{ from = ['127.0.0.0/8'] }}\n{more}\n",
        Gateway::proxying_configuration(upstream)
    )
}

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";

/// Version 2: version and command, family, and what follows the length.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([0x20 | command, family]);
    bytes.extend(u16::try_from(rest.len()).expect("few bytes").to_be_bytes());
    bytes.extend(rest);
    bytes
}

const ADDRESSES: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 7, 0x12, 0x34, 0, 80];

#[tokio::test]
async fn the_client_is_whom_the_load_balancer_names() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::start(behind(&upstream, "")).await;
    let mut with_additions = ADDRESSES.to_vec();
    with_additions.extend([0x02, 0, 4, b'h', b'o', b's', b't']);
    for (header, client) in [
        (b"PROXY TCP4 192.0.2.7 198.51.100.7 4660 80\r\n".to_vec(), "192.0.2.7"),
        (
            b"PROXY TCP6 2001:db8::7 2001:db8::1 4660 80\r\n".to_vec(),
            "2001:db8::7",
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(1, 0x11, &ADDRESSES), "192.0.2.7"),
        (v2(1, 0x11, &with_additions), "192.0.2.7"),
        (v2(0, 0x00, &[]), "127.0.0.1"),
    ] {
        let mut raw = Raw::connect(gateway.address()).await;
        // In two pieces, the second with what follows: neither may be lost.
        let (first, second) = header.split_at(header.len() / 2);
        raw.send(first).await;
        raw.send([second, REQUEST.as_bytes()].concat()).await;

        let answer = raw.read_to_end().await;

        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(upstream.last_header("x-forwarded-for"), client);
        gateway.logged(|line| line["client"] == client).await;
    }
}

#[tokio::test]
async fn curl_is_believed_too() {
    if !has_program("curl") {
        return;
    }
    let upstream = Upstream::answering("hello").await;
    let gateway = Gateway::start(behind(&upstream, "")).await;
    let url = format!("http://{}/", gateway.address());

    for option in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[option, "--haproxy-protocol", &url]).await;
        assert!(answer.text.ends_with("hello"), "{answer:?}");
    }
    assert_eq!(curl(&[&url]).await.text, "", "without the protocol there is no answer");
}

#[tokio::test]
async fn it_comes_before_tls() {
    if !has_program("curl") {
        return;
    }
    let upstream = Upstream::answering("hello").await;
    let (folder, authority) = (Folder::new(), Authority::new());
    folder.write("ca.pem", authority.pem());
    write_pair(&folder, "a", &authority.issue(&["shop.example"]));
    let configuration = Secured::configuration("", &Gateway::proxying_configuration(&upstream));
    let trusting = format!("{configuration}proxy_protocol = true\n[server]\ntrusted_proxies = ['127.0.0.1']\n");
    let gateway = Gateway::start_in(folder, trusting, &[]).await;
    let secured = Secured { gateway, authority };

    let answer = secured.curl("shop.example", "/", &["--haproxy-protocol"]).await;

    assert!(answer.text.ends_with("hello"), "{answer:?}");
    assert_ne!(secured.curl("shop.example", "/", &[]).await.code, 0);
}

#[tokio::test]
async fn what_is_no_header_is_closed_without_a_word_and_counted() {
    let upstream = Upstream::answering("never seen").await;
    let gateway = Gateway::start(behind(&upstream, "")).await;
    let bad = [
        REQUEST.as_bytes().to_vec(),
        b"PROXY TCP4 nobody nobody 1 2\r\n".to_vec(),
        v2(1, 0x11, &[0; 5_000]),
        [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat(),
    ];
    for bytes in &bad {
        let answer = Raw::connect(gateway.address()).await.answer_to(bytes).await;
        assert_eq!(answer, "");
    }

    let refused = [("reason", "proxy-protocol")];
    let counted = gateway.metric("portcullis_connections_refused_total", &refused).await;
    assert_eq!(counted, bad.len() as f64);
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn strangers_are_not_believed() {
    let upstream = Upstream::answering("never seen").await;
    let configuration = behind(&upstream, "").replace("127.0.0.0/8", "192.0.2.0/24");
    let gateway = Gateway::start(configuration).await;

    let raw = Raw::connect(gateway.address()).await;
    let answer = raw
        .answer_to(format!("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n{REQUEST}"))
        .await;

    assert_eq!((answer.as_str(), upstream.requests()), ("", 0));
}

#[tokio::test]
async fn a_header_that_does_not_end_is_left_in_time() {
    let upstream = Upstream::answering("never seen").await;
    let gateway = Gateway::start(behind(&upstream, "[server]\ntimeouts = { header = '1s' }")).await;
    for bytes in ["", "PROXY TCP4 "] {
        let mut raw = Raw::connect(gateway.address()).await;
        assert!(raw.is_silent_for(Duration::from_millis(50)).await);
        assert_eq!(raw.answer_to(bytes).await, "");
    }
}

#[tokio::test]
async fn connections_count_for_the_client_and_not_for_the_load_balancer() {
    let upstream = Upstream::answering("hello").await;
    let limits = "[server]\nlimits = { connections_per_client = 1 }";
    let gateway = Gateway::start(behind(&upstream, limits)).await;
    let mut connected = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2"] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "PROXY TCP4 {client} 192.0.2.8 1 2\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"
        ))
        .await;
        assert!(raw.read_head().await.starts_with("HTTP/1.1 200"));
        connected.push(raw);
    }

    let raw = Raw::connect(gateway.address()).await;
    let third = raw
        .answer_to(format!("PROXY TCP4 192.0.2.1 192.0.2.8 1 2\r\n{REQUEST}"))
        .await;

    assert_eq!(third, "");
    let refused = [("reason", "client-limit")];
    eventually("it is counted", async || {
        gateway.metric("portcullis_connections_refused_total", &refused).await == 1.0
    })
    .await;
}
