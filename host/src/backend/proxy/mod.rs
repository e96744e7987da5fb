//! Forwards a request to a target of an upstream, and to another one where that fails and may be tried again.

mod again;
mod attempt;
mod counts;
mod deadline;
mod failure;
mod hedge;
mod recording;
mod request;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use http::{HeaderValue, Response, StatusCode, header, response};
use hyper::body::Incoming;
use smallvec::SmallVec;

use self::attempt::Attempt;
pub(crate) use self::counts::UpstreamCounts;
use self::failure::{Cause, Failed, is_bad, unanswered};
pub(crate) use self::recording::Recorded;
use crate::backend::mirror::Mirror;
use crate::body::{Body, ClientBodyState};
use crate::config::resolved::{Destination, Hedge, Retry};
use crate::pipeline::Exchange;
use crate::rejection::Rejection;
use crate::router::Template;
use crate::server::{hop_by_hop, upgrade};
use crate::upstream::{
    Alarm, Asked, ConnectError, Ends, Lease, Permit, RetryBudget, Target, Upgraded, Upstream, UpstreamBody,
    response_head, was_closed, was_refused,
};

/// Forwards to an upstream.
pub(crate) struct Proxy {
    pub(crate) upstream: Rc<Upstream>,
    path: Option<Template>,
    host: Option<HeaderValue>,
    try_timeout: Option<Duration>,
    retry: Retry,
    hedge: Option<Hedge>,
    budget: Rc<RetryBudget>,
    mirror: Option<Rc<Mirror>>,
    /// Whether requests may be sent again after they have been sent.
    repeats: bool,
    /// Whether an answer may be a reason for that.
    judges_answers: bool,
    /// Whether requests are counted, or the upstream may be out of service.
    guarded: bool,
    /// Whether targets are told the deadline, whatever the protocol.
    tells_deadline: bool,
    counts: UpstreamCounts,
}

/// What forwarding needs beside the exchange and its body.
pub(crate) struct Terms<'a> {
    /// The state of a body that streams from the client.
    pub(crate) client_body: Option<Rc<ClientBodyState>>,
    /// Whether the request's fields are looked at again later, so that they must stay with the exchange.
    pub(crate) keep_fields: bool,
    /// The timer of the client's connection, while nobody waits.
    pub(crate) alarm: &'a Cell<Alarm>,
    /// The ends of the client's connection, where they have addresses.
    pub(crate) ends: Option<Ends>,
    /// The target that was asked last.
    pub(crate) asked: &'a mut Option<Rc<Target>>,
    /// How often one was asked.
    pub(crate) attempts: &'a Cell<u32>,
    /// What counts the exchange as under way upstream, where that is limited.
    pub(crate) permit: &'a mut Option<Permit>,
}

/// A response whose head is there, and the connection that it comes over.
struct Answer {
    response: Response<Incoming>,
    lease: Lease,
}

/// How often targets may refuse to look at a request.
const REFUSALS: u32 = 3;

impl Proxy {
    pub(crate) fn new(
        upstream: &Rc<Upstream>,
        settings: &Destination,
        path: Option<Template>,
        host: Option<HeaderValue>,
        mirror: Option<Rc<Mirror>>,
        counts: UpstreamCounts,
    ) -> Proxy {
        let resilience = &upstream.settings.resilience;
        let retry = settings.retry;
        let repeats = retry.tries > 1 && retry.on.after_sending();
        Proxy {
            path,
            host,
            try_timeout: settings.try_timeout,
            retry,
            hedge: settings.hedge,
            budget: if settings.own_budget {
                Rc::new(RetryBudget::new(&retry))
            } else {
                upstream.retry_budget.clone()
            },
            mirror,
            repeats,
            judges_answers: repeats && retry.on.after_answer(),
            guarded: resilience.limits.requests.is_some() || resilience.breaker.is_some(),
            tells_deadline: resilience.deadline_header.is_some(),
            counts,
            upstream: upstream.clone(),
        }
    }

