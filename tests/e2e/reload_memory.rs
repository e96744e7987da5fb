//! Reloads leave nothing behind.

use portcullis_tests::{Gateway, Upstream, eventually};

#[tokio::test]
async fn two_hundred_reloads_take_no_memory_that_stays() {
    let upstream = Upstream::answering("hello").await;
    let configuration = |round: usize| {
        format!(
            r#"
            upstream.service.targets = ["{upstream}"]
            [[route]]
            match = "/{{rest...}}"
            to = "service"
            filters = [
                {{ use = "token-auth", settings = {{ tokens = ["t-{round}"], header = "x-t" }} }},
                {{ use = "edit-headers", settings = {{ response = {{ set = {{ x-round = "{round}" }} }} }} }},
            ]
            "#
        )
    };
    let gateway = Gateway::start(configuration(0)).await;
    let reload = async |round: usize| {
        gateway.reload_with(configuration(round)).await;
        eventually("the new configuration answers", async || {
            let response = gateway
                .request("GET", "/")
                .header("x-t", format!("t-{round}"))
                .send()
                .await;
            response.header("x-round") == round.to_string()
        })
        .await;
    };
    for round in 1..=40 {
        reload(round).await;
    }
    let (memory, descriptors) = (gateway.rss_kib(), gateway.fds());

    for round in 41..=240 {
        reload(round).await;
    }

    assert!(
        gateway.rss_kib() < memory + 16 * 1024,
        "grew from {memory} to {} KiB",
        gateway.rss_kib()
    );
    eventually("descriptors are given back", async || gateway.fds() <= descriptors + 2).await;
}
