//! Where calls go: each to its upstream by the proxy backend, with its choice of targets, retries, hedges and limits.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use smallvec::SmallVec;

use super::run::{CallError, Caller, Outgoing};
use super::template::Request;
use super::{Aggregate, Failed, FailsWith, Failure};
use crate::backend::proxy::{Proxy, Terms};
use crate::body::{Body, BodyError};
use crate::pipeline::{Exchange, Reply, RouteInfo};
use crate::rejection::Rejection;
use crate::router::Params;
use crate::telemetry::Counter;
use crate::telemetry::metrics::{CALLS_FAILED, Metrics};
use crate::upstream::{Ends, Permit};

/// What is left of the route's time for putting the answer together.
const RESERVE: Duration = Duration::from_millis(20);
/// A target that is late is to be blamed for it before the call is given up.
const JUDGED: Duration = Duration::from_millis(2);

/// Fields of the client's request that speak of its way here, and of the trace it belongs to.
const ON_THE_WAY: [HeaderName; 9] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];

/// Makes a route's calls, on one thread.
pub(crate) struct Calls {
    aggregate: Arc<Aggregate>,
    /// In the order of the calls.
    services: Vec<Service>,
}

/// What answers one call.
struct Service {
    backend: ServiceBackend,
    /// By the place of the reason.
    failed: [Counter; Failure::WORDS.len()],
    /// The call's own time, where it has one.
    route: Option<Arc<RouteInfo>>,
}

/// The protocol that a call is made in.
enum ServiceBackend {
    Http(Box<Proxy>),
}

impl Calls {
    /// The calls of `aggregate`, and what answers each.
    pub(crate) fn new(
        aggregate: &Arc<Aggregate>,
        route: &Arc<str>,
        proxies: Vec<Proxy>,
        metrics: &Metrics,
        thread: usize,
    ) -> Calls {
        let failed = |call: usize| {
            Failure::WORDS.map(|reason| {
                let name = aggregate.name(call).into();
                let labels = vec![("call", name), ("reason", reason.into()), ("route", route.clone())];
                metrics.counter(thread, CALLS_FAILED, labels)
            })
        };
        let services = proxies.into_iter().enumerate().map(|(call, proxy)| Service {
            backend: ServiceBackend::Http(Box::new(proxy)),
            failed: failed(call),
            route: aggregate.timeout(call).map(|timeout| {
                Arc::new(RouteInfo {
                    name: route.clone(),
                    timeout,
                    timeout_written: true,
                })
            }),
        });
        Calls {
            services: services.collect(),
            aggregate: aggregate.clone(),
        }
    }

    /// Makes all calls, and puts the answer together.
    pub(crate) async fn answer(&self, exchange: &mut Exchange, ends: Option<Ends>) -> Result<Reply, Rejection> {
        let answered = {
            let parameters: SmallVec<[(&str, &str); 4]> = exchange.params.iter(exchange.matched.path()).collect();
            let request = Request {
                method: &exchange.method,
                parameters: &parameters,
                query: exchange.target.query(),
                headers: &exchange.headers,
                client: exchange.client,
            };
            let caller = ForClient {
                calls: self,
                exchange,
                ends,
            };
            let left = exchange.deadline.saturating_duration_since(Instant::now());
            let deadline = exchange.deadline.checked_sub((left / 20).max(RESERVE));
            let deadline = deadline.unwrap_or(exchange.deadline);
            self.aggregate.run(&request, &caller, deadline, SystemTime::now()).await
        };
        match answered {
            Ok(answer) => {
                if !answer.complete {
                    for (call, failure) in &answer.failures {
                        self.tell(exchange, Some(*call), failure);
                    }
                }
                Ok(Reply {
                    status: http::StatusCode::OK,
                    headers: answer.headers,
                    body: answer.body,
                })
            }
            Err(failed) => {
                self.tell(exchange, failed.call, &failed.failure);
                Err(rejection(failed))
            }
        }
    }

    fn tell(&self, exchange: &mut Exchange, call: Option<usize>, failure: &Failure) {
        if let Some(service) = call.and_then(|call| self.services.get(call)) {
            service.failed[failure.place()].add(1);
        }
        let call = call.map_or("all", |call| self.aggregate.name(call));
        let (route, reason, id) = (exchange.route.name.clone(), failure.word(), exchange.id());
        tracing::info!(%route, call, reason, %failure, %id, "call failed");
    }
}

