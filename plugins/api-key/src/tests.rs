use portcullis_sdk::serde_json::{Value, json};
use portcullis_sdk::testing::{self, Exchange};

use super::ApiKey;

/// The SHA-256 of `hunter2`.
const HUNTER2: &str = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";

fn filter(settings: Value) -> ApiKey {
    testing::filter(settings).unwrap()
}

fn two_consumers() -> ApiKey {
    filter(json!({ "keys": {
        "acme": { "key": "k-acme", "notes": { "plan": "gold" } },
        "globex": { "sha256": HUNTER2 },
    } }))
}

#[test]
fn a_consumer_comes_in_with_its_key_and_the_upstream_learns_who_it_is() {
    let ran = Exchange::get("/").header("X-Api-Key", "k-acme").run(&two_consumers());

    assert!(ran.replied().is_none());
    assert_eq!(ran.request().header("x-consumer").unwrap(), "acme");
    assert_eq!(ran.request().header("x-api-key"), None);
    assert_eq!(ran.note("api-key").as_deref(), Some("acme"));
    assert_eq!(ran.note("plan").as_deref(), Some("gold"));
}

#[test]
fn a_key_may_be_stored_as_its_hash() {
    let ran = Exchange::get("/").header("x-api-key", "hunter2").run(&two_consumers());
    assert_eq!(ran.note("api-key").as_deref(), Some("globex"));

    let filter = filter(json!({ "keys": { "initech": { "key": format!("sha256:{HUNTER2}") } } }));
    let ran = Exchange::get("/").header("x-api-key", "hunter2").run(&filter);
    assert_eq!(ran.note("api-key").as_deref(), Some("initech"));

    let hash_itself = Exchange::get("/").header("x-api-key", HUNTER2).run(&two_consumers());
    assert_eq!(hash_itself.replied().unwrap().status(), 401);
}

#[test]
fn no_key_a_wrong_key_and_two_keys_are_refused_with_a_challenge() {
    for (keys, detail) in [
        (&[][..], "An API key is needed."),
        (&[""], "An API key is needed."),
        (&["guess"], "The API key is not accepted."),
        (&["k-acme", "k-acme"], "More than one API key was given."),
    ] {
        let exchange = keys
            .iter()
            .fold(Exchange::get("/"), |exchange, key| exchange.header("x-api-key", *key));
        let ran = exchange.run(&two_consumers());
        let reply = ran.replied().unwrap();
        assert_eq!(reply.status(), 401);
        assert_eq!(
            reply.header_value("www-authenticate").unwrap(),
            r#"ApiKey in="header", name="x-api-key""#
        );
        assert_eq!(reply.header_value("content-type").unwrap(), "application/problem+json");
        assert!(String::from_utf8_lossy(reply.body_bytes()).contains(detail), "{keys:?}");
    }
}

#[test]
fn a_client_cannot_say_itself_which_consumer_it_is() {
    let forged = || {
        Exchange::get("/")
            .header("x-consumer", "root")
            .header("x-consumer", "admin")
    };

    let ran = forged().header("x-api-key", "k-acme").run(&two_consumers());
    assert_eq!(ran.request().header_values("x-consumer").len(), 1);
    assert_eq!(ran.request().header("x-consumer").unwrap(), "acme");

    let ran = forged().run(&two_consumers());
    assert_eq!(ran.request().header("x-consumer"), None);
}

#[test]
fn a_key_in_the_query_is_decoded_and_taken_out_and_the_rest_stays_as_it_was() {
    let filter = filter(json!({ "in": "query", "name": "key", "keys": { "acme": { "key": "a+b/c=" } } }));

    for (query, rest) in [
        ("key=a%2Bb%2Fc%3D", None),
        ("key=a+b/c=", None),
        ("a=1&key=a+b/c=&b=%20x&&c", Some("a=1&b=%20x&&c")),
        ("k%65y=a+b/c=&monkey=1", Some("monkey=1")),
    ] {
        let ran = Exchange::get(&format!("/users?{query}")).run(&filter);
        assert!(ran.replied().is_none(), "{query}");
        assert_eq!(ran.request().query().as_deref(), rest, "{query}");
    }
    for query in ["", "?", "?key", "?key=", "?key=no", "?KEY=a+b/c=", "?key=a+b/c=&key=x"] {
        assert_eq!(
            Exchange::get(&format!("/{query}"))
                .run(&filter)
                .replied()
                .unwrap()
                .status(),
            401,
            "{query}"
        );
    }
}

#[test]
fn strip_false_leaves_the_key_for_the_upstream() {
    let filter = filter(json!({ "strip": false, "keys": { "acme": { "key": "k" } } }));
    let ran = Exchange::get("/").header("x-api-key", "k").run(&filter);
    assert_eq!(ran.request().header("x-api-key").unwrap(), "k");
}

#[test]
fn a_field_of_the_connection_may_carry_a_key_that_is_only_read() {
    let filter = filter(json!({ "name": "host", "strip": false, "keys": { "acme": { "key": "k" } } }));
    let ran = Exchange::get("/").header("host", "k").run(&filter);
    assert_eq!(ran.note("api-key").as_deref(), Some("acme"));
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    for (wrong, says) in [
        (json!({ "keys": {} }), "`keys` is empty"),
        (json!({ "keys": { "a": {} } }), "needs `key` or `sha256`"),
        (
            json!({ "keys": { "a": { "key": "k", "sha256": HUNTER2 } } }),
            "and not both",
        ),
        (
            json!({ "keys": { "a": { "key": "" } } }),
            "keys.a.key: this is no credential: it is empty",
        ),
        (json!({ "keys": { "a": { "sha256": "abc" } } }), "64 hexadecimal digits"),
        (
            json!({ "keys": { "a": { "key": "k" }, "b": { "key": "k" } } }),
            "`a` and `b` have the same key",
        ),
        (
            json!({ "keys": { "a": { "key": "hunter2" }, "b": { "sha256": HUNTER2 } } }),
            "`a` and `b` have the same key",
        ),
        (json!({ "keys": { "a\nb": { "key": "k" } } }), "printable ASCII"),
        (
            json!({ "keys": { "a": { "key": "k" } }, "name": "two words" }),
            "no header field name",
        ),
        (
            json!({ "keys": { "a": { "key": "k" } }, "name": "TE" }),
            "`name`: `te` belongs to the connection",
        ),
        (
            json!({ "keys": { "a": { "key": "k" } }, "consumer_header": "Host" }),
            "`consumer_header`: `host` belongs to the connection",
        ),
        (
            json!({ "keys": { "a": { "key": "k" } }, "in": "query", "name": "" }),
            "`name` is empty",
        ),
        (json!({ "keys": { "a": { "key": "k" } }, "in": "body" }), "body"),
    ] {
        let error = testing::filter::<ApiKey>(wrong.clone())
            .err()
            .unwrap_or_else(|| panic!("accepted: {wrong}"));
        assert!(error.to_string().contains(says), "{wrong}: {error}");
    }
}

#[test]
fn the_readme_names_every_setting() {
    let schema = testing::schema::<ApiKey>();
    for name in schema["properties"].as_object().unwrap().keys() {
        assert!(
            include_str!("../README.md").contains(&format!("| `{name}` |")),
            "{name}"
        );
    }
}
