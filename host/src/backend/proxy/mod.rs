//! Forwards a request to a target of an upstream, and to another one where that fails and may be tried again.

mod again;
mod attempt;
mod counts;
mod deadline;
mod failure;
mod hedge;
mod recording;
mod request;
mod wait;

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use smallvec::SmallVec;

use self::attempt::{Attempt, Repeat};
pub(crate) use self::counts::UpstreamCounts;
use self::failure::{Cause, Failed, is_bad, unanswered};
pub(crate) use self::recording::Recorded;
use self::wait::late;
use crate::backend::mirror::Mirror;
use crate::body::{Body, ClientBodyState};
use crate::config::resolved::{Destination, Hedge, Retry};
use crate::grpc;
use crate::pipeline::Exchange;
use crate::rejection::Rejection;
use crate::router::Template;
use crate::server::{hop_by_hop, upgrade};
use crate::upstream::{
    Alarm, Asked, Breaker, ConnectError, Ends, Lease, Permit, RetryBudget, Target, Trial, Upgraded, Upstream,
    UpstreamBody, Verdict, response_head, was_closed, was_refused,
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
    /// Lets requests through; none: all of them.
    breaker: Option<Arc<Breaker>>,
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
    /// What is to hear how it went, where that is not known yet.
    verdict: Option<Box<Verdict>>,
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
            breaker: upstream.breaker().cloned(),
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
        let next = self.upstream.next(&tried, attempt.affinity);
        let mut target = next.ok_or(Rejection::NoTarget)?;
        let mut trial = self.enter().map_err(|retry_after| {
            self.counts.refused_by_breaker.add(1);
            Rejection::CircuitOpen { retry_after }
        })?;
        loop {
            *terms.asked = Some(target.clone());
            let answer = match self.hedge {
                None => {
                    let asked = target.asked();
                    let mut answer = self.send(&target, &mut attempt, exchange, &terms).await;
                    judge(&target, asked, trial, &mut answer, exchange);
                    answer
                }
                Some(hedge) => {
                    let race = self.race(hedge, &mut target, trial, &mut attempt, &mut tried, exchange, &terms);
                    let answer = Box::pin(race).await;
                    *terms.asked = Some(target.clone());
                    answer
                }
            };
            let failed = match answer {
                Ok(answer) => match self.asks_again(&answer, &attempt, exchange) {
                    None => return self.finish(answer, &target, &attempt, exchange, &terms),
                    Some(cause) => Failed::answered(cause, answer),
                },
                Err(failed) => failed,
            };
            tried.push(target.clone());
            match Box::pin(self.again(failed, &mut attempt, &tried, exchange, &terms)).await {
                Ok(next) => (target, trial) = next,
                Err(failed) => {
                    let answer = failed.last?;
                    return self.finish(*answer, &target, &attempt, exchange, &terms);
                }
            }
        }
    }

    /// Asks the breaker, where there is one, for leave to try; the error is how long there will be none.
    fn enter(&self) -> Result<Option<Trial>, Duration> {
        let entered = self.breaker.as_ref().map(|breaker| breaker.enter(Instant::now()));
        entered.transpose()
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
        let body = self.forwarded(answer, exchange, terms)?;
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
                let mut late = late(exchange);
                // The request's time went before there was anything to wait for.
                late.blames &= late.cause != Cause::Final;
                return Err(late);
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
            let may_refuse = lease.connection.may_refuse();
            let keep = match attempt.repeat {
                Repeat::Never => false,
                Repeat::IfUnseen(_) => may_refuse,
                Repeat::Always(_) => may_refuse || resend || self.repeats,
            };
            // Where somebody else keeps the fields they are there to be sent again.
            let kept = (keep && !terms.keep_fields && attempt.spare.is_none()).then(|| lease.connection.keep(&request));
            let shaped = lease.connection.shape(&mut request, &self.upstream.settings.name);
            let unfit = Rejection::BadRequest("the host cannot be forwarded");
            shaped.map_err(|_| Failed::by_others(Cause::Final, unfit))?;
            let answer = pin!(lease.connection.send(request));
            let mut failed = match self.answered(answer, sent, until, exchange, terms).await {
                Ok(Ok(mut response)) => {
                    if !is_sound(&mut response, exchange) {
                        return Err(Failed::by_target(Cause::Final, Rejection::UpstreamMalformed));
                    }
                    if self.judges_answers {
                        attempt.kept = kept;
                    }
                    return Ok(Answer {
                        response,
                        lease,
                        verdict: None,
                    });
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
                    return Err(Failed::by_target(Cause::Connect, Rejection::UpstreamConnect));
                }
            } else if was_refused(failed.error()) && attempt.refused < REFUSALS {
                attempt.refused += 1;
                attempt.request = self.once_more(attempt, exchange, terms);
                if attempt.request.is_none() {
                    return Err(Failed::by_target(Cause::Reset, Rejection::UpstreamReset));
                }
            } else if resend && matches!(attempt.repeat, Repeat::Always(_)) && was_closed(failed.error()) {
                attempt.request = self.repeated(attempt, exchange, terms);
                if attempt.request.is_none() {
                    return Err(Failed::by_target(Cause::Final, Rejection::UpstreamReset));
                }
            } else {
                return Err(unanswered(failed.error(), client_body));
            }
            sent = Instant::now();
        }
        Err(Failed::by_target(Cause::Connect, Rejection::UpstreamConnect))
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
                None => return Err(Failed::by_others(Cause::Final, self.counts.refuse_pending())),
                waiting => waiting,
            },
        };
        let limit = settings.connect_timeout.min(until.saturating_duration_since(now));
        let ends = terms.ends.map(|ends| ends.of_client(exchange.client));
        Lease::of(target, ends, limit).await.map_err(|error| {
            tracing::debug!(upstream = settings.name, target = %target.name, %error, "cannot connect");
            let is_over = || Instant::now() >= exchange.deadline;
            match error {
                ConnectError::Timeout if is_over() => late(exchange),
                ConnectError::Timeout => Failed::by_target(Cause::ConnectTimeout, Rejection::UpstreamTimeout),
                ConnectError::Refused(_) | ConnectError::Handshake(_) => {
                    Failed::by_target(Cause::Connect, Rejection::UpstreamConnect)
                }
                ConnectError::Tls(_) => Failed::by_target(Cause::Connect, Rejection::UpstreamTls),
                // Nobody has asked the target.
                ConnectError::Unresolved => Failed::by_others(Cause::Connect, Rejection::UpstreamConnect),
                // That all connections are taken is our own limit's doing.
                ConnectError::Busy if is_over() => Failed::by_others(Cause::Final, Rejection::Deadline),
                ConnectError::Busy => Failed::by_others(Cause::Connect, Rejection::UpstreamBusy),
            }
        })
    }

    /// Takes a response over: its head into the exchange.
    fn forwarded(&self, answer: Answer, exchange: &mut Exchange, terms: &Terms<'_>) -> Result<Body, Rejection> {
        let Answer {
            response,
            lease,
            verdict,
        } = answer;
        let (head, incoming) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let protocol = agreed(&head.headers, exchange).ok_or(Rejection::UpstreamMalformed)?;
            exchange.response.status = head.status;
            exchange.response.headers = head.headers;
            hop_by_hop::strip(&mut exchange.response.headers);
            let upgraded = Upgraded::new(lease, protocol).ok_or(Rejection::UpstreamMalformed)?;
            return Ok(Body::Upgraded(Box::new(upgraded)));
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
            verdict,
            self.upstream.settings.idle_timeout,
        );
        Ok(if body.is_end_stream() {
            Body::Empty
        } else {
            Body::Upstream(Box::new(body))
        })
    }
}

