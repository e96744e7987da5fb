//! Clients that prove who they are by a certificate.

use std::time::{Duration, SystemTime};

use portcullis_tests::{
    Authority, Certificate, Connection, Folder, Gateway, Secured, TlsClient, Upstream, eventually, has_program,
    misbehaving, write_pair,
};

/// A gateway that asks its clients for certificates of a second authority.
async fn asking(client: &str, upstream: &Upstream) -> (Secured, Authority) {
    let (folder, authority, clients) = (Folder::new(), Authority::new(), Authority::new());
    folder.write("ca.pem", authority.pem());
    folder.write("clients.pem", clients.pem());
    write_pair(&folder, "a", &authority.issue(&["shop.example", "*.shop.example"]));
    write_pair(&folder, "alice", &alice(&clients));
    write_pair(&folder, "mallory", &Authority::new().issue(&["alice.example"]));
    let tls = format!("client = {{ roots = 'clients.pem', {client} }}");
    let rest = Gateway::proxying_configuration(upstream);
    (Secured::start_in(folder, authority, &tls, &rest).await, clients)
}

fn alice(clients: &Authority) -> Certificate {
    clients.issue_with(&["alice.example"], |params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, "alice");
        params.serial_number = Some(vec![7].into());
    })
}

/// curl's arguments to show a certificate of the gateway's folder.
fn showing(secured: &Secured, name: &str) -> [String; 4] {
    let file = |kind: &str| {
        secured
            .gateway
            .folder()
            .path()
            .join(format!("{name}.{kind}"))
            .display()
            .to_string()
    };
    ["--cert".to_owned(), file("pem"), "--key".to_owned(), file("key")]
}

#[tokio::test]
async fn who_must_show_a_certificate_and_shows_none_or_a_strange_one_is_refused() {
    if !has_program("curl") {
        return;
    }
    let upstream = Upstream::echo().await;
    let (secured, _) = asking("mode = 'required'", &upstream).await;

    for option in ["--http1.1", "--http2"] {
        assert_ne!(secured.curl("shop.example", "/", &[option]).await.code, 0);
        let [a, b, c, d] = &showing(&secured, "mallory");
        assert_ne!(secured.curl("shop.example", "/", &[option, a, b, c, d]).await.code, 0);
        assert_eq!(upstream.requests(), 0);
    }
    let [a, b, c, d] = &showing(&secured, "alice");
    let answer = secured.curl("shop.example", "/", &[a, b, c, d]).await;
    assert!(answer.text.starts_with("HTTP/2 200"), "{answer:?}");
    let refused = [("reason", "handshake")];
    assert_eq!(
        secured
            .gateway
            .metric("portcullis_connections_refused_total", &refused)
            .await,
        4.0
    );
}

#[tokio::test]
async fn a_certificate_may_be_left_to_the_client() {
    if !has_program("curl") {
        return;
    }
    let upstream = Upstream::echo().await;
    let (secured, _) = asking("mode = 'optional', forward = true", &upstream).await;

    assert_eq!(secured.curl("shop.example", "/", &[]).await.code, 0);
    assert_eq!(upstream.last_header("client-cert"), "");
    let [a, b, c, d] = &showing(&secured, "mallory");
    assert_ne!(
        secured.curl("shop.example", "/", &[a, b, c, d]).await.code,
        0,
        "a bad one is worse than none"
    );
}

#[tokio::test]
async fn upstreams_get_the_certificate_that_was_proven_and_no_other() {
    if !has_program("curl") {
        return;
    }
    let upstream = Upstream::echo().await;
    for (forward, shown) in [("forward = true", true), ("forward = false", false)] {
        let (secured, _) = asking(forward, &upstream).await;
        let [a, b, c, d] = &showing(&secured, "alice");
        let lies = ["-H", "client-cert: :AAAA:", "-H", "client-cert-chain: :AAAA:"];

        let answer = secured
            .curl("shop.example", "/", &[&[a.as_str(), b, c, d], &lies[..]].concat())
            .await;

        assert_eq!(answer.code, 0, "{answer:?}");
        let pem = std::fs::read_to_string(secured.gateway.folder().path().join("alice.pem")).expect("it was written");
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let expected = if shown { format!(":{base64}:") } else { String::new() };
        assert_eq!(upstream.last_header("client-cert"), expected);
        assert_eq!(upstream.last_header("client-cert-chain"), "");
    }
}

#[tokio::test]
async fn who_they_are_is_also_removed_from_requests_without_tls() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::proxying(&upstream).await;
    gateway.request("GET", "/").header("client-cert", ":AAAA:").send().await;
    assert_eq!(upstream.last_header("client-cert"), "");
}

#[tokio::test]
async fn a_resumed_session_is_still_the_clients() {
    let upstream = Upstream::echo().await;
    let (secured, clients) = asking("forward = true", &upstream).await;
    let client = TlsClient::showing(&secured.authority, &alice(&clients));

    for resumed in [false, true] {
        let got = client
            .get(secured.gateway.secure_address(), "shop.example", "/")
            .await
            .unwrap();
        assert_eq!(got.1, resumed, "{}", got.0);
        assert!(upstream.last_header("client-cert").starts_with(":MII"));
    }
}

#[tokio::test]
async fn other_rules_for_certificates_end_old_sessions() {
    let upstream = Upstream::echo().await;
    let (secured, clients) = asking("mode = 'required'", &upstream).await;
    let (gateway, client) = (
        &secured.gateway,
        TlsClient::showing(&secured.authority, &alice(&clients)),
    );
    client.get(gateway.secure_address(), "shop.example", "/").await.unwrap();

    gateway.folder().write("clients.pem", Authority::new().pem());
    let rest = Gateway::proxying_configuration(&upstream);
    gateway
        .reload_with(Secured::configuration("client = { roots = 'clients.pem' }", &rest))
        .await;

    assert!(client.get(gateway.secure_address(), "shop.example", "/").await.is_err());
}

