//! How many instances of a filter there are, and how long each is used.

use portcullis_tests::{Gateway, Upstream, misbehaving, stepwise};
use tokio::sync::Mutex;

/// Instances of this plugin made so far for calls.
async fn created(gateway: &Gateway, plugin: &str) -> f64 {
    gateway
        .metric("portcullis_filter_instances_created_total", &[("plugin", plugin)])
        .await
}

/// A gateway with one thread whose routes `/0`, `/1`, ... have a `token-auth` with these tokens.
async fn asking_for(tokens: &[&str]) -> Gateway {
    let route = |(number, token): (usize, &&str)| {
        let settings = format!("settings = {{ tokens = ['{token}'] }}");
        format!("[[route]]\nmatch = '/{number}'\nrespond = {{}}\nfilters = [{{ use = 'token-auth', {settings} }}]\n")
    };
    let routes = tokens.iter().enumerate().map(route).collect::<String>();
    Gateway::start(format!("{routes}[server]\nthreads = 1\n")).await
}

#[tokio::test]
async fn ready_instances_are_used_again() {
    let gateway = Gateway::start(
        "[[route]]\nmatch = '/'\nrespond = {}\nfilters = [{ use = 'token-auth', settings = { tokens = ['t'] } }]",
    )
    .await;

    for _ in 0..100 {
        assert_eq!(gateway.get("/").await.status(), 401);
    }

    // One at a time, on two threads.
    let created = created(&gateway, "token-auth").await;
    assert!((1.0..=2.0).contains(&created), "{created} instances for 100 calls");
}

#[tokio::test]
async fn equal_filters_of_two_routes_share_their_instances() {
    let gateway = asking_for(&["t", "t"]).await;

    for path in ["/0", "/1", "/0", "/1"] {
        assert_eq!(gateway.get(path).await.status(), 401);
    }

    assert_eq!(created(&gateway, "token-auth").await, 1.0);
}

#[tokio::test]
async fn filters_with_other_settings_have_instances_of_their_own() {
    let gateway = asking_for(&["t", "another"]).await;

    for path in ["/0", "/1", "/0", "/1"] {
        let request = gateway.request("GET", path).header("x-access-tokens", "t");
        assert_eq!(request.send().await.status(), if path == "/0" { 200 } else { 401 });
    }

    assert_eq!(created(&gateway, "token-auth").await, 2.0);
}

#[tokio::test]
async fn a_pristine_instance_for_every_call_can_be_asked_for() {
    let plugin = misbehaving();
    // In every third call this filter panics, by its own count.
    let gateway = Gateway::start(format!(
        "plugin.counting = {{ source = '{plugin}', reuse = 1 }}\n[[route]]\nmatch = '/'\nrespond = {{}}\n\
         filters = [{{ use = 'counting', settings = {{ act = 'panic-at-third' }} }}]\n[server]\nthreads = 1\n"
    ))
    .await;

    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.status(), 200);
    }

    assert!(created(&gateway, "counting").await >= 6.0);
}

#[tokio::test]
async fn an_instance_with_a_malformed_reply_is_kept_and_one_that_trapped_is_not() {
    let plugin = misbehaving();
    for (act, kept) in [("bad-reply-status", true), ("bad-reply-header", true), ("panic", false)] {
        let gateway = Gateway::start(format!(
            "plugin.acting.source = '{plugin}'\n[[route]]\nmatch = '/'\nrespond = {{}}\n\
             filters = [{{ use = 'acting', settings = {{ act = '{act}' }} }}]\n[server]\nthreads = 1\n"
        ))
        .await;

        for _ in 0..3 {
            assert_eq!(gateway.get("/").await.status(), 500);
        }

        let created = created(&gateway, "acting").await;
        assert!(if kept { created == 1.0 } else { created >= 3.0 }, "{act}: {created}");
    }
}

#[tokio::test]
async fn bodies_that_stream_beyond_the_instances_there_are_are_503() {
    let (mut slow, body) = stepwise();
    let body = std::sync::Arc::new(Mutex::new(Some(body)));
    let upstream = Upstream::with(move |_| {
        let body = body.clone();
        async move { http::Response::new(body.lock().await.take().unwrap_or_else(|| portcullis_tests::full("ab"))) }
    })
    .await;
    let plugin = misbehaving();
    let gateway = Gateway::start(format!(
        "upstream.service.targets = ['{upstream}']\nplugin.acting.source = '{plugin}'\nwasm.instances = 1\n\
         [[route]]\nmatch = '/{{rest...}}'\nto = 'service'\nfilters = [{{ use = 'acting', settings = {{ act = 'double' }} }}]\n\
         [server]\nthreads = 1\n"
    ))
    .await;
    slow.send_data("x".into()).await.expect("room for one");
    let streaming = gateway.request("GET", "/slow").stream().await;

    let refused = gateway.get("/second").await;

    assert_eq!((refused.status(), refused.code().as_str()), (503, "overloaded"));
    assert_eq!(gateway.outcome("/second").await, "overloaded");
    drop(slow);
    let whole = portcullis_tests::Response::read(streaming).await.expect("a whole body");
    assert!(whole.text().contains("xx"), "{}", whole.text());
    assert_eq!(gateway.get("/third").await.status(), 200);
}
