//! The whole way, from text to configuration or problems.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::resolved::{
    AccessLog, Asking, Backend, DiscoverySource, HttpVersion, OnFailure, PluginSource, Probe, ServicePort,
};
use super::settings::{check_settings, settings_error};
use super::units::Share;
use super::{Loaded, Problems, load, load_text, load_with};

/// Names of standard plugins, as the gateway would pass them.
pub(super) const STANDARD: &[&str] = &[
    "api-key",
    "cors",
    "edit-headers",
    "jwt-auth",
    "rate-limit",
    "request-id",
    "token-auth",
];

const GOOD: &str = r#"
version = 1

[server]
listen = ["127.0.0.1:8080", "[::1]:8080"]
admin = "127.0.0.1:9900"
trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]
merge_slashes = true
[server.limits]
body_size = "off"
uri_size = "4KiB"
[server.timeouts]
drain = "0s"

[log]
level = "warn,portcullis=debug"
access = "off"

[wasm]
cache = "off"

[upstream.users]
targets = ["http://127.0.0.1:9001", { url = "http://localhost:9002", weight = 2, priority = 1, zone = "eu-1b" }]
balance = { hash = "path:id" }
sticky = { cookie = "target", for = "1h", key = "${env:KEY}" }
prefer_zone = "eu-1a"
panic = "30%"
health = { path = "/healthz", every = "2s", status = [200, "204-299"] }
eject = { after = 3, most = "20%" }
http = "2"
keep_for = "1.5s"

[filter.signed-in]
use = "jwt-auth"
settings = { audience = "shop", key = "${env:KEY}" }
on_failure = "skip"

[[route]]
match = "GET,POST example.com/users/{id}"
to = "users"
rewrite = { path = "/api/{id}", host = "internal.example:8080" }
filters = [
  "signed-in",
  { use = "rate-limit", name = "five", settings = { rate = "5/min", key = ["client-ip"] }, limits = { cpu = "20ms" } },
  { use = "signed-in", on_failure = "reject", reuse = 1 },
]
timeout = "2s"
body_size = "off"

[[route]]
match = [{ path = "/a/{rest...}", headers = { accept = { prefix = "text/" } }, query = { x = "1" } }, "/b/{rest...}"]
redirect = { to = "https://example.com/{rest}", status = 301, keep_query = false }

[[route]]
name = "hello"
match = "/"
respond = { json = { message = "hello", list = [1, 2.5, true] }, headers = { cache-control = "no-store" } }
"#;

const DISCOVERING: &str = r#"
version = 1
[server]
listen = "127.0.0.1:8080"
[upstream.orders]
discover = { from = "consul:orders", address = "https://consul.internal:8501", token = "${env:KEY}", tag = ["v2", "eu"], datacenter = "dc2", grace = "0s" }
[upstream.users]
discover = { from = "dns:users.internal:8080", every = "5s" }
resolver = "10.0.0.2"
[upstream.shop]
discover = { from = "kubernetes:shop/orders:http", server = "https://10.0.0.1:6443", token = "${env:KEY}" }
[upstream.srv]
discover = "dns-srv:_http._tcp.orders.internal"
[[route]]
match = "/orders"
to = "orders"
[[route]]
match = "/users"
to = "users"
[[route]]
match = "/shop"
to = "shop"
[[route]]
match = "/srv"
to = "srv"
"#;

const SECRET: &str = "hunter2-do-not-print";

fn good(text: &str) -> Loaded {
    match with_secret(text) {
        Ok(loaded) => loaded,
        Err(problems) => panic!("{problems}"),
    }
}

/// As with `KEY` set to [`SECRET`].
fn with_secret(text: &str) -> Result<Loaded, Problems> {
    let environment = |name: &str| (name == "KEY").then(|| SECRET.to_owned());
    load_with(
        Path::new("test.toml"),
        None,
        text,
        Path::new("/nowhere"),
        STANDARD,
        &environment,
    )
}

/// A configuration whose only route has one filter, with these settings.
fn with_settings(settings: &str) -> Loaded {
    good(&format!(
        "version = 1\n[server]\nlisten = '127.0.0.1:1'\n[[route]]\nmatch = '/'\nrespond = {{}}\n\
         filters = [{{ use = 'rate-limit', settings = {settings} }}]\n"
    ))
}

