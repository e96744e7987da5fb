//! Targets are asked how they are, and those that are not well get no requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_tests::{Gateway, Service, Upstream, eventually};
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;

const OFTEN: &str = "path = \"/healthz\", every = \"50ms\", timeout = \"5s\"";

fn configuration(targets: &str, settings: &str) -> String {
    format!(
        r#"
        [server]
        threads = 1
        [upstream.service]
        targets = [{targets}]
        balance = "round-robin"
        eject = "off"
        {settings}
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        "#
    )
}

async fn gateway(targets: &str, health: &str) -> Gateway {
    Gateway::start(configuration(targets, &format!("health = {{ {health} }}"))).await
}

async fn is_healthy(gateway: &Gateway, target: impl ToString) -> bool {
    let labels = [("target", &*target.to_string()), ("upstream", "service")];
    gateway.metric("portcullis_upstream_target_healthy", &labels).await == 1.0
}

/// Waits until the gateway knows that a target is well, or that it is not.
async fn until(gateway: &Gateway, target: impl ToString, healthy: bool) {
    let fact = format!("{} is healthy: {healthy}", target.to_string());
    eventually(&fact, async || is_healthy(gateway, target.to_string()).await == healthy).await;
}

/// Requests that a service gets of twenty.
async fn of_twenty(gateway: &Gateway, service: &Service) -> usize {
    let before = service.requests();
    for _ in 0..20 {
        gateway.get("/").await;
    }
    service.requests() - before
}

#[tokio::test]
async fn a_target_that_is_not_well_gets_no_requests_until_it_is() {
    let (good, sick) = (Service::start().await, Service::start().await);
    let gateway = gateway(&format!("\"{good}\", \"{sick}\""), OFTEN).await;
    assert_eq!(of_twenty(&gateway, &sick).await, 10);

    sick.set_health(500);
    until(&gateway, sick.address(), false).await;
    assert_eq!(of_twenty(&gateway, &sick).await, 0);

    sick.set_health(204);
    until(&gateway, sick.address(), true).await;
    assert_eq!(of_twenty(&gateway, &sick).await, 10);
    let probes = [("upstream", "service"), ("result", "failed")];
    assert!(gateway.metric("portcullis_upstream_probes_total", &probes).await >= 3.0);
    let log = gateway.log();
    assert_eq!(
        log.matches("target is not healthy").count(),
        1,
        "each change is said once"
    );
}

#[tokio::test]
async fn a_target_that_hangs_or_is_gone_is_not_well() {
    let (good, hangs, mut dies) = (Service::start().await, Service::start().await, Service::start().await);
    let targets = format!("\"{good}\", \"{hangs}\", \"{dies}\"");
    let gateway = gateway(&targets, "path = \"/healthz\", every = \"50ms\", timeout = \"1s\"").await;
    hangs.hang_health();
    dies.stop().await;
    until(&gateway, hangs.address(), false).await;
    until(&gateway, dies.address(), false).await;
    gateway
        .log_line(&[
            "target is not healthy",
            &hangs.address().to_string(),
            "no answer in time",
        ])
        .await;
    gateway
        .log_line(&["target is not healthy", &dies.address().to_string()])
        .await;

    dies.restart().await;
    until(&gateway, dies.address(), true).await;
    eventually("it gets requests again", async || of_twenty(&gateway, &dies).await > 0).await;
}

#[tokio::test]
async fn a_target_that_flaps_between_probes_stays_as_it_is() {
    let probes = Arc::new(AtomicUsize::new(0));
    let flapping = Upstream::with(move |request| {
        let is_probe = request.uri().path() == "/healthz";
        let fails = is_probe && probes.fetch_add(1, Ordering::SeqCst) % 2 == 1;
        async move {
            let response = http::Response::builder().status(if fails { 500 } else { 200 });
            response.body(portcullis_tests::full("")).expect("a response")
        }
    })
    .await;
    let health = "path = \"/healthz\", every = \"10ms\", timeout = \"5s\", unhealthy_after = 2";
    let gateway = gateway(&format!("\"{flapping}\""), health).await;

    eventually("it has been asked often", async || flapping.requests() > 30).await;

    assert!(!gateway.log().contains("target is not healthy"));
    assert!(is_healthy(&gateway, flapping.address()).await);
}

