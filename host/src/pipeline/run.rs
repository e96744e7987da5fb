//! Runs the stages of one route over one exchange.

use std::rc::Rc;

use http::{Method, StatusCode, header};

use super::body::{BufferError, Transformed, buffer};
use super::{Exchange, Phase, Reply, Stage};
use crate::body::Body;
use crate::config::resolved::OnFailure;
use crate::grpc;
use crate::rejection::{Outcome, Rejection};
use crate::wasm::{BodyFlow, Failure, Flow, Reason, Transform};

/// The filters of one route, in order, on one thread.
pub(crate) struct Pipeline {
    stages: Vec<Rc<Stage>>,
    reads_request_later: bool,
    completes: bool,
}

/// What the request phase decided.
pub(crate) enum Verdict {
    /// To the backend, with this body.
    Pass(Body),
    /// Turn back with this.
    Reply(Reply),
    /// Turn back with an error.
    Reject(Rejection),
}

/// What became of one call on one stage.
enum Called<T> {
    Well(T),
    /// It failed, or is out of service, and the exchange goes on without it.
    Skipped,
    Rejected(Rejection),
}

impl Pipeline {
    pub(crate) fn new(stages: Vec<Rc<Stage>>) -> Pipeline {
        let any = |phase: Phase| stages.iter().any(|stage| stage.phases.contains(phase));
        Pipeline {
            reads_request_later: any(Phase::Response) || any(Phase::Complete),
            completes: any(Phase::Complete),
            stages,
        }
    }

    /// Whether there is no filter at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Whether a later phase may look at the request's fields, so that the backend must be given a copy.
    pub(crate) fn reads_request_later(&self) -> bool {
        self.reads_request_later
    }

    /// Whether any filter wants to hear of the exchange's end.
    pub(crate) fn completes(&self) -> bool {
        self.completes
    }

    /// The request phase. Also gives how many stages, from the first, take part in the response phase.
    pub(crate) async fn request(&self, exchange: &mut Box<Exchange>, mut body: Body) -> (usize, Verdict) {
        for (place, stage) in self.stages.iter().enumerate() {
            if !stage.phases.contains(Phase::Request) {
                continue;
            }
            exchange.place = place;
            let called = match stage.may_run(Phase::Request, exchange) {
                Ok(()) => settle(
                    stage,
                    Phase::Request,
                    stage.pool.request(&stage.labels, exchange).await,
                    exchange,
                ),
                Err(called) => called,
            };
            match called {
                Called::Well(Flow::Next) | Called::Skipped => {}
                Called::Well(Flow::Reply(reply)) => return (place, Verdict::Reply(reply)),
                Called::Rejected(rejection) => return (place, Verdict::Reject(rejection)),
                Called::Well(Flow::TransformBody(transform)) if matches!(body, Body::Empty) => {
                    match Box::pin(of_nothing(stage, Phase::RequestBody, exchange, transform)).await {
                        Ok(made) => body = made,
                        Err(rejection) => return (place, Verdict::Reject(rejection)),
                    }
                }
                Called::Well(Flow::TransformBody(transform)) => {
                    body = transformed(stage, Phase::RequestBody, exchange, body, transform);
                    exchange.headers.remove(header::CONTENT_LENGTH);
                }
                Called::Well(Flow::BufferBody(limit)) => {
                    let buffered = Box::pin(buffered_request(stage, exchange, body, limit)).await;
                    match buffered {
                        Verdict::Pass(buffered) => body = buffered,
                        turn_back => return (place, turn_back),
                    }
                }
            }
        }
        (self.stages.len(), Verdict::Pass(body))
    }

