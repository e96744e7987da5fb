//! gRPC-Web to a service that speaks it: each message passes when it is sent, both ways, and the trailers after them.

use bytes::Bytes;
use http_body_util::BodyExt;
use portcullis_tests::{Gateway, Upstream, stepwise, within};

const MESSAGE: u8 = 0;
const TRAILERS: u8 = 0x80;

/// A message as it is framed, or the trailers.
fn framed(kind: u8, text: &str) -> Bytes {
    let length = u32::try_from(text.len()).expect("a short text");
    let head = [&[kind][..], &length.to_be_bytes()].concat();
    [&head[..], text.as_bytes()].concat().into()
}

/// A service that sends each message back as soon as it comes.
async fn echoing() -> Upstream {
    Upstream::with(|request| async move {
        let (mut sender, body) = stepwise();
        let kind = request.headers()["content-type"].clone();
        let mut asked = request.into_body();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = asked.frame().await {
                if let Ok(message) = frame.into_data() {
                    _ = sender.send_data(message).await;
                }
            }
            _ = sender.send_data(framed(TRAILERS, "grpc-status:0\r\n")).await;
        });
        let response = http::Response::builder().header("content-type", kind);
        response.body(body).expect("a response")
    })
    .await
}

#[tokio::test]
async fn each_message_passes_when_it_is_sent_and_the_trailers_after_them() {
    let upstream = echoing().await;
    let configuration = Gateway::proxying_configuration(&upstream);
    let gateway = Gateway::start(format!("{configuration}[server]\ncompress = {{ least = 0 }}\n")).await;
    for http2 in [false, true] {
        for kind in ["application/grpc-web+proto", "application/grpc-web-text+proto"] {
            let (mut sender, body) = stepwise();
            let call = gateway
                .request("POST", "/shop.Orders/Watch")
                .header("content-type", kind);
            let call = call.header("accept-encoding", "gzip").streaming(body);
            let mut response = if http2 { call.http2() } else { call }.stream().await;

            for number in 0..10 {
                let message = framed(MESSAGE, &format!("message {number}"));
                sender.send_data(message.clone()).await.expect("somebody reads");
                let frame = within("the message comes back", response.body_mut().frame()).await;
                let frame = frame.expect("a frame").expect("no error").into_data().expect("data");
                assert_eq!(frame, message, "{kind}");
            }
            drop(sender);

            assert!(!response.headers().contains_key("content-encoding"));
            let rest = response.collect().await.expect("a whole body").to_bytes();
            assert_eq!(rest, framed(TRAILERS, "grpc-status:0\r\n"));
        }
    }
}
