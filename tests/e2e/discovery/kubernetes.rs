//! `discover = "kubernetes:shop/orders:http"`.

use std::time::{Duration, Instant};

use portcullis_tests::{Gateway, Kubernetes, Upstream, endpoint, eventually};
use serde_json::json;

use super::{Services, answered_by, discovering, updates};

const TOKEN: &str = "s3cret-token";

async fn cluster() -> Kubernetes {
    Kubernetes::start("shop", TOKEN).await
}

fn kubernetes(cluster: &Kubernetes, port: &str, more: &str) -> String {
    discovering(&format!(
        "{{ from = 'kubernetes:shop/orders{port}', server = '{cluster}', token = '{TOKEN}'{more} }}"
    ))
}

#[tokio::test]
async fn slices_of_a_service_are_one_and_changes_are_heard_of_at_once() {
    let services = Services::at(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]).await;
    let (cluster, http) = (cluster().await, [("metrics", 9), ("http", services.port)]);
    cluster.apply(
        "orders-a",
        "orders",
        &http,
        json!([endpoint("127.0.0.1", true), endpoint("127.0.0.9", false)]),
    );
    cluster.apply("users-a", "users", &http, json!([endpoint("127.0.0.3", true)]));
    let gateway = Gateway::start(kubernetes(&cluster, ":http", "")).await;
    answered_by(&gateway, &["127.0.0.1"]).await;

    cluster.apply(
        "orders-b",
        "orders",
        &http,
        json!([endpoint("127.0.0.2", true), endpoint("127.0.0.1", true)]),
    );
    answered_by(&gateway, &["127.0.0.1", "127.0.0.2"]).await;
    assert_eq!(gateway.metric("portcullis_upstream_targets", &[]).await, 2.0);
    cluster.apply("orders-b", "orders", &http, json!([endpoint("127.0.0.2", false)]));
    answered_by(&gateway, &["127.0.0.1"]).await;
    cluster.apply("orders-b", "orders", &http, json!([endpoint("127.0.0.2", true)]));
    cluster.delete("orders-a");
    answered_by(&gateway, &["127.0.0.2"]).await;

    assert_eq!(cluster.requests(), (1, 1), "one list and one watch");
    assert!(!gateway.log().contains("s3cret"));
}

#[tokio::test]
async fn a_port_may_be_named_numbered_or_the_only_one() {
    let services = Services::at(&["127.0.0.1"]).await;
    let cluster = cluster().await;
    cluster.apply(
        "orders-a",
        "orders",
        &[("", services.port)],
        json!([{ "addresses": ["127.0.0.1"] }]),
    );
    for port in [String::new(), format!(":{}", services.port)] {
        let gateway = Gateway::start(kubernetes(&cluster, &port, "")).await;
        answered_by(&gateway, &["127.0.0.1"]).await;
    }

    let gateway = Gateway::start_unready(kubernetes(&cluster, ":grpc", "")).await;

    gateway
        .log_line(&["it has no such port, but unnamed", &services.port.to_string()])
        .await;
}

#[tokio::test]
async fn what_terminates_serves_only_where_nothing_else_does() {
    let services = Services::at(&["127.0.0.1", "127.0.0.2"]).await;
    let (cluster, http) = (cluster().await, [("http", services.port)]);
    let ending = |serving: bool| {
        let conditions = json!({ "ready": false, "serving": serving, "terminating": true });
        json!({ "addresses": ["127.0.0.2"], "conditions": conditions })
    };
    cluster.apply(
        "orders-a",
        "orders",
        &http,
        json!([endpoint("127.0.0.1", true), ending(true)]),
    );
    let gateway = Gateway::start(kubernetes(&cluster, ":http", ", grace = '0s'")).await;
    answered_by(&gateway, &["127.0.0.1"]).await;

    cluster.apply(
        "orders-a",
        "orders",
        &http,
        json!([endpoint("127.0.0.1", false), ending(true)]),
    );
    answered_by(&gateway, &["127.0.0.2"]).await;
    cluster.apply(
        "orders-a",
        "orders",
        &http,
        json!([endpoint("127.0.0.1", false), ending(false)]),
    );

    answered_by(&gateway, &["503 no-target"]).await;
}

