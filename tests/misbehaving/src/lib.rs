//! A filter that does wrong, in the way that its setting `act` says. The tests show that a gateway survives it.
//!
//! Some acts do well instead, in phases that no standard plugin takes part in.

mod bodies;
mod edits;
mod waste;

use std::cell::{Cell, RefCell};

use portcullis_sdk::{
    BodyOutcome, Failure, Filter, Outcome, Phase, Reply, Request, Response, SettingsError, Summary, log,
    register_filter,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::bodies::{Double, Spoil};

/// What the operator writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What to do wrong.
    act: Act,
    /// What acts write that are there twice.
    #[serde(default)]
    word: String,
}

/// A wrong. Those without a phase in their name happen in the request phase.
#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Nothing: for comparison.
    Nothing,
    /// Panics.
    Panic,
    /// Computes for ever.
    Loop,
    /// Takes memory for ever.
    Allocate,
    /// Calls itself for ever.
    Recurse,
    /// Ends the process.
    Exit,
    /// Writes to standard output and standard error.
    Print,
    /// Returns an error.
    Fail,
    /// Computes for a while, less than any limit.
    Dawdle,
    /// Keeps a mebibyte more with each call.
    Hoard,
    /// Counts its calls in `x-calls`, and panics in every third.
    PanicAtThird,
    /// Sets what may not be set and tells in `x-refused` why it was refused.
    BadHeaders,
    /// Sets headers until there is no room.
    ManyHeaders,
    /// Notes 64 MiB.
    HugeNote,
    /// Logs 1 MiB with line breaks in it.
    HugeLog,
    /// Replies with a header of 8 MiB.
    HugeReplyHeader,
    /// Replies with a status that does not exist.
    BadReplyStatus,
    /// Replies with a header name that is none.
    BadReplyHeader,
    /// Replies with a field that belongs to the connection.
    FramingReply,
    /// Edits whatever there is, then panics.
    EditAndPanic,
    /// Returns an error, and in later phases sets `x-marked`.
    FailThenMark,
    /// Edits whatever there is, then returns an error.
    EditAndFail,
    /// Edits whatever there is, then computes for ever.
    EditAndLoop,
    /// Asks for the body, and panics at the sight of it.
    PanicAtBody,
    /// Asks for more of the body than it may.
    BufferTooMuch,
    /// Panics in the response phase, after an edit.
    PanicAtResponse,
    /// Computes for ever in the response phase.
    LoopAtResponse,
    /// Panics in the middle of the response's body.
    PanicInTransform,
    /// Computes for ever in the middle of the response's body.
    LoopInTransform,
    /// Makes of each byte of the response's body a mebibyte, up to a gibibyte.
    Inflate,
    /// Panics when all is over.
    PanicAtEnd,
    /// Refuses to be made.
    PanicAtStart,
    /// Refuses its settings.
    RefuseSettings,
    /// Waits on the clock for a minute.
    Sleep,
    /// Panics where the request says so: `x-panic: now`.
    PanicWhenTold,
    /// Does well: makes the request's body upper-case.
    ShoutRequest,
    /// Does well: makes the response's body upper-case.
    ShoutResponse,
    /// Does well: answers by itself when it has seen the request's body.
    ReplyAtBody,
    /// Does well: answers by itself when it has seen the response's body.
    ReplyAtResponseBody,
    /// Does well: doubles each byte of both bodies while they stream, and ends them with a full stop.
    Double,
    /// Does well: logs what became of the exchange.
    LogTheEnd,
    /// Does well: edits the response in the request phase, and tells in the response phase what is there of it.
    EditAhead,
    /// Does well: edits the response in the request phase, and replies.
    EditAheadAndReply,
    /// Does well: replies with the name that the client has by its certificate.
    NameTheClient,
    /// Does well: edits the request, and replies with what it then reads of it.
    ReadOwnEdits,
    /// Does well: edits the response, and replies with what it then reads of it.
    ReadOwnEditsAtResponse,
}

/// What is asked for of a body.
const BODY: u64 = 1024;

struct Misbehaving {
    act: Act,
    word: String,
    calls: Cell<u32>,
    hoard: RefCell<Vec<Vec<u8>>>,
}

