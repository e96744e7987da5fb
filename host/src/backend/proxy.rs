//! Forwards a request to a target of an upstream.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Instant;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header, response};
use http_body::Body as _;
use hyper::body::Incoming;
use smallvec::SmallVec;

use crate::body::{Body, ClientBodyState};
use crate::pipeline::Exchange;
use crate::rejection::Rejection;
use crate::router::Template;
use crate::server::{hop_by_hop, upgrade};
use crate::upstream::{Alarm, ConnectError, Kept, Lease, Target, Upgraded, Upstream, UpstreamBody};

/// Forwards to an upstream.
pub(crate) struct Proxy {
    pub(crate) upstream: Rc<Upstream>,
    pub(crate) path: Option<Template>,
    pub(crate) host: Option<HeaderValue>,
}

/// What forwarding needs beside the exchange and its body.
pub(crate) struct Terms<'a> {
    /// The state of a body that streams from the client.
    pub(crate) client_body: Option<Rc<ClientBodyState>>,
    /// Whether the request's fields are looked at again later, so that they must stay with the exchange.
    pub(crate) keep_fields: bool,
    /// The timer of the client's connection, while nobody waits.
    pub(crate) alarm: &'a Cell<Alarm>,
    /// The target that was asked last.
    pub(crate) asked: &'a mut Option<Rc<Target>>,
}

/// What is sent, in a form that can be sent again where that is safe.
struct Attempt {
    /// None while it is on its way.
    request: Option<Request<Body>>,
    /// The body to send again, where there is one; none: the request must not be repeated.
    again: Option<Body>,
}

/// Why a target gave no answer.
enum Failed {
    /// Nothing was sent: another target may be asked. This is what to say where there is none.
    Unsent(Rejection),
    Rejected(Rejection),
}

impl Proxy {
    /// Sends the request and reads the response's head into the exchange; gives the response's body.
    pub(crate) async fn forward(
        &self,
        exchange: &mut Exchange,
        body: Body,
        terms: Terms<'_>,
    ) -> Result<Body, Rejection> {
        let affinity = self.upstream.affinity(exchange);
        let headers = if terms.keep_fields {
            exchange.headers.clone()
        } else {
            std::mem::take(&mut exchange.headers)
        };
        let again = if exchange.method.is_idempotent() {
            body.again()
        } else {
            None
        };
        let request = Some(self.request(exchange, headers, body)?);
        let mut attempt = Attempt { request, again };
        let mut tried: SmallVec<[Rc<Target>; 2]> = SmallVec::new();
        let mut failed = Rejection::NoTarget;
        while (tried.len() as u32) < self.upstream.settings.tries
            && let Some(target) = self.upstream.next(&tried, affinity)
        {
            *terms.asked = Some(target.clone());
            let asked = target.asked();
            match self.send(&target, &mut attempt, exchange, &terms).await {
                Ok(body) => {
                    target.answered(exchange.response.status, asked);
                    self.upstream.stick(&target, affinity, exchange);
                    return Ok(body);
                }
                Err(Failed::Unsent(rejection)) => failed = rejection,
                Err(Failed::Rejected(rejection)) => {
                    target.failed(&rejection, asked);
                    return Err(rejection);
                }
            }
            target.failed(&failed, asked);
            tried.push(target);
        }
        Err(failed)
    }