    /// Sends the request and reads the response's head into the exchange; gives the response's body.
    pub(crate) async fn forward(
        &self,
        exchange: &mut Exchange,
        mut body: Body,
        terms: Terms<'_>,
    ) -> Result<Body, Rejection> {
        if let Some(most) = self.upstream.settings.resilience.limits.requests {
            let permit = self.upstream.load().request(most);
            *terms.permit = Some(permit.ok_or_else(|| self.counts.refuse_requests())?);
        }
        if self.tells_deadline || exchange.is_grpc_call() {
            self.shorten_deadline(exchange);
        }
        if let Some(mirror) = &self.mirror {
            body = mirror.copy(exchange, body);
        }
        let mut attempt = self.attempt(exchange, body, &terms)?;
        self.budget.deposit();
        let mut tried: SmallVec<[Rc<Target>; 2]> = SmallVec::new();
        let mut next = self.upstream.next(&tried, attempt.affinity);
        while let Some(mut target) = next {
            *terms.asked = Some(target.clone());
            let trial = match self.upstream.breaker() {
                Some(breaker) if self.guarded => Some(breaker.enter(Instant::now()).map_err(|retry_after| {
                    self.counts.refused_by_breaker.add(1);
                    Rejection::CircuitOpen { retry_after }
                })?),
                _ => None,
            };
            let answer = match self.hedge {
                None => {
                    let asked = target.asked();
                    let answer = self.send(&target, &mut attempt, exchange, &terms).await;
                    blame(&target, asked, &answer);
                    answer
                }
                Some(hedge) => {
                    let race = self.race(hedge, &mut target, &mut attempt, &tried, exchange, &terms);
                    let answer = Box::pin(race).await;
                    *terms.asked = Some(target.clone());
                    answer
                }
            };
            if let Some(trial) = trial
                && let Some(failed) = went_badly(&answer)
            {
                trial.ended(failed, Instant::now());
            }
            let failed = match answer {
                Ok(answer) => match self.asks_again(&answer, &attempt, exchange) {
                    None => return self.finish(answer, &target, &attempt, exchange, &terms),
                    Some(cause) => Failed::Answered(cause, Box::new(answer)),
                },
                Err(failed) => failed,
            };
            tried.push(target.clone());
            match Box::pin(self.again(failed, &mut attempt, &tried, exchange, &terms)).await {
                Ok(target) => next = Some(target),
                Err(Failed::Answered(_, answer)) => {
                    return self.finish(*answer, &target, &attempt, exchange, &terms);
                }
                Err(Failed::Unsent(rejection) | Failed::Unanswered(_, rejection) | Failed::Rejected(rejection)) => {
                    return Err(rejection);
                }
            }
        }
        Err(Rejection::NoTarget)
    }

    /// Passes on what a target has answered.
    fn finish(
        &self,
        answer: Answer,
        target: &Target,
        attempt: &Attempt,
        exchange: &mut Exchange,
        terms: &Terms<'_>,
    ) -> Result<Body, Rejection> {
        let body = self.forwarded(answer.response, answer.lease, exchange, terms)?;
        self.upstream.stick(target, attempt.affinity, exchange);
        Ok(body)
    }

