//! gRPC through the gateway, with tonic at both ends.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use portcullis_tests::grpc::{self, EchoClient, Word};
use portcullis_tests::{Gateway, Upstream, within};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request};

/// A gateway before a gRPC service, a client before it, and what the service says of calls that were given up.
async fn calling(line: &str) -> (Upstream, Gateway, EchoClient<Channel>, UnboundedReceiver<String>) {
    let (sender, heard) = mpsc::unbounded_channel();
    let upstream = Upstream::grpc(sender).await;
    let gateway = Gateway::start(format!(
        r#"
        upstream.words = {{ targets = ["{upstream}"], http = "2" }}
        [[route]]
        match = "POST /portcullis.test.v1.Echo/{{method}}"
        to = "words"
        body_size = "off"
        {line}
        "#
    ))
    .await;
    let client = grpc::client(gateway.address()).await;
    (upstream, gateway, client, heard)
}

#[tokio::test]
async fn all_four_forms_pass() {
    let (_upstream, gateway, mut client, _) = calling("").await;

    assert_eq!(
        client.say(Word::new("one")).await.expect("an answer").get_ref().text,
        "one!"
    );

    let counted = client.count(Word::new("1000")).await.expect("a stream").into_inner();
    let counted: Vec<u32> = counted
        .map(|word| word.expect("a word").text.parse::<u32>().expect("a number"))
        .collect()
        .await;
    assert!(counted.into_iter().eq(1..=1000));

    let words = stream::iter((0..1000).map(|number| Word::new(format!("{number},"))));
    let joined = client.join(words).await.expect("an answer").into_inner().text;
    assert!(joined.starts_with("0,1,2,") && joined.ends_with("998,999,"));

    let words = stream::iter(["a", "b", "c"].map(Word::new));
    let said = client.chat(words).await.expect("a stream").into_inner();
    let said: Vec<String> = said.map(|word| word.expect("a word").text).collect().await;
    assert_eq!(said, ["a!", "b!", "c!"]);

    for method in ["Say", "Count", "Join", "Chat"] {
        assert_eq!(
            gateway.outcome(&format!("/portcullis.test.v1.Echo/{method}")).await,
            "ok"
        );
    }
}

#[tokio::test]
async fn each_message_passes_when_it_is_sent() {
    let (_upstream, _gateway, mut client, _) = calling("").await;
    let (sender, words) = mpsc::unbounded_channel();
    let words = stream::unfold(words, async |mut words| Some((words.recv().await?, words)));

    let mut said = client.chat(words).await.expect("a stream").into_inner();
    for number in 0..20 {
        // The next word is only sent when the answer to this one is there.
        sender.send(Word::new(number.to_string())).expect("a call");
        let answer = within("an answer comes", said.message()).await.expect("no error");
        assert_eq!(answer.expect("a word").text, format!("{number}!"));
    }
    drop(sender);
    assert_eq!(said.message().await.expect("no error"), None);
}

#[tokio::test]
async fn metadata_passes_both_ways() {
    let (_upstream, _gateway, mut client, _) = calling("").await;
    let mut request = Request::new(Word::new("x"));
    request.metadata_mut().insert("x-ask", "text".parse().expect("a value"));
    let bytes = MetadataValue::from_bytes(&[0, 255, 10, 13]);
    request.metadata_mut().insert_bin("x-ask-bin", bytes.clone());

    let response = client.say(request).await.expect("an answer");

    assert_eq!(response.metadata().get("x-answer").expect("text"), "text");
    assert_eq!(response.metadata().get_bin("x-answer-bin").expect("bytes"), &bytes);
}

#[tokio::test]
async fn errors_pass_with_message_details_and_metadata() {
    let (_upstream, gateway, mut client, _) = calling("").await;

    let status = client
        .say(Word::new("fail"))
        .await
        .expect_err("an error in place of an answer");
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, "not töday")
    );
    assert_eq!(status.details(), [0, 1, 2]);
    assert_eq!(status.metadata().get("x-why").expect("why"), "monday");

    let counted = Word {
        text: "3".into(),
        payload: vec![1],
    };
    let mut counted = client.count(counted).await.expect("a stream").into_inner();
    for _ in 0..3 {
        assert!(counted.message().await.expect("no error yet").is_some());
    }
    let status = counted.message().await.expect_err("an error after the messages");
    assert_eq!((status.code(), status.message()), (Code::OutOfRange, "no more"));
    // Both are good responses as far as HTTP goes.
    assert_eq!(gateway.outcome("/portcullis.test.v1.Echo/Count").await, "ok");
}

