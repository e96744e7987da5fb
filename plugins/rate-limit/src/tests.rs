use std::time::Duration;

use portcullis_sdk::serde_json::{Value, json};
use portcullis_sdk::testing::{self, Exchange, Ran};

use super::RateLimit;

fn filter(settings: Value) -> RateLimit {
    testing::filter(settings).unwrap()
}

fn passes(filter: &RateLimit, exchange: Exchange) -> bool {
    exchange.run(filter).replied().is_none()
}

fn header(ran: &Ran, name: &str) -> String {
    ran.response()
        .header(name)
        .map(|value| value.to_str().unwrap().to_owned())
        .unwrap_or_default()
}

fn from(address: &str) -> Exchange {
    Exchange::get("/").client_address(address)
}

#[test]
fn five_a_minute_pass_and_the_sixth_is_told_when_to_come_back() {
    let filter = filter(json!({ "rate": "5/min" }));
    for _ in 0..5 {
        assert!(passes(&filter, Exchange::get("/")));
    }

    let ran = Exchange::get("/").run(&filter);
    let reply = ran.replied().unwrap();
    assert_eq!(reply.status(), 429);
    assert_eq!(reply.header_value("retry-after").unwrap(), "12");
    assert_eq!(reply.header_value("ratelimit-policy").unwrap(), r#""default";q=5;w=60"#);
    assert_eq!(reply.header_value("ratelimit").unwrap(), r#""default";r=0;t=60"#);
    assert_eq!(reply.header_value("content-type").unwrap(), "application/problem+json");

    testing::advance(Duration::from_secs(12));
    assert!(passes(&filter, Exchange::get("/")));
    assert!(!passes(&filter, Exchange::get("/")));
}

#[test]
fn every_response_tells_what_is_left() {
    let filter = filter(json!({ "rate": "5/min" }));
    let ran = Exchange::get("/")
        .response_header("ratelimit", r#""upstream";r=1"#)
        .run(&filter);

    assert_eq!(header(&ran, "ratelimit-policy"), r#""default";q=5;w=60"#);
    let all = ran.response().header_values("ratelimit");
    assert_eq!(all.len(), 2);
    assert_eq!(all[1], r#""default";r=4;t=12"#);
}

#[test]
fn headers_false_says_nothing_but_when_to_come_back() {
    let filter = filter(json!({ "rate": "1/min", "headers": false }));
    let ran = Exchange::get("/").run(&filter);
    assert_eq!(header(&ran, "ratelimit"), "");

    let ran = Exchange::get("/").run(&filter);
    assert_eq!(ran.replied().unwrap().header_value("ratelimit"), None);
    assert!(ran.replied().unwrap().header_value("retry-after").is_some());
}

#[test]
fn every_client_has_a_budget_of_its_own() {
    let filter = filter(json!({ "rate": "1/min" }));
    assert!(passes(&filter, from("192.0.2.1")));
    assert!(passes(&filter, from("192.0.2.2")));
    assert!(!passes(&filter, from("192.0.2.1")));
    assert!(!passes(&filter, from("::ffff:192.0.2.1")));
}

#[test]
fn the_addresses_of_one_ipv6_network_count_together() {
    let filter = filter(json!({ "rate": "1/min" }));
    assert!(passes(&filter, from("2001:db8:0:1::1")));
    assert!(!passes(&filter, from("2001:db8:0:1:ffff::2")));
    assert!(passes(&filter, from("2001:db8:0:2::1")));
}

#[test]
fn the_first_key_that_is_there_counts() {
    let filter = filter(json!({ "rate": "1/min", "key": ["jwt:sub", "api-key", "client-ip"] }));
    let user = || Exchange::get("/").note("jwt:sub", "u7").note("api-key", "acme");

    assert!(passes(&filter, user()));
    assert!(!passes(&filter, user()));
    assert!(passes(&filter, Exchange::get("/").note("api-key", "acme")));
    assert!(passes(&filter, Exchange::get("/")));
    assert!(!passes(&filter, Exchange::get("/")));
}

#[test]
fn a_header_a_path_parameter_and_a_route_can_be_counted_by() {
    let by = |key: &str| filter(json!({ "rate": "1/min", "key": [key] }));

    let header = by("header:X-Tenant");
    assert!(passes(&header, Exchange::get("/").header("x-tenant", "a")));
    assert!(!passes(&header, Exchange::get("/").header("X-TENANT", "a")));
    assert!(passes(&header, Exchange::get("/").header("x-tenant", "b")));

    let path = by("path:id");
    assert!(passes(&path, Exchange::get("/users/1").path_parameter("id", "1")));
    assert!(!passes(&path, Exchange::get("/users/1").path_parameter("id", "1")));
    assert!(passes(&path, Exchange::get("/users/2").path_parameter("id", "2")));

    for together in ["route", "global"] {
        let filter = by(together);
        assert!(passes(&filter, from("192.0.2.1")));
        assert!(!passes(&filter, from("192.0.2.2")), "{together}");
    }
}

#[test]
fn a_value_of_one_key_is_never_taken_for_one_of_another() {
    let filter = filter(json!({ "rate": "1/min", "key": ["jwt:sub", "header:x-a"] }));
    assert!(passes(&filter, Exchange::get("/").note("jwt:sub", "x")));
    assert!(passes(&filter, Exchange::get("/").header("x-a", "x")));
}

#[test]
fn a_missing_key_is_never_unlimited() {
    let settings = |policy: Option<&str>| {
        let mut settings = json!({ "rate": "1/min", "key": ["jwt:sub"] });
        if let Some(policy) = policy {
            settings["on_missing_key"] = policy.into();
        }
        settings
    };

    let deny = filter(settings(None));
    assert_eq!(Exchange::get("/").run(&deny).replied().unwrap().status(), 403);
    assert_eq!(
        Exchange::get("/")
            .note("jwt:sub", "")
            .run(&deny)
            .replied()
            .unwrap()
            .status(),
        403
    );

    let client_ip = filter(settings(Some("client-ip")));
    assert!(passes(&client_ip, from("192.0.2.1")));
    assert!(passes(&client_ip, from("192.0.2.2")));
    assert!(!passes(&client_ip, from("192.0.2.1")));

    let global = filter(settings(Some("global")));
    assert!(passes(&global, from("192.0.2.1")));
    assert!(!passes(&global, from("192.0.2.2")));
}

#[test]
fn a_burst_and_a_cost_change_how_many_pass_at_once() {
    let filter = filter(json!({ "rate": "1/s", "burst": 6, "cost": 2 }));
    for _ in 0..3 {
        assert!(passes(&filter, Exchange::get("/")));
    }
    assert!(!passes(&filter, Exchange::get("/")));
    testing::advance(Duration::from_secs(2));
    assert!(passes(&filter, Exchange::get("/")));
}

#[test]
fn shadow_refuses_nothing_and_notes_what_it_would_have() {
    let filter = filter(json!({ "rate": "1/min", "shadow": true }));
    assert!(passes(&filter, Exchange::get("/")));

    let ran = Exchange::get("/").run(&filter);
    assert!(ran.replied().is_none());
    assert_eq!(ran.note("rate-limit:default:1/60").as_deref(), Some("would-refuse"));
    assert_eq!(header(&ran, "ratelimit"), "");

    let keyless = self::filter(json!({ "rate": "1/min", "shadow": true, "key": ["jwt:sub"] }));
    assert!(passes(&keyless, Exchange::get("/")));
}

#[test]
fn filters_of_one_name_count_together() {
    let named = || filter(json!({ "rate": "1/min", "name": "search" }));
    let (one, other) = (named(), named());
    let ran = Exchange::get("/").run(&one);
    assert_eq!(header(&ran, "ratelimit"), r#""search";r=0;t=60"#);
    assert!(!passes(&other, Exchange::get("/")));
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    for (wrong, says) in [
        (json!({}), "rate"),
        (json!({ "rate": "often" }), "often"),
        (json!({ "rate": "0/min" }), "0"),
        (json!({ "rate": "5/min", "key": [] }), "`key` is empty"),
        (
            json!({ "rate": "5/min", "key": ["ip"] }),
            "key[0]: `ip` is no key: there are client-ip, ",
        ),
        (json!({ "rate": "5/min", "key": ["jwt:"] }), "`jwt:` is no key"),
        (
            json!({ "rate": "5/min", "key": ["header:a b"] }),
            "no header field name",
        ),
        (json!({ "rate": "5/min", "cost": 6 }), "`cost` is 6"),
        (json!({ "rate": "5/min", "cost": 0 }), "`cost` is 0"),
        (json!({ "rate": "5/min", "name": "a\"b" }), "`name`"),
        (json!({ "rate": "5/min", "on_missing_key": "allow" }), "allow"),
    ] {
        let error = testing::filter::<RateLimit>(wrong.clone())
            .err()
            .unwrap_or_else(|| panic!("accepted: {wrong}"));
        assert!(error.to_string().contains(says), "{wrong}: {error}");
    }
}

#[test]
fn the_readme_names_every_setting() {
    let schema = testing::schema::<RateLimit>();
    for name in schema["properties"].as_object().unwrap().keys() {
        assert!(
            include_str!("../README.md").contains(&format!("| `{name}` |")),
            "{name}"
        );
    }
}