impl Filter for Misbehaving {
    type Settings = Settings;
    const PHASES: &'static [Phase] = &[
        Phase::Request,
        Phase::RequestBody,
        Phase::Response,
        Phase::ResponseBody,
        Phase::Complete,
    ];

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        match settings.act {
            Act::PanicAtStart => panic!("as told, at the start"),
            Act::RefuseSettings => Err("as told: these settings will not do".into()),
            act => Ok(Misbehaving {
                act,
                word: settings.word,
                calls: Cell::new(0),
                hoard: RefCell::default(),
            }),
        }
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        let calls = self.calls.get() + 1;
        self.calls.set(calls);
        match self.act {
            Act::Panic => panic!("as told"),
            Act::Loop => waste::time(),
            Act::Allocate => waste::memory(),
            Act::Recurse => waste::stack(calls.into()),
            Act::Exit => std::process::exit(0),
            Act::Print => {
                println!("printed to stdout");
                eprintln!("printed to stderr");
            }
            Act::Fail => return Err(Failure::new("as told: a secret reason")),
            Act::Dawdle => waste::some_time(),
            Act::Hoard => self.hoard.borrow_mut().push(vec![1; 1 << 20]),
            Act::PanicAtThird => {
                request.set_header("x-calls", calls.to_string())?;
                assert!(calls < 3, "as told, at the third call");
            }
            Act::BadHeaders => edits::not_allowed(request)?,
            Act::ManyHeaders => while request.append_header("x-many", "x".repeat(1000)).is_ok() {},
            Act::HugeNote => request.set_note("huge", &"x".repeat(8 << 20))?,
            Act::HugeLog => log::warn("line\nbreak \u{1b}[31m ".repeat(50_000)),
            Act::HugeReplyHeader => return Ok(Reply::new(200).header("x-huge", "x".repeat(4 << 20)).into()),
            Act::BadReplyStatus => return Ok(Reply::new(42).into()),
            Act::BadReplyHeader => return Ok(Reply::new(200).header("not a name", "x\r\nset-cookie: a=b").into()),
            Act::FramingReply => return Ok(Reply::new(200).header("content-length", "9999").body("short").into()),
            Act::FailThenMark => return Err(Failure::new("as told")),
            Act::EditAndPanic | Act::EditAndFail | Act::EditAndLoop => {
                edits::whatever_there_is(request)?;
                match self.act {
                    Act::EditAndPanic => panic!("as told, half-way"),
                    Act::EditAndFail => return Err(Failure::new("as told, half-way")),
                    _ => waste::time(),
                }
            }
            Act::EditAhead => edits::ahead(request, &self.word)?,
            Act::EditAheadAndReply => {
                edits::ahead(request, &self.word)?;
                return Ok(Reply::text(418, "answered by the filter").into());
            }
            Act::NameTheClient => {
                let shown = request.client_certificate();
                let name = shown.map_or("nobody".to_owned(), |shown| {
                    format!("{} {:?}", shown.subject, shown.dns_names)
                });
                return Ok(Reply::text(200, name).into());
            }
            Act::ReadOwnEdits => return Ok(edits::read_back(request)?.into()),
            Act::Sleep => waste::a_minute(),
            Act::PanicWhenTold => assert!(request.header("x-panic").is_none(), "as told, by the request"),
            Act::PanicAtBody | Act::ShoutRequest | Act::ReplyAtBody => return Ok(Outcome::BufferBody(BODY)),
            Act::Double => return Ok(Outcome::transform(Double)),
            Act::BufferTooMuch => return Ok(Outcome::BufferBody(u64::MAX)),
            _ => {}
        }
        Ok(Outcome::Continue)
    }

    fn on_request_body(&self, _: &mut Request, body: Vec<u8>) -> Result<BodyOutcome, Failure> {
        Ok(match self.act {
            Act::PanicAtBody => panic!("as told, at the body"),
            Act::ShoutRequest => BodyOutcome::Replace(body.to_ascii_uppercase()),
            Act::ReplyAtBody => bodies::reply(&body).into(),
            _ => BodyOutcome::Continue,
        })
    }

    fn on_response(&self, request: &mut Request, response: &mut Response) -> Result<Outcome, Failure> {
        match self.act {
            Act::FailThenMark => response.set_header("x-marked", "yes")?,
            Act::PanicAtResponse => {
                response.set_header("x-edited", "half")?;
                response.set_status(299)?;
                panic!("as told, at the response");
            }
            Act::LoopAtResponse => waste::time(),
            Act::PanicInTransform | Act::LoopInTransform | Act::Inflate => {
                return Ok(Outcome::transform(Spoil::by(self.act)));
            }
            Act::ShoutResponse | Act::ReplyAtResponseBody => return Ok(Outcome::BufferBody(BODY)),
            Act::Double => return Ok(Outcome::transform(Double)),
            Act::EditAhead => edits::tell(response, &self.word)?,
            Act::ReadOwnEditsAtResponse => return Ok(edits::read_back_response(request, response)?.into()),
            _ => {}
        }
        Ok(Outcome::Continue)
    }

    fn on_response_body(&self, _: &mut Request, _: &mut Response, body: Vec<u8>) -> Result<BodyOutcome, Failure> {
        Ok(match self.act {
            Act::ShoutResponse => BodyOutcome::Replace(body.to_ascii_uppercase()),
            Act::ReplyAtResponseBody => bodies::reply(&body).into(),
            _ => BodyOutcome::Continue,
        })
    }

    fn on_complete(&self, request: &Request, summary: &Summary) {
        match self.act {
            Act::PanicAtEnd => panic!("as told, at the end"),
            Act::LogTheEnd => {
                let path = request.path();
                let (received, sent) = (summary.request_bytes, summary.response_bytes);
                let (status, outcome) = (summary.status, &summary.outcome);
                log::warn(format!(
                    "{path} ended: status {status}, {received} received, {sent} sent, {outcome}"
                ));
            }
            _ => {}
        }
    }
}

register_filter!(Misbehaving);
