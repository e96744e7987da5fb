//! Certificates by ACME: obtained, kept, renewed, and what happens when that fails. The authority is a real one, pebble.

use std::os::unix::fs::PermissionsExt;

use portcullis_tests::{Authority, Gateway, Pebble, Process, Request, Upstream, eventually};
use serde_json::json;

const HELLO: &str = "[[route]]\nmatch = '/'\nrespond = { body = 'hello' }\n";
const SHOP: &str = "domains = 'shop.internal'";

/// Waits until clients are shown a certificate for a host that they trust.
async fn obtained(pebble: &Pebble, host: &str) {
    eventually("the certificate is obtained", async || {
        pebble.shown(host).await.is_some()
    })
    .await;
}

async fn orders(gateway: &Gateway, result: &str) -> f64 {
    gateway
        .metric("portcullis_acme_orders_total", &[("result", result)])
        .await
}

#[tokio::test]
async fn a_certificate_is_obtained_within_tls() {
    let Some(pebble) = Pebble::start(&["shop.internal", "www.shop.internal"]).await else {
        return;
    };
    let acme = "domains = ['shop.internal', 'WWW.shop.internal']\ncontact = 'ops@shop.internal'";
    let gateway = Gateway::start(pebble.configuration(acme, HELLO)).await;

    obtained(&pebble, "shop.internal").await;

    let client = pebble.client().await;
    for host in ["shop.internal", "www.shop.internal"] {
        let (answer, _) = client.get(pebble.https(), host, "/").await.expect("an answer");
        assert!(answer.ends_with("hello"), "{answer}");
    }
    assert_eq!(
        (orders(&gateway, "ok").await, orders(&gateway, "failed").await),
        (1.0, 0.0)
    );
    let labels = [("certificate", "shop.internal"), ("listener", "edge")];
    let now = std::time::UNIX_EPOCH.elapsed().expect("a date").as_secs_f64();
    eventually("the metric says when it ends", async || {
        gateway
            .metric("portcullis_certificate_not_after_seconds", &labels)
            .await
            > now
    })
    .await;
    // Only the question itself was answered so, and nobody else gets the certificate that answered it.
    assert!(gateway.access_log().iter().all(|line| line["path"] == "/"));
}

#[tokio::test]
async fn a_certificate_is_obtained_over_plain_http_before_the_redirect() {
    let Some(pebble) = Pebble::start(&["shop.internal"]).await else {
        return;
    };
    let acme = format!("{SHOP}\nchallenge = 'http-01'");
    let gateway = Gateway::start(pebble.configuration(&acme, HELLO)).await;

    obtained(&pebble, "shop.internal").await;

    let asked = gateway.logged(|line| line["route"] == "acme-challenge").await;
    assert_eq!(
        (&asked["status"], &asked["outcome"]),
        (&json!(200), &json!("responded"))
    );
    let path = asked["path"].as_str().expect("a path");
    assert!(path.starts_with("/.well-known/acme-challenge/"), "{path}");
    // The order has ended, and so has its answer; the rest was redirected all the time.
    for path in [path, "/"] {
        assert_eq!(Request::to(pebble.http(), "GET", path).send().await.status(), 308);
    }
}

#[tokio::test]
async fn clients_are_refused_until_there_is_a_certificate_and_the_gateway_is_ready_meanwhile() {
    let Some(pebble) = Pebble::new(&["shop.internal"]).await else {
        return;
    };
    // Nobody is at the authority's address.
    let gateway = Gateway::start(pebble.configuration(SHOP, HELLO)).await;
    gateway
        .log_line(&["no certificate was obtained", "shop.internal", "none is there"])
        .await;
    assert_eq!(gateway.admin("/ready").await.status(), 200);
    let client = portcullis_tests::TlsClient::trusting(&Authority::new());
    let refused = client.connect(pebble.https(), "shop.internal").await.unwrap_err();
    assert!(refused.to_string().contains("alert"), "{refused}");

    pebble.run().await;

    obtained(&pebble, "shop.internal").await;
    assert!(orders(&gateway, "failed").await >= 1.0);
}

