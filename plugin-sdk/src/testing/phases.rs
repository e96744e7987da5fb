//! From one phase to the next, as the gateway goes.

use super::clock;
use super::exchange::Exchange;
use super::fields;
use super::ran::Ran;
use crate::{BodyOutcome, BodyTransform, Failure, Filter, Outcome, Phase, Reply, Request, Response, Summary};

/// Runs an exchange through a filter.
#[track_caller]
pub(super) fn drive<F: Filter>(exchange: &Exchange, filter: &F) -> Result<Ran, Failure> {
    let started = clock::now();
    let exchange = exchange.clone();
    let request_bytes = exchange.request_body.len();
    let mut ran = Ran {
        request: Request { host: exchange.request },
        request_body: exchange.request_body,
        response: Response {
            host: exchange.response,
        },
        response_body: exchange.response_body,
        replied: None,
    };
    let mut outcome = request_phases(&mut ran, filter, exchange.chunk_size)?;
    ran.request.host.sent = true;
    let later = std::mem::take(&mut ran.request.host.later);
    assert!(
        !exchange.response_matters
            || !later.is_empty()
            || [Phase::Response, Phase::ResponseBody, Phase::Complete]
                .into_iter()
                .any(lists::<F>),
        "the exchange has a response, but no phase in the filter's PHASES ever sees one: {:?}",
        F::PHASES
    );
    if outcome == Ended::Ok {
        ran.response.host.make(later);
        outcome = response_phases(&mut ran, filter, exchange.chunk_size)?;
    }
    if lists::<F>(Phase::Complete) {
        let summary = Summary {
            status: ran.response.status(),
            duration: clock::now() - started,
            request_bytes: request_bytes as u64,
            response_bytes: ran.response_body.len() as u64,
            outcome: outcome.word().to_owned(),
        };
        filter.on_complete(&ran.request, &summary);
    }
    Ok(ran)
}

/// How the exchange ended.
#[derive(Clone, Copy, PartialEq)]
enum Ended {
    Ok,
    Replied,
    TooLarge,
}

impl Ended {
    fn word(self) -> &'static str {
        match self {
            Ended::Ok => "ok",
            Ended::Replied => "replied",
            Ended::TooLarge => "too-large",
        }
    }
}

#[track_caller]
fn request_phases<F: Filter>(ran: &mut Ran, filter: &F, chunk_size: usize) -> Result<Ended, Failure> {
    if !lists::<F>(Phase::Request) {
        return Ok(Ended::Ok);
    }
    match filter.on_request(&mut ran.request)? {
        Outcome::Continue => {}
        Outcome::Reply(reply) => return Ok(answer(ran, reply)),
        Outcome::TransformBody(transform) => {
            ran.request_body = streamed(&ran.request_body, transform, chunk_size)?;
        }
        Outcome::BufferBody(limit) => {
            must_list::<F>(Phase::RequestBody);
            if ran.request_body.len() as u64 > limit {
                return Ok(refuse(ran, 413));
            }
            match filter.on_request_body(&mut ran.request, ran.request_body.clone())? {
                BodyOutcome::Continue => {}
                BodyOutcome::Replace(body) => ran.request_body = body,
                BodyOutcome::Reply(reply) => return Ok(answer(ran, reply)),
            }
        }
    }
    Ok(Ended::Ok)
}

#[track_caller]
fn response_phases<F: Filter>(ran: &mut Ran, filter: &F, chunk_size: usize) -> Result<Ended, Failure> {
    if !lists::<F>(Phase::Response) {
        return Ok(Ended::Ok);
    }
    match filter.on_response(&mut ran.request, &mut ran.response)? {
        Outcome::Continue => {}
        Outcome::Reply(reply) => return Ok(answer(ran, reply)),
        Outcome::TransformBody(transform) => {
            ran.response_body = streamed(&ran.response_body, transform, chunk_size)?;
        }
        Outcome::BufferBody(limit) => {
            must_list::<F>(Phase::ResponseBody);
            if ran.response_body.len() as u64 > limit {
                return Ok(refuse(ran, 502));
            }
            let body = ran.response_body.clone();
            match filter.on_response_body(&mut ran.request, &mut ran.response, body)? {
                BodyOutcome::Continue => {}
                BodyOutcome::Replace(body) => ran.response_body = body,
                BodyOutcome::Reply(reply) => return Ok(answer(ran, reply)),
            }
        }
    }
    Ok(Ended::Ok)
}

fn streamed(body: &[u8], mut transform: Box<dyn BodyTransform>, chunk_size: usize) -> Result<Vec<u8>, Failure> {
    let mut sent = Vec::with_capacity(body.len());
    for chunk in body.chunks(chunk_size) {
        sent.extend(transform.push(chunk)?);
    }
    sent.extend(transform.finish()?);
    Ok(sent)
}

/// The filter's reply becomes the response.
#[track_caller]
fn answer(ran: &mut Ran, reply: Reply) -> Ended {
    let status = reply.status();
    assert!(
        (200..=599).contains(&status),
        "the gateway refuses the reply: its status is {status}"
    );
    let response = &mut ran.response.host;
    response.status = status;
    response.fields.clear();
    for (name, value) in reply.headers() {
        if let Err(error) = fields::check(name, value.as_bytes()) {
            panic!("the gateway refuses the reply's field `{name}: {value:?}`: {error}");
        }
        response.fields.receive(name, value.clone());
    }
    ran.response_body = reply.body_bytes().to_vec();
    ran.replied = Some(reply);
    Ended::Replied
}

/// The gateway's own refusal becomes the response.
fn refuse(ran: &mut Ran, status: u16) -> Ended {
    ran.response.host.status = status;
    ran.response.host.fields.clear();
    ran.response_body.clear();
    Ended::TooLarge
}

fn lists<F: Filter>(phase: Phase) -> bool {
    F::PHASES.contains(&phase)
}

#[track_caller]
fn must_list<F: Filter>(phase: Phase) {
    assert!(
        lists::<F>(phase),
        "the filter buffers a body, but its PHASES do not list {phase:?}: {:?}",
        F::PHASES
    );
}

#[cfg(test)]
mod tests;