#[test]
fn a_good_file_becomes_what_it_says() {
    let Loaded { config, warnings } = good(GOOD);
    assert_eq!(warnings, []);
    assert_eq!(config.listeners[0].addresses.len(), 2);
    assert_eq!(config.server.trusted_proxies[1].to_string(), "192.0.2.7/32");
    assert_eq!(config.server.limits.body_size, None);
    assert_eq!(config.server.limits.uri_size, 4096);
    assert_eq!(config.server.timeouts.drain, Duration::ZERO);
    assert!(config.server.paths.merge_slashes);
    assert_eq!(config.log.access, AccessLog::Off);
    assert_eq!(config.wasm.cache, None);
    let users = &config.upstreams[0];
    assert_eq!(users.connections.http, HttpVersion::Two);
    assert_eq!(users.targets[1].weight, 2);
    assert_eq!(users.connections.keep_for, Duration::from_millis(1500));
    assert_eq!(users.balance.to_string(), "hash of path:id");
    assert_eq!(
        (users.targets[1].priority, users.targets[1].zone.as_deref()),
        (1, Some("eu-1b"))
    );
    let health = users.health.as_ref().unwrap();
    assert_eq!(
        (health.every, health.timeout),
        (Duration::from_secs(2), Duration::from_secs(1))
    );
    assert!(matches!(&health.probe, Probe::Http { statuses, .. } if *statuses == [200..=200, 204..=299]));
    let eject = users.eject.unwrap();
    assert_eq!(
        (eject.after, eject.most, eject.lasts),
        (3, Share::percent(20), Duration::from_secs(10))
    );
}

