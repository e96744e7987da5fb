//! Load from the programs that people use for it, and curl: every request is answered, none is reset.

use std::process::Stdio;

use http_body_util::BodyExt;
use portcullis_tests::{Secured, Upstream, full, has_program, program, within};
use tokio::process::Command;

/// A gateway that speaks HTTPS, before a service.
async fn edge() -> (Upstream, Secured) {
    let upstream = Upstream::with(async |request| {
        let read = request.into_body().collect().await;
        assert!(read.is_ok(), "a request that breaks off");
        http::Response::new(full("x".repeat(2000)))
    })
    .await;
    let configuration =
        format!("upstream.service.targets = ['{upstream}']\n[[route]]\nmatch = '/{{rest...}}'\nto = 'service'\n");
    let edge = Secured::start(&["localhost"], "", &configuration).await;
    (upstream, edge)
}

/// What h2load says of so many requests.
async fn h2load(edge: &Secured, requests: usize, arguments: &[&str]) -> Option<String> {
    let address = edge.gateway.secure_address();
    let ran = Command::new(program("h2load")?)
        .args(["--requests", &requests.to_string()])
        .args(arguments)
        .arg(format!("https://localhost:{}/", address.port()))
        .arg(format!("--connect-to={address}"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within("h2load ends", ran).await.expect("h2load runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    Some(said)
}

fn all_succeeded(said: &str, requests: usize) {
    let line = format!(
        "requests: {requests} total, {requests} started, {requests} done, {requests} succeeded, 0 failed, 0 errored, 0 timeout"
    );
    assert!(said.contains(&line), "{said}");
    let codes = format!("status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx");
    assert!(said.contains(&codes), "{said}");
}

#[tokio::test]
async fn h2load_succeeds_with_every_request_over_http2() {
    let (upstream, edge) = edge().await;

    let arguments = ["--clients=8", "--max-concurrent-streams=32"];
    let Some(said) = h2load(&edge, 5000, &arguments).await else {
        return;
    };

    all_succeeded(&said, 5000);
    assert!(said.contains("Application protocol: h2"), "{said}");
    assert_eq!(upstream.requests(), 5000);
}

#[tokio::test]
async fn h2load_succeeds_over_http1_too() {
    let (upstream, edge) = edge().await;

    let Some(said) = h2load(&edge, 2000, &["--clients=8", "--h1"]).await else {
        return;
    };

    all_succeeded(&said, 2000);
    assert!(said.contains("Application protocol: http/1.1"), "{said}");
    assert_eq!(upstream.requests(), 2000);
}

#[tokio::test]
async fn h2load_uploads_succeed() {
    let (upstream, edge) = edge().await;
    let file = edge.gateway.folder().write("upload", "u".repeat(100_000));
    let upload = format!("--data={}", file.display());

    let arguments = ["--clients=4", "--max-concurrent-streams=8", &upload];
    let Some(said) = h2load(&edge, 400, &arguments).await else {
        return;
    };

    all_succeeded(&said, 400);
    assert_eq!(upstream.requests(), 400);
}

#[tokio::test]
async fn curl_speaks_each_version_over_tls() {
    if !has_program("curl") {
        return;
    }
    let (_upstream, edge) = edge().await;
    for (argument, line) in [("--http2", "HTTP/2 200"), ("--http1.1", "HTTP/1.1 200 OK")] {
        let answer = edge.curl("localhost", "/", &[argument]).await;
        assert_eq!(answer.code, 0, "{answer:?}");
        assert!(answer.text.starts_with(line), "{answer:?}");
        assert!(answer.text.ends_with(&"x".repeat(2000)), "{answer:?}");
    }
}
