//! Discovery that is asked over TLS, and targets that are found and reached over TLS.

use portcullis_tests::{Authority, Consul, Folder, Gateway, Kubernetes, Upstream, endpoint, eventually};
use serde_json::json;

use super::{Services, answered_by, discovering, updates};

const LOCAL: &[&str] = &["localhost", "127.0.0.1"];
const TOKEN: &str = "s3cret-token";

/// A gateway with this configuration, which trusts `ca.pem` where that is named.
async fn trusting(authority: &Authority, configuration: String) -> Gateway {
    let folder = Folder::new();
    folder.write("ca.pem", authority.pem());
    Gateway::start_in(folder, configuration, &[]).await
}

#[tokio::test]
async fn consul_is_asked_over_tls() {
    let (authority, service) = (Authority::new(), Upstream::answering("a").await);
    let agent = Consul::knowing_over_tls("orders", authority.issue(LOCAL).server()).await;
    agent.require(TOKEN);
    agent.register(&[&service]);
    let asking = |more: &str| discovering(&format!("{{ from = 'consul:orders', address = '{agent}'{more} }}"));

    let gateway = trusting(&authority, asking(&format!(", token = '{TOKEN}', ca = 'ca.pem'"))).await;
    answered_by(&gateway, &["a"]).await;
    drop(gateway);

    let (queries, stranger) = (agent.queries(), Authority::new());
    let gateway = trusting(&stranger, asking(&format!(", token = '{TOKEN}', ca = 'ca.pem'"))).await;
    eventually("it is not trusted", async || updates(&gateway, "failed").await >= 1.0).await;
    assert_eq!(agent.queries(), queries, "the token is shown to nobody else");
    gateway.log_line(&["discovery fails", "certificate"]).await;
}

#[tokio::test]
async fn kubernetes_is_asked_over_tls() {
    let (authority, services) = (Authority::new(), Services::at(&["127.0.0.1"]).await);
    let cluster = Kubernetes::start_over_tls("shop", TOKEN, authority.issue(LOCAL).server()).await;
    let endpoints = json!([endpoint("127.0.0.1", true)]);
    cluster.apply("orders-a", "orders", &[("http", services.port)], endpoints);
    let asking = discovering(&format!(
        "{{ from = 'kubernetes:shop/orders:http', server = '{cluster}', token = '{TOKEN}', ca = 'ca.pem' }}"
    ));

    let gateway = trusting(&authority, asking.clone()).await;
    answered_by(&gateway, &["127.0.0.1"]).await;
    drop(gateway);

    let (requests, stranger) = (cluster.requests(), Authority::new());
    let gateway = trusting(&stranger, asking).await;
    eventually("it is not trusted", async || updates(&gateway, "failed").await >= 1.0).await;
    assert_eq!(cluster.requests(), requests, "the token is shown to nobody else");
}

#[tokio::test]
async fn targets_that_are_found_are_reached_over_tls() {
    let authority = Authority::new();
    for (names, server_name) in [
        (LOCAL, ""),
        (&["orders.internal"][..], ", server_name = 'orders.internal'"),
    ] {
        let upstream = Upstream::secure_echo(authority.issue(names).server()).await;
        let agent = Consul::knowing("orders").await;
        agent.register(&[&upstream]);
        let discovering = discovering(&format!(
            "{{ from = 'consul:orders', address = '{agent}' }}\ntls = {{ roots = 'ca.pem'{server_name} }}"
        ));

        let gateway = trusting(&authority, discovering).await;

        let seen = gateway.request("POST", "/a").body("hello").send().await.json();
        assert_eq!(seen["body"], "hello");
        let expected = (!server_name.is_empty()).then(|| "orders.internal".to_owned());
        assert_eq!(upstream.server_name(), expected);
    }
}

#[tokio::test]
async fn a_target_that_is_found_and_cannot_be_trusted_is_upstream_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let upstream = Upstream::secure_echo(stranger.issue(LOCAL).server()).await;
    let agent = Consul::knowing("orders").await;
    agent.register(&[&upstream]);
    let discovering = discovering(&format!(
        "{{ from = 'consul:orders', address = '{agent}' }}\ntls = {{ roots = 'ca.pem' }}"
    ));

    let gateway = trusting(&authority, discovering).await;

    let response = gateway.get("/").await;
    assert_eq!((response.status(), response.code().as_str()), (502, "upstream-tls"));
}