#[test]
fn routes_have_their_filters_in_order_and_their_backend() {
    let config = good(GOOD).config;
    let [users, moved, hello] = config.routes.as_slice() else {
        panic!("three routes")
    };
    let names: Vec<&str> = users.filters.iter().map(|filter| &*filter.name).collect();
    assert_eq!(names, ["signed-in", "five", "signed-in"]);
    assert_eq!(users.filters[0].on_failure, OnFailure::Skip);
    assert_eq!(users.filters[2].on_failure, OnFailure::Reject);
    assert_eq!(users.filters[2].reuse, 1);
    assert_eq!(users.filters[1].limits.cpu, Duration::from_millis(20));
    assert_eq!(users.filters[1].limits.memory, 16 << 20);
    assert_eq!(
        users.filters[1].plugin.source,
        PluginSource::Standard("rate-limit".to_owned())
    );
    assert_eq!(users.body_size, Some(None));
    assert!(matches!(
        &users.backend,
        Backend::Proxy {
            to,
            path: Some(_),
            host: Some(_),
            mirror: None,
        } if to.len() == 1 && to[0].upstream == 0
    ));
    assert_eq!(moved.matches.len(), 2);
    assert!(matches!(&moved.backend, Backend::Redirect { status, keep_query: false, .. } if status.as_u16() == 301));
    assert_eq!(&*hello.name, "hello");
    let Backend::Fixed { headers, body, .. } = &hello.backend else {
        panic!("a fixed answer")
    };
    assert_eq!(headers.len(), 2);
    assert_eq!(&body[..], br#"{"message":"hello","list":[1,2.5,true]}"#);
}

#[test]
fn secrets_reach_the_filter_and_nothing_else() {
    let config = good(GOOD).config;
    let filter = &config.routes[0].filters[0];
    assert_eq!(filter.settings["key"], SECRET);
    assert_eq!(filter.settings_shown["key"], "${env:KEY}");
    assert!(!format!("{config:?}").contains(SECRET));
    let refused = settings_error(filter, &format!("key {SECRET} is too short"));
    assert_eq!(refused.label, "key ${env:KEY} is too short");
}

#[test]
fn no_message_prints_a_secret_wherever_it_is_put() {
    // Every string of the good files, one at a time, becomes the secret: as a whole, and with text around it.
    for good in [GOOD, DISCOVERING] {
        let quotes: Vec<usize> = good.match_indices('"').map(|(at, _)| at).collect();
        for string in quotes.chunks(2) {
            for secret in [
                "${env:KEY}",
                "GET /${env:KEY}/{",
                "http://${env:KEY}/x",
                "{${env:KEY}}",
                "dns:${env:KEY}",
            ] {
                let text = format!("{}{secret}{}", &good[..=string[0]], &good[string[1]..]);
                let said = match with_secret(&text) {
                    Ok(loaded) => format!("{:?} {:?}", loaded.warnings, loaded.config.routes),
                    Err(problems) => format!("{problems}\n{}\n{problems:?}", problems.to_json()),
                };
                // Patterns and templates are no place for secrets: the router's own types show what they match.
                if !said.contains("Pattern {") {
                    assert!(!said.contains(SECRET), "{said}");
                }
            }
        }
    }
}

#[test]
fn discovery_is_what_it_says() {
    let Loaded { config, warnings } = good(DISCOVERING);
    assert_eq!(warnings, []);
    let found: Vec<_> = config
        .upstreams
        .iter()
        .map(|upstream| upstream.discovery.clone().unwrap())
        .collect();
    let DiscoverySource::Consul(consul) = &found[0].from else {
        panic!("Consul")
    };
    assert_eq!((consul.service.as_str(), consul.tags.len()), ("orders", 2));
    assert_eq!(consul.address, "https://consul.internal:8501");
    assert_eq!(consul.token.as_ref().unwrap().reveal(), SECRET);
    assert_eq!(found[0].grace, Duration::ZERO);
    let asking = Asking {
        resolver: Some("10.0.0.2:53".parse().unwrap()),
        every: Some(Duration::from_secs(5)),
    };
    let (host, port) = ("users.internal".into(), 8080);
    assert_eq!(found[1].from, DiscoverySource::Dns { host, port, asking });
    assert_eq!(found[1].grace, Duration::from_secs(60));
    assert!(
        matches!(&found[2].from, DiscoverySource::Kubernetes(service) if service.port == ServicePort::Named("http".into()))
    );
    assert_eq!(found[3].written, "dns-srv:_http._tcp.orders.internal");
    assert!(!format!("{found:?}").contains(SECRET));
}

#[test]
fn settings_are_held_against_the_schema_of_their_plugin() {
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["rate"],
        "properties": {
            "rate": { "type": "string" },
            "burst": { "type": "integer", "minimum": 1 },
            "mode": { "enum": ["local", "shared"] },
            "key": { "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] },
        },
    });
    let check = |settings: &str| {
        let loaded = with_settings(settings);
        check_settings(&schema, &loaded.config.routes[0].filters[0])
    };
    assert_eq!(check("{ rate = '5/min', burst = 2, key = ['a'] }"), []);

    let problems = check("{ rat = '5/min', burst = 0, mode = 'locale', key = ['a', 5] }");
    let found: Vec<_> = problems
        .iter()
        .map(|one| (one.place.as_ref().unwrap().text(), one.title.as_str()))
        .collect();
    for expected in [
        ("rat", "unknown setting `rat`"),
        ("0", "setting `burst` is out of range"),
        ("'locale'", "setting `mode` has a value that is not allowed"),
        ("5", "setting `key[1]` has a value of the wrong kind"),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    assert!(problems.iter().any(|one| one.title == "missing setting `rate`"));
    assert!(
        problems
            .iter()
            .any(|one| one.help.as_deref() == Some("did you mean `local`?"))
    );
}

#[test]
fn a_secret_setting_that_the_schema_refuses_is_not_printed() {
    let schema = json!({ "properties": {
        "rate": { "enum": ["hunter2-do-not-prin"] }, "key": { "pattern": "^x$" }, "n": { "type": "integer" },
    } });
    let loaded = with_settings("{ rate = '${env:KEY}', key = 'a ${env:KEY}', n = '${env:KEY}' }");
    let problems = check_settings(&schema, &loaded.config.routes[0].filters[0]);
    assert_eq!(problems.len(), 3);
    assert!(!Problems::of(problems).unwrap().to_string().contains(SECRET));
}

#[test]
fn included_files_belong_to_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("routes.d")).unwrap();
    write(
        "main.toml",
        "version = 1\ninclude = 'routes.d/*.toml'\n[server]\nlisten = '127.0.0.1:1'\n",
    );
    write("routes.d/b.toml", "[[route]]\nmatch = '/b'\nto = 'users'\n");
    write(
        "routes.d/a.toml",
        "[upstream.users]\ntargets = ['http://127.0.0.1:1']\n[[route]]\nmatch = '/a'\nto = 'users'\n",
    );
    write("token", "t0ken\n");
    let loaded = load(&folder.path().join("main.toml"), STANDARD).unwrap();
    let names: Vec<&str> = loaded.config.routes.iter().map(|route| &*route.name).collect();
    assert_eq!(names, ["/a", "/b"]);
    assert_eq!(loaded.config.files.len(), 3);

    write(
        "routes.d/c.toml",
        "include = '../main.toml'\n[upstream.users]\ntargets = []\n[server]\n",
    );
    let said = load(&folder.path().join("main.toml"), STANDARD)
        .unwrap_err()
        .to_string();
    for expected in [
        "includes itself",
        "`users` is declared twice",
        "first declared at",
        "a.toml:1:11",
        "`[server]` in an included file",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let problems = load(Path::new("/nowhere/portcullis.toml"), STANDARD).unwrap_err();
    assert!(
        problems
            .to_string()
            .contains("`/nowhere/portcullis.toml` cannot be read: no such file")
    );
}

