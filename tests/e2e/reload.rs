//! A new configuration takes over without a failed request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use portcullis_tests::{Component, Folder, Gateway, Upstream, eventually, full, misbehaving};
use tokio::sync::Notify;

fn answering(body: &str) -> String {
    format!("[[route]]\nmatch = '/{{rest...}}'\nrespond = {{ body = '{body}' }}\n")
}

#[tokio::test]
async fn a_changed_file_is_noticed() {
    let gateway = Gateway::start(answering("old")).await;
    assert_eq!(gateway.get("/").await.text(), "old");

    gateway.write(answering("new"));

    eventually("the new configuration answers", async || {
        gateway.get("/").await.text() == "new"
    })
    .await;
    assert_eq!(
        gateway
            .metric("portcullis_reloads_total", &[("result", "failed")])
            .await,
        0.0
    );
}

#[tokio::test]
async fn sighup_reloads() {
    let gateway = Gateway::start(answering("old")).await;
    let before = gateway.metric("portcullis_reloads_total", &[("result", "ok")]).await;

    gateway.signal("HUP");

    eventually("it is counted", async || {
        gateway.metric("portcullis_reloads_total", &[("result", "ok")]).await > before
    })
    .await;
    assert_eq!(gateway.get("/").await.text(), "old");
}

#[tokio::test]
async fn what_needs_a_restart_is_said_for_as_long_as_it_does() {
    let gateway = Gateway::start(answering("old")).await;
    let warnings = || gateway.log().matches("started again").count();
    let pending = format!("{}\n[log]\naccess = 'off'\n", answering("new"));

    gateway.reload_with(&pending).await;
    assert_eq!(warnings(), 1);
    gateway.reload_with(&pending.replace("new", "newer")).await;
    assert_eq!(warnings(), 2);
    gateway.reload_with(answering("newest")).await;
    assert_eq!(warnings(), 2, "it is as it was started");
}

#[tokio::test]
async fn a_bad_file_leaves_the_old_one_running() {
    let gateway = Gateway::start(answering("old")).await;

    gateway.reload_with("[[route]]\nmatch = '/'\nto = 'nowhere'\n").await;

    assert_eq!(gateway.get("/").await.text(), "old");
    assert!(
        gateway
            .metric("portcullis_reloads_total", &[("result", "failed")])
            .await
            >= 1.0
    );
    assert_eq!(gateway.admin("/ready").await.status(), 200);
    gateway.log_line(&["nowhere"]).await;
    gateway.write(answering("mended"));
    eventually("a mended file is taken", async || {
        gateway.get("/").await.text() == "mended"
    })
    .await;
}

#[tokio::test]
async fn connections_outlive_a_reload() {
    let gateway = Gateway::start(answering("old")).await;
    let (mut kept, mut multiplexed) = (gateway.connect().await, gateway.connect_http2().await);
    assert_eq!(
        (kept.get("/").await.text(), multiplexed.get("/").await.text()),
        ("old".into(), "old".into())
    );

    gateway.write(answering("new"));
    eventually("the new configuration answers", async || {
        gateway.get("/").await.text() == "new"
    })
    .await;

    assert_eq!(
        (kept.get("/").await.text(), multiplexed.get("/").await.text()),
        ("new".into(), "new".into())
    );
}

#[tokio::test]
async fn an_exchange_ends_on_the_configuration_it_began_with() {
    let release = Arc::new(Notify::new());
    let released = release.clone();
    let upstream = Upstream::with(move |_| {
        let released = released.clone();
        async move {
            released.notified().await;
            http::Response::new(full("from the upstream"))
        }
    })
    .await;
    let gateway = Gateway::proxying(&upstream).await;
    let request = gateway.request("GET", "/");
    let waiting = tokio::spawn(request.send());
    eventually("the upstream works on it", async || upstream.in_flight() == 1).await;

    gateway.write(answering("new"));
    eventually("the new configuration is there", async || {
        gateway.metric("portcullis_reloads_total", &[("result", "ok")]).await == 1.0
    })
    .await;
    assert_eq!(gateway.get("/").await.text(), "new");
    release.notify_one();

    assert_eq!(waiting.await.expect("no panic").text(), "from the upstream");
}