#[tokio::test]
async fn messages_of_16_mib_pass_both_ways() {
    let (_upstream, _gateway, mut client, _) = calling("").await;
    let payload: Vec<u8> = (0..16_u32 << 20).map(|at| (at % 251) as u8).collect();

    let word = Word {
        text: "heavy".into(),
        payload: payload.clone(),
    };
    let answer = within("it comes back", client.say(word)).await.expect("an answer");

    assert!(answer.get_ref().payload == payload);
}

#[tokio::test]
async fn a_deadline_reaches_the_service_and_ends_the_call() {
    let (_upstream, _gateway, mut client, mut heard) = calling("").await;
    let within_time = |text: &str, time| {
        let mut request = Request::new(Word::new(text));
        request.set_timeout(time);
        request
    };

    let answer = client
        .say(within_time("x", Duration::from_secs(20)))
        .await
        .expect("an answer");
    let timeout = answer
        .metadata()
        .get("x-timeout")
        .expect("a deadline")
        .to_str()
        .expect("text");
    assert!(timeout.ends_with(['u', 'm', 'n', 'S']), "{timeout}");

    let status = client
        .say(within_time("sleep", Duration::from_secs(2)))
        .await
        .expect_err("too late");
    assert!(
        matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded),
        "{status:?}"
    );
    assert_eq!(within("it is heard", heard.recv()).await.as_deref(), Some("sleep"));
}

#[tokio::test]
async fn a_client_that_gives_up_is_heard_by_the_service() {
    let (_upstream, _gateway, mut client, mut heard) = calling("").await;

    let mut counted = client.count(Word::new("forever")).await.expect("a stream").into_inner();
    assert!(counted.message().await.expect("a word").is_some());
    drop(counted);
    assert_eq!(within("it is heard", heard.recv()).await.as_deref(), Some("forever"));
}

#[tokio::test]
async fn a_client_that_vanishes_is_heard_by_the_service() {
    let (_upstream, gateway, _, mut heard) = calling("").await;
    let address = format!("http://{}", gateway.address());
    let elsewhere = tokio::runtime::Runtime::new().expect("a runtime");
    let (said, first) = tokio::sync::oneshot::channel();
    elsewhere.spawn(async move {
        let mut client = EchoClient::connect(address).await.expect("a connection");
        let words = stream::iter([Word::new("hello")]).chain(stream::pending());
        let mut answers = client.chat(words).await.expect("a stream").into_inner();
        said.send(answers.message().await).expect("a test");
        std::future::pending::<()>().await;
    });
    let first = within("an answer", first).await.expect("one").expect("no error");
    assert_eq!(first.expect("a word").text, "hello!");

    elsewhere.shutdown_background();

    assert_eq!(within("it is heard", heard.recv()).await.as_deref(), Some("chat"));
    assert_eq!(gateway.outcome("/portcullis.test.v1.Echo/Chat").await, "client-gone");
}

#[tokio::test]
async fn calls_share_a_connection_and_none_waits_for_another() {
    let (_upstream, _gateway, client, _heard) = calling("").await;
    let mut slow = client.clone();
    let slow = tokio::spawn(async move { slow.say(Word::new("sleep")).await });

    let calls = stream::iter(0..300).map(|number| {
        let mut client = client.clone();
        async move {
            (
                number,
                client.say(Word::new(number.to_string())).await.expect("an answer"),
            )
        }
    });
    let answers: Vec<_> = calls.buffer_unordered(50).collect().await;

    assert!(
        answers
            .iter()
            .all(|(number, answer)| answer.get_ref().text == format!("{number}!"))
    );
    assert!(!slow.is_finished());
    slow.abort();
}