    /// The response phase of the first `passed` stages, the last of them first. What a stage answers instead, or its
    /// failure, goes on to the stages before it, so that they can still add what every response must have.
    pub(crate) async fn response(
        &self,
        exchange: &mut Box<Exchange>,
        passed: usize,
        mut body: Body,
        outcome: &mut Outcome,
    ) -> Body {
        for (place, stage) in self.stages.iter().enumerate().take(passed).rev() {
            exchange.come_back_to(place);
            if !stage.phases.contains(Phase::Response) || exchange.skipped.contains(&place) {
                continue;
            }
            exchange.place = place;
            let called = match stage.may_run(Phase::Response, exchange) {
                Ok(()) => settle(
                    stage,
                    Phase::Response,
                    stage.pool.response(&stage.labels, exchange).await,
                    exchange,
                ),
                Err(called) => called,
            };
            match called {
                Called::Well(Flow::Next) | Called::Skipped => {}
                Called::Well(Flow::Reply(reply)) => {
                    *outcome = Outcome::Replied;
                    body = answer(exchange, reply);
                }
                Called::Rejected(rejection) => body = reject(exchange, &rejection, outcome),
                Called::Well(Flow::BufferBody(_)) if has_no_body(exchange) => {}
                // What follows is no body, and no filter's to see.
                Called::Well(Flow::BufferBody(_) | Flow::TransformBody(_)) if matches!(body, Body::Upgraded(_)) => {}
                Called::Well(Flow::TransformBody(transform)) => {
                    exchange.response.headers.remove(header::CONTENT_LENGTH);
                    if has_no_body(exchange) || matches!(body, Body::Empty) {
                        match Box::pin(of_nothing(stage, Phase::ResponseBody, exchange, transform)).await {
                            Ok(made) => body = made,
                            Err(rejection) => body = reject(exchange, &rejection, outcome),
                        }
                        continue;
                    }
                    body = transformed(stage, Phase::ResponseBody, exchange, body, transform);
                }
                Called::Well(Flow::BufferBody(limit)) => {
                    body = Box::pin(buffered_response(stage, exchange, body, limit, outcome)).await;
                }
            }
        }
        body
    }

    /// Tells the filters that the exchange has ended.
    pub(crate) async fn complete(&self, exchange: &mut Box<Exchange>, outcome: &Outcome) {
        for (place, stage) in self.stages.iter().enumerate() {
            if !stage.phases.contains(Phase::Complete) || exchange.skipped.contains(&place) {
                continue;
            }
            exchange.place = place;
            if stage.may_run::<()>(Phase::Complete, exchange).is_ok() {
                let called = stage.pool.complete(&stage.labels, exchange, outcome.as_str()).await;
                settle(stage, Phase::Complete, called, exchange);
            }
        }
    }
}

impl Stage {
    /// Counts a call, unless the stage is out of service.
    fn may_run<T>(&self, phase: Phase, exchange: &mut Exchange) -> Result<(), Called<T>> {
        match self.quarantine.remaining() {
            None => {
                self.calls(phase).add(1);
                Ok(())
            }
            Some(_) if self.on_failure == OnFailure::Skip => {
                exchange.skip_filter();
                Err(Called::Skipped)
            }
            Some(retry_after) => Err(Called::Rejected(Rejection::FilterQuarantined { retry_after })),
        }
    }
}

/// Keeps or undoes what a call changed, and decides how the exchange goes on after a failure.
fn settle<T>(stage: &Stage, phase: Phase, result: Result<T, Failure>, exchange: &mut Exchange) -> Called<T> {
    match result {
        Ok(value) => {
            exchange.keep_edits();
            stage.quarantine.went_well(phase);
            Called::Well(value)
        }
        Err(failure) => {
            exchange.undo_edits();
            stage.record_failure(phase, &failure, exchange.id());
            match stage.on_failure {
                OnFailure::Skip => {
                    exchange.skip_filter();
                    Called::Skipped
                }
                OnFailure::Reject if failure.reason == Reason::Exhausted => Called::Rejected(Rejection::Overloaded),
                OnFailure::Reject => Called::Rejected(Rejection::FilterFailed),
            }
        }
    }
}

fn transformed(stage: &Rc<Stage>, phase: Phase, exchange: &mut Exchange, body: Body, transform: Transform) -> Body {
    Body::Transformed(Box::new(Transformed::new(
        body,
        transform,
        stage.clone(),
        phase,
        exchange.id(),
    )))
}

/// What a transform makes of a body that is not there: perhaps something. Its instance is free again at once.
async fn of_nothing(
    stage: &Stage,
    phase: Phase,
    exchange: &mut Exchange,
    transform: Transform,
) -> Result<Body, Rejection> {
    match settle(stage, phase, transform.finish().await, exchange) {
        Called::Well(_) if phase == Phase::ResponseBody && has_no_body(exchange) => Ok(Body::Empty),
        Called::Well(bytes) => Ok(Body::full(bytes)),
        Called::Skipped => Ok(Body::Empty),
        Called::Rejected(rejection) => Err(rejection),
    }
}

