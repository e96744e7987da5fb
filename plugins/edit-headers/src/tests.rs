use portcullis_sdk::serde_json::{Value, json};
use portcullis_sdk::testing::{self, Exchange, Ran};

use super::EditHeaders;

fn filter(settings: Value) -> EditHeaders {
    testing::filter(settings).unwrap()
}

fn sent(ran: &Ran, name: &str) -> Vec<String> {
    texts(ran.request().header_values(name))
}

fn answered(ran: &Ran, name: &str) -> Vec<String> {
    texts(ran.response().header_values(name))
}

fn texts(values: Vec<portcullis_sdk::HeaderValue>) -> Vec<String> {
    values
        .into_iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

#[test]
fn fields_of_a_request_are_removed_renamed_set_and_appended_to() {
    let filter = filter(json!({ "request": {
        "remove": ["X-Debug"],
        "rename": { "x-old": "x-new" },
        "set": { "x-env": "test" },
        "append": { "x-tag": "b" },
    } }));
    let ran = Exchange::get("/")
        .header("x-debug", "1")
        .header("x-old", "1")
        .header("x-old", "2")
        .header("x-new", "gone")
        .header("x-env", "forged")
        .header("x-tag", "a")
        .run(&filter);

    assert!(sent(&ran, "x-debug").is_empty());
    assert!(sent(&ran, "x-old").is_empty());
    assert_eq!(sent(&ran, "x-new"), ["1", "2"]);
    assert_eq!(sent(&ran, "x-env"), ["test"]);
    assert_eq!(sent(&ran, "x-tag"), ["a", "b"]);
}

#[test]
fn fields_of_a_response_are_edited_by_their_own_settings() {
    let filter = filter(json!({
        "request": { "set": { "x-way": "in" } },
        "response": {
            "remove": ["server"],
            "rename": { "x-a": "x-b" },
            "set": { "x-way": "out" },
            "append": { "via": "1.1 p" },
        },
    }));
    let exchange = Exchange::get("/")
        .response_header("server", "secret/1.0")
        .response_header("x-a", "1");
    let ran = exchange.response_header("via", "1.1 up").run(&filter);

    assert_eq!(sent(&ran, "x-way"), ["in"]);
    assert_eq!(answered(&ran, "x-way"), ["out"]);
    assert!(answered(&ran, "server").is_empty());
    assert_eq!(answered(&ran, "x-b"), ["1"]);
    assert_eq!(answered(&ran, "via"), ["1.1 up", "1.1 p"]);
}

#[test]
fn renaming_what_is_not_there_leaves_the_other_name_alone() {
    let filter = filter(json!({ "request": { "rename": { "x-old": "x-new" } } }));
    let ran = Exchange::get("/").header("x-new", "stays").run(&filter);
    assert_eq!(sent(&ran, "x-new"), ["stays"]);
}

#[test]
fn values_are_put_together_from_the_exchange() {
    let set = json!({
        "x-client": "{client-address}",
        "x-user": "user={jwt.sub};plan={note.plan}",
        "x-item": "{path.id}/{route}",
        "x-agent": "<{header.User-Agent}>",
        "x-brace": "{{not}} a placeholder",
    });
    let filter = filter(json!({ "request": { "set": set.clone() }, "response": { "set": set } }));
    let ran = Exchange::get("/users/7")
        .client_address("192.0.2.7")
        .path_parameter("id", "7")
        .route("users")
        .note("jwt:sub", "u7")
        .note("plan", "gold")
        .header("user-agent", &b"caf\xe9"[..])
        .run(&filter);

    for (name, value) in [
        ("x-client", &b"192.0.2.7"[..]),
        ("x-user", b"user=u7;plan=gold"),
        ("x-item", b"7/users"),
        ("x-agent", b"<caf\xe9>"),
        ("x-brace", b"{not} a placeholder"),
    ] {
        assert_eq!(ran.request().header(name).unwrap(), value, "{name}");
        assert_eq!(ran.response().header(name).unwrap(), value, "{name}");
    }
}

#[test]
fn the_request_id_is_the_noted_one_or_else_the_exchanges_own() {
    let filter = filter(json!({ "request": { "set": { "x-id": "{request-id}" } } }));
    let ran = Exchange::get("/").run(&filter);
    assert_eq!(sent(&ran, "x-id"), [ran.request().id()]);

    let ran = Exchange::get("/").note("request-id", "from-client").run(&filter);
    assert_eq!(sent(&ran, "x-id"), ["from-client"]);
}

#[test]
fn a_value_that_is_missing_sets_nothing_and_still_removes_what_the_client_sent() {
    let filter = filter(json!({ "request": { "set": { "x-user": "{jwt.sub}" }, "append": { "x-tag": "{path.id}" } } }));
    let ran = Exchange::get("/")
        .header("x-user", "root")
        .header("x-tag", "a")
        .run(&filter);
    assert!(sent(&ran, "x-user").is_empty());
    assert_eq!(sent(&ran, "x-tag"), ["a"]);
}

#[test]
fn a_value_that_no_field_can_hold_counts_as_missing() {
    let filter = filter(json!({ "request": { "set": { "x-item": "{path.id}" }, "append": { "x-tag": "{path.id}" } } }));
    let ran = Exchange::get("/a%0d%0ab")
        .path_parameter("id", "a\r\nx-admin: 1")
        .header("x-item", "forged")
        .run(&filter);
    assert!(ran.replied().is_none());
    assert!(sent(&ran, "x-item").is_empty());
    assert!(sent(&ran, "x-tag").is_empty());
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    for (wrong, says) in [
        (
            json!({ "request": { "set": { "x": "{user}" } } }),
            "request.set.x: `{user}` is no template: `{user}` is no placeholder, there are client-address, ",
        ),
        (
            json!({ "request": { "set": { "x": "{path.}" } } }),
            "`{path.}` is no placeholder",
        ),
        (json!({ "request": { "set": { "x": "{}" } } }), "`{}` is no placeholder"),
        (
            json!({ "response": { "append": { "x": "{route" } } }),
            "a brace is without its other half",
        ),
        (
            json!({ "response": { "append": { "x": "a}b" } } }),
            "a brace is without its other half",
        ),
        (
            json!({ "request": { "set": { "x": "{header.a b}" } } }),
            "no header field name",
        ),
        (json!({ "request": { "set": { "x": "a\nb" } } }), "control characters"),
        (
            json!({ "request": { "set": { "two words": "x" } } }),
            "no header field name",
        ),
        (
            json!({ "request": { "remove": ["Content-Length"] } }),
            "`request`: `content-length` belongs to the connection",
        ),
        (
            json!({ "response": { "rename": { "x": "host" } } }),
            "`response`: `host` belongs to the connection",
        ),
        (json!({ "request": { "add": {} } }), "add"),
    ] {
        let error = testing::filter::<EditHeaders>(wrong.clone())
            .err()
            .unwrap_or_else(|| panic!("accepted: {wrong}"));
        assert!(error.to_string().contains(says), "{wrong}: {error}");
    }
}

#[test]
fn the_readme_names_every_setting() {
    let schema = testing::schema::<EditHeaders>();
    for name in schema["properties"].as_object().unwrap().keys() {
        assert!(
            include_str!("../README.md").contains(&format!("| `{name}` |")),
            "{name}"
        );
    }
}
