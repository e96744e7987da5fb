//! `discover = "dns:users.internal:8080"`, against dnsmasq.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_tests::{DnsServer, Gateway, Upstream, eventually, full};
use tokio::sync::Notify;

use super::{Services, answered_by, discovering, updates};

const TWO: &str = "127.0.0.1 users.internal\n127.0.0.2 users.internal\n";
const ONE: &str = "127.0.0.1 users.internal\n";

/// Discovery of `users.internal` by this server. dnsmasq's TTL of 0 counts as a second.
fn dns(server: &DnsServer, port: u16, more: &str) -> String {
    discovering(&format!(
        "{{ from = 'dns:users.internal:{port}', resolver = '{server}'{more} }}"
    ))
}

#[tokio::test]
async fn every_address_of_a_name_is_a_target() {
    let services = Services::at(&["127.0.0.1", "127.0.0.2", "::1"]).await;
    let hosts = format!("{TWO}::1 users.internal\n127.0.0.9 other.internal\n");
    let Some(server) = DnsServer::start(&hosts, &[]).await else {
        return;
    };

    let gateway = Gateway::start(dns(&server, services.port, "")).await;

    answered_by(&gateway, &["127.0.0.1", "127.0.0.2", "::1"]).await;
    let targets = gateway
        .metric("portcullis_upstream_targets", &[("upstream", "users")])
        .await;
    assert_eq!(targets, 3.0);
    assert!(updates(&gateway, "ok").await >= 1.0);
}

#[tokio::test]
async fn a_changed_answer_is_taken_and_what_is_gone_is_forgotten() {
    let services = Services::at(&["127.0.0.1", "127.0.0.2"]).await;
    let Some(server) = DnsServer::start(ONE, &[]).await else {
        return;
    };
    let gateway = Gateway::start(dns(&server, services.port, "")).await;
    answered_by(&gateway, &["127.0.0.1"]).await;

    server.know(TWO);
    answered_by(&gateway, &["127.0.0.1", "127.0.0.2"]).await;
    server.know("127.0.0.2 users.internal\n");
    answered_by(&gateway, &["127.0.0.2"]).await;

    let metrics = gateway.admin("/metrics").await.text();
    assert!(!metrics.contains("target=\"127.0.0.1:"), "{metrics}");
    gateway.log_line(&["targets discovered", "added=0", "removed=1"]).await;
}

#[tokio::test]
async fn a_removed_target_ends_what_it_has_begun() {
    let release = Arc::new(Notify::new());
    let released = release.clone();
    let slow = Upstream::with(move |_| {
        let released = released.clone();
        async move {
            released.notified().await;
            http::Response::new(full("from the removed one"))
        }
    })
    .await;
    let other = Upstream::answering_at(([127, 0, 0, 2], slow.address().port()).into(), "from the other").await;
    let Some(server) = DnsServer::start(ONE, &[]).await else {
        return;
    };
    let gateway = Gateway::start(dns(&server, slow.address().port(), "")).await;
    let waiting = tokio::spawn(gateway.request("GET", "/").send());
    eventually("it works on the request", async || slow.in_flight() == 1).await;

    server.know("127.0.0.2 users.internal\n");
    gateway.log_line(&["targets discovered", "added=1", "removed=1"]).await;
    answered_by(&gateway, &["from the other"]).await;
    release.notify_one();

    let response = waiting.await.expect("no panic");
    assert_eq!(
        (response.status(), response.text().as_str()),
        (200, "from the removed one")
    );
    assert_eq!(slow.requests(), 1);
    assert!(other.requests() > 0);
}

