//! One normal form of the path: what is matched is what is forwarded.

use portcullis_tests::{Gateway, Upstream};

async fn with_a_private_part(upstream: &Upstream) -> Gateway {
    Gateway::start(format!(
        r#"
        upstream.service.targets = ["{upstream}"]
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        [[route]]
        match = "/private/{{rest...}}"
        respond = {{ status = 403 }}
        "#
    ))
    .await
}

/// Sends a target as it stands, for a client library might mend it.
async fn send(gateway: &Gateway, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    gateway.raw().await.answer_to(request).await
}

#[tokio::test]
async fn no_way_of_writing_a_path_goes_round_a_route() {
    let upstream = Upstream::echo().await;
    let gateway = with_a_private_part(&upstream).await;

    for target in [
        "/private/x",
        "/./private/x",
        "/public/../private/x",
        "/public/%2e%2e/private/x",
        "/public/%2E./private/x",
        "/a/b/../../private/./x",
        "/%70rivate/x",
        "/pri%76ate/x",
        "/private/x?/../../public",
    ] {
        let answer = send(&gateway, target).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{target}: {answer}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn the_upstream_gets_the_path_that_was_matched() {
    let upstream = Upstream::echo().await;
    let gateway = with_a_private_part(&upstream).await;

    for (sent, forwarded) in [
        ("/a/./b/../c", "/a/c"),
        ("/a/%7Euser", "/a/~user"),
        ("/a/b%20c", "/a/b%20c"),
        ("/a/%c3%a9", "/a/%C3%A9"),
        ("/a/b/", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/private/../public", "/public"),
        ("/a?q=/../%2F", "/a?q=/../%2F"),
    ] {
        send(&gateway, sent).await;
        assert_eq!(upstream.last_target(), forwarded, "{sent}");
    }
}

#[tokio::test]
async fn what_servers_read_differently_is_refused() {
    let upstream = Upstream::echo().await;
    let gateway = with_a_private_part(&upstream).await;

    for target in [
        "/a%2Fb",
        "/a%2fb",
        "/a%5Cb",
        "/a%5cb",
        "/a%00b",
        "/a%",
        "/a%4",
        "/a%zz",
        "/../a",
        "/a/../../b",
        "/a/..;/b",
    ] {
        let answer = send(&gateway, target).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{target}: {answer}");
        assert!(answer.contains("\"bad-request\""), "{target}: {answer}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn the_access_log_has_the_normal_form() {
    let upstream = Upstream::echo().await;
    let gateway = with_a_private_part(&upstream).await;

    send(&gateway, "/x/../logged").await;

    assert_eq!(gateway.outcome("/logged").await, "ok");
}