async fn buffered_request(stage: &Rc<Stage>, exchange: &mut Box<Exchange>, body: Body, limit: u64) -> Verdict {
    let (bytes, trailers) = match buffer(body, limit.min(stage.body_limit), exchange.deadline).await {
        Ok(buffered) => buffered,
        Err(BufferError::Deadline) => return Verdict::Reject(Rejection::Deadline),
        Err(BufferError::TooLarge) => return Verdict::Reject(Rejection::BodyTooLarge),
        Err(BufferError::Broken(error)) => return Verdict::Reject(error.rejection()),
    };
    let called = match stage.may_run(Phase::RequestBody, exchange) {
        Ok(()) => {
            let result = stage.pool.request_body(&stage.labels, exchange, &bytes).await;
            settle(stage, Phase::RequestBody, result, exchange)
        }
        Err(called) => called,
    };
    match called {
        Called::Well(BodyFlow::Next) | Called::Skipped => Verdict::Pass(Body::Full(bytes, trailers)),
        Called::Well(BodyFlow::Replace(bytes)) => {
            exchange.headers.remove(header::CONTENT_LENGTH);
            Verdict::Pass(Body::Full(bytes, trailers))
        }
        Called::Well(BodyFlow::Reply(reply)) => Verdict::Reply(reply),
        Called::Rejected(rejection) => Verdict::Reject(rejection),
    }
}

async fn buffered_response(
    stage: &Rc<Stage>,
    exchange: &mut Box<Exchange>,
    body: Body,
    limit: u64,
    outcome: &mut Outcome,
) -> Body {
    let (bytes, trailers) = match buffer(body, limit.min(stage.body_limit), exchange.deadline).await {
        Ok(buffered) => buffered,
        Err(BufferError::Deadline) => return reject(exchange, &Rejection::Deadline, outcome),
        Err(BufferError::TooLarge) => return reject(exchange, &Rejection::ResponseTooLarge, outcome),
        Err(BufferError::Broken(error)) => return reject(exchange, &error.rejection(), outcome),
    };
    let called = match stage.may_run(Phase::ResponseBody, exchange) {
        Ok(()) => {
            let result = stage.pool.response_body(&stage.labels, exchange, &bytes).await;
            settle(stage, Phase::ResponseBody, result, exchange)
        }
        Err(called) => called,
    };
    match called {
        Called::Well(BodyFlow::Next) | Called::Skipped => Body::Full(bytes, trailers),
        Called::Well(BodyFlow::Replace(bytes)) => {
            exchange.response.headers.remove(header::CONTENT_LENGTH);
            Body::Full(bytes, trailers)
        }
        Called::Well(BodyFlow::Reply(reply)) => {
            *outcome = Outcome::Replied;
            answer(exchange, reply)
        }
        Called::Rejected(rejection) => reject(exchange, &rejection, outcome),
    }
}

/// Puts a reply in the place of whatever response there was; for a client that speaks gRPC, in the words of gRPC.
pub(crate) fn answer(exchange: &mut Exchange, mut reply: Reply) -> Body {
    if let Some(dialect) = exchange.grpc {
        reply = grpc::translated(dialect, reply);
    }
    exchange.response.status = reply.status;
    exchange.response.headers = reply.headers;
    Body::full(reply.body)
}

/// Puts the gateway's own error in the place of whatever response there was.
pub(crate) fn reject(exchange: &mut Exchange, rejection: &Rejection, outcome: &mut Outcome) -> Body {
    *outcome = Outcome::Rejected(rejection.outcome());
    let id = exchange.id();
    let reply = match exchange.grpc {
        Some(dialect) => rejection.grpc_reply(dialect, id),
        None => rejection.reply(id),
    };
    answer(exchange, reply)
}

/// Responses whose fields speak of a body that is not there (RFC 9110 sections 9.3.2, 15.3.5 and 15.4.5).
fn has_no_body(exchange: &Exchange) -> bool {
    exchange.method == Method::HEAD
        || matches!(
            exchange.response.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        )
}
