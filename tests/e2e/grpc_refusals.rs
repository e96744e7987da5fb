//! What gRPC clients are told where a filter or the gateway answers in place of the service: a status of gRPC, whichever
//! form of it they speak. The clients are tonic's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_tests::grpc::{self, Word};
use portcullis_tests::{Gateway, Upstream};
use tokio::sync::mpsc;
use tonic::{Code, Request};

const SAY: &str = "/portcullis.test.v1.Echo/Say";

/// A gateway before a gRPC service, with this line in its route.
async fn guarding(line: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::grpc(mpsc::unbounded_channel().0).await;
    let gateway = Gateway::start(format!(
        r#"
        upstream.words = {{ targets = ["{upstream}"], http = "2" }}
        [[route]]
        match = "POST /portcullis.test.v1.Echo/{{method}}"
        to = "words"
        {line}
        [[route]]
        match = "POST /gone.Service/{{method}}"
        redirect = "https://elsewhere.example/"
        [[route]]
        match = "POST /closed.Service/{{method}}"
        respond = {{ status = 403, body = "closed for today" }}
        "#
    ))
    .await;
    (upstream, gateway)
}

const TOKENS: &str = "filters = [{ use = 'token-auth', settings = { tokens = ['good'] } }]";
const LIMIT: &str = "filters = [{ use = 'rate-limit', settings = { rate = '1/hour' } }]";

fn with_token(text: &str) -> Request<Word> {
    let mut request = Request::new(Word::new(text));
    let token = "good".parse().expect("a value");
    request.metadata_mut().insert("x-access-tokens", token);
    request
}

#[tokio::test]
async fn a_filters_refusal_is_a_status_of_grpc() {
    let (_upstream, gateway) = guarding(TOKENS).await;
    let mut client = grpc::client(gateway.address()).await;

    let status = client.say(Word::new("x")).await.expect_err("no token");

    assert_eq!(
        (status.code(), status.message()),
        (Code::Unauthenticated, "Token is missing!")
    );
    assert_eq!(gateway.outcome(SAY).await, "replied");
    // The connection is as good as before.
    let answer = client.say(with_token("x")).await.expect("an answer");
    assert_eq!(answer.get_ref().text, "x!");
}

#[tokio::test]
async fn a_stream_is_refused_with_a_status_too() {
    let (_upstream, gateway) = guarding(TOKENS).await;
    let mut client = grpc::client(gateway.address()).await;

    let words = futures_util::stream::pending::<Word>();
    let status = client.chat(words).await.expect_err("no token");

    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn too_many_calls_are_told_when_to_come_again() {
    let (_upstream, gateway) = guarding(LIMIT).await;
    let mut client = grpc::client(gateway.address()).await;
    client.say(Word::new("x")).await.expect("the one that is allowed");

    let status = client.say(Word::new("x")).await.expect_err("one too many");

    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(!status.message().is_empty());
    let seconds = status.metadata().get("retry-after").expect("a time");
    let seconds: u32 = seconds.to_str().expect("text").parse().expect("seconds");
    assert!((1..=3600).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn redirects_and_fixed_responses_have_a_status_as_well() {
    let (_upstream, gateway) = guarding("").await;
    let call = |path: &'static str| {
        let request = gateway.request("POST", path).http2();
        request.header("content-type", "application/grpc").send()
    };

    let closed = call("/closed.Service/Say").await;
    assert_eq!((closed.status(), closed.header("grpc-status")), (200, "7"));
    assert_eq!(closed.header("grpc-message"), "closed for today");

    let gone = call("/gone.Service/Say").await;
    assert_eq!((gone.status(), gone.header("grpc-status")), (200, "2"));
    assert_eq!(gone.header("location"), "https://elsewhere.example/");
}

#[tokio::test]
async fn who_does_not_speak_grpc_gets_the_reply_as_it_is() {
    let (_upstream, gateway) = guarding(TOKENS).await;
    for kind in ["application/json", "application/grpcx"] {
        let request = gateway.request("POST", SAY).http2();

        let response = request.header("content-type", kind).body("{}").send().await;

        assert_eq!(response.status(), 401, "{kind}");
        assert_eq!(response.json()["message"], "Token is missing!");
    }
}

#[tokio::test]
async fn grpc_web_passes() {
    let (_upstream, gateway) = guarding(TOKENS).await;
    let mut client = grpc::web_client(gateway.address());

    let answer = client.say(with_token("x")).await.expect("an answer");
    assert_eq!(answer.get_ref().text, "x!");

    let status = client
        .say(with_token("fail"))
        .await
        .expect_err("an error of the service");
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, "not töday")
    );
}

#[tokio::test]
async fn grpc_web_is_refused_in_its_own_form() {
    let (_upstream, gateway) = guarding(TOKENS).await;
    let mut client = grpc::web_client(gateway.address());

    let status = client.say(Word::new("x")).await.expect_err("no token");

    assert_eq!(
        (status.code(), status.message()),
        (Code::Unauthenticated, "Token is missing!")
    );
}

#[tokio::test]
async fn the_gateways_own_refusals_reach_grpc_web_too() {
    let absent = Upstream::absent().await;
    let gateway = Gateway::start(format!(
        "upstream.words.targets = ['http://{absent}']\n[[route]]\nmatch = '/{{rest...}}'\nto = 'words'\n"
    ))
    .await;
    let mut client = grpc::web_client(gateway.address());

    let status = client.say(Word::new("x")).await.expect_err("nobody there");

    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains("upstream-connect"), "{status:?}");
}

#[tokio::test]
async fn grpc_web_in_base64_is_refused_in_base64() {
    let (_upstream, gateway) = guarding(TOKENS).await;
    let request = gateway.request("POST", SAY);

    let response = request
        .header("content-type", "application/grpc-web-text")
        .body("")
        .send()
        .await;

    assert_eq!(response.header("content-type"), "application/grpc-web-text+proto");
    let message = STANDARD.decode(response.text()).expect("base64");
    let lines = message
        .strip_prefix(&[0x80, 0, 0, 0])
        .expect("trailers")
        .get(1..)
        .expect("a length");
    assert_eq!(lines, b"grpc-status:16\r\ngrpc-message:Token is missing!\r\n");
}
