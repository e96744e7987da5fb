//! A small HTTP/1.1 service: JSON in, JSON out.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Bytes of a request's body at most.
const LARGEST_BODY: usize = 64 << 10;

/// Answers are sent in pieces of so many bytes, as services do that write while they compute.
const PIECE: usize = 32;

/// What a service is asked.
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) body: Bytes,
}

/// What it answers.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) json: Value,
}

impl Answer {
    pub(super) fn ok(json: Value) -> Answer {
        Answer {
            status: StatusCode::OK,
            json,
        }
    }

    pub(super) fn error(status: StatusCode, message: &str) -> Answer {
        Answer {
            status,
            json: json!({ "error": message }),
        }
    }

    pub(super) fn not_found() -> Answer {
        Answer::error(StatusCode::NOT_FOUND, "not found")
    }
}

/// Starts a service on a port of its own, for as long as the runtime lives.
pub(super) async fn start(answer: impl Fn(&Question) -> Answer + Send + Sync + 'static) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            // An error is the peer's, or passes: the machine is short of something.
            let Ok((connection, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer.clone();
                async move { Ok::<_, Infallible>(respond(request, &*answer).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
        }
    });
    Ok(address)
}

type Pieces = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn respond(request: Request<Incoming>, answer: &(impl Fn(&Question) -> Answer + ?Sized)) -> Response<Pieces> {
    let (head, body) = request.into_parts();
    let answer = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => answer(&Question {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: body.to_bytes(),
        }),
        Err(_) => Answer::error(StatusCode::BAD_REQUEST, "the body is too large, or broken off"),
    };
    let text = Bytes::from(format!("{:#}\n", answer.json));
    let pieces: Vec<_> = text
        .chunks(PIECE)
        .map(|piece| Ok(Frame::data(text.slice_ref(piece))))
        .collect();
    let mut response = Response::new(StreamBody::new(stream::iter(pieces)));
    *response.status_mut() = answer.status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
