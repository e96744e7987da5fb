//! `rate-limit`

use portcullis_tests::{Gateway, Upstream, signed};
use serde_json::json;

use super::filtering;

#[tokio::test]
async fn requests_beyond_the_limit_are_429_and_say_when_to_come_again() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(&upstream, "{ use = 'rate-limit', settings = { rate = '5/hour' } }").await;

    for left in (0..5).rev() {
        let response = gateway.get("/").await;
        assert_eq!(
            (response.status(), response.header("ratelimit-policy")),
            (200, "\"default\";q=5;w=3600")
        );
        assert!(
            response.header("ratelimit").contains(&format!("r={left}")),
            "{}",
            response.header("ratelimit")
        );
    }
    let refused = gateway.get("/").await;

    assert_eq!(
        (refused.status(), refused.header("content-type")),
        (429, "application/problem+json")
    );
    let seconds = refused.header("retry-after").parse::<u32>().expect("seconds");
    assert!((1..=720).contains(&seconds), "{seconds}");
    assert_eq!(upstream.requests(), 5);
}

#[tokio::test]
async fn clients_at_once_get_exactly_what_is_there() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(&upstream, "{ use = 'rate-limit', settings = { rate = '20/hour' } }").await;

    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let request = gateway.request("GET", "/");
        requests.spawn(async move { request.send().await.status() });
    }
    let statuses = requests.join_all().await;

    // On two threads, which share the count.
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 20);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 40);
}

#[tokio::test]
async fn each_client_behind_a_trusted_proxy_has_a_limit_of_its_own() {
    let gateway = Gateway::start(
        r#"
        [server]
        trusted_proxies = ["127.0.0.1"]
        [[route]]
        match = "/"
        respond = {}
        filters = [{ use = "rate-limit", settings = { rate = "1/hour" } }]
        "#,
    )
    .await;
    let from = async |client: &str| {
        gateway
            .request("GET", "/")
            .header("x-forwarded-for", client)
            .send()
            .await
            .status()
    };

    assert_eq!((from("203.0.113.1").await, from("203.0.113.1").await), (200, 429));
    assert_eq!(from("203.0.113.2").await, 200);
    // One household, one limit: the first 64 bits of an IPv6 address.
    assert_eq!(
        (
            from("2001:db8::1").await,
            from("2001:db8::2").await,
            from("2001:db8:0:1::1").await
        ),
        (200, 429, 200)
    );
}

#[tokio::test]
async fn the_first_key_that_a_request_has_counts() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(
        &upstream,
        "{ use = 'rate-limit', settings = { rate = '1/hour', key = ['header:x-tenant'], on_missing_key = 'deny' } }",
    )
    .await;
    let tenant = async |name: &str| {
        gateway
            .request("GET", "/")
            .header("x-tenant", name)
            .send()
            .await
            .status()
    };

    assert_eq!(
        (tenant("a").await, tenant("a").await, tenant("b").await),
        (200, 429, 200)
    );
    assert_eq!(gateway.get("/").await.status(), 403);
}

#[tokio::test]
async fn a_request_without_the_first_key_is_counted_by_the_second() {
    let upstream = Upstream::answering("").await;
    let secret = "a secret of thirty-two characters";
    let gateway = filtering(
        &upstream,
        &format!(
            "{{ use = 'jwt-auth', settings = {{ algorithms = ['HS256'], secret = '{secret}', optional = true }} }}, \
             {{ use = 'rate-limit', settings = {{ rate = '1/hour', key = ['jwt:sub', 'client-ip'] }} }}"
        ),
    )
    .await;
    let by = async |name: &str| {
        let token = signed(&json!({ "sub": name, "exp": 9_999_999_999_u64 }), secret);
        let request = gateway.request("GET", "/");
        let request = request.header("authorization", format!("Bearer {token}"));
        request.send().await.status()
    };

    assert_eq!((by("ada").await, by("ada").await, by("grace").await), (200, 429, 200));
    let nobody = async || gateway.get("/").await.status();
    assert_eq!((nobody().await, nobody().await), (200, 429));
}

#[tokio::test]
async fn requests_without_any_key_are_counted_as_the_policy_says() {
    for (policy, other_client) in [("client-ip", 200), ("global", 429)] {
        let limit = format!("{{ rate = '1/hour', key = ['header:x-tenant'], on_missing_key = '{policy}' }}");
        let gateway = Gateway::start(format!(
            "[server]\ntrusted_proxies = ['127.0.0.1']\n[[route]]\nmatch = '/'\nrespond = {{}}\n\
             filters = [{{ use = 'rate-limit', settings = {limit} }}]\n"
        ))
        .await;
        let from = async |client: &str| {
            let request = gateway.request("GET", "/").header("x-forwarded-for", client);
            request.send().await.status()
        };

        assert_eq!((from("203.0.113.1").await, from("203.0.113.1").await), (200, 429));
        assert_eq!(from("203.0.113.2").await, other_client, "{policy}");
    }
}

#[tokio::test]
async fn a_burst_is_what_passes_at_once() {
    let upstream = Upstream::answering("").await;
    for (burst, expected) in [(1, [200, 429, 429, 429]), (3, [200, 200, 200, 429])] {
        let settings = format!("{{ rate = '2/hour', burst = {burst} }}");
        let gateway = filtering(&upstream, &format!("{{ use = 'rate-limit', settings = {settings} }}")).await;

        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(gateway.get("/").await.status());
        }

        assert_eq!(statuses, expected, "burst {burst}");
    }
}

#[tokio::test]
async fn filters_of_one_name_count_together() {
    let limit = "{ use = 'rate-limit', settings = { rate = '2/hour', name = 'shared' } }";
    let gateway = Gateway::start(format!(
        "[[route]]\nmatch = '/a'\nrespond = {{}}\nfilters = [{limit}]\n\
         [[route]]\nmatch = '/b'\nrespond = {{}}\nfilters = [{limit}]\n"
    ))
    .await;

    assert_eq!(
        (gateway.get("/a").await.status(), gateway.get("/b").await.status()),
        (200, 200)
    );
    assert_eq!(
        (gateway.get("/a").await.status(), gateway.get("/b").await.status()),
        (429, 429)
    );
}

#[tokio::test]
async fn a_shadow_limit_refuses_nothing() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(
        &upstream,
        "{ use = 'rate-limit', settings = { rate = '1/hour', shadow = true } }",
    )
    .await;

    for _ in 0..5 {
        let response = gateway.get("/").await;
        assert_eq!((response.status(), response.has("ratelimit")), (200, false));
    }
}