#[tokio::test]
async fn a_target_that_was_not_well_has_to_pass_several_probes_in_a_row() {
    let probes = Arc::new(AtomicUsize::new(0));
    let flapping = Upstream::with(move |request| {
        let is_probe = request.uri().path() == "/healthz";
        let fails = is_probe && probes.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        async move {
            let response = http::Response::builder().status(if fails { 500 } else { 200 });
            response.body(portcullis_tests::full("")).expect("a response")
        }
    })
    .await;
    let health = "path = \"/healthz\", every = \"10ms\", timeout = \"5s\", healthy_after = 2";
    let gateway = gateway(&format!("\"{flapping}\""), health).await;

    eventually("it has been asked often", async || flapping.requests() > 30).await;

    assert!(!is_healthy(&gateway, flapping.address()).await);
    assert_eq!(gateway.get("/").await.code(), "no-target");
}

#[tokio::test]
async fn with_too_few_of_them_well_all_targets_are_used() {
    for (panic, least) in [("", 6), ("panic = \"30%\"", 0)] {
        let (well, sick, also) = (Service::start().await, Service::start().await, Service::start().await);
        let targets = format!("\"{well}\", \"{sick}\", \"{also}\"");
        let gateway = Gateway::start(configuration(&targets, &format!("health = {{ {OFTEN} }}\n{panic}"))).await;
        for service in [&sick, &also] {
            service.set_health(500);
            until(&gateway, service.address(), false).await;
        }

        // A third is well: less than the half that is the default.
        let of_twenty = of_twenty(&gateway, &sick).await;
        assert!((least..=least + 1).contains(&of_twenty), "{panic}: {of_twenty}");
    }
}

#[tokio::test]
async fn reloads_do_not_multiply_probes() {
    let service = Service::start().await;
    let text = configuration(
        &format!("\"{service}\""),
        "health = { path = \"/healthz\", every = \"1h\" }",
    );
    let gateway = Gateway::start(&text).await;
    for _ in 0..5 {
        gateway.reload_with(&text).await;
    }
    assert_eq!(of_twenty(&gateway, &service).await, 20);
    assert_eq!(service.probes(), 1);
}

#[tokio::test]
async fn a_new_target_gets_no_request_before_its_first_probe_has_passed() {
    let (old, new) = (Service::start().await, Service::start().await);
    new.hang_health();
    let slow = "health = { path = \"/healthz\", every = \"50ms\", timeout = \"20s\" }";
    let gateway = Gateway::start(configuration(&format!("\"{old}\""), slow)).await;
    gateway
        .reload_with(configuration(&format!("\"{old}\", \"{new}\""), slow))
        .await;
    assert_eq!(new.probes(), 1);
    assert_eq!(of_twenty(&gateway, &new).await, 0);

    let well = Service::start().await;
    gateway
        .reload_with(configuration(&format!("\"{old}\", \"{well}\""), slow))
        .await;
    assert_eq!(
        of_twenty(&gateway, &well).await,
        10,
        "one probe is enough for a new target"
    );
}

#[tokio::test]
async fn with_no_target_that_was_ever_well_there_is_503_even_in_panic() {
    let sick = Service::start().await;
    sick.set_health(500);
    let gateway = gateway(&format!("\"{sick}\""), OFTEN).await;
    let response = gateway.get("/x").await;
    assert_eq!((response.status(), response.code().as_str()), (503, "no-target"));
    assert_eq!(gateway.outcome("/x").await, "no-target");

    sick.set_health(200);
    until(&gateway, sick.address(), true).await;
    assert_eq!(gateway.get("/x").await.status(), 200);

    // It was well once: better it than nobody.
    let panics = async || {
        gateway
            .metric("portcullis_upstream_panic", &[("upstream", "service")])
            .await
    };
    assert_eq!(panics().await, 0.0);
    sick.set_health(500);
    until(&gateway, sick.address(), false).await;
    assert_eq!(gateway.get("/x").await.status(), 200);
    assert_eq!(panics().await, 1.0);
    gateway.log_line(&["few targets are available"]).await;
}

#[tokio::test]
async fn panic_can_be_forbidden() {
    let sick = Service::start().await;
    let text = configuration(
        &format!("\"{sick}\""),
        &format!("health = {{ {OFTEN} }}\npanic = \"0%\""),
    );
    let gateway = Gateway::start(text).await;
    sick.set_health(500);
    until(&gateway, sick.address(), false).await;
    assert_eq!(gateway.get("/").await.status(), 503);
}

