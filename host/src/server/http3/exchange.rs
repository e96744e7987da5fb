//! One request that comes over HTTP/3, and its response.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::server::{RequestResolver, RequestStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::body::RequestBody;
use super::endpoint::SEND_WINDOW;
use super::quic::{Both, Driven, Quic, Sender, Stopped};
use crate::config::resolved::Timeouts;
use crate::pipeline::ExchangeId;
use crate::rejection::Rejection;
use crate::server::completion;
use crate::server::connection::Connection;
use crate::server::executor::while_taken;
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
    let gave_up = Rc::new(Cell::new(false));
    let ended = {
        let answering = answer(&connection, &gave_up, request, stream);
        let mut answering = pin!(while_taken(&connection.activity, answering));
        poll_fn(|cx| {
            if let Poll::Ready(ended) = answering.as_mut().poll(cx) {
                return Poll::Ready(ended.unwrap_or(Ended::NotTaken));
            }
            // It is finished by `answering` alone, so this is the client's doing.
            stopped.as_mut().poll(cx).map(|stopped| match stopped {
                Ok(_) => Ended::Refused,
                Err(_) => Ended::Lost,
            })
        })
        .await
    };
    if gave_up.get() || matches!(ended, Ended::Refused) {
        quic.spend(Flood::Resets);
    } else if matches!(ended, Ended::OnItsWay(_) | Ended::BrokenOff) {
        // Who has half of its requests answered may take back the other half.
        quic.earn(Flood::Resets);
    }
    if let Ended::OnItsWay(bytes) = ended {
        // It must not be cut off by the end of the connection, nor hold that up for ever.
        let view = connection.worker.view();
        let _ = timeout(arrival(&view.gateway.config.server.timeouts, bytes), stopped).await;
    }
}

/// How the response to a request has ended.
enum Ended {
    /// All of it was handed over, so many bytes.
    OnItsWay(u64),
    /// It broke off before it came to its end, on our side.
    BrokenOff,
    /// The client has taken nothing of it for too long, or takes it too slowly.
    NotTaken,
    /// The client wants no more of it.
    Refused,
    /// The connection has ended.
    Lost,
}

impl From<StreamError> for Ended {
    fn from(error: StreamError) -> Ended {
        match error {
            StreamError::RemoteTerminate { .. } => Ended::Refused,
            StreamError::ConnectionError { .. } => Ended::Lost,
            // A head that is larger than the client takes, and what else h3 does not send.
            _ => Ended::BrokenOff,
        }
    }
}

/// How long the last bytes of a response may take to arrive once they were sent: whoever acknowledges them later than this was
/// too slow for any response, or has stopped.
fn arrival(timeouts: &Timeouts, bytes: u64) -> Duration {
    let rate = timeouts.pace.rate.unwrap_or(SLOWEST).max(1);
    timeouts.stall + Duration::from_secs(bytes.min(SEND_WINDOW) / rate)
}

/// Bytes a second that are waited for where clients may be as slow as they like.
const SLOWEST: u64 = 240;

/// Has a request answered.
async fn answer(
    connection: &Rc<Connection>,
    gave_up: &Rc<Cell<bool>>,
    request: Request<()>,
    stream: RequestStream<Both, Bytes>,
) -> Ended {
    let (mut sender, receiver) = stream.split();
    let (parts, ()) = request.into_parts();
    let mut body = RequestBody::new(receiver, announced(&parts.headers), gave_up.clone());
    body.begin(&parts.method).await;
    let for_head = parts.method == Method::HEAD;
    let waits = expects(&parts.headers) && !body.is_end_stream();
    let asked = waits.then(|| body.asked());
    let serving = service::serve(connection, Request::from_parts(parts, Box::new(body)));
    let response = match asked {
        None => match serving.await {
            Ok(response) => response,
        },
        Some(asked) => match invite(&mut sender, &asked, serving).await {
            Ok(response) => response,
            Err(error) => return error.into(),
        },
    };
    send(&mut sender, response, for_head).await.unwrap_or_else(Ended::from)
}

/// The response to a client that waits with its body until it is told to go on (RFC 9110 section 10.1.1): when somebody asks
/// for it. What is answered without is never sent.
async fn invite(
    sender: &mut RequestStream<Sender, Bytes>,
    asked: &Notify,
    serving: impl Future<Output = Result<Response<Sending>, Infallible>>,
) -> Result<Response<Sending>, StreamError> {
    let mut serving = pin!(serving);
    let mut asked = pin!(asked.notified());
    let mut response = poll_fn(|cx| match serving.as_mut().poll(cx) {
        Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
        Poll::Pending => asked.as_mut().poll(cx).map(|()| None),
    })
    .await;
    if response.is_none() {
        let mut go_on = Response::new(());
        *go_on.status_mut() = StatusCode::CONTINUE;
        let mut told = pin!(sender.send_response(go_on));
        poll_fn(|cx| {
            if response.is_none()
                && let Poll::Ready(Ok(answered)) = serving.as_mut().poll(cx)
            {
                response = Some(answered);
            }
            let told = told.as_mut().poll(cx);
            if told.is_pending()
                && let Some(response) = &mut response
            {
                response.body_mut().head_waits(cx.waker());
            }
            told
        })
        .await?;
    }
    match response {
        Some(response) => Ok(response),
        None => serving.await.map_err(|never| match never {}),
    }
}

/// Sends a response.
async fn send(
    sender: &mut RequestStream<Sender, Bytes>,
    response: Response<Sending>,
    for_head: bool,
) -> Result<Ended, StreamError> {
    let (mut parts, mut body) = response.into_parts();
    // Where there is no body for HEAD, nothing says how long that of GET would be.
    let length = body.size_hint().exact().filter(|_| !for_head || !body.is_end_stream());
    complete(&mut parts.headers, parts.status, length);
    let bodiless = for_head || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    {
        let mut head = pin!(sender.send_response(Response::from_parts(parts, ())));
        poll_fn(|cx| {
            let sent = head.as_mut().poll(cx);
            if sent.is_pending() {
                body.head_waits(cx.waker());
            }
            sent
        })
        .await?;
    }
    while !bodiless && !body.is_end_stream() {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => break,
            Some(Err(_)) => {
                sender.stop_stream(Code::H3_INTERNAL_ERROR);
                return Ok(Ended::BrokenOff);
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
    sender.finish().await?;
    Ok(Ended::OnItsWay(body.sent()))
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