#[tokio::test]
async fn the_watch_goes_on_where_it_was_or_anew_where_that_is_gone() {
    let services = Services::at(&["127.0.0.1", "127.0.0.2"]).await;
    let (cluster, http) = (cluster().await, [("http", services.port)]);
    cluster.apply("orders-a", "orders", &http, json!([endpoint("127.0.0.1", true)]));
    let gateway = Gateway::start(kubernetes(&cluster, ":http", "")).await;
    answered_by(&gateway, &["127.0.0.1"]).await;

    cluster.end_watches();
    cluster.apply("orders-b", "orders", &http, json!([endpoint("127.0.0.2", true)]));
    answered_by(&gateway, &["127.0.0.1", "127.0.0.2"]).await;
    assert_eq!(cluster.requests().0, 1, "nothing is listed again");
    cluster.fail(true);
    cluster.delete("orders-a");
    cluster.compact();
    cluster.fail(false);

    answered_by(&gateway, &["127.0.0.2"]).await;
    assert!(cluster.requests().0 >= 2, "after 410 Gone everything is listed again");
}

#[tokio::test]
async fn the_last_endpoints_are_kept_while_the_api_fails() {
    let services = Services::at(&["127.0.0.1", "127.0.0.2"]).await;
    let (cluster, http) = (cluster().await, [("http", services.port)]);
    cluster.apply("orders-a", "orders", &http, json!([endpoint("127.0.0.1", true)]));
    let gateway = Gateway::start(kubernetes(&cluster, ":http", ", grace = '0s'")).await;
    answered_by(&gateway, &["127.0.0.1"]).await;

    cluster.fail(true);
    eventually("two tries are in vain", async || {
        updates(&gateway, "failed").await >= 2.0
    })
    .await;
    answered_by(&gateway, &["127.0.0.1"]).await;
    cluster.apply("orders-a", "orders", &http, json!([endpoint("127.0.0.2", true)]));
    cluster.fail(false);

    answered_by(&gateway, &["127.0.0.2"]).await;
    gateway.log_line(&["discovery works again"]).await;
}

#[tokio::test]
async fn a_service_that_flaps_costs_nothing_and_an_empty_one_has_its_grace() {
    let services = Services::at(&["127.0.0.1"]).await;
    let (cluster, http) = (cluster().await, [("http", services.port)]);
    let apply = |is_ready| cluster.apply("orders-a", "orders", &http, json!([endpoint("127.0.0.1", is_ready)]));
    apply(true);
    let gateway = Gateway::start(kubernetes(&cluster, ":http", ", grace = '3s'")).await;
    answered_by(&gateway, &["127.0.0.1"]).await;

    for round in 0..10 {
        apply(round % 2 == 1);
        assert_eq!(gateway.get("/").await.status(), 200);
    }
    cluster.delete("orders-a");
    answered_by(&gateway, &["503 no-target"]).await;
    assert!(updates(&gateway, "empty").await >= 1.0);
    apply(true);

    answered_by(&gateway, &["127.0.0.1"]).await;
}

#[tokio::test]
async fn no_request_waits_for_an_api_that_never_answers() {
    let silent = Upstream::full().await;
    let server = format!("http://{}", silent.address());
    let configuration = format!("{{ from = 'kubernetes:shop/orders', server = '{server}', token = '{TOKEN}' }}");
    let gateway = Gateway::start_unready(discovering(&configuration)).await;

    let begin = Instant::now();
    assert_eq!(gateway.get("/").await.code(), "no-target");

    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(gateway.admin("/ready").await.status(), 503);
    gateway.log_line(&["discovery fails"]).await;
}

#[tokio::test]
async fn a_wrong_token_and_a_missing_cluster_are_said() {
    let cluster = cluster().await;
    let wrong = kubernetes(&cluster, ":http", "").replace(TOKEN, "wr0ng-token");
    let gateway = Gateway::start_unready(wrong).await;
    gateway.log_line(&["discovery fails", "Unauthorized"]).await;
    assert!(!gateway.log().contains("wr0ng"));

    let outside = Gateway::start_unready(discovering("'kubernetes:shop/orders'")).await;
    outside
        .log_line(&["discovery fails", "not in a cluster, so write `server` and `token`"])
        .await;
}