#[tokio::test]
async fn probes_say_what_is_configured() {
    let upstream = Upstream::with(|_| async {
        let mut response = http::Response::new(portcullis_tests::full(""));
        *response.status_mut() = http::StatusCode::FOUND;
        response
    })
    .await;
    let health = "path = \"/check?deep=1\", host = \"users.internal\", status = [200, \"300-399\"], every = \"50ms\"";
    let gateway = gateway(&format!("\"{upstream}\""), health).await;
    assert!(is_healthy(&gateway, upstream.address()).await);
    assert_eq!(upstream.last_target(), "/check?deep=1");
    assert_eq!(upstream.last_header("host"), "users.internal");
    assert_eq!(upstream.last_header("user-agent"), "portcullis-health");
}

#[tokio::test]
async fn probes_speak_http_2_where_the_upstream_does_and_go_to_another_port_where_told() {
    let (service, health) = (Upstream::answering("").await, Upstream::answering("").await);
    let port = health.address().port();
    let settings = format!("http = \"2\"\nhealth = {{ path = \"/healthz\", port = {port}, every = \"50ms\" }}");
    let gateway = Gateway::start(configuration(&format!("\"{service}\""), &settings)).await;
    assert!(is_healthy(&gateway, service.address()).await);
    assert_eq!(service.requests(), 0);
    assert_eq!(health.last_target(), format!("http://{}/healthz", health.address()));
}

#[tokio::test]
async fn tcp_probes_need_no_answer() {
    let mute = Upstream::raw(|mut socket| async move {
        socket.read_to_end().await;
    })
    .await;
    let absent = Upstream::absent().await;
    let settings = "health = { kind = \"tcp\", every = \"50ms\" }";
    let gateway = Gateway::start(configuration(&format!("\"{mute}\", \"http://{absent}\""), settings)).await;
    assert!(is_healthy(&gateway, mute.address()).await);
    assert!(!is_healthy(&gateway, absent).await);
}

#[tokio::test]
async fn grpc_probes_ask_for_the_service_and_want_it_to_be_serving() {
    let (reporter, service) = tonic_health::server::health_reporter();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = tonic::transport::Server::builder().add_service(service);
    let server = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    reporter.set_service_status("shop.Orders", ServingStatus::Serving).await;
    let settings = "http = \"2\"\nhealth = { kind = \"grpc\", service = \"shop.Orders\", every = \"50ms\" }";
    let gateway = Gateway::start(configuration(&format!("\"http://{address}\""), settings)).await;
    assert!(is_healthy(&gateway, address).await);

    reporter
        .set_service_status("shop.Orders", ServingStatus::NotServing)
        .await;
    until(&gateway, address, false).await;
    gateway.log_line(&["target is not healthy", "not serving"]).await;
    reporter.set_service_status("shop.Orders", ServingStatus::Serving).await;
    until(&gateway, address, true).await;

    // A service that it does not know is an error of gRPC; the server as a whole is well.
    let unknown = settings.replace("shop.Orders", "shop.Unknown");
    gateway
        .reload_with(configuration(&format!("\"http://{address}\""), &unknown))
        .await;
    gateway.log_line(&["target is not healthy", "gRPC status 5"]).await;
    let whole = settings.replace("shop.Orders", "");
    gateway
        .reload_with(configuration(&format!("\"http://{address}\""), &whole))
        .await;
    until(&gateway, address, true).await;
    server.abort();
}

#[tokio::test]
async fn health_outlives_a_reload_and_other_probes_decide_anew() {
    let (good, sick) = (Service::start().await, Service::start().await);
    sick.set_health(500);
    let targets = format!("\"{good}\", \"{sick}\"");
    let settings = |path: &str, keep: usize| {
        let health = format!("health = {{ path = \"{path}\", every = \"1h\" }}\nkeep = {keep}");
        configuration(&targets, &health)
    };
    let gateway = Gateway::start(settings("/healthz", 1)).await;
    assert!(!is_healthy(&gateway, sick.address()).await);
    gateway.reload_with(settings("/healthz", 2)).await;
    assert_eq!(of_twenty(&gateway, &sick).await, 0);

    gateway.reload_with(settings("/other", 2)).await;
    until(&gateway, sick.address(), true).await;
    assert!(of_twenty(&gateway, &sick).await > 0);
}

