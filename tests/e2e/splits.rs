//! A route's requests shared between upstreams.

use portcullis_tests::{Folder, Gateway, Upstream, portcullis_in};

fn split(first: &Upstream, second: &Upstream, weights: [u32; 2]) -> String {
    format!(
        r#"
        upstream.stable.targets = "{first}"
        upstream.canary.targets = "{second}"
        [[route]]
        match = "/{{rest...}}"
        to = [{{ upstream = "stable", weight = {} }}, {{ upstream = "canary", weight = {} }}]
        "#,
        weights[0], weights[1]
    )
}

#[tokio::test]
async fn each_upstream_gets_its_share() {
    let (stable, canary) = (Upstream::answering("").await, Upstream::answering("").await);
    let gateway = Gateway::start(split(&stable, &canary, [3, 1])).await;
    let mut connection = gateway.connect().await;

    for _ in 0..400 {
        assert_eq!(connection.get("/").await.status(), 200);
    }

    // 100 of 400 are expected; so far off it is once in ten million runs.
    assert!((54..=146).contains(&canary.requests()), "{}", canary.requests());
    assert_eq!(stable.requests() + canary.requests(), 400);
    let line = gateway.logged(|line| line["upstream"] == "canary").await;
    assert_eq!(line["target"], canary.address().to_string());
}

#[tokio::test]
async fn a_weight_of_nothing_gets_nothing() {
    let (stable, canary) = (Upstream::answering("").await, Upstream::answering("").await);
    let gateway = Gateway::start(split(&stable, &canary, [0, 1])).await;

    for _ in 0..30 {
        gateway.get("/").await;
    }

    assert_eq!((stable.requests(), canary.requests()), (0, 30));
}

#[tokio::test]
async fn explain_and_routes_show_the_shares() {
    let (stable, canary) = (Upstream::answering("").await, Upstream::answering("").await);
    let folder = Folder::new();
    let text = format!(
        "version = 1\nserver.listen = '127.0.0.1:0'\n{}",
        split(&stable, &canary, [95, 5])
    );
    folder.write("portcullis.toml", text);

    let explained = portcullis_in(folder.path(), &["explain", "GET", "/a", "-c", "portcullis.toml"]);
    assert!(explained.stdout.contains("95% to upstream stable"), "{explained:?}");
    assert!(explained.stdout.contains("5% to upstream canary"), "{explained:?}");
    let json = portcullis_in(
        folder.path(),
        &["explain", "GET", "/a", "-c", "portcullis.toml", "--json"],
    )
    .json();
    assert_eq!(
        json.pointer("/route/backend/to/1/percent")
            .or(json.pointer("/backend/to/1/percent")),
        Some(&5.0.into())
    );
    let routes = portcullis_in(folder.path(), &["routes", "-c", "portcullis.toml"]);
    assert!(routes.stdout.contains("95 stable, 5 canary"), "{routes:?}");
}
