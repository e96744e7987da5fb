//! A cookie keeps a client with its target.

use portcullis_tests::{Gateway, Response, Service, eventually};

async fn gateway(targets: &[&Service], settings: &str) -> Gateway {
    let targets = targets.iter().map(|target| format!("\"{target}\""));
    Gateway::start(format!(
        r#"
        [server]
        trusted_proxies = "127.0.0.1"
        [upstream.service]
        targets = [{}]
        {settings}
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        "#,
        targets.collect::<Vec<_>>().join(", ")
    ))
    .await
}

/// The cookie that a response sets, without its attributes.
fn cookie(response: &Response) -> &str {
    response.header("set-cookie").split(';').next().expect("a cookie")
}

#[tokio::test]
async fn a_client_comes_back_to_its_target() {
    let (one, two, three) = (Service::start().await, Service::start().await, Service::start().await);
    let gateway = gateway(&[&one, &two, &three], "sticky = { cookie = \"target\", for = \"1h\" }").await;

    for _ in 0..5 {
        let first = gateway.get("/").await;
        let target = [&one, &two, &three]
            .into_iter()
            .find(|service| service.answered(&first));
        let target = target.expect("one of them answered");
        for _ in 0..10 {
            let cookies = format!("other=1; {}", cookie(&first));
            let again = gateway.request("GET", "/").header("cookie", cookies).send().await;
            assert!(target.answered(&again));
            assert_eq!(again.header("set-cookie"), "", "the client has it already");
        }
    }
}

#[tokio::test]
async fn the_cookie_says_nothing_of_the_inside_and_is_as_careful_as_can_be() {
    let service = Service::start().await;
    let gateway = gateway(&[&service], "sticky = { cookie = \"target\", for = \"1h\" }").await;

    let plain = gateway.get("/").await;
    let secure = gateway
        .request("GET", "/")
        .header("x-forwarded-proto", "https")
        .send()
        .await;

    let (value, attributes) = plain.header("set-cookie").split_once(';').expect("attributes");
    assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax; Max-Age=3600");
    assert!(!value.contains(&service.address().port().to_string()), "{value}");
    assert_eq!(secure.header("set-cookie"), format!("{value};{attributes}; Secure"));
}

#[tokio::test]
async fn a_target_that_is_gone_is_replaced_and_the_cookie_renewed() {
    let (mut one, mut two) = (Service::start().await, Service::start().await);
    let gateway = gateway(
        &[&one, &two],
        "sticky = \"target\"\neject = { after = 1, for = \"1h\" }",
    )
    .await;
    let first = gateway.get("/").await;
    let (gone, left) = if one.answered(&first) {
        (&mut one, &mut two)
    } else {
        (&mut two, &mut one)
    };
    gone.stop().await;

    let second = gateway
        .request("GET", "/")
        .header("cookie", cookie(&first))
        .send()
        .await;

    assert!(left.answered(&second));
    assert_ne!(cookie(&second), cookie(&first));
    assert!(
        !second.header("set-cookie").contains("Max-Age"),
        "until the browser is closed"
    );
    let third = gateway
        .request("GET", "/")
        .header("cookie", cookie(&second))
        .send()
        .await;
    assert!(left.answered(&third) && third.header("set-cookie").is_empty());
}

#[tokio::test]
async fn a_cookie_that_names_nobody_is_renewed() {
    let service = Service::start().await;
    let gateway = gateway(&[&service], "sticky = \"target\"").await;
    for value in [
        "target=",
        "target=0123456789abcdef",
        "target=http://10.0.0.1",
        "target=%00; target=1",
    ] {
        let response = gateway.request("GET", "/").header("cookie", value).send().await;
        assert_eq!(response.status(), 200);
        assert!(
            cookie(&response).starts_with("target=") && cookie(&response) != value,
            "{value}"
        );
    }
}

#[tokio::test]
async fn gateways_and_restarts_agree_and_another_key_does_not() {
    let (one, two) = (Service::start().await, Service::start().await);
    let key = |key| format!("sticky = {{ cookie = \"target\", key = \"{key}\" }}");
    let before = gateway(&[&one, &two], &key("0123456789abcdef")).await;
    let first = before.get("/").await;
    before.stop().await;
    let same = gateway(&[&one, &two], &key("0123456789abcdef")).await;
    let other = gateway(&[&one, &two], &key("fedcba9876543210")).await;

    let with_cookie = async |gateway: &Gateway| {
        gateway
            .request("GET", "/")
            .header("cookie", cookie(&first))
            .send()
            .await
    };
    assert_eq!(with_cookie(&same).await.header("set-cookie"), "");
    assert_ne!(with_cookie(&other).await.header("set-cookie"), "");
    assert!(!same.log().contains("0123456789abcdef"));
}

#[tokio::test]
async fn cookies_outlive_a_reload() {
    let (one, two) = (Service::start().await, Service::start().await);
    let gateway = gateway(&[&one, &two], "sticky = \"target\"").await;
    let first = gateway.get("/").await;
    let reloads = gateway.metric("portcullis_reloads_total", &[]).await;
    gateway.signal("HUP");
    eventually("it has reloaded", async || {
        gateway.metric("portcullis_reloads_total", &[("result", "ok")]).await > reloads
    })
    .await;
    for _ in 0..10 {
        let again = gateway
            .request("GET", "/")
            .header("cookie", cookie(&first))
            .send()
            .await;
        assert_eq!(again.header("set-cookie"), "");
    }
}