fn rejection(failed: Failed) -> Rejection {
    match (failed.failure.fails_with(), failed.failure) {
        (FailsWith::BadRequest, Failure::Unfilled(unfilled)) => {
            Rejection::CallUnfilled(unfilled.to_string().into_boxed_str())
        }
        (FailsWith::BadRequest, _) => Rejection::BadRequest("the request has not what its calls need"),
        (FailsWith::BadGateway, _) => Rejection::CallFailed,
        (FailsWith::GatewayTimeout, _) => Rejection::CallTimeout,
        (FailsWith::Passed(status), _) => Rejection::CallStatus(status),
    }
}

/// Calls on behalf of one client.
struct ForClient<'a> {
    calls: &'a Calls,
    exchange: &'a Exchange,
    ends: Option<Ends>,
}

impl Caller for ForClient<'_> {
    type Body = CallBody;

    async fn call(&self, request: Outgoing<'_>) -> Result<Response<CallBody>, CallError> {
        let service = self.calls.services.get(request.call).ok_or(CallError::Unreachable)?;
        let (body, upstream) = (Body::full(request.body.clone()), request.upstream);
        let mut exchange = self.exchange_of(service, request)?;
        match &service.backend {
            ServiceBackend::Http(proxy) => self.forward(proxy, &mut exchange, body).await,
        }
        .map_err(|rejection| {
            tracing::debug!(upstream, reason = rejection.outcome(), "call failed");
            failure(&rejection)
        })
    }
}

impl ForClient<'_> {
    /// A call as an exchange of its own.
    fn exchange_of(&self, service: &Service, request: Outgoing<'_>) -> Result<Box<Exchange>, CallError> {
        let client = self.exchange;
        let target = PathAndQuery::try_from(request.target).map_err(|_| CallError::Unreachable)?;
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = request.method.clone();
        parts.headers = request.headers;
        for name in &ON_THE_WAY {
            if !parts.headers.contains_key(name) {
                let values: SmallVec<[HeaderValue; 2]> = client.headers.get_all(name).iter().cloned().collect();
                for value in values {
                    parts.headers.append(name.clone(), value);
                }
            }
        }
        let has_content =
            !request.body.is_empty() || matches!(*request.method, Method::POST | Method::PUT | Method::PATCH);
        if has_content {
            parts
                .headers
                .insert(header::CONTENT_LENGTH, HeaderValue::from(request.body.len()));
        }
        // Only a call's own time is its target's to keep; of the client's, other calls may have taken all.
        let (route, started) = match &service.route {
            Some(route) => (route.clone(), Instant::now()),
            None => (client.route.clone(), client.started),
        };
        let mut exchange = Exchange::new(
            parts,
            target,
            client.scheme.clone(),
            client.host.clone(),
            route,
            Params::default(),
            client.client,
            started,
        );
        let deadline = request.deadline.into_std();
        exchange.deadline = deadline.checked_sub(JUDGED).unwrap_or(deadline);
        Ok(exchange)
    }

    async fn forward(
        &self,
        proxy: &Proxy,
        exchange: &mut Exchange,
        body: Body,
    ) -> Result<Response<CallBody>, Rejection> {
        let (alarm, attempts) = (Cell::default(), Cell::new(0));
        let (mut asked, mut permit) = (None, None);
        let terms = Terms {
            client_body: None,
            keep_fields: false,
            alarm: &alarm,
            ends: self.ends,
            asked: &mut asked,
            attempts: &attempts,
            permit: &mut permit,
        };
        let body = proxy.forward(exchange, body, terms).await?;
        let mut response = Response::new(CallBody { body, _permit: permit });
        *response.status_mut() = exchange.response.status;
        *response.headers_mut() = std::mem::take(&mut exchange.response.headers);
        Ok(response)
    }
}

fn failure(rejection: &Rejection) -> CallError {
    match rejection {
        Rejection::UpstreamTimeout | Rejection::Deadline => CallError::Timeout,
        Rejection::UpstreamReset | Rejection::UpstreamMalformed => CallError::Broken,
        _ => CallError::Unreachable,
    }
}

/// The body of an answer to a call.
pub(crate) struct CallBody {
    body: Body,
    /// Counts the call as under way until it is read.
    _permit: Option<Permit>,
}

impl HttpBody for CallBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
