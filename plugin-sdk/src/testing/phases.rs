//! From one phase to the next, as the gateway goes.

use super::clock;
use super::exchange::Exchange;
use super::fields;
use super::ran::Ran;
use crate::edits::{HeaderEdit, Room};
use crate::request::RequestEdits;
use crate::response::ResponseEdits;
use crate::{BodyOutcome, BodyTransform, Failure, Filter, Outcome, Phase, Reply, Request, Response, Summary};

/// Runs an exchange through a filter.
#[track_caller]
pub(super) fn drive<F: Filter>(exchange: &Exchange, filter: &F) -> Result<Ran, Failure> {
    let started = clock::now();
    let exchange = exchange.clone();
    let request_bytes = exchange.request_body.len();
    let mut ran = Ran {
        request: Request {
            host: exchange.request,
            edits: RequestEdits::default(),
        },
        request_body: exchange.request_body,
        response: Response {
            host: exchange.response,
            edits: ResponseEdits::default(),
        },
        response_body: exchange.response_body,
        replied: None,
    };
    let mut later = Vec::new();
    let mut outcome = request_phases(&mut ran, filter, exchange.chunk_size, &mut later)?;
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
        ran.response.host.fields.make(later);
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
        ran.request.edits = RequestEdits::after_it_was_sent(Room::default());
        filter.on_complete(&ran.request, &summary);
    }
    Ok(ran)
}

/// Makes one call of a request phase, and its edits once it has ended well; those of the response are for `later`.
fn request_call<T>(
    ran: &mut Ran,
    later: &mut Vec<HeaderEdit>,
    call: impl FnOnce(&mut Request) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let room = ran.request.host.room();
    room.open();
    ran.request.edits = RequestEdits::before_it_is_sent(room);
    let said = call(&mut ran.request)?;
    let mut edits = std::mem::take(&mut ran.request.edits);
    later.append(&mut edits.response_headers.edits);
    ran.request.host.make(edits);
    Ok(said)
}

/// Makes one call of a response phase, and its edits once it has ended well.
fn response_call<T>(
    ran: &mut Ran,
    call: impl FnOnce(&mut Request, &mut Response) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let room = ran.response.host.room(&ran.request.host);
    room.open();
    ran.request.edits = RequestEdits::after_it_was_sent(room);
    ran.response.edits = ResponseEdits::new(room);
    let said = call(&mut ran.request, &mut ran.response)?;
    ran.request.host.make(std::mem::take(&mut ran.request.edits));
    ran.response.host.make(std::mem::take(&mut ran.response.edits));
    Ok(said)
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
fn request_phases<F: Filter>(
    ran: &mut Ran,
    filter: &F,
    chunk_size: usize,
    later: &mut Vec<HeaderEdit>,
) -> Result<Ended, Failure> {
    if !lists::<F>(Phase::Request) {
        return Ok(Ended::Ok);
    }
    match request_call(ran, later, |request| filter.on_request(request))? {
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
            let body = ran.request_body.clone();
            match request_call(ran, later, |request| filter.on_request_body(request, body))? {
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
    match response_call(ran, |request, response| filter.on_response(request, response))? {
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
            match response_call(ran, |request, response| {
                filter.on_response_body(request, response, body)
            })? {
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