#[tokio::test]
async fn no_request_fails_while_configurations_change_under_load() {
    let upstream = Upstream::answering("hello").await;
    let filtered = |name: &str| {
        let edits = format!("{{ response = {{ set = {{ x-by = '{name}' }} }} }}");
        format!(
            "upstream.service.targets = ['{upstream}']\n[[route]]\nname = '{name}'\nmatch = '/{{rest...}}'\n\
             to = 'service'\nfilters = [{{ use = 'edit-headers', settings = {edits} }}]\n"
        )
    };
    let gateway = Gateway::start(filtered("first")).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..4 {
        let (stop, served, address) = (stop.clone(), served.clone(), gateway.address());
        clients.spawn(async move {
            let mut kept = portcullis_tests::Connection::http1(address).await;
            while !stop.load(Ordering::Relaxed) {
                let fresh = portcullis_tests::Request::to(address, "GET", "/");
                let response = if number % 2 == 0 {
                    kept.get("/").await
                } else {
                    fresh.send().await
                };
                assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    for round in 0..30 {
        gateway
            .reload_with(filtered(if round % 2 == 0 { "second" } else { "first" }))
            .await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.expect("every request was answered well");
    }

    assert!(served.load(Ordering::Relaxed) > 100);
    assert_eq!(
        gateway
            .metric("portcullis_reloads_total", &[("result", "failed")])
            .await,
        0.0
    );
}

#[tokio::test]
async fn what_a_limit_has_counted_outlives_a_reload() {
    let limited = |body: &str| {
        format!(
            "{}filters = [{{ use = 'rate-limit', settings = {{ rate = '2/hour' }} }}]\n",
            answering(body)
        )
    };
    let gateway = Gateway::start(limited("old")).await;
    assert_eq!(
        (gateway.get("/").await.status(), gateway.get("/").await.status()),
        (200, 200)
    );

    gateway.reload_with(limited("new")).await;

    assert_eq!(gateway.get("/").await.status(), 429);
}

#[tokio::test]
async fn a_changed_plugin_is_noticed_and_a_bad_one_left_out() {
    let good = std::fs::read(misbehaving()).expect("the plugin");
    let folder = Folder::new();
    folder.write("plugin.wasm", &good);
    let configuration = "[plugin.own]\nsource = 'plugin.wasm'\n[[route]]\nmatch = '/'\nrespond = { body = 'here' }\n\
        filters = [{ use = 'own', settings = { act = 'nothing' } }]\n";
    let gateway = Gateway::start_in(folder, configuration, &[]).await;
    let reloads = async |result: &str| gateway.metric("portcullis_reloads_total", &[("result", result)]).await;
    let before = reloads("ok").await;

    // A custom section without meaning: another file, the same plugin.
    gateway
        .folder()
        .write("plugin.wasm", [good.as_slice(), b"\0\x05\x04note"].concat());
    eventually("the new plugin is loaded", async || reloads("ok").await > before).await;
    assert_eq!(gateway.get("/").await.text(), "here");

    gateway.folder().write("plugin.wasm", Component::CoreModule.bytes());
    eventually("the bad one is refused", async || reloads("failed").await >= 1.0).await;
    assert_eq!(gateway.get("/").await.text(), "here");
}

#[tokio::test]
async fn a_changed_plugin_takes_over() {
    let old = std::fs::read(misbehaving()).expect("the plugin");
    // The same plugin, saying something else: bytes of its data, as many as before.
    let (said, says) = (b"answered by the filter", b"answered by a new one.");
    let at = old
        .windows(said.len())
        .position(|bytes| bytes == said)
        .expect("its words");
    let new = [&old[..at], says, &old[at + says.len()..]].concat();
    let folder = Folder::new();
    folder.write("plugin.wasm", &old);
    let configuration = "[plugin.own]\nsource = 'plugin.wasm'\n[[route]]\nmatch = '/'\nrespond = {}\n\
        filters = [{ use = 'own', settings = { act = 'reply-at-body' } }]\n";
    let gateway = Gateway::start_in(folder, configuration, &[]).await;
    assert!(gateway.get("/").await.text().starts_with("answered by the filter"));

    gateway.folder().write("plugin.wasm", &new);

    eventually("the new plugin answers", async || {
        gateway.get("/").await.text().starts_with("answered by a new one.")
    })
    .await;
}

#[tokio::test]
async fn a_changed_part_is_noticed() {
    let folder = Folder::new();
    folder.write("routes.d/one.toml", answering("old"));
    let gateway = Gateway::start_in(folder, "include = ['routes.d/*.toml']\n", &[]).await;
    assert_eq!(gateway.get("/").await.text(), "old");

    gateway.folder().write("routes.d/one.toml", answering("new"));

    eventually("the new part answers", async || gateway.get("/").await.text() == "new").await;
}

#[tokio::test]
async fn a_changed_secret_is_noticed() {
    let folder = Folder::new();
    folder.write("secrets/token", "first-secret\n");
    let configuration = "[[route]]\nmatch = '/'\nrespond = {}\n\
        filters = [{ use = 'token-auth', settings = { tokens = ['${file:secrets/token}'] } }]\n";
    let gateway = Gateway::start_in(folder, configuration, &[]).await;
    let with = async |token: &str| {
        let request = gateway.request("GET", "/").header("x-access-tokens", token);
        request.send().await.status()
    };
    assert_eq!((with("first-secret").await, with("second-secret").await), (200, 401));

    gateway.folder().write("secrets/token", "second-secret\n");

    eventually("the new secret opens", async || with("second-secret").await == 200).await;
    assert_eq!(with("first-secret").await, 401);
}

#[tokio::test]
async fn what_is_gone_is_gone_from_the_metrics() {
    let (one, two) = (Upstream::answering("").await, Upstream::answering("").await);
    let proxying = |targets: &str, name: &str| {
        format!(
            "[upstream.service]\ntargets = [{targets}]\n[upstream.{name}]\ntargets = '{one}'\n\
             [[route]]\nmatch = '/{{rest...}}'\nto = 'service'\n[[route]]\nmatch = '/named'\nto = '{name}'\n"
        )
    };
    let gateway = Gateway::start(proxying(&format!("'{one}', '{two}'"), "old")).await;
    for _ in 0..10 {
        gateway.get("/").await;
        gateway.get("/named").await;
    }
    let series = async |word: String| gateway.admin("/metrics").await.text().matches(&word).count();
    assert!(series(two.address().to_string()).await > 0 && series("\"old\"".to_owned()).await > 0);
    let requests = async |target: &Upstream| {
        let labels = [("target", &*target.address().to_string()), ("upstream", "service")];
        gateway.metric("portcullis_upstream_requests_total", &labels).await
    };
    let before = requests(&one).await;

    gateway.reload_with(proxying(&format!("'{one}'"), "new")).await;
    gateway.get("/").await;

    eventually("nothing of them is left", async || {
        series(two.address().to_string()).await + series("upstream=\"old\"".to_owned()).await == 0
    })
    .await;
    assert_eq!(requests(&one).await, before + 1.0, "what stays is counted on");
}
