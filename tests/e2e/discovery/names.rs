//! Targets that are listed by name: the name is resolved in the background.

use std::time::{Duration, Instant};

use portcullis_tests::{DnsServer, Gateway, eventually};

use super::{Services, answered_by, updates};

fn listing(target: &str, more: &str) -> String {
    format!("[upstream.users]\ntargets = '{target}'\n{more}\n[[route]]\nmatch = '/{{rest...}}'\nto = 'users'\n")
}

#[tokio::test]
async fn all_addresses_of_a_name_are_used_and_followed() {
    let services = Services::at(&["127.0.0.1", "127.0.0.2"]).await;
    let hosts = "127.0.0.1 users.internal\n127.0.0.2 users.internal\n127.0.0.3 users.internal\n";
    let Some(server) = DnsServer::start(hosts, &[]).await else {
        return;
    };
    let target = format!("http://users.internal:{}", services.port);
    let gateway = Gateway::start(listing(&target, &format!("resolver = '{server}'\nkeep = 0"))).await;

    // Nobody listens at 127.0.0.3, which costs nothing.
    answered_by(&gateway, &["127.0.0.1", "127.0.0.2"]).await;
    server.know("127.0.0.2 users.internal\n");
    answered_by(&gateway, &["127.0.0.2"]).await;
    server.stop();
    eventually("a question is in vain", async || {
        updates(&gateway, "failed").await >= 1.0
    })
    .await;

    answered_by(&gateway, &["127.0.0.2"]).await;
    let requests = gateway
        .metric("portcullis_upstream_requests", &[("result", "failed")])
        .await;
    assert_eq!(requests, 0.0);
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_keeps_the_gateway_unready_for_a_while() {
    let services = Services::at(&["127.0.0.1"]).await;
    let Some(server) = DnsServer::start("127.0.0.1 users.internal\n", &[]).await else {
        return;
    };
    server.stop();
    let target = format!("http://users.internal:{}", services.port);

    let gateway = Gateway::start_unready(listing(
        &target,
        &format!("resolver = '{server}'\neject = {{ after = 1 }}"),
    ))
    .await;

    gateway.log_line(&["waiting until it is known", "users"]).await;
    assert_eq!(gateway.admin("/ready").await.status(), 503);
    assert_eq!(gateway.get("/").await.code(), "upstream-connect");
    let ejections = gateway.metric("portcullis_upstream_ejections_total", &[]).await;
    assert_eq!(ejections, 0.0, "nobody has asked the target");
    server.restart(&[]).await;
    eventually("it is ready", async || gateway.admin("/ready").await.status() == 200).await;
    answered_by(&gateway, &["127.0.0.1"]).await;
}

#[tokio::test]
async fn how_long_a_gateway_waits_until_it_is_ready_can_be_said() {
    let Some(server) = DnsServer::start("127.0.0.1 users.internal\n", &[]).await else {
        return;
    };
    server.stop();

    let at_once = "[server.timeouts]\nready = '0s'";
    let listing = listing("http://users.internal:80", &format!("resolver = '{server}'"));
    let gateway = Gateway::start_unready(format!("{listing}{at_once}")).await;

    let begin = Instant::now();
    eventually("it is ready", async || gateway.admin("/ready").await.status() == 200).await;
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_names_of_this_machine_are_known() {
    let services = Services::at(&["127.0.0.1"]).await;

    let gateway = Gateway::start(listing(&format!("http://localhost:{}", services.port), "")).await;

    answered_by(&gateway, &["127.0.0.1"]).await;
}
