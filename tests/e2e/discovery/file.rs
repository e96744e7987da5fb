//! `discover = "file:targets.toml"`.

use portcullis_tests::{Folder, Gateway, Upstream, eventually, portcullis_in};

use super::{answered_by, discovering, updates};

fn toml(targets: &[&Upstream]) -> String {
    let quoted: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    format!("targets = [{}]\n", quoted.join(", "))
}

async fn reading(name: &str, text: &str, more: &str) -> Gateway {
    let folder = Folder::new();
    folder.write(name, text);
    let configuration = discovering(&format!("{{ from = 'file:{name}'{more} }}"));
    Gateway::start_in(folder, configuration, &[]).await
}

#[tokio::test]
async fn every_edit_counts() {
    let (a, b) = (Upstream::answering("a").await, Upstream::answering("b").await);
    let gateway = reading("targets.toml", &toml(&[&a]), "").await;
    answered_by(&gateway, &["a"]).await;

    gateway.folder().write("targets.toml", toml(&[&a, &b]));
    answered_by(&gateway, &["a", "b"]).await;
    // In place, as `echo >` does.
    std::fs::write(gateway.folder().path().join("targets.toml"), toml(&[&b])).expect("written");
    answered_by(&gateway, &["b"]).await;

    assert_eq!(gateway.metric("portcullis_upstream_targets", &[]).await, 1.0);
    assert_eq!(
        gateway.metric("portcullis_reloads", &[]).await,
        0.0,
        "nothing else is loaded again"
    );
}

#[tokio::test]
async fn json_is_as_good() {
    let (a, b) = (Upstream::answering("a").await, Upstream::answering("b").await);
    let json = format!("{{\n  \"targets\": [\n    \"{a}\",\n    {{ \"url\": \"{b}\", \"weight\": 1 }}\n  ]\n}}\n");

    let gateway = reading("targets.json", &json, "").await;

    answered_by(&gateway, &["a", "b"]).await;
}

#[tokio::test]
async fn a_bad_file_leaves_the_last_targets_and_says_where_it_is_wrong() {
    let (a, b) = (Upstream::answering("a").await, Upstream::answering("b").await);
    let gateway = reading("targets.toml", &toml(&[&a]), ", grace = '0s'").await;
    answered_by(&gateway, &["a"]).await;

    for (bad, said) in [
        (
            "targets = [\"http://127.0.0.1:1\",\n  \"https//b\"]",
            "targets.toml:2:3",
        ),
        ("targets = [\"http://127", "invalid TOML"),
        ("tragets = []", "unknown key `tragets`"),
    ] {
        gateway.folder().write("targets.toml", bad);
        gateway.log_line(&[said]).await;
        answered_by(&gateway, &["a"]).await;
    }
    std::fs::remove_file(gateway.folder().path().join("targets.toml")).expect("removed");
    gateway.log_line(&["no such file"]).await;
    answered_by(&gateway, &["a"]).await;
    assert!(updates(&gateway, "failed").await >= 4.0);

    gateway.folder().write("targets.toml", toml(&[&b]));
    answered_by(&gateway, &["b"]).await;
    gateway.log_line(&["discovery works again"]).await;
}

#[test]
fn a_bad_file_is_a_warning_of_check() {
    let folder = Folder::new();
    folder.write("targets.toml", "targets = [\n  \"127.0.0.1:9001\",\n]\n");
    folder.write(
        "portcullis.toml",
        format!(
            "version = 1\nserver.listen = '127.0.0.1:0'\n{}",
            discovering("'file:targets.toml'")
        ),
    );

    let checked = portcullis_in(folder.path(), &["check", "portcullis.toml"]);

    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(
        checked.stderr.contains("warning: not the URL of a target"),
        "{}",
        checked.stderr
    );
    assert!(checked.stderr.contains("targets.toml:2:3"), "{}", checked.stderr);
    assert!(
        checked
            .stdout
            .contains("the targets of users come from file:targets.toml"),
        "{}",
        checked.stdout
    );
    let explained = portcullis_in(folder.path(), &["explain", "GET", "/", "-c", "portcullis.toml"]);
    assert!(
        explained.stdout.contains("discover  file:targets.toml"),
        "{}",
        explained.stdout
    );
}

#[tokio::test]
async fn an_empty_list_is_believed_after_a_while() {
    let a = Upstream::answering("a").await;
    let gateway = reading("targets.toml", &toml(&[&a]), ", grace = '3s'").await;
    answered_by(&gateway, &["a"]).await;

    gateway.folder().write("targets.toml", "targets = []");
    eventually("it is read", async || updates(&gateway, "empty").await == 1.0).await;
    assert_eq!(gateway.get("/").await.status(), 200);
    answered_by(&gateway, &["503 no-target"]).await;

    gateway.folder().write("targets.toml", toml(&[&a]));
    answered_by(&gateway, &["a"]).await;
}

#[tokio::test]
async fn a_file_that_comes_later_is_waited_for() {
    let a = Upstream::answering("a").await;
    let gateway = Gateway::start_unready(discovering("'file:targets.toml'")).await;
    gateway.log_line(&["waiting until it is known"]).await;
    assert_eq!(gateway.admin("/ready").await.status(), 503);
    assert!(gateway.log().contains("no such file"));

    gateway.folder().write("targets.toml", toml(&[&a]));

    eventually("it is ready", async || gateway.admin("/ready").await.status() == 200).await;
    answered_by(&gateway, &["a"]).await;
}

#[tokio::test]
async fn edits_that_follow_each_other_closely_never_cost_a_request() {
    let (a, b) = (Upstream::answering("a").await, Upstream::answering("b").await);
    let gateway = reading("targets.toml", &toml(&[&a]), "").await;
    let texts = [
        toml(&[&b]),
        "targets = [".to_owned(),
        toml(&[&a, &b]),
        "targets = []".to_owned(),
        toml(&[&a]),
    ];

    for round in 0..40 {
        gateway.folder().write("targets.toml", &texts[round % texts.len()]);
        for _ in 0..5 {
            assert_eq!(gateway.get("/").await.status(), 200, "round {round}");
        }
    }

    answered_by(&gateway, &["a"]).await;
}