#[test]
fn what_is_never_used_is_warned_of() {
    let text = "version = 1\n[server]\nlisten = '127.0.0.1:1'\n[upstream.a]\ntargets = ['http://a']\n\
        [filter.b]\nuse = 'cors'\n[[route]]\nmatch = '/'\nrespond = {}\n";
    let warnings: Vec<String> = good(text).warnings.into_iter().map(|warning| warning.title).collect();
    assert_eq!(warnings, ["upstream `a` is never used", "filter `b` is never used"]);
}

#[test]
fn the_schema_for_editors_accepts_the_good_file_and_refuses_slips() {
    let schema = jsonschema::draft202012::new(&super::schema()).unwrap();
    let value: serde_json::Value = toml::from_str(GOOD).unwrap();
    let errors: Vec<String> = schema
        .iter_errors(&value)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert_eq!(errors, [] as [String; 0]);
    assert!(!schema.is_valid(&json!({ "version": 1, "lisen": 1 })));
    assert!(!schema.is_valid(&json!({ "server": { "timeouts": { "idle": "5 minutes" } } })));
}

/// Nothing may panic, on whatever text: neither reading it nor showing what is wrong with it.
fn survives(text: &str) {
    // No `include`: the files of this machine are not part of the test.
    let text = text.replace("include", "exclude");
    match load_text("fuzz.toml", &text, Path::new("/nowhere"), STANDARD) {
        Ok(loaded) => drop(format!("{loaded:?}")),
        Err(problems) => {
            assert!(problems.iter().count() > 0);
            drop((problems.render(true), problems.render(false), problems.to_json()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        survives(&text);
    }

    #[test]
    fn no_toml_like_text_makes_it_panic(lines in prop::collection::vec(
        "(\\[{1,2}(server|route|upstream\\.a|filter\\.b|plugin\\.c|log|wasm|route\\.match)\\]{1,2}|[a-z_]{1,8}|match|to|listen|targets|filters|settings|respond|version)( ?= ?([0-9]{1,20}|-1|1\\.5|nan|true|\"[a-z/{}:.$0-9é]{0,12}\"|\\[[\"a1, ]{0,8}\\]|\\{ ?[a-z]{1,5} = [\"0-9a]{1,4} ?\\}|1979-05-27))?", 0..20)) {
        survives(&lines.join("\n"));
    }

    #[test]
    fn no_mutation_of_a_good_file_makes_it_panic(
        at in 0..GOOD.len(), length in 0..60_usize, put in "[\\[\\]{}\"'=.,#$\\\\\n a-z0-9é]{0,6}",
    ) {
        let (start, end) = (GOOD.floor_char_boundary(at), GOOD.floor_char_boundary(at + length));
        survives(&format!("{}{put}{}", &GOOD[..start], &GOOD[end..]));
    }
}
