//! `discover = "dns-srv:_http._tcp.orders.internal"`, against dnsmasq.

use std::collections::BTreeMap;

use portcullis_tests::{DnsServer, Gateway, Upstream, eventually};

use super::{answered_by, discovering, updates};

const HOSTS: &str = "127.0.0.1 a.internal\n127.0.0.1 b.internal\n127.0.0.1 c.internal\n";

/// An SRV record, as dnsmasq's option.
fn record(host: &str, upstream: &Upstream, priority: u16, weight: u16) -> String {
    let port = upstream.address().port();
    format!("--srv-host=_http._tcp.orders.internal,{host}.internal,{port},{priority},{weight}")
}

fn srv(server: &DnsServer, more: &str) -> String {
    discovering(&format!(
        "{{ from = 'dns-srv:_http._tcp.orders.internal', resolver = '{server}'{more} }}"
    ))
}

#[tokio::test]
async fn records_say_host_port_and_weight() {
    let (a, b, c) = (
        Upstream::answering("a").await,
        Upstream::answering("b").await,
        Upstream::answering("c").await,
    );
    let records = [record("a", &a, 0, 30), record("b", &b, 0, 10), record("c", &c, 0, 0)];
    let Some(server) = DnsServer::start(HOSTS, &records.each_ref().map(String::as_str)).await else {
        return;
    };
    let configuration = srv(&server, "").replace("[upstream.users]", "[upstream.users]\nbalance = 'round-robin'");
    let gateway = Gateway::start(configuration).await;

    let mut counts = BTreeMap::new();
    for _ in 0..160 {
        *counts.entry(gateway.get("/").await.text()).or_insert(0) += 1;
    }

    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    assert!(
        (115..=125).contains(&count("a")) && (35..=45).contains(&count("b")),
        "{counts:?}"
    );
    assert!(count("c") <= 2, "a weight of 0 is next to nothing: {counts:?}");
    assert_eq!(gateway.metric("portcullis_upstream_targets", &[]).await, 3.0);
}

#[tokio::test]
async fn records_come_and_go_and_the_last_are_kept_on_errors() {
    let (a, b) = (Upstream::answering("a").await, Upstream::answering("b").await);
    let first = record("a", &a, 0, 1);
    let Some(server) = DnsServer::start(HOSTS, &[&first]).await else {
        return;
    };
    let gateway = Gateway::start(srv(&server, ", grace = '0s'")).await;
    answered_by(&gateway, &["a"]).await;

    server.restart(&[&first, &record("b", &b, 0, 1)]).await;
    answered_by(&gateway, &["a", "b"]).await;
    server.stop();
    let failed = updates(&gateway, "failed").await;
    eventually("a question is in vain", async || {
        updates(&gateway, "failed").await > failed
    })
    .await;
    answered_by(&gateway, &["a", "b"]).await;
    server.restart(&[]).await;

    answered_by(&gateway, &["503 no-target"]).await;
}

#[tokio::test]
async fn a_host_without_an_address_is_left_out() {
    let a = Upstream::answering("a").await;
    let records = [record("a", &a, 0, 1), record("nowhere", &a, 0, 1)];
    let Some(server) = DnsServer::start(HOSTS, &records.each_ref().map(String::as_str)).await else {
        return;
    };

    let gateway = Gateway::start(srv(&server, "")).await;

    answered_by(&gateway, &["a"]).await;
    assert_eq!(gateway.metric("portcullis_upstream_targets", &[]).await, 1.0);
}

#[tokio::test]
async fn a_gateway_whose_server_is_down_starts_and_gets_ready_later() {
    let a = Upstream::answering("a").await;
    let record = record("a", &a, 0, 1);
    let Some(server) = DnsServer::start(HOSTS, &[&record]).await else {
        return;
    };
    server.stop();

    let gateway = Gateway::start_unready(srv(&server, "")).await;

    gateway.log_line(&["waiting until it is known", "users"]).await;
    assert_eq!(gateway.admin("/ready").await.status(), 503);
    assert_eq!(gateway.get("/").await.code(), "no-target");
    server.restart(&[&record]).await;
    eventually("it is ready", async || gateway.admin("/ready").await.status() == 200).await;
    answered_by(&gateway, &["a"]).await;
}