#[tokio::test]
async fn the_gateway_is_ready_when_it_knows_how_its_targets_are_and_no_dead_one_keeps_it() {
    let (good, hangs) = (Service::start().await, Service::start().await);
    hangs.hang_health();
    let targets = format!("\"{good}\", \"{hangs}\"");
    let begun = std::time::Instant::now();
    let gateway = gateway(&targets, "path = \"/healthz\", timeout = \"1m\"").await;
    assert!(
        begun.elapsed() >= std::time::Duration::from_secs(5),
        "it waits for a while"
    );
    gateway
        .log_line(&["it is not known yet how every upstream is doing"])
        .await;
    assert_eq!(gateway.admin("/ready").await.status(), 200);
    assert_eq!(of_twenty(&gateway, &good).await, 20);
}

#[tokio::test]
async fn a_reload_to_another_upstream_loses_no_request() {
    let (old, new) = (Service::start().await, Service::start().await);
    let text = |target: &Service| configuration(&format!("\"{target}\""), &format!("health = {{ {OFTEN} }}"));
    let gateway = Gateway::start(text(&old)).await;
    gateway.write(text(&new));
    gateway.signal("HUP");
    eventually("the new one serves", async || {
        assert_eq!(gateway.get("/").await.status(), 200);
        new.requests() > 0
    })
    .await;
}

#[tokio::test]
async fn a_target_that_comes_back_begins_with_a_small_share() {
    let (steady, back) = (Service::start().await, Service::start().await);
    let settings = format!("health = {{ {OFTEN} }}\nslow_start = \"1h\"");
    let gateway = Gateway::start(configuration(&format!("\"{steady}\", \"{back}\""), &settings)).await;
    assert_eq!(of_twenty(&gateway, &back).await, 10, "not at the start");
    back.set_health(500);
    until(&gateway, back.address(), false).await;
    back.set_health(200);
    until(&gateway, back.address(), true).await;

    let before = back.requests();
    for _ in 0..110 {
        gateway.get("/").await;
    }
    let share = back.requests() - before;
    assert!((9..=11).contains(&share), "a tenth of the other's, not {share} of 110");
}

#[tokio::test]
async fn a_share_grows_to_all_of_it() {
    let (steady, back) = (Service::start().await, Service::start().await);
    let settings = format!("health = {{ {OFTEN} }}\nslow_start = \"300ms\"");
    let gateway = Gateway::start(configuration(&format!("\"{steady}\", \"{back}\""), &settings)).await;
    back.set_health(500);
    until(&gateway, back.address(), false).await;
    back.set_health(200);
    until(&gateway, back.address(), true).await;
    eventually("it has its whole share", async || {
        of_twenty(&gateway, &back).await == 10
    })
    .await;
}

#[tokio::test]
async fn a_reload_that_is_refused_leaves_probes_as_they_were() {
    // One probe is held back, and then fails.
    let (held, release, asked) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(AtomicUsize::new(0)),
    );
    let (hold, released, count) = (held.clone(), release.clone(), asked.clone());
    let upstream = Upstream::with(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let is_held = hold.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let released = released.clone();
        async move {
            let mut response = http::Response::new(portcullis_tests::empty());
            if is_held.is_ok() {
                released.notified().await;
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            }
            response
        }
    })
    .await;
    let targets = format!("\"{upstream}\"");
    let gateway = Gateway::start(configuration(&targets, &format!("health = {{ {OFTEN} }}"))).await;
    until(&gateway, upstream.address(), true).await;
    held.store(1, Ordering::SeqCst);
    eventually("a probe is held", async || held.load(Ordering::SeqCst) == 0).await;
    let so_far = asked.load(Ordering::SeqCst);

    // Other probes, and a filter that refuses its settings.
    let other = configuration(&targets, "health = { path = \"/other\", every = \"50ms\" }");
    let filter = "filters = [{ use = 'rate-limit', settings = { rate = 'never' } }]\n";
    gateway.reload_with(format!("{other}{filter}")).await;
    let refused = [("result", "failed")];
    assert_eq!(gateway.metric("portcullis_reloads_total", &refused).await, 1.0);
    release.notify_one();
    eventually("it was asked some more", async || {
        asked.load(Ordering::SeqCst) > so_far + 3
    })
    .await;

    let failed = [("upstream", "service"), ("result", "failed")];
    assert_eq!(gateway.metric("portcullis_upstream_probes_total", &failed).await, 1.0);
    assert!(
        !gateway.log().contains("target is not healthy"),
        "one in a row is not enough"
    );
}
