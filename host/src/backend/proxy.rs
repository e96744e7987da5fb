//! Forwards a request to a target of an upstream.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use smallvec::SmallVec;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::body::{Body, ClientBodyState};
use crate::pipeline::Exchange;
use crate::rejection::Rejection;
use crate::router::Template;
use crate::server::hop_by_hop;
use crate::upstream::{Lease, Target, Upstream, UpstreamBody};

/// Forwards to an upstream.
pub(crate) struct Proxy {
    pub(crate) upstream: Rc<Upstream>,
    pub(crate) path: Option<Template>,
    pub(crate) host: Option<HeaderValue>,
}

/// A target's answer.
pub(crate) struct Forwarded {
    pub(crate) response: http::response::Parts,
    pub(crate) body: Body,
}

/// What is sent, in a form that can be sent again where that is safe. Boxed where it is handed on: it is large.
struct Attempt {
    request: Request<Body>,
    /// The body to send again, where there is one; none: the request must not be repeated.
    again: Option<Body>,
}

impl Proxy {
    /// Sends the request and reads the response's head. `client_body` is the state of a body that streams from the client;
    /// `copy` says that the request's fields are looked at again later. The target that was asked last goes to `asked`.
    pub(crate) async fn forward(
        &self,
        exchange: &mut Exchange,
        body: Body,
        client_body: Option<Rc<ClientBodyState>>,
        copy: bool,
        asked: &mut Option<Arc<str>>,
    ) -> Result<Forwarded, Rejection> {
        let mut attempt = self.attempt(exchange, body, copy)?;
        let mut tried: SmallVec<[usize; 4]> = SmallVec::new();
        let deadline = exchange.deadline;
        while (tried.len() as u32) < self.upstream.settings.tries
            && let Some(place) = self.upstream.balancer.next(&self.upstream.targets, &tried)
        {
            let target = &self.upstream.targets[place];
            *asked = Some(target.name.clone());
            match self.send(target, attempt, client_body.as_ref(), deadline).await {
                Ok(forwarded) => {
                    target.answered.add(1);
                    return Ok(forwarded);
                }
                Err(Failed::Unsent(unsent)) => attempt = unsent,
                Err(Failed::Rejected(rejection)) => {
                    target.failed.add(1);
                    return Err(rejection);
                }
            }
            target.failed.add(1);
            tried.push(place);
        }
        Err(Rejection::UpstreamConnect)
    }

    fn attempt(&self, exchange: &mut Exchange, body: Body, copy: bool) -> Result<Box<Attempt>, Rejection> {
        let mut headers = if copy {
            exchange.headers.clone()
        } else {
            std::mem::take(&mut exchange.headers)
        };
        let host = self.host.as_ref().unwrap_or(&exchange.host);
        let target = self.target(exchange)?;
        let http2 = self.upstream.settings.http2;
        let uri = if http2 {
            headers.remove(header::HOST);
            let authority = if host.is_empty() {
                self.upstream.targets[0].name.as_bytes()
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
        let again = if exchange.method.is_idempotent() {
            body.again()
        } else {
            None
        };
        let mut request = Request::new(body);
        *request.method_mut() = exchange.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        *request.headers_mut() = headers;
        Ok(Box::new(Attempt { request, again }))
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

    /// Sends on one target. A connection that turns out to be closed costs nothing where the request can be sent again:
    /// idle ones are tried until a fresh one has answered, or failed.
    async fn send(
        &self,
        target: &Rc<Target>,
        mut attempt: Box<Attempt>,
        client_body: Option<&Rc<ClientBodyState>>,
        deadline: Instant,
    ) -> Result<Forwarded, Failed> {
        let settings = &self.upstream.settings;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failed::Rejected(Rejection::Deadline));
            }
            let mut lease = match Lease::of(target, settings.http2, settings.connect_timeout.min(left)).await {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::debug!(upstream = settings.name, target = %target.name, %error, "cannot connect");
                    return Err(Failed::Unsent(attempt));
                }
            };
            let copy = if lease.reused { attempt.copy() } else { None };
            let Attempt { request, again } = *attempt;
            match answered(
                left,
                settings.response_timeout,
                client_body,
                lease.connection.send(request),
            )
            .await
            {
                // Nobody asked for another protocol, and a final status is at most 599.
                Ok(Ok(response)) if !(200..=599).contains(&response.status().as_u16()) => {
                    return Err(Failed::Rejected(Rejection::UpstreamMalformed));
                }
                Ok(Ok(response)) => return Ok(self.forwarded(response, lease, client_body)),
                Err(_) if deadline <= Instant::now() => return Err(Failed::Rejected(Rejection::Deadline)),
                Err(_) => return Err(Failed::Rejected(Rejection::UpstreamTimeout)),
                Ok(Err(mut failed)) => match (failed.take_message(), copy) {
                    (Some(request), _) => {
                        attempt = Box::new(Attempt { request, again });
                        if !lease.reused {
                            return Err(Failed::Unsent(attempt));
                        }
                    }
                    (None, Some(copy)) if was_closed(failed.error()) => attempt = copy,
                    (None, _) => return Err(Failed::Rejected(rejection(failed.error(), client_body))),
                },
            }
        }
    }

    fn forwarded(
        &self,
        response: Response<Incoming>,
        lease: Lease,
        client_body: Option<&Rc<ClientBodyState>>,
    ) -> Forwarded {
        let (mut response, incoming) = response.into_parts();
        hop_by_hop::strip(&mut response.headers);
        response
            .headers
            .append(header::VIA, HeaderValue::from_static("1.1 portcullis"));
        let body = UpstreamBody::new(
            incoming,
            lease,
            client_body.cloned(),
            self.upstream.settings.idle_timeout,
        );
        let body = if body.is_end_stream() {
            Body::Empty
        } else {
            Body::Upstream(Box::new(body))
        };
        Forwarded { response, body }
    }
}

/// Waits for a response's head: `limit` in all, and `after` from the request's last byte on. One timer serves both.
async fn answered<T>(
    limit: Duration,
    after: Duration,
    client_body: Option<&Rc<ClientBodyState>>,
    response: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let start = Instant::now();
    let mut response = pin!(response);
    let mut wait = limit.min(after);
    loop {
        match timeout(wait, response.as_mut()).await {
            Ok(answered) => return Ok(answered),
            Err(elapsed) => {
                let sending = client_body.is_some_and(|state| !state.ended.get());
                let left = limit.saturating_sub(start.elapsed());
                if !sending || left.is_zero() {
                    return Err(elapsed);
                }
                // The upload is still under way: the upstream's own time begins when it ends.
                wait = left.min(after);
            }
        }
    }
}

/// Why a target gave no answer.
enum Failed {
    /// Nothing was sent: another target may be asked.
    Unsent(Box<Attempt>),
    Rejected(Rejection),
}

impl Attempt {
    fn copy(&self) -> Option<Box<Attempt>> {
        let again = self.again.as_ref()?;
        let mut request = Request::new(again.again()?);
        *request.method_mut() = self.request.method().clone();
        *request.uri_mut() = self.request.uri().clone();
        *request.version_mut() = self.request.version();
        *request.headers_mut() = self.request.headers().clone();
        Some(Box::new(Attempt {
            request,
            again: again.again(),
        }))
    }
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

fn rejection(error: &hyper::Error, client_body: Option<&Rc<ClientBodyState>>) -> Rejection {
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
