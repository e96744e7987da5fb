//! A gRPC service, made with tonic, and its clients.

use std::net::SocketAddr;
use std::pin::Pin;

use futures_util::stream::{self, Stream, StreamExt};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_web::{GrpcWebCall, GrpcWebClientService, GrpcWebLayer};

use self::generated::echo_server::{Echo, EchoServer};
use crate::Upstream;

mod generated {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        reason = "generated from proto/echo.proto"
    )]
    tonic::include_proto!("portcullis.test.v1");
}

pub use self::generated::Word;
pub use self::generated::echo_client::EchoClient;

/// Bytes of one message at most, on both sides.
pub const LARGEST_MESSAGE: usize = 32 << 20;

impl Word {
    /// A word without weight.
    pub fn new(text: impl Into<String>) -> Word {
        Word {
            text: text.into(),
            payload: Vec::new(),
        }
    }
}

/// A client that speaks gRPC.
pub async fn client(address: SocketAddr) -> EchoClient<Channel> {
    let channel = Channel::from_shared(format!("http://{address}")).expect("an address");
    EchoClient::new(channel.connect().await.expect("a connection"))
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
}

/// A client that speaks gRPC-Web over HTTP/1.1, as one in a browser may.
pub fn web_client(address: SocketAddr) -> EchoClient<WebChannel> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let origin = format!("http://{address}").parse().expect("an address");
    EchoClient::with_origin(GrpcWebClientService::new(client), origin)
}

/// What a [`web_client`] sends its calls by.
pub type WebChannel = GrpcWebClientService<Client<HttpConnector, GrpcWebCall<tonic::body::Body>>>;

impl Upstream {
    /// A gRPC service: `proto/echo.proto`, that knows gRPC-Web too. It says into `heard` which calls were given up.
    pub async fn grpc(heard: UnboundedSender<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let service = EchoServer::new(Service(heard))
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let served = tonic::transport::Server::builder()
            .accept_http1(true)
            .layer(GrpcWebLayer::new())
            .add_service(service)
            .serve_with_incoming(incoming);
        Self::running(address, tokio::spawn(async move { served.await.expect("a server") }))
    }
}

struct Service(UnboundedSender<String>);

type Words = Pin<Box<dyn Stream<Item = Result<Word, Status>> + Send>>;

#[tonic::async_trait]
impl Echo for Service {
    async fn say(&self, request: Request<Word>) -> Result<Response<Word>, Status> {
        let (metadata, _, word) = request.into_parts();
        match word.text.as_str() {
            "fail" => {
                let mut status = Status::with_details(Code::FailedPrecondition, "not töday", vec![0, 1, 2].into());
                status
                    .metadata_mut()
                    .insert("x-why", "monday".parse().expect("a value"));
                return Err(status);
            }
            "sleep" => {
                let _given_up = Noticed(self.0.clone(), "sleep");
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        let mut response = Response::new(Word {
            text: word.text + "!",
            payload: word.payload,
        });
        answer_metadata(&metadata, response.metadata_mut());
        Ok(response)
    }

    type CountStream = Words;

    async fn count(&self, request: Request<Word>) -> Result<Response<Words>, Status> {
        let word = request.into_inner();
        if word.text == "forever" {
            let noticed = Noticed(self.0.clone(), "forever");
            let words = stream::once(async { Ok(Word::new("1")) });
            let silence = stream::once(async move {
                let _noticed = noticed;
                std::future::pending().await
            });
            return Ok(Response::new(words.chain(silence).boxed()));
        }
        let count: u32 = word.text.parse().map_err(|_| Status::invalid_argument("no number"))?;
        let last = (!word.payload.is_empty()).then(|| Err(Status::out_of_range("no more")));
        let words = (1..=count).map(|number| Ok(Word::new(number.to_string()))).chain(last);
        Ok(Response::new(stream::iter(words).boxed()))
    }

    async fn join(&self, request: Request<Streaming<Word>>) -> Result<Response<Word>, Status> {
        let mut words = request.into_inner();
        let mut all = Word::default();
        while let Some(word) = words.message().await? {
            all.text.push_str(&word.text);
            all.payload.extend(word.payload);
        }
        Ok(Response::new(all))
    }

    type ChatStream = Words;

    async fn chat(&self, request: Request<Streaming<Word>>) -> Result<Response<Words>, Status> {
        let noticed = Noticed(self.0.clone(), "chat");
        let words = request.into_inner().map(move |word| {
            let _noticed = &noticed;
            word.map(|word| Word::new(word.text + "!"))
        });
        Ok(Response::new(words.boxed()))
    }
}

/// What a call was asked with goes back under another name, and the deadline that it was given.
fn answer_metadata(asked: &MetadataMap, answer: &mut MetadataMap) {
    if let Some(value) = asked.get("x-ask") {
        answer.insert("x-answer", value.clone());
    }
    if let Some(value) = asked.get_bin("x-ask-bin") {
        answer.insert_bin("x-answer-bin", value.clone());
    }
    if let Some(value) = asked.get("grpc-timeout") {
        answer.insert("x-timeout", value.clone());
    }
}

/// Says that a call is over.
struct Noticed(UnboundedSender<String>, &'static str);

impl Drop for Noticed {
    fn drop(&mut self) {
        _ = self.0.send(self.1.to_owned());
    }
}