    /// Sends to one target. A connection that turns out to be closed costs nothing where the request can be sent again:
    /// idle ones are tried until a fresh one has answered, or failed.
    async fn send(
        &self,
        target: &Rc<Target>,
        attempt: &mut Attempt,
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Result<Answer, Failed> {
        terms.attempts.set(terms.attempts.get() + 1);
        let client_body = terms.client_body.as_deref();
        let mut sent = Instant::now();
        let until = match self.try_timeout {
            Some(limit) => exchange.deadline.min(sent + limit),
            None => exchange.deadline,
        };
        while let Some(mut request) = attempt.request.take() {
            if sent >= until {
                attempt.request = Some(request);
                return Err(match late(exchange) {
                    // The time went before there was anything to wait for.
                    Failed::Unanswered(Cause::Final, rejection) => Failed::Rejected(rejection),
                    late => late,
                });
            }
            let mut lease = match Lease::idle(target) {
                Some(lease) => lease,
                None => match Box::pin(self.connect(target, sent, until, exchange, terms)).await {
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
            let resend = lease.reused && attempt.idempotent;
            // Where somebody else keeps the fields they are there to be sent again.
            let may_refuse = lease.connection.may_refuse() && attempt.unseen.is_some();
            let keep =
                may_refuse || attempt.again.is_some() && (resend || self.repeats || lease.connection.may_refuse());
            let kept = (keep && !terms.keep_fields && attempt.spare.is_none()).then(|| lease.connection.keep(&request));
            let shaped = lease.connection.shape(&mut request, &self.upstream.settings.name);
            shaped.map_err(|_| Failed::Rejected(Rejection::BadRequest("the host cannot be forwarded")))?;
            let answer = pin!(lease.connection.send(request));
            let mut failed = match self.answered(answer, sent, until, exchange, terms).await {
                Ok(Ok(response)) => {
                    if self.judges_answers {
                        attempt.kept = kept;
                    }
                    return Ok(Answer { response, lease });
                }
                Ok(Err(failed)) => failed,
                Err(failed) => {
                    attempt.kept = kept;
                    return Err(failed);
                }
            };
            attempt.kept = kept;
            if let Some(unsent) = failed.take_message() {
                attempt.request = Some(unsent);
                if !lease.reused {
                    return Err(Failed::Unsent(Rejection::UpstreamConnect));
                }
            } else if was_refused(failed.error()) && attempt.refused < REFUSALS {
                attempt.refused += 1;
                attempt.request = self.refused(attempt, exchange, terms);
                if attempt.request.is_none() {
                    return Err(Failed::Unanswered(Cause::Reset, Rejection::UpstreamReset));
                }
            } else if resend && attempt.again.is_some() && was_closed(failed.error()) {
                attempt.request = self.repeated(attempt, exchange, terms);
                if attempt.request.is_none() {
                    return Err(Failed::Unanswered(Cause::Final, Rejection::UpstreamReset));
                }
            } else {
                return Err(unanswered(failed.error(), client_body));
            }
            sent = Instant::now();
        }
        Err(Failed::Unsent(Rejection::UpstreamConnect))
    }

    /// A connection that is not to be had at once.
    async fn connect(
        &self,
        target: &Rc<Target>,
        now: Instant,
        until: Instant,
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Result<Lease, Failed> {
        let settings = &self.upstream.settings;
        let _waiting = match settings.resilience.limits.pending {
            None => None,
            Some(most) => match self.upstream.load().wait(most) {
                None => return Err(Failed::Rejected(self.counts.refuse_pending())),
                waiting => waiting,
            },
        };
        let limit = settings.connect_timeout.min(until.saturating_duration_since(now));
        let ends = terms.ends.map(|ends| ends.of_client(exchange.client));
        Lease::of(target, ends, limit).await.map_err(|error| {
            tracing::debug!(upstream = settings.name, target = %target.name, %error, "cannot connect");
            match error {
                ConnectError::Timeout if Instant::now() >= exchange.deadline => {
                    Failed::Unanswered(Cause::Final, Rejection::Deadline)
                }
                ConnectError::Timeout => Failed::Unsent(Rejection::UpstreamTimeout),
                ConnectError::Refused(_) | ConnectError::Unresolved | ConnectError::Handshake(_) => {
                    Failed::Unsent(Rejection::UpstreamConnect)
                }
                ConnectError::Tls(_) => Failed::Unsent(Rejection::UpstreamTls),
                ConnectError::Busy if Instant::now() >= exchange.deadline => {
                    Failed::Unanswered(Cause::Final, Rejection::Deadline)
                }
                ConnectError::Busy => Failed::Unsent(Rejection::UpstreamBusy),
            }
        })
    }

    /// Waits for a response's head: until the try's time is over, and no longer than the upstream may take from the
    /// request's last byte on.
    async fn answered<T>(
        &self,
        mut response: Pin<&mut impl Future<Output = T>>,
        sent: Instant,
        until: Instant,
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Result<T, Failed> {
        // An upload that is under way moves it on.
        let due = || {
            let last_byte = match terms.client_body.as_deref() {
                Some(body) => body.ended.get().map_or_else(Instant::now, |ended| ended.max(sent)),
                None => sent,
            };
            until.min(last_byte + self.upstream.settings.response_timeout)
        };
        let mut alarm = terms.alarm.take();
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answered) = response.as_mut().poll(cx) {
                return Poll::Ready(Ok(answered));
            }
            ready!(alarm.poll(due(), cx));
            let is_uploading = terms
                .client_body
                .as_deref()
                .is_some_and(|body| body.ended.get().is_none());
            Poll::Ready(Err(match late(exchange) {
                // The client has not sent all of its request: that is nothing against the target.
                Failed::Unanswered(_, rejection) if is_uploading => Failed::Rejected(rejection),
                failed => failed,
            }))
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
    ) -> Result<Body, Rejection> {
        let (mut head, incoming) = response.into_parts();
        response_head::check(&mut head).map_err(|_| Rejection::UpstreamMalformed)?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return upgraded(head, lease, exchange)
                .map(|upgraded| Body::Upgraded(Box::new(upgraded)))
                .ok_or(Rejection::UpstreamMalformed);
        }
        // A final status is at most 599.
        if !(200..=599).contains(&head.status.as_u16()) {
            return Err(Rejection::UpstreamMalformed);
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

/// Counts how a target did.
fn blame(target: &Target, asked: Asked, answer: &Result<Answer, Failed>) {
    match answer {
        Ok(answer) => target.answered(answer.response.status(), asked),
        Err(Failed::Rejected(_)) => target.spared(),
        Err(failed) => {
            if let Some(rejection) = failed.rejection() {
                target.failed(rejection, asked);
            }
        }
    }
}

/// There was no answer in time: the request's, or else the try's or the upstream's.
fn late(exchange: &Exchange) -> Failed {
    let now = Instant::now();
    if now < exchange.deadline {
        return Failed::Unanswered(Cause::Timeout, Rejection::UpstreamTimeout);
    }
    // A client that is ready to wait for less says nothing about the target by it: or five calls with no time at all would
    // take a healthy target away from everybody.
    let own = exchange.started.checked_add(exchange.route.timeout);
    if own.is_some_and(|own| now < own) {
        return Failed::Rejected(Rejection::Deadline);
    }
    Failed::Unanswered(Cause::Final, Rejection::Deadline)
}

/// Whether a try speaks against the upstream; none where it says nothing about it.
fn went_badly(answer: &Result<Answer, Failed>) -> Option<bool> {
    match answer {
        Ok(answer) => {
            let head = &answer.response;
            Some(is_bad(head.status()) || crate::grpc::is_unavailable(head.headers()))
        }
        // That all connections are taken is our own limit's doing.
        Err(Failed::Rejected(_) | Failed::Unsent(Rejection::UpstreamBusy)) => None,
        Err(_) => Some(true),
    }
}
