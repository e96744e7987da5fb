//! `discover = "consul:orders"`.

use std::time::{Duration, Instant};

use portcullis_tests::{Consul, Gateway, Instance, Upstream, eventually};

use super::{answered_by, discovering, updates};

fn consul(agent: &Consul, more: &str) -> String {
    discovering(&format!("{{ from = 'consul:orders', address = '{agent}'{more} }}"))
}

fn instance(upstream: &Upstream, passing: bool, tags: &[&'static str]) -> Instance {
    Instance {
        address: upstream.address(),
        passing,
        tags: tags.to_vec(),
    }
}

#[tokio::test]
async fn changes_are_heard_of_at_once() {
    let (a, b) = (Upstream::answering("a").await, Upstream::answering("b").await);
    let agent = Consul::knowing("orders").await;
    agent.register(&[&a]);
    let gateway = Gateway::start(consul(&agent, "")).await;
    answered_by(&gateway, &["a"]).await;

    agent.register(&[&a, &b]);
    answered_by(&gateway, &["a", "b"]).await;
    agent.register(&[&b]);
    answered_by(&gateway, &["b"]).await;

    assert!(agent.last_query().contains("&index="), "{}", agent.last_query());
    assert!(
        agent.queries() <= 5,
        "{} queries: it waits for changes",
        agent.queries()
    );
    assert_eq!(gateway.metric("portcullis_upstream_targets", &[]).await, 1.0);
}

#[tokio::test]
async fn only_what_passes_and_has_the_tags_is_a_target() {
    let (a, b, c) = (
        Upstream::answering("a").await,
        Upstream::answering("b").await,
        Upstream::answering("c").await,
    );
    let agent = Consul::knowing("orders").await;
    agent.know(vec![
        instance(&a, true, &["v2", "eu"]),
        instance(&b, false, &["v2", "eu"]),
        instance(&c, true, &["v1", "eu"]),
    ]);

    let gateway = Gateway::start(consul(&agent, ", tag = ['v2', 'eu'], datacenter = 'dc2'")).await;

    answered_by(&gateway, &["a"]).await;
    assert!(agent.last_query().contains("&dc=dc2"));
    agent.know(vec![
        instance(&a, false, &["v2", "eu"]),
        instance(&b, true, &["v2", "eu"]),
    ]);
    answered_by(&gateway, &["b"]).await;
}

#[tokio::test]
async fn the_token_is_sent_and_never_shown() {
    let a = Upstream::answering("a").await;
    let agent = Consul::knowing("orders").await;
    agent.register(&[&a]);
    agent.require("s3cret-token");

    let gateway = Gateway::start(consul(&agent, ", token = 's3cret-token'")).await;
    answered_by(&gateway, &["a"]).await;
    agent.require("another");
    let line = gateway.log_line(&["discovery fails", "403"]).await;

    assert!(line.contains("this token"), "{line}");
    answered_by(&gateway, &["a"]).await;
    let shown = gateway.log() + &gateway.admin("/metrics").await.text();
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn the_last_instances_are_kept_while_consul_fails() {
    let (a, b) = (Upstream::answering("a").await, Upstream::answering("b").await);
    let agent = Consul::knowing("orders").await;
    agent.register(&[&a]);
    let gateway = Gateway::start(consul(&agent, ", grace = '0s'")).await;
    answered_by(&gateway, &["a"]).await;

    agent.fail(true);
    eventually("two queries are in vain", async || {
        updates(&gateway, "failed").await >= 2.0
    })
    .await;
    answered_by(&gateway, &["a"]).await;
    gateway.log_line(&["discovery fails", "No cluster leader"]).await;
    agent.register(&[&b]);
    agent.fail(false);

    answered_by(&gateway, &["b"]).await;
    gateway.log_line(&["discovery works again"]).await;
}

#[tokio::test]
async fn a_history_that_begins_anew_is_followed() {
    let (a, b) = (Upstream::answering("a").await, Upstream::answering("b").await);
    let agent = Consul::knowing("orders").await;
    agent.register(&[&a]);
    let gateway = Gateway::start(consul(&agent, "")).await;
    answered_by(&gateway, &["a"]).await;

    agent.forget_history();
    agent.register(&[&b]);

    answered_by(&gateway, &["b"]).await;
    agent.register(&[&a, &b]);
    answered_by(&gateway, &["a", "b"]).await;
}

#[tokio::test]
async fn a_service_without_instances_has_its_grace_and_flapping_costs_nothing() {
    let a = Upstream::answering("a").await;
    let agent = Consul::knowing("orders").await;
    agent.register(&[&a]);
    let gateway = Gateway::start(consul(&agent, ", grace = '3s'")).await;
    answered_by(&gateway, &["a"]).await;

    for _ in 0..5 {
        for upstreams in [&[][..], &[&a]] {
            agent.register(upstreams);
            assert_eq!(gateway.get("/").await.status(), 200);
        }
    }
    agent.register(&[]);
    eventually("nothing is found", async || updates(&gateway, "empty").await >= 1.0).await;
    assert_eq!(gateway.get("/").await.status(), 200);
    answered_by(&gateway, &["503 no-target"]).await;
    agent.register(&[&a]);
    answered_by(&gateway, &["a"]).await;
}

#[tokio::test]
async fn no_request_waits_for_an_agent_that_never_answers() {
    let silent = Upstream::full().await;
    let configuration = discovering(&format!(
        "{{ from = 'consul:orders', address = 'http://{}' }}",
        silent.address()
    ));
    let gateway = Gateway::start_unready(configuration).await;

    let begin = Instant::now();
    assert_eq!(gateway.get("/").await.code(), "no-target");

    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(gateway.admin("/ready").await.status(), 503);
    gateway.log_line(&["discovery fails", "does not answer in time"]).await;
}

#[tokio::test]
async fn how_soon_it_is_asked_again_can_be_said() {
    let agent = Consul::knowing("orders").await;
    agent.fail(true);
    let begin = Instant::now();
    let gateway = Gateway::start_unready(consul(&agent, ", backoff = '50ms', longest_backoff = '100ms'")).await;

    eventually("it was asked often", async || updates(&gateway, "failed").await >= 8.0).await;

    let took = begin.elapsed();
    assert!(took < Duration::from_secs(20), "by default it takes a minute: {took:?}");
}
