use portcullis_sdk::serde_json::{Value, json};
use portcullis_sdk::testing::{self, Exchange, Ran};

use super::Cors;

fn filter(settings: Value) -> Cors {
    testing::filter(settings).unwrap()
}

fn shop() -> Cors {
    filter(json!({
        "allow_origins": ["https://shop.example", "https://*.shop.example", "http://localhost:*"],
        "allow_methods": ["GET", "PUT"],
        "allow_headers": ["content-type", "x-access-tokens"],
        "expose_headers": ["x-request-id"],
        "max_age": "10m",
        "allow_credentials": true,
    }))
}

fn preflight(origin: &str) -> Exchange {
    Exchange::new("OPTIONS", "/")
        .header("origin", origin)
        .header("access-control-request-method", "PUT")
}

fn header(ran: &Ran, name: &str) -> Option<String> {
    let values: Vec<_> = ran
        .response()
        .header_values(name)
        .iter()
        .map(|value| value.to_str().unwrap().to_owned())
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

#[test]
fn a_preflight_is_answered_without_the_upstream() {
    let ran = preflight("https://shop.example").run(&shop());
    let reply = ran.replied().unwrap();

    assert_eq!(reply.status(), 204);
    assert!(reply.body_bytes().is_empty());
    for (name, value) in [
        ("access-control-allow-origin", "https://shop.example"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "content-type, x-access-tokens"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "600"),
        (
            "vary",
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        ),
    ] {
        assert_eq!(reply.header_value(name).unwrap(), value, "{name}");
    }
}

#[test]
fn a_preflight_from_elsewhere_is_refused_without_a_word_a_browser_would_take_for_yes() {
    let ran = preflight("https://evil.example").run(&shop());
    let reply = ran.replied().unwrap();
    assert_eq!(reply.status(), 403);
    assert!(
        reply
            .headers()
            .iter()
            .all(|(name, _)| !name.starts_with("access-control-"))
    );
}

#[test]
fn an_options_request_that_is_no_preflight_goes_to_the_upstream() {
    let no_method = Exchange::new("OPTIONS", "/").header("origin", "https://shop.example");
    assert!(no_method.run(&shop()).replied().is_none());
    let no_origin = Exchange::new("OPTIONS", "/").header("access-control-request-method", "PUT");
    assert!(no_origin.run(&shop()).replied().is_none());
}

#[test]
fn a_response_to_an_allowed_page_says_so() {
    let ran = Exchange::get("/").header("origin", "https://shop.example").run(&shop());
    assert_eq!(
        header(&ran, "access-control-allow-origin").as_deref(),
        Some("https://shop.example")
    );
    assert_eq!(
        header(&ran, "access-control-allow-credentials").as_deref(),
        Some("true")
    );
    assert_eq!(
        header(&ran, "access-control-expose-headers").as_deref(),
        Some("x-request-id")
    );
    assert_eq!(header(&ran, "vary").as_deref(), Some("Origin"));
}

#[test]
fn a_response_to_another_page_or_to_none_says_nothing_but_that_it_varies() {
    for exchange in [
        Exchange::get("/").header("origin", "https://evil.example"),
        Exchange::get("/"),
    ] {
        let ran = exchange.run(&shop());
        assert!(ran.replied().is_none());
        assert_eq!(header(&ran, "access-control-allow-origin"), None);
        assert_eq!(header(&ran, "access-control-allow-credentials"), None);
        assert_eq!(header(&ran, "vary").as_deref(), Some("Origin"));
    }
}

#[test]
fn the_upstreams_own_word_on_it_is_taken_out() {
    let upstream = |exchange: Exchange| {
        exchange
            .response_header("access-control-allow-origin", "*")
            .response_header("access-control-allow-credentials", "true")
    };
    let ran = upstream(Exchange::get("/").header("origin", "https://evil.example")).run(&shop());
    assert_eq!(header(&ran, "access-control-allow-origin"), None);
    assert_eq!(header(&ran, "access-control-allow-credentials"), None);

    let ran = upstream(Exchange::get("/").header("origin", "https://shop.example")).run(&shop());
    assert_eq!(
        header(&ran, "access-control-allow-origin").as_deref(),
        Some("https://shop.example")
    );
}

#[test]
fn vary_is_not_said_twice() {
    for (upstream, all) in [
        ("accept, ORIGIN", "accept, ORIGIN"),
        ("*", "*"),
        ("accept", "accept, Origin"),
    ] {
        let ran = Exchange::get("/").response_header("vary", upstream).run(&shop());
        assert_eq!(header(&ran, "vary").as_deref(), Some(all));
    }
}

#[test]
fn a_star_allows_every_page_and_nothing_varies() {
    let filter = filter(json!({ "allow_origins": ["*"] }));
    let ran = Exchange::get("/")
        .header("origin", "https://anybody.example")
        .run(&filter);
    assert_eq!(header(&ran, "access-control-allow-origin").as_deref(), Some("*"));
    assert_eq!(header(&ran, "vary"), None);

    let ran = preflight("null").run(&filter);
    assert_eq!(
        ran.replied()
            .unwrap()
            .header_value("access-control-allow-methods")
            .unwrap(),
        "GET, HEAD, POST"
    );
    assert_eq!(ran.replied().unwrap().header_value("access-control-max-age"), None);
}

#[test]
fn a_pattern_fits_subdomains_and_ports_and_nothing_else() {
    let allowed = |origin: &str| preflight(origin).run(&shop()).replied().unwrap().status() == 204;

    for origin in [
        "https://a.shop.example",
        "https://a.b-1.shop.example",
        "http://localhost:3000",
    ] {
        assert!(allowed(origin), "{origin}");
    }
    for origin in [
        "https://.shop.example",
        "https://evilshop.example",
        "https://a.shop.example.evil.example",
        "https://evil.example:1.shop.example",
        "https://evil.example/.shop.example",
        "http://a.shop.example",
        "https://a.shop.example:8443",
        "https://shop.example:443",
        "http://localhost",
        "http://localhost:",
        "http://localhost:3000.evil.example",
        "HTTPS://SHOP.EXAMPLE",
        "null",
    ] {
        assert!(!allowed(origin), "{origin}");
    }
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let with = |key: &str, value: Value| {
        let mut settings = json!({ "allow_origins": ["https://a.example"] });
        settings[key] = value;
        settings
    };
    let credentials = |key: &str| {
        let mut settings = with(key, json!(["*"]));
        settings["allow_credentials"] = true.into();
        settings
    };
    for (wrong, says) in [
        (json!({ "allow_origins": [] }), "`allow_origins` is empty"),
        (
            with("allow_origins", json!(["*", "https://a.example"])),
            "`*` stands alone",
        ),
        (
            with("allow_origins", json!(["a.example"])),
            "allow_origins[0]: `a.example` is no origin",
        ),
        (
            with("allow_origins", json!(["https://a.example/"])),
            "more than an origin",
        ),
        (with("allow_origins", json!(["https://A.example"])), "in lower case"),
        (with("allow_origins", json!(["https://a.*"])), "may have one `*`"),
        (with("allow_origins", json!(["https://*"])), "may have one `*`"),
        (with("allow_origins", json!(["https://*a.example"])), "may have one `*`"),
        (
            with("allow_origins", json!(["https://*.*.example"])),
            "may have one `*`",
        ),
        (with("allow_methods", json!([])), "`allow_methods` is empty"),
        (with("allow_methods", json!(["GET PUT"])), "`GET PUT` is no name"),
        (with("max_age", json!("long")), "max_age: `long` is no length of time"),
        (credentials("allow_origins"), "`allow_origins` cannot be `*`"),
        (credentials("allow_headers"), "`allow_headers` cannot be `*`"),
        (with("origins", json!([])), "origins"),
    ] {
        let error = testing::filter::<Cors>(wrong.clone())
            .err()
            .unwrap_or_else(|| panic!("accepted: {wrong}"));
        assert!(error.to_string().contains(says), "{wrong}: {error}");
    }
}

#[test]
fn the_readme_names_every_setting() {
    let schema = testing::schema::<Cors>();
    for name in schema["properties"].as_object().unwrap().keys() {
        assert!(
            include_str!("../README.md").contains(&format!("| `{name}` |")),
            "{name}"
        );
    }
}