    /// What goes to a target: these fields and this body, and all else as the exchange says.
    fn request(&self, exchange: &Exchange, mut headers: HeaderMap, body: Body) -> Result<Request<Body>, Rejection> {
        let host = self.host.as_ref().unwrap_or(&exchange.host);
        let target = self.target(exchange)?;
        let http2 = self.upstream.settings.http2;
        let uri = if http2 {
            headers.remove(header::HOST);
            let authority = if host.is_empty() {
                self.upstream.settings.name.as_bytes()
            } else {
                host.as_bytes()
            };
            let uri = Uri::builder()
                .scheme("http")
                .authority(authority)
                .path_and_query(target);
            uri.build()
                .map_err(|_| Rejection::BadRequest("the host cannot be forwarded"))?
        } else {
            if self.host.is_some() || !headers.contains_key(header::HOST) {
                headers.insert(header::HOST, host.clone());
            }
            Uri::from(target)
        };
        if !http2 && !body.is_end_stream() && body.size_hint().exact().is_none() {
            // Or hyper would send a GET, for one, as if it had no body.
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if !http2
            && body.is_end_stream()
            && let Some(protocols) = &exchange.upgrade
        {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, protocols.clone());
        }
        let mut request = Request::new(body);
        *request.method_mut() = exchange.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn target(&self, exchange: &Exchange) -> Result<PathAndQuery, Rejection> {
        // What a filter has set is later, and so wins.
        let template = self
            .path
            .as_ref()
            .filter(|_| exchange.target.path() == exchange.matched.path());
        let Some(template) = template else {
            return Ok(exchange.target.clone());
        };
        let mut target = String::new();
        template.fill(&mut target, |name| exchange.params.get(name, exchange.matched.path()));
        if let Some(query) = exchange.target.query() {
            target.push('?');
            target.push_str(query);
        }
        PathAndQuery::try_from(target).map_err(|_| Rejection::BadRequest("the path cannot be forwarded"))
    }

    /// Sends to one target. A connection that turns out to be closed costs nothing where the request can be sent again:
    /// idle ones are tried until a fresh one has answered, or failed.
    async fn send(
        &self,
        target: &Rc<Target>,
        attempt: &mut Attempt,
        exchange: &mut Exchange,
        terms: &Terms<'_>,
    ) -> Result<Body, Failed> {
        let client_body = terms.client_body.as_deref();
        while let Some(request) = attempt.request.take() {
            let mut sent = Instant::now();
            if sent >= exchange.deadline {
                return Err(Failed::Rejected(Rejection::Deadline));
            }
            let mut lease = match Lease::idle(target) {
                Some(lease) => lease,
                None => match Box::pin(self.connect(target, sent, exchange.deadline)).await {
                    Ok(lease) => {
                        sent = Instant::now();
                        lease
                    }
                    Err(failed) => {
                        attempt.request = Some(request);
                        return Err(failed);
                    }
                },
            };
            let may_repeat = lease.reused && attempt.again.is_some();
            // Where the exchange keeps its fields they are there to be sent again.
            let kept = (may_repeat && !terms.keep_fields).then(|| lease.connection.keep(&request));
            let answer = pin!(lease.connection.send(request));
            let mut failed = match self.answered(answer, sent, exchange.deadline, terms).await? {
                Ok(response) => return self.forwarded(response, lease, exchange, terms),
                Err(failed) => failed,
            };
            if let Some(unsent) = failed.take_message() {
                attempt.request = Some(unsent);
                if !lease.reused {
                    return Err(Failed::Unsent(Rejection::UpstreamConnect));
                }
            } else if may_repeat && was_closed(failed.error()) {
                let headers = match kept {
                    None => exchange.headers.clone(),
                    Some(kept) => self.fields_again(kept, exchange)?,
                };
                let body = attempt.again.as_ref().and_then(Body::again).unwrap_or(Body::Empty);
                attempt.request = Some(self.request(exchange, headers, body).map_err(Failed::Rejected)?);
            } else {
                return Err(Failed::Rejected(rejection(failed.error(), client_body)));
            }
        }
        Err(Failed::Unsent(Rejection::UpstreamConnect))
    }

    /// The fields of a request that was sent in vain.
    fn fields_again(&self, kept: Kept, exchange: &Exchange) -> Result<HeaderMap, Failed> {
        let target = self.target(exchange).map_err(Failed::Rejected)?;
        kept.fields(&exchange.method, target.as_str())
            .ok_or(Failed::Rejected(Rejection::UpstreamReset))
    }

    /// A connection that is not to be had at once.
    async fn connect(&self, target: &Rc<Target>, now: Instant, deadline: Instant) -> Result<Lease, Failed> {
        let settings = &self.upstream.settings;
        let limit = settings.connect_timeout.min(deadline.saturating_duration_since(now));
        Lease::of(target, settings.http2, limit).await.map_err(|error| {
            tracing::debug!(upstream = settings.name, target = %target.name, %error, "cannot connect");
            match error {
                ConnectError::Timeout if Instant::now() >= deadline => Failed::Rejected(Rejection::Deadline),
                ConnectError::Timeout => Failed::Unsent(Rejection::UpstreamTimeout),
                ConnectError::Refused(_) | ConnectError::Unresolved | ConnectError::Handshake(_) => {
                    Failed::Unsent(Rejection::UpstreamConnect)
                }
            }
        })
    }

    /// Waits for a response's head: until the deadline, and no longer than the upstream may take from the request's last
    /// byte on.
    async fn answered<T>(
        &self,
        mut response: Pin<&mut impl Future<Output = T>>,
        sent: Instant,
        deadline: Instant,
        terms: &Terms<'_>,
    ) -> Result<T, Failed> {
        // An upload that is under way moves it on.
        let due = || {
            let last_byte = match terms.client_body.as_deref() {
                Some(body) => body.ended.get().map_or_else(Instant::now, |ended| ended.max(sent)),
                None => sent,
            };
            deadline.min(last_byte + self.upstream.settings.response_timeout)
        };
        let mut alarm = terms.alarm.take();
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answered) = response.as_mut().poll(cx) {
                return Poll::Ready(Ok(answered));
            }
            ready!(alarm.poll(due(), cx));
            Poll::Ready(Err(Failed::Rejected(if Instant::now() >= deadline {
                Rejection::Deadline
            } else {
                Rejection::UpstreamTimeout
            })))
        })
        .await;
        terms.alarm.set(alarm);
        answered
    }

    /// Takes a response over: its head into the exchange.
    fn forwarded(
        &self,
        response: Response<Incoming>,
        lease: Lease,
        exchange: &mut Exchange,
        terms: &Terms<'_>,
    ) -> Result<Body, Failed> {
        let (head, incoming) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return upgraded(head, lease, exchange)
                .map(|upgraded| Body::Upgraded(Box::new(upgraded)))
                .ok_or(Failed::Rejected(Rejection::UpstreamMalformed));
        }
        // A final status is at most 599.
        if !(200..=599).contains(&head.status.as_u16()) {
            return Err(Failed::Rejected(Rejection::UpstreamMalformed));
        }
        exchange.response.status = head.status;
        exchange.response.headers = head.headers;
        let headers = &mut exchange.response.headers;
        hop_by_hop::strip(headers);
        headers.append(header::VIA, HeaderValue::from_static("1.1 portcullis"));
        let body = UpstreamBody::new(
            incoming,
            lease,
            terms.client_body.clone(),
            self.upstream.settings.idle_timeout,
        );
        Ok(if body.is_end_stream() {
            Body::Empty
        } else {
            Body::Upstream(Box::new(body))
        })
    }
}

/// Takes over a response that ends HTTP on its connection, if that was asked for.
fn upgraded(head: response::Parts, lease: Lease, exchange: &mut Exchange) -> Option<Upgraded> {
    let protocol = upgrade::agreed(exchange.upgrade.as_ref()?, &head.headers)?;
    exchange.response.status = head.status;
    exchange.response.headers = head.headers;
    hop_by_hop::strip(&mut exchange.response.headers);
    Upgraded::new(lease, protocol)
}

/// Whether the peer had closed the connection, so that it never answered and, as far as can be told, never acted.
fn was_closed(error: &hyper::Error) -> bool {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return true;
    }
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|error| {
        matches!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
        )
    })
}

fn rejection(error: &hyper::Error, client_body: Option<&ClientBodyState>) -> Rejection {
    tracing::debug!(%error, "upstream failed");
    if let Some(failure) = client_body.and_then(|state| state.failure.get()) {
        return failure.rejection();
    }
    if error.is_user() {
        // A filter's transform is the only other body that can fail.
        return Rejection::FilterFailed;
    }
    if error.is_parse() || error.is_parse_too_large() {
        Rejection::UpstreamMalformed
    } else {
        Rejection::UpstreamReset
    }
}
