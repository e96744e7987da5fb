//! One request that comes over HTTP/3, and its response.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::server::{RequestResolver, RequestStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use tokio::time::timeout;

use super::body::RequestBody;
use super::quic::{Both, Driven, Quic, Sender, Stopped};
use crate::pipeline::ExchangeId;
use crate::rejection::Rejection;
use crate::server::completion;
use crate::server::connection::Connection;
use crate::server::flood::Flood;
use crate::server::framing::decimal;
use crate::server::outgoing::Sending;
use crate::server::service;

/// A stream that a client has opened.
pub(super) struct Opened {
    pub(super) connection: Rc<Connection>,
    pub(super) quic: Rc<Quic>,
    pub(super) stream: RequestResolver<Driven, Bytes>,
    pub(super) stopped: Stopped,
    /// How long the request's head may take.
    pub(super) head: Duration,
}

/// Serves a stream, and returns when its client has all of the response or wants no more of it.
pub(super) async fn serve(opened: Opened) {
    let Opened {
        connection,
        quic,
        stream,
        mut stopped,
        head,
    } = opened;
    let (request, stream) = match timeout(head, stream.resolve_request()).await {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => return refuse(&connection, &quic, &error),
        Err(_) => return record(&connection, &Rejection::RequestTimeout),
    };
    let answered = {
        let mut answering = pin!(answer(&connection, &quic, request, stream));
        poll_fn(|cx| {
            if let Poll::Ready(whole) = answering.as_mut().poll(cx) {
                return Poll::Ready(whole);
            }
            // It is finished by `answering` alone, so this is the client's doing.
            stopped.as_mut().poll(cx).map(|_| false)
        })
        .await
    };
    if answered {
        // Who has half of its requests answered may take back the other half.
        quic.earn(Flood::Resets);
        // What is on its way must not be cut off by the end of the connection.
        let _ = stopped.await;
    } else {
        quic.spend(Flood::Resets);
    }
}

/// True when all of the response is on its way, or is known never to be.
async fn answer(
    connection: &Rc<Connection>,
    quic: &Rc<Quic>,
    request: Request<()>,
    stream: RequestStream<Both, Bytes>,
) -> bool {
    let (mut sender, receiver) = stream.split();
    let (parts, ()) = request.into_parts();
    let mut body = RequestBody::new(quic.clone(), receiver, announced(&parts.headers));
    body.begin(&parts.method).await;
    let bodiless = parts.method == Method::HEAD;
    if expects(&parts.headers) && !body.is_end_stream() {
        // What is refused is refused all the same, only with a body on its way.
        let mut go_on = Response::new(());
        *go_on.status_mut() = StatusCode::CONTINUE;
        if sender.send_response(go_on).await.is_err() {
            return false;
        }
    }
    let request = Request::from_parts(parts, Box::new(body));
    let Ok(response) = service::serve(connection, request).await;
    send(&mut sender, response, bodiless).await.unwrap_or(false)
}

/// Sends a response. False where it broke off.
async fn send(
    sender: &mut RequestStream<Sender, Bytes>,
    response: Response<Sending>,
    bodiless: bool,
) -> Result<bool, StreamError> {
    let (mut parts, body) = response.into_parts();
    let mut body = pin!(body);
    complete(&mut parts.headers, parts.status, body.size_hint().exact());
    let bodiless = bodiless || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    sender.send_response(Response::from_parts(parts, ())).await?;
    while !bodiless && !body.is_end_stream() {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => break,
            Some(Err(_)) => {
                sender.stop_stream(Code::H3_INTERNAL_ERROR);
                return Ok(false);
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => sender.send_data(data).await?,
                Err(frame) => {
                    if let Ok(mut trailers) = frame.into_trailers() {
                        without_connection(&mut trailers);
                        sender.send_trailers(trailers).await?;
                    }
                    break;
                }
            },
        }
    }
    sender.finish().await.map(|()| true)
}

/// Adds to a head what hyper adds in the other protocols, and takes away what this one does not know.
fn complete(headers: &mut HeaderMap, status: StatusCode, length: Option<u64>) {
    without_connection(headers);
    if !headers.contains_key(header::DATE)
        && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now()))
    {
        headers.insert(header::DATE, date);
    }
    let has_length = !status.is_informational() && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = length
        && has_length
        && !headers.contains_key(header::CONTENT_LENGTH)
    {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
}

/// Fields of a connection are malformed in HTTP/3 (RFC 9114 section 4.2), whoever has set them.
fn without_connection(headers: &mut HeaderMap) {
    const FIELDS: [HeaderName; 5] = [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    for field in FIELDS {
        headers.remove(field);
    }
}

/// The length that a head announces. What is no number is refused later on.
fn announced(headers: &HeaderMap) -> Option<u64> {
    decimal(headers.get(header::CONTENT_LENGTH)?.as_bytes())
}

fn expects(headers: &HeaderMap) -> bool {
    let expect = headers.get(header::EXPECT).map(HeaderValue::as_bytes);
    expect.is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue"))
}

/// A stream that never became a request. h3 has reset it.
fn refuse(connection: &Connection, quic: &Quic, error: &StreamError) {
    match error {
        StreamError::HeaderTooBig { .. } => record(connection, &Rejection::HeadersTooLarge),
        StreamError::StreamError { .. } => {
            quic.spend(Flood::ProvokedResets);
            record(connection, &Rejection::of_malformed_head(0));
        }
        StreamError::RemoteTerminate { .. } => quic.spend(Flood::Resets),
        error => tracing::debug!(%error, "an HTTP/3 stream ended before its request"),
    }
}

fn record(connection: &Connection, rejection: &Rejection) {
    completion::record_refusal(connection, rejection, Version::HTTP_3, ExchangeId::draw());
}