/// The protocol that a target goes on in, if it was asked for.
fn agreed(headers: &HeaderMap, exchange: &Exchange) -> Option<HeaderValue> {
    upgrade::agreed(exchange.upgrade.as_ref()?, headers)
}

/// Whether a response can be passed on: it has one end, and a status that is final or that was asked for.
fn is_sound(response: &mut Response<Incoming>, exchange: &Exchange) -> bool {
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return agreed(response.headers(), exchange).is_some();
    }
    // A final status is at most 599.
    (200..=599).contains(&status.as_u16()) && response_head::check(response.headers_mut()).is_ok()
}

/// Tells of a try, where it counts: for its target, and for the breaker that let it through.
fn judge(
    target: &Rc<Target>,
    asked: Asked,
    trial: Option<Trial>,
    answer: &mut Result<Answer, Failed>,
    exchange: &Exchange,
) {
    match answer {
        Ok(answer) => {
            let (status, headers) = (answer.response.status(), answer.response.headers());
            target.answered(asked);
            if exchange.is_grpc_call() && status == StatusCode::OK && !headers.contains_key(grpc::GRPC_STATUS) {
                // How the call went is said after its messages.
                answer.verdict = Some(Box::new(Verdict::new(target, trial)));
                return;
            }
            let is_unavailable = exchange.is_grpc_call() && grpc::is_unavailable(headers);
            target.did(is_unavailable || status.is_server_error());
            if let Some(trial) = trial {
                trial.ended(is_unavailable || is_bad(status), Instant::now());
            }
        }
        Err(failed) if failed.blames => {
            target.failed(asked);
            if let Some(trial) = trial {
                trial.ended(true, Instant::now());
            }
        }
        Err(_) => target.spared(),
    }
}
