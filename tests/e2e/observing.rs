//! What an operator sees.

use portcullis_tests::{Gateway, Upstream, eventually};

#[tokio::test]
async fn every_exchange_is_one_line_of_the_access_log() {
    let upstream = Upstream::answering("hello").await;
    let gateway = Gateway::proxying(&upstream).await;

    gateway
        .request("POST", "/users?token=t")
        .header("host", "shop.example")
        .body("four")
        .send()
        .await;

    let line = gateway.logged(|line| line["path"] == "/users").await;
    assert_eq!(
        (&line["method"], &line["host"]),
        (&"POST".into(), &"shop.example".into())
    );
    assert_eq!((&line["status"], &line["outcome"]), (&200.into(), &"ok".into()));
    assert_eq!(
        (&line["request_bytes"], &line["response_bytes"]),
        (&4.into(), &5.into())
    );
    assert_eq!(
        (&line["client"], &line["upstream"]),
        (&"127.0.0.1".into(), &"service".into())
    );
    assert!(
        line["target"]
            .as_str()
            .is_some_and(|target| target.contains(&upstream.address().to_string())),
        "{line}"
    );
    assert!(
        line["duration_us"].as_u64().is_some_and(|duration| duration > 0),
        "{line}"
    );
    for field in ["time", "id", "route", "protocol"] {
        assert!(
            line[field].as_str().is_some_and(|text| !text.is_empty()),
            "no {field} in {line}"
        );
    }
    assert_eq!(gateway.access_log().len(), 1);
}

#[tokio::test]
async fn an_error_has_an_id_that_is_in_the_access_log() {
    let gateway = Gateway::greeting().await;

    let response = gateway.get("/nowhere").await;

    assert_eq!(
        gateway.logged(|line| line["path"] == "/nowhere").await["id"],
        response.json()["id"]
    );
}

#[tokio::test]
async fn what_a_client_sends_cannot_break_the_access_log() {
    let gateway = Gateway::greeting().await;
    let request = "GET /%0a%22x HTTP/1.1\r\nhost: a\"b\r\nuser-agent: \"\\\x01\r\nconnection: close\r\n\r\n";

    gateway.raw().await.answer_to(request).await;
    gateway.get("/after").await;

    gateway.logged(|line| line["path"] == "/after").await;
}

#[tokio::test]
async fn the_access_log_can_be_switched_off() {
    let gateway = Gateway::start("[log]\naccess = 'off'\n[[route]]\nmatch = '/'\nrespond = {}").await;

    gateway.get("/").await;
    gateway.get("/").await;

    assert!(gateway.access_log().is_empty());
}

#[tokio::test]
async fn metrics_count_requests_by_names_of_the_configuration_only() {
    let gateway = Gateway::start("[[route]]\nname = 'files'\nmatch = '/files/{name}'\nrespond = {}").await;
    gateway.get("/files/0").await;
    let lines = gateway.admin("/metrics").await.text().lines().count();

    for number in 1..50 {
        let host = format!("host-{number}");
        gateway
            .request("GET", &format!("/files/{number}"))
            .header("host", &host)
            .send()
            .await;
    }

    let labels = [
        ("http_route", "files"),
        ("http_request_method", "GET"),
        ("http_response_status_code", "200"),
    ];
    assert_eq!(
        gateway
            .metric("http_server_request_duration_seconds_count", &labels)
            .await,
        50.0
    );
    assert_eq!(gateway.admin("/metrics").await.text().lines().count(), lines);
    gateway.request("MADEUP", "/files/1").send().await;
    assert!(!gateway.admin("/metrics").await.text().contains("MADEUP"));
}

/// One route with a filter that takes part in the request phase only.
fn guarded(route: &str) -> String {
    let filter = "{ use = 'token-auth', settings = { tokens = ['t'] } }";
    format!("[[route]]\nname = '{route}'\nmatch = '/'\nrespond = {{}}\nfilters = [{filter}]\n")
}

/// The line of a filter that has not failed on this route for this reason.
fn failures(route: &str, reason: &str) -> String {
    let labels = "filter=\"token-auth\",phase=\"request\",plugin=\"token-auth\"";
    format!("portcullis_filter_failures_total{{{labels},reason=\"{reason}\",route=\"{route}\"}} 0")
}

#[tokio::test]
async fn failures_and_reloads_are_shown_before_the_first() {
    let gateway = Gateway::start(guarded("shop")).await;

    let text = gateway.admin("/metrics").await.text();

    for reason in "trap cpu time memory error malformed load exhausted".split(' ') {
        assert!(text.contains(&failures("shop", reason)), "no {reason} in {text}");
    }
    for result in ["ok", "failed"] {
        let reloads = format!("portcullis_reloads_total{{result=\"{result}\"}} 0");
        assert!(text.contains(&reloads), "no {result} in {text}");
    }
    assert_eq!(text.matches("portcullis_filter_failures_total{").count(), 8, "{text}");
}

#[tokio::test]
async fn failures_that_never_were_are_forgotten_with_their_route() {
    let gateway = Gateway::start(guarded("old")).await;

    gateway.reload_with(guarded("new")).await;

    eventually("only the new route is shown", async || {
        let text = gateway.admin("/metrics").await.text();
        text.contains(&failures("new", "trap")) && !text.contains("route=\"old\"")
    })
    .await;
}

#[tokio::test]
async fn health_and_readiness_are_told_on_the_admin_address_alone() {
    let gateway = Gateway::greeting().await;

    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(gateway.admin(path).await.status(), 200, "{path}");
        assert_eq!(gateway.get(path).await.status(), 404, "{path}");
    }
    assert_eq!(gateway.admin("/nowhere").await.status(), 404);
}

#[tokio::test]
async fn connections_are_counted_while_they_last() {
    let gateway = Gateway::greeting().await;
    let mut connections = vec![gateway.connect().await, gateway.connect().await];
    for connection in &mut connections {
        connection.get("/").await;
    }
    assert_eq!(gateway.metric("portcullis_connections", &[]).await, 2.0);

    drop(connections);

    eventually("they are counted out", async || {
        gateway.metric("portcullis_connections", &[]).await == 0.0
    })
    .await;
}

#[tokio::test]
async fn several_addresses_may_be_listened_on() {
    let gateway =
        Gateway::start("[[route]]\nmatch = '/'\nrespond = {}\n[server]\nlisten = ['127.0.0.1:0', '127.0.0.1:0']\n")
            .await;

    let addresses = gateway.addresses();

    assert_eq!(addresses.len(), 2);
    for address in addresses {
        assert_eq!(
            portcullis_tests::Request::to(*address, "GET", "/")
                .send()
                .await
                .status(),
            200
        );
    }
}