/// How a connection that is kept answers one more request; none where it has ended.
async fn again(kept: &mut Connection, path: &str) -> Option<u16> {
    let answered = kept
        .request("GET", path)
        .header("host", "shop.example")
        .try_send()
        .await;
    answered.ok().map(|response| response.status())
}

#[tokio::test]
async fn other_rules_for_certificates_end_connections_and_other_changes_do_not() {
    let upstream = Upstream::echo().await;
    let (secured, clients) = asking("mode = 'required'", &upstream).await;
    let (gateway, client) = (
        &secured.gateway,
        TlsClient::showing(&secured.authority, &alice(&clients)),
    );
    let mut kept = client.http1(gateway.secure_address(), "shop.example").await;
    assert_eq!(again(&mut kept, "/").await, Some(200));
    let rest = Gateway::proxying_configuration(&upstream);
    let reload = async |tls: &str, rest: &str| gateway.reload_with(Secured::configuration(tls, rest)).await;

    let another = format!("{rest}[[route]]\nmatch = '/another'\nrespond = {{}}\n");
    reload("client = { roots = 'clients.pem', mode = 'required' }", &another).await;
    assert_eq!(again(&mut kept, "/another").await, Some(200));

    gateway.folder().write("clients.pem", Authority::new().pem());
    reload("client = { roots = 'clients.pem', mode = 'required' }", &another).await;
    // Either it is closed by now, or what comes too soon for that is told to come again.
    assert!(matches!(again(&mut kept, "/another").await, None | Some(421)));
    kept.closed().await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_taken_no_more_in_sessions_and_connections_of_before() {
    let upstream = Upstream::echo().await;
    let (secured, clients) = asking("mode = 'required'", &upstream).await;
    let address = secured.gateway.secure_address();
    let end = SystemTime::now() + Duration::from_secs(6);
    let short = clients.issue_with(&["alice.example"], |params| params.not_after = end.into());
    let client = TlsClient::showing(&secured.authority, &short);
    let mut kept = client.http1(address, "shop.example").await;
    assert_eq!(again(&mut kept, "/").await, Some(200));
    assert!(
        client.get(address, "shop.example", "/").await.expect("an answer").1,
        "resumed"
    );

    eventually("the certificate has expired", async || {
        end + Duration::from_secs(1) < SystemTime::now()
    })
    .await;

    assert!(matches!(again(&mut kept, "/").await, None | Some(421)));
    let resumed = client.get(address, "shop.example", "/").await;
    assert!(
        !matches!(&resumed, Ok((text, _)) if text.contains("200")),
        "{resumed:?}"
    );
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let upstream = Upstream::echo().await;
    let (secured, clients) = asking("mode = 'required'", &upstream).await;
    let (gateway, address) = (&secured.gateway, secured.gateway.secure_address());
    let get = async || {
        TlsClient::showing(&secured.authority, &alice(&clients))
            .get(address, "shop.example", "/")
            .await
    };
    assert!(get().await.is_ok());

    for (revoked, served) in [(vec![9], true), (vec![9, 7], false)] {
        gateway.folder().write("revoked.pem", clients.revoke(&revoked));
        let tls = "client = { roots = 'clients.pem', crl = 'revoked.pem' }";
        gateway
            .reload_with(Secured::configuration(tls, &Gateway::proxying_configuration(&upstream)))
            .await;
        let got = get().await;
        assert_eq!(got.is_ok(), served, "{got:?}");
    }
}

#[tokio::test]
async fn a_request_for_a_host_that_the_session_is_not_for_is_misdirected() {
    if !has_program("curl") {
        return;
    }
    let upstream = Upstream::echo().await;
    let (secured, _) = asking("mode = 'required'", &upstream).await;
    let [a, b, c, d] = &showing(&secured, "alice");

    for (host, status) in [("shop.example", 200), ("www.shop.example", 200), ("admin.example", 421)] {
        let field = format!("host: {host}");
        let answer = secured.curl("shop.example", "/", &[a, b, c, d, "-H", &field]).await;
        assert!(answer.text.starts_with(&format!("HTTP/2 {status}")), "{answer:?}");
    }
    secured.gateway.logged(|line| line["outcome"] == "misdirected").await;
}

#[tokio::test]
async fn filters_know_who_the_client_is() {
    let (folder, authority, clients) = (Folder::new(), Authority::new(), Authority::new());
    folder.write("clients.pem", clients.pem());
    write_pair(&folder, "a", &authority.issue(&["shop.example"]));
    let configuration = format!(
        "plugin.naming.source = '{}'\n[[route]]\nmatch = '/'\nrespond = {{}}\n\
         filters = [{{ use = 'naming', settings = {{ act = 'name-the-client' }} }}]\n",
        misbehaving()
    );
    let tls = "client = { roots = 'clients.pem', mode = 'optional' }";
    let secured = Secured::start_in(folder, authority, tls, &configuration).await;
    let address = secured.gateway.secure_address();

    let known = TlsClient::showing(&secured.authority, &alice(&clients))
        .get(address, "shop.example", "/")
        .await;
    let unknown = TlsClient::trusting(&secured.authority)
        .get(address, "shop.example", "/")
        .await;

    let known = known.unwrap().0;
    assert!(known.contains("CN=alice") && known.contains("alice.example"), "{known}");
    assert!(unknown.unwrap().0.ends_with("nobody"));
}