#[tokio::test]
async fn a_name_is_asked_for_again_when_its_ttl_is_over() {
    let services = Services::at(&["127.0.0.1"]).await;
    let Some(server) = DnsServer::start(ONE, &["--local-ttl=3"]).await else {
        return;
    };
    let begin = Instant::now();

    let _gateway = Gateway::start(dns(&server, services.port, "")).await;
    eventually("it is asked a third time", async || {
        ["A", "AAAA"].map(|kind| server.questions(kind, "users.internal") >= 3) == [true; 2]
    })
    .await;

    assert!(begin.elapsed() >= Duration::from_secs(6), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn configuration_may_say_how_often_to_ask() {
    let services = Services::at(&["127.0.0.1", "127.0.0.2"]).await;
    let Some(server) = DnsServer::start(ONE, &["--local-ttl=3600"]).await else {
        return;
    };
    let gateway = Gateway::start(dns(&server, services.port, ", every = '200ms'")).await;

    server.know(TWO);

    answered_by(&gateway, &["127.0.0.1", "127.0.0.2"]).await;
}

#[tokio::test]
async fn the_last_targets_are_kept_while_the_server_is_down() {
    let services = Services::at(&["127.0.0.1", "127.0.0.2"]).await;
    let Some(server) = DnsServer::start(ONE, &[]).await else {
        return;
    };
    let gateway = Gateway::start(dns(&server, services.port, "")).await;

    server.stop();
    eventually("two questions are in vain", async || {
        updates(&gateway, "failed").await >= 2.0
    })
    .await;
    answered_by(&gateway, &["127.0.0.1"]).await;
    server.know_later(TWO);
    server.restart(&[]).await;

    answered_by(&gateway, &["127.0.0.1", "127.0.0.2"]).await;
    gateway.log_line(&["discovery works again"]).await;
    assert_eq!(gateway.log().matches("discovery fails").count(), 1, "it is said once");
}

#[tokio::test]
async fn a_name_that_is_gone_is_believed_after_a_while() {
    let services = Services::at(&["127.0.0.1"]).await;
    let Some(server) = DnsServer::start(ONE, &[]).await else {
        return;
    };
    let gateway = Gateway::start(dns(&server, services.port, ", every = '100ms', grace = '2s'")).await;

    let begin = Instant::now();
    server.know("");
    eventually("the name is gone", async || updates(&gateway, "empty").await >= 2.0).await;
    assert_eq!(gateway.get("/").await.status(), 200, "for a while it may be a slip");
    answered_by(&gateway, &["503 no-target"]).await;

    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert_eq!(gateway.outcome("/").await, "ok");
    gateway.log_line(&["discovery still finds nothing"]).await;
    server.know(ONE);
    answered_by(&gateway, &["127.0.0.1"]).await;
    gateway.log_line(&["discovery finds something again"]).await;
}

#[tokio::test]
async fn without_grace_a_name_that_is_gone_is_gone() {
    let services = Services::at(&["127.0.0.1"]).await;
    let Some(server) = DnsServer::start(ONE, &[]).await else {
        return;
    };
    let gateway = Gateway::start(dns(&server, services.port, ", every = '100ms', grace = '0s'")).await;
    answered_by(&gateway, &["127.0.0.1"]).await;

    server.know("");

    answered_by(&gateway, &["503 no-target"]).await;
    assert!(gateway.log().contains("no targets are left"));
}

#[tokio::test]
async fn no_request_notices_a_name_that_comes_and_goes() {
    let services = Services::at(&["127.0.0.1", "127.0.0.2"]).await;
    let Some(server) = DnsServer::start(ONE, &[]).await else {
        return;
    };
    let gateway = Gateway::start(dns(&server, services.port, ", every = '100ms'")).await;

    for round in 0..12 {
        server.know(["", TWO, "", ONE][round % 4]);
        let asked = server.questions("A", "users.internal");
        eventually("it is asked", async || {
            server.questions("A", "users.internal") > asked + 1
        })
        .await;
        for _ in 0..10 {
            assert_eq!(gateway.get("/").await.status(), 200, "round {round}");
        }
    }

    assert!(updates(&gateway, "empty").await >= 3.0);
}

#[tokio::test]
async fn a_gateway_whose_server_is_down_starts_and_gets_ready_later() {
    let services = Services::at(&["127.0.0.1"]).await;
    let Some(server) = DnsServer::start(ONE, &[]).await else {
        return;
    };
    server.stop();

    let gateway = Gateway::start_unready(dns(&server, services.port, "")).await;

    gateway.log_line(&["waiting until it is known", "users"]).await;
    assert_eq!(gateway.admin("/ready").await.status(), 503);
    let refused = gateway.get("/").await;
    assert_eq!((refused.status(), refused.code().as_str()), (503, "no-target"));
    server.restart(&[]).await;
    eventually("it is ready", async || gateway.admin("/ready").await.status() == 200).await;
    answered_by(&gateway, &["127.0.0.1"]).await;
}

#[tokio::test]
async fn no_request_waits_for_a_server_that_never_answers() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let resolver = silent.local_addr().expect("an address");
    let gateway = Gateway::start_unready(discovering(&format!(
        "{{ from = 'dns:users.internal:80', resolver = '{resolver}' }}"
    )))
    .await;

    let begin = Instant::now();
    assert_eq!(gateway.get("/").await.code(), "no-target");

    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    gateway.log_line(&["serving all the same"]).await;
    eventually("it is ready at last", async || {
        gateway.admin("/ready").await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_reload_keeps_what_was_found() {
    let services = Services::at(&["127.0.0.1"]).await;
    let Some(server) = DnsServer::start(ONE, &[]).await else {
        return;
    };
    let configuration = dns(&server, services.port, "");
    let gateway = Gateway::start(&configuration).await;
    answered_by(&gateway, &["127.0.0.1"]).await;
    server.stop();

    gateway
        .reload_with(configuration.replace("[upstream.users]", "[upstream.users]\nretry = { tries = 5 }"))
        .await;

    assert_eq!(gateway.get("/").await.status(), 200);
    let also = configuration.replace(
        "[upstream.users]",
        "[upstream.also]\ntargets = 'http://127.0.0.1:9'\n[upstream.users]",
    );
    gateway.reload_with(also).await;
    assert_eq!(gateway.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_reload_waits_for_the_targets_of_a_new_upstream() {
    let services = Services::at(&["127.0.0.1"]).await;
    let Some(server) = DnsServer::start(ONE, &[]).await else {
        return;
    };
    let gateway = Gateway::start("[[route]]\nmatch = '/{rest...}'\nrespond = { body = 'old' }\n").await;

    gateway.write(dns(&server, services.port, ""));
    eventually("the new configuration answers", async || {
        let response = gateway.get("/").await;
        assert_eq!(response.status(), 200, "{}", response.text());
        response.text() != "old"
    })
    .await;
}

#[tokio::test]
async fn a_reload_waits_for_a_while_only_for_a_server_that_never_answers() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let resolver = silent.local_addr().expect("an address");
    let timeouts = "[server.timeouts]\nreload = '1s'\n";
    let gateway = Gateway::start(format!(
        "[[route]]\nmatch = '/{{rest...}}'\nrespond = {{ body = 'old' }}\n{timeouts}"
    ))
    .await;

    let discover = format!("{{ from = 'dns:users.internal:80', resolver = '{resolver}' }}");
    gateway.write(format!("{}{timeouts}", discovering(&discover)));

    gateway.log_line(&["it is not known yet", "users"]).await;
    eventually("the new configuration is used all the same", async || {
        let response = gateway.get("/").await;
        response.status() == 503 && response.code() == "no-target"
    })
    .await;
}
