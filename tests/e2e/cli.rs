//! The command line, as one types it.

use portcullis_tests::{Folder, Gateway, Ran, misbehaving, portcullis, portcullis_in, repository};
use serde_json::json;

const CONFIGURATION: &str = r#"
version = 1
[server]
listen = "127.0.0.1:0"
[upstream.users]
targets = "http://127.0.0.1:9001"
[filter.signed-in]
use = "token-auth"
settings = { tokens = ["${env:HOME}"] }
[[route]]
name = "one-user"
match = "GET /users/{id}"
to = "users"
filters = ["signed-in", { use = "request-id" }]
[[route]]
name = "greeting"
match = "/"
respond = { body = "hello" }
"#;

/// Runs a command in a folder with a good configuration.
fn ran(arguments: &[&str]) -> Ran {
    let folder = Folder::new();
    folder.write("portcullis.toml", CONFIGURATION);
    portcullis_in(folder.path(), arguments)
}

#[test]
fn check_says_that_all_is_well() {
    let ran = ran(&["check", "portcullis.toml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn check_reports_every_problem_with_its_place() {
    let folder = Folder::new();
    let bad = CONFIGURATION
        .replace("to = \"users\"", "to = \"usrs\"")
        .replace("respond = {", "respnd = {");
    folder.write("portcullis.toml", bad);

    let ran = portcullis_in(folder.path(), &["check", "portcullis.toml"]);

    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("portcullis.toml:13") && ran.stderr.contains("portcullis.toml:18"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("usrs") && ran.stderr.contains("users") && ran.stderr.contains("respnd"),
        "{}",
        ran.stderr
    );
}

#[test]
fn check_reports_as_json_where_asked() {
    let folder = Folder::new();
    folder.write(
        "portcullis.toml",
        CONFIGURATION.replace("to = \"users\"", "to = \"usrs\""),
    );

    let ran = portcullis_in(folder.path(), &["check", "portcullis.toml", "--json"]);

    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.json().to_string().contains("usrs"), "{ran:?}");
}

#[test]
fn explain_names_route_filters_and_backend() {
    let ran = ran(&[
        "explain",
        "GET",
        "http://shop.example/users/7?x=1",
        "-c",
        "portcullis.toml",
    ]);

    assert_eq!(ran.code, 0, "{ran:?}");
    let places = ["one-user", "signed-in", "request-id"].map(|word| ran.stdout.find(word));
    assert!(places.iter().all(Option::is_some), "{}", ran.stdout);
    assert!(places[1] < places[2], "filters in their order: {}", ran.stdout);
    assert!(
        ran.stdout.contains("token-auth") && ran.stdout.contains("users"),
        "{}",
        ran.stdout
    );
}

#[test]
fn explain_says_where_each_thing_is_written() {
    let ran = ran(&["explain", "GET", "/users/7", "-c", "portcullis.toml"]);

    let line = |word: &str| ran.stdout.lines().find(|line| line.contains(word)).unwrap_or_default();
    for (word, place) in [
        ("route     one-user", "portcullis.toml:10"),
        ("1. signed-in", "portcullis.toml:7"),
        ("tokens = ", "portcullis.toml:9"),
        ("2. request-id", "portcullis.toml:14"),
    ] {
        assert!(line(word).contains(place), "{word} at {place}: {}", ran.stdout);
    }
}

#[test]
fn explain_answers_as_json_where_asked() {
    let url = "http://shop.example/users/7?x=1";
    let explained = ran(&["explain", "GET", url, "-c", "portcullis.toml", "--json"]).json();

    let route = &explained["route"];
    assert_eq!(
        (&route["name"], &route["match"][0]),
        (&json!("one-user"), &json!("GET /users/{id}"))
    );
    assert_eq!(route["parameters"], json!({ "id": "7" }));
    let filters = route["filters"].as_array().expect("a list");
    let filters = filters
        .iter()
        .map(|filter| (&filter["name"], &filter["plugin"], &filter["phases"]));
    let first = (&json!("signed-in"), &json!("token-auth"), &json!(["request"]));
    assert_eq!(filters.clone().next(), Some(first));
    assert_eq!(
        filters.map(|filter| filter.0).collect::<Vec<_>>(),
        ["signed-in", "request-id"]
    );
    assert_eq!(
        (&route["backend"]["kind"], &route["backend"]["path"]),
        (&json!("proxy"), &json!("/users/7?x=1"))
    );
    let nothing = ran(&["explain", "GET", "/nowhere", "-c", "portcullis.toml", "--json"]).json();
    assert_eq!(nothing["refused"]["status"], 404);
}

#[test]
fn explain_shows_no_secrets() {
    let folder = Folder::new();
    folder.write("token", "letmein-and-tell-nobody\n");
    folder.write("portcullis.toml", CONFIGURATION.replace("${env:HOME}", "${file:token}"));

    for arguments in [
        ["explain", "GET", "/users/7", "-c", "portcullis.toml"].as_slice(),
        &["explain", "GET", "/users/7", "-c", "portcullis.toml", "--json"],
        &["routes", "-c", "portcullis.toml", "--json"],
        &["check", "portcullis.toml"],
    ] {
        let ran = portcullis_in(folder.path(), arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!format!("{ran:?}").contains("letmein"), "{ran:?}");
        assert!(
            arguments[0] != "explain" || ran.stdout.contains("${file:token}"),
            "{ran:?}"
        );
    }
}

#[test]
fn explain_says_why_nothing_answers() {
    let by_path = ran(&["explain", "GET", "http://shop.example/nowhere", "-c", "portcullis.toml"]);
    assert!(by_path.stdout.contains("404"), "{by_path:?}");
    let by_method = ran(&[
        "explain",
        "DELETE",
        "http://shop.example/users/7",
        "-c",
        "portcullis.toml",
        "-H",
        "x-a: b",
    ]);
    assert!(
        by_method.stdout.contains("405") && by_method.stdout.contains("GET"),
        "{by_method:?}"
    );
}

#[test]
fn routes_lists_the_routes() {
    let ran = ran(&["routes", "-c", "portcullis.toml"]);

    assert_eq!(ran.code, 0, "{ran:?}");
    for word in ["one-user", "GET /users/{id}", "users", "greeting"] {
        assert!(ran.stdout.contains(word), "{}", ran.stdout);
    }
}

#[test]
fn routes_lists_them_as_json_where_asked() {
    let routes = ran(&["routes", "-c", "portcullis.toml", "--json"]).json();

    let names = routes
        .as_array()
        .expect("a list")
        .iter()
        .map(|route| &route["name"])
        .collect::<Vec<_>>();
    assert_eq!(names, ["one-user", "greeting"]);
}

#[test]
fn plugin_inspect_tells_what_a_file_is() {
    let ran = portcullis(&["plugin", "inspect", misbehaving()]);

    assert_eq!(ran.code, 0, "{ran:?}");
    for word in ["misbehaving", "0.1.0", "request", "response", "act"] {
        assert!(ran.stdout.contains(word), "no {word} in {}", ran.stdout);
    }
}

#[test]
fn plugin_inspect_tells_it_as_json_where_asked() {
    let told = portcullis(&["plugin", "inspect", "rate-limit", "--json"]).json();

    assert_eq!(
        (&told["name"], &told["phases"]),
        (&json!("rate-limit"), &json!(["request"]))
    );
    let capabilities = told["capabilities"].as_array().expect("a list");
    assert!(capabilities.contains(&json!("rate-limit")), "{told}");
    assert_eq!(told["settings"]["properties"]["rate"]["type"], "string");
    assert_eq!(told["sha256"].as_str().map(str::len), Some(64));
}

#[test]
fn plugin_inspect_refuses_what_is_no_plugin() {
    let ran = portcullis(&["plugin", "inspect", "Cargo.toml"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("Cargo.toml"), "{ran:?}");
}

#[test]
fn a_wrong_use_ends_with_2_and_shows_the_right_one() {
    for arguments in [
        ["chekc"].as_slice(),
        &["run"],
        &["check", "--jsno", "x"],
        &["explain", "GET"],
    ] {
        let ran = portcullis_in(Folder::new().path(), arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("Usage"), "{ran:?}");
    }
}

#[test]
fn help_shows_an_example() {
    for command in ["run", "check", "explain", "routes", "demo", "new", "plugin"] {
        let ran = portcullis(&[command, "--help"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains("portcullis "), "{}", ran.stdout);
    }
}

#[test]
fn a_file_that_is_not_there_is_a_configuration_error() {
    for arguments in [["check", "nowhere.toml"].as_slice(), &["run", "-c", "nowhere.toml"]] {
        let ran = portcullis(arguments);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("nowhere.toml"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_ends_with_3_and_names_the_port() {
    let first = Gateway::start("[[route]]\nmatch = '/'\nrespond = {}").await;
    let folder = Folder::new();
    folder.write(
        "portcullis.toml",
        CONFIGURATION.replace("127.0.0.1:0", &first.address().to_string()),
    );

    let ran = portcullis_in(folder.path(), &["run", "-c", "portcullis.toml"]);

    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains(&first.address().port().to_string()), "{ran:?}");
}

#[test]
fn explain_takes_the_listener_that_the_urls_scheme_asks_for() {
    let shop = repository().join("config/production.toml");
    let shop = shop.to_str().expect("a path of text");
    let explained = |url: &str, more: &[&str]| {
        let arguments = [&["explain", "GET", url, "-c", shop, "--json"], more].concat();
        portcullis(&arguments).json()
    };

    let secure = explained("https://shop.example/api/orders/7", &[]);
    assert_eq!(
        (&secure["listener"], &secure["route"]["name"]),
        (&json!("edge"), &json!("orders"))
    );

    let plain = explained("http://shop.example/api/orders/7", &[]);
    assert_eq!(
        (&plain["listener"], &plain["refused"]["status"]),
        (&json!("plain"), &json!(308))
    );

    let named = explained("http://shop.example/api/orders/7", &["-l", "edge"]);
    assert_eq!(named["route"]["name"], json!("orders"));
}