#[tokio::test]
async fn what_is_kept_is_shown_after_a_restart_and_its_owner_alone_may_read_it() {
    let Some(pebble) = Pebble::start(&["shop.internal"]).await else {
        return;
    };
    let configuration = pebble.configuration(SHOP, HELLO);
    let gateway = Gateway::start(&configuration).await;
    obtained(&pebble, "shop.internal").await;
    let before = pebble.shown("shop.internal").await;
    assert_eq!(gateway.stop().await, 0);

    let again = Gateway::start(&configuration).await;

    assert_eq!(pebble.shown("shop.internal").await, before);
    assert_eq!((orders(&again, "ok").await, orders(&again, "failed").await), (0.0, 0.0));
    assert_eq!((pebble.orders(), pebble.accounts()), (1, 1));
    let files = pebble.stored();
    assert_eq!(files.len(), 3, "account, certificate and lock: {files:?}");
    for file in files {
        let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    // Not even the log of an order has said anything of them.
    let log = format!("{}{}", gateway.log(), again.log());
    assert!(!log.contains("PRIVATE KEY") && !log.contains("key_pkcs8"), "{log}");
}

#[tokio::test]
async fn a_certificate_is_replaced_before_it_ends_while_connections_live_on() {
    let Some(pebble) = Pebble::new(&["shop.internal"]).await else {
        return;
    };
    pebble.set("certificateValidityPeriod", json!(6));
    pebble.run().await;
    let acme = format!("{SHOP}\nrenew_after = '40%'");
    let gateway = Gateway::start(pebble.configuration(&acme, HELLO)).await;
    obtained(&pebble, "shop.internal").await;
    let first = pebble.shown("shop.internal").await;
    let mut kept = pebble.client().await.http1(pebble.https(), "shop.internal").await;

    eventually("it is replaced", async || {
        // A client that trusts it at any time: there is never a gap.
        let shown = pebble.shown("shop.internal").await;
        assert!(shown.is_some(), "it has ended");
        shown != first
    })
    .await;

    assert_eq!(kept.get("/").await.text(), "hello");
    assert_eq!(orders(&gateway, "failed").await, 0.0);
    assert_eq!(pebble.accounts(), 1);
}

#[tokio::test]
async fn an_order_that_is_refused_is_tried_again_ever_later() {
    let Some(pebble) = Pebble::new(&["shop.internal"]).await else {
        return;
    };
    pebble.set("domainBlocklist", json!(["shop.internal"]));
    pebble.run().await;
    let gateway = Gateway::start(pebble.configuration(SHOP, HELLO)).await;

    let line = gateway.log_line(&["no certificate was obtained"]).await;
    assert!(
        line.contains("rejectedIdentifier") && line.contains("next_try"),
        "{line}"
    );
    eventually("it is tried again", async || orders(&gateway, "failed").await >= 4.0).await;
    // Four pauses of 100, 200, 400 and 500 ms, of which a half is taken at least.
    assert!(pebble.orders() <= 6, "{}", pebble.log());
}

#[tokio::test]
async fn a_restart_keeps_to_the_pause_and_other_settings_end_it() {
    let Some(pebble) = Pebble::new(&["shop.internal"]).await else {
        return;
    };
    pebble.set("domainBlocklist", json!(["shop.internal"]));
    pebble.run().await;
    let acme = format!("{SHOP}\nretry = {{ first = '10m', longest = '10m' }}");
    let gateway = Gateway::start(pebble.configuration(&acme, HELLO)).await;
    gateway.log_line(&["no certificate was obtained"]).await;
    assert_eq!(gateway.stop().await, 0);
    let before = pebble.orders();

    let gateway = Gateway::start(pebble.configuration(&acme, HELLO)).await;
    gateway.log_line(&["the last order has failed", "shop.internal"]).await;
    assert_eq!((pebble.orders(), orders(&gateway, "failed").await), (before, 0.0));
    let other = format!("{acme}\ncontact = 'ops@shop.internal'");
    gateway.reload_with(pebble.configuration(&other, HELLO)).await;

    gateway.log_line(&["no certificate was obtained"]).await;
    assert!(pebble.orders() > before);
}

#[tokio::test]
async fn what_the_authority_saw_instead_of_the_answer_is_in_the_log() {
    // The name leads nowhere: its challenge fails.
    let Some(pebble) = Pebble::start(&["shop.internal"]).await else {
        return;
    };
    let gateway = Gateway::start(pebble.configuration("domains = 'lost.internal'", HELLO)).await;

    let line = gateway.log_line(&["no certificate was obtained"]).await;

    assert!(
        line.contains("lost.internal: ") && line.contains("urn:ietf:params:acme:error:"),
        "{line}"
    );
}

#[tokio::test]
async fn an_authority_that_is_not_who_it_should_be_gets_no_order() {
    let Some(pebble) = Pebble::start(&["shop.internal"]).await else {
        return;
    };
    let folder = portcullis_tests::Folder::new();
    folder.write("other.pem", Authority::new().pem());
    let acme = format!("{SHOP}\nroots = 'other.pem'");

    let gateway = Gateway::start_in(folder, pebble.configuration(&acme, HELLO), &[]).await;

    let line = gateway.log_line(&["no certificate was obtained"]).await;
    assert!(line.contains("invalid peer certificate"), "{line}");
    assert_eq!((pebble.accounts(), pebble.orders()), (0, 0));
}

#[tokio::test]
async fn an_account_that_the_authority_has_forgotten_is_made_anew() {
    let Some(pebble) = Pebble::start(&["shop.internal", "www.shop.internal"]).await else {
        return;
    };
    let gateway = Gateway::start(pebble.configuration(SHOP, HELLO)).await;
    obtained(&pebble, "shop.internal").await;

    pebble.run().await;
    gateway
        .reload_with(pebble.configuration("domains = 'www.shop.internal'", HELLO))
        .await;

    obtained(&pebble, "www.shop.internal").await;
    assert_eq!(pebble.accounts(), 1, "since it was started again");
}

#[tokio::test]
async fn a_reload_goes_on_with_what_there_is_and_obtains_what_is_new() {
    let Some(pebble) = Pebble::start(&["shop.internal", "api.internal"]).await else {
        return;
    };
    let gateway = Gateway::start(pebble.configuration(SHOP, HELLO)).await;
    obtained(&pebble, "shop.internal").await;
    let before = pebble.shown("shop.internal").await;

    let other = format!("{SHOP}\nrenew_after = '50%'");
    gateway.reload_with(pebble.configuration(&other, HELLO)).await;
    assert_eq!(pebble.shown("shop.internal").await, before);
    gateway
        .reload_with(pebble.configuration("domains = ['api.internal', 'shop.internal']", HELLO))
        .await;

    obtained(&pebble, "api.internal").await;
    assert_eq!(pebble.orders(), 2);
}

#[tokio::test]
async fn a_domain_that_is_added_leaves_the_others_their_certificate_until_there_is_one_for_all() {
    let Some(pebble) = Pebble::start(&["shop.internal", "www.shop.internal"]).await else {
        return;
    };
    let gateway = Gateway::start(pebble.configuration(SHOP, HELLO)).await;
    obtained(&pebble, "shop.internal").await;
    let before = pebble.shown("shop.internal").await;

    // Nothing leads to `lost.internal`: there will be no certificate for all of them.
    let more = pebble.configuration("domains = ['lost.internal', 'shop.internal']", HELLO);
    gateway.reload_with(&more).await;
    assert_eq!(pebble.shown("shop.internal").await, before);
    gateway
        .log_line(&["no certificate was obtained", "lost.internal"])
        .await;
    assert_eq!(pebble.shown("shop.internal").await, before);
    assert!(pebble.shown("lost.internal").await.is_none());
    assert_eq!(gateway.stop().await, 0);
    let gateway = Gateway::start(&more).await;
    assert_eq!(
        pebble.shown("shop.internal").await,
        before,
        "a restart knows it from the store"
    );

    gateway
        .reload_with(pebble.configuration("domains = ['shop.internal', 'www.shop.internal']", HELLO))
        .await;

    assert!(pebble.shown("shop.internal").await.is_some());
    obtained(&pebble, "www.shop.internal").await;
    eventually("one certificate is for both", async || {
        pebble.shown("www.shop.internal").await == pebble.shown("shop.internal").await
    })
    .await;
}

#[tokio::test]
async fn an_account_is_bound_to_one_that_is_there_already() {
    let Some(pebble) = Pebble::new(&["shop.internal", "www.shop.internal"]).await else {
        return;
    };
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    pebble.set("externalAccountBindingRequired", json!(true));
    pebble.set("externalAccountMACKeys", json!({ "kid-1": key, "kid-2": key }));
    pebble.run().await;
    let bound = format!("{SHOP}\nexternal_account = {{ key_id = 'kid-1', key = '${{env:EAB_KEY}}' }}");
    let start = async |key: &str| {
        let folder = portcullis_tests::Folder::new();
        Gateway::start_in(folder, pebble.configuration(&bound, HELLO), &[("EAB_KEY", key)]).await
    };

    let refused = start("b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH").await;
    refused.log_line(&["no certificate was obtained"]).await;
    assert_eq!(pebble.orders(), 0);
    drop(refused);
    let gateway = start(key).await;

    obtained(&pebble, "shop.internal").await;
    let accounts = pebble.accounts();
    let other = bound
        .replace("kid-1", "kid-2")
        .replace("shop.internal", "www.shop.internal");
    gateway.reload_with(pebble.configuration(&other, HELLO)).await;
    obtained(&pebble, "www.shop.internal").await;
    assert_eq!(
        pebble.accounts(),
        accounts + 1,
        "another external account is another account"
    );
    assert!(!gateway.log().contains(key));
}

#[tokio::test]
async fn an_authority_is_told_another_contact_with_the_next_order() {
    let Some(pebble) = Pebble::start(&["shop.internal", "www.shop.internal"]).await else {
        return;
    };
    let configuration = |domain, contact| {
        let acme = format!("domains = '{domain}'\ncontact = '{contact}'");
        pebble.configuration(&acme, HELLO)
    };
    let gateway = Gateway::start(configuration("shop.internal", "ops@shop.internal")).await;
    obtained(&pebble, "shop.internal").await;
    let told = || pebble.log().matches("POST /my-account/").count();
    assert_eq!(told(), 0);

    gateway
        .reload_with(configuration("www.shop.internal", "web@shop.internal"))
        .await;
    obtained(&pebble, "www.shop.internal").await;

    assert_eq!((told(), pebble.accounts()), (1, 1));
    gateway.log_line(&["was told another contact"]).await;
}

#[tokio::test]
async fn an_order_whose_certificate_did_not_come_is_gone_on_with() {
    let Some(pebble) = Pebble::start(&["shop.internal"]).await else {
        return;
    };
    let configuration = pebble.configuration(SHOP, HELLO);
    let gateway = Gateway::start(&configuration).await;
    let stored = |extension: &str| {
        let mut files = pebble.stored().into_iter();
        files.find(|file| file.extension().is_some_and(|own| own == extension))
    };
    // It is there from before the certificate is asked for until it has come.
    let mut order = None;
    eventually("the order is kept", async || {
        order = stored("order").and_then(|file| Some((std::fs::read(&file).ok()?, file)));
        order.is_some()
    })
    .await;
    let (bytes, file) = order.expect("an order");
    obtained(&pebble, "shop.internal").await;
    assert_eq!(gateway.stop().await, 0);
    assert_eq!(stored("order"), None);

    // As if the gateway had ended before.
    std::fs::write(file, bytes).expect("a file");
    std::fs::remove_file(stored("pem").expect("a certificate")).expect("a file");
    let again = Gateway::start(&configuration).await;

    obtained(&pebble, "shop.internal").await;
    again.log_line(&["going on with an order of before"]).await;
    assert_eq!((pebble.orders(), orders(&again, "ok").await), (1, 1.0));
    assert_eq!(stored("order"), None);
}

#[tokio::test]
async fn clients_that_must_show_a_certificate_do_not_keep_the_authority_out() {
    let Some(pebble) = Pebble::start(&["shop.internal"]).await else {
        return;
    };
    let folder = portcullis_tests::Folder::new();
    folder.write("clients.pem", Authority::new().pem());
    let acme = format!("{SHOP}\n[listener.tls]\nclient = {{ roots = 'clients.pem' }}");
    let gateway = Gateway::start_in(folder, pebble.configuration(&acme, HELLO), &[]).await;

    eventually("the certificate is obtained", async || {
        orders(&gateway, "ok").await == 1.0
    })
    .await;

    // A client without one is still refused.
    let answer = pebble.client().await.get(pebble.https(), "shop.internal", "/").await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn gateways_with_one_store_order_once() {
    let Some(pebble) = Pebble::start(&["shop.internal"]).await else {
        return;
    };
    let first = Gateway::start(pebble.configuration(SHOP, HELLO)).await;
    // The second listens elsewhere, as on another machine.
    let moved = pebble
        .configuration(SHOP, HELLO)
        .replace(&pebble.https().to_string(), "127.0.0.1:0");
    let second = Gateway::start(moved.replace(&pebble.http().to_string(), "127.0.0.1:0")).await;

    obtained(&pebble, "shop.internal").await;

    let client = pebble.client().await;
    eventually("both have it", async || {
        client.get(second.secure_address(), "shop.internal", "/").await.is_ok()
    })
    .await;
    assert_eq!(orders(&first, "ok").await + orders(&second, "ok").await, 1.0);
    assert_eq!((pebble.orders(), pebble.accounts()), (1, 1));
}

#[tokio::test]
async fn a_store_that_cannot_be_written_to_is_refused_at_the_start_with_its_place() {
    let folder = portcullis_tests::Folder::new();
    folder.write("a-file", "");
    let text = format!(
        "{HELLO}[[listener]]\naddress = '127.0.0.1:0'\n[listener.tls.acme]\n{SHOP}\naccept_terms = true\n\
         store = '{}'\n",
        folder.path().join("a-file").display()
    );

    let said = Gateway::refused(&text).await;

    assert!(said.contains("certificates cannot be kept in this folder"), "{said}");
    assert!(
        said.contains("store = '") && said.contains("portcullis.toml:"),
        "{said}"
    );
    // `check` makes no folders, so it does not know.
    assert_eq!(Gateway::checked(&text).code, 0);
}

#[tokio::test]
async fn who_takes_over_orders_once_the_other_gateway_has_let_go() {
    // Nobody is at the authority's address: an order fails as soon as it is begun, and says so.
    let Some(pebble) = Pebble::new(&["shop.internal"]).await else {
        return;
    };
    let server = format!("{HELLO}[server]\nhandover = 'handover.sock'\n");
    // An upstream that nobody knows to be well or not: who takes over is not ready for a second.
    let upstream = Upstream::raw(async |_| std::future::pending().await).await;
    let undecided = format!(
        "{server}timeouts.ready = '1s'\n[upstream.undecided]\ntargets = ['{upstream}']\n\
         health = {{ path = '/', every = '60s', timeout = '60s' }}\n[[route]]\nmatch = '/undecided'\nto = 'undecided'\n"
    );
    let folder = portcullis_tests::Folder::new();
    let slow = folder.write(
        "slow.toml",
        format!("version = 1\n{}", pebble.configuration(SHOP, &undecided)),
    );
    let _first = Gateway::start_in(folder, pebble.configuration(SHOP, &server), &[]).await;

    let parent = slow.parent().expect("a folder");
    let second = Process::start(["run".as_ref(), "-c".as_ref(), slow.as_os_str()], &[], parent);

    let at = |words: &str| second.stderr().iter().position(|line| line.contains(words));
    eventually("it orders", async || at("no certificate was obtained").is_some()).await;
    let ready = second.stderr().iter().position(|line| line.ends_with(" ready"));
    assert!(
        ready.is_some() && ready < at("no certificate was obtained"),
        "{}",
        second.stderr().join("\n")
    );
}
