use std::cell::RefCell;

use serde_json::{Value, json};

use crate::testing::{self, Exchange};
use crate::{
    BodyOutcome, BodyTransform, EditError, Failure, Filter, NoSettings, Outcome, Phase, Reply, Request, Response,
    SettingsError, Summary,
};

/// Does in every phase what its settings say, and remembers which phases it saw.
struct Scripted {
    settings: Value,
    seen: RefCell<Vec<String>>,
}

impl Scripted {
    fn see<T>(&self, phase: &str, meaning: impl Fn(&str) -> T) -> Result<T, Failure> {
        self.seen.borrow_mut().push(phase.to_owned());
        match self.settings[phase].as_str() {
            Some("fail") => Err(Failure::new(format!("{phase} failed"))),
            step => Ok(meaning(step.unwrap_or_default())),
        }
    }
}

fn outcome(step: &str) -> Outcome {
    match step {
        "reply" => Reply::text(403, "no").header("x-why", "tested").into(),
        "buffer" => Outcome::BufferBody(8),
        "transform" => Outcome::transform(Swap::default()),
        _ => Outcome::Continue,
    }
}

fn body_outcome(step: &str) -> BodyOutcome {
    match step {
        "reply" => Reply::new(422).into(),
        "replace" => BodyOutcome::Replace(b"replaced".to_vec()),
        _ => BodyOutcome::Continue,
    }
}

impl Filter for Scripted {
    type Settings = Value;

    const PHASES: &'static [Phase] = &[
        Phase::Request,
        Phase::RequestBody,
        Phase::Response,
        Phase::ResponseBody,
        Phase::Complete,
    ];

    fn new(settings: Value) -> Result<Self, SettingsError> {
        Ok(Scripted {
            settings,
            seen: RefCell::default(),
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        request.set_note("seen", "request")?;
        self.see("request", outcome)
    }

    fn on_request_body(&self, _: &mut Request, _: Vec<u8>) -> Result<BodyOutcome, Failure> {
        self.see("request-body", body_outcome)
    }

    fn on_response(&self, _: &mut Request, response: &mut Response) -> Result<Outcome, Failure> {
        response.set_header("x-seen", "response")?;
        self.see("response", outcome)
    }

    fn on_response_body(&self, _: &mut Request, _: &mut Response, _: Vec<u8>) -> Result<BodyOutcome, Failure> {
        self.see("response-body", body_outcome)
    }

    fn on_complete(&self, _: &Request, summary: &Summary) {
        self.seen
            .borrow_mut()
            .push(format!("{} {}", summary.outcome, summary.status));
    }
}

/// Writes `ba` for every `ab`, also where a chunk's border parts the two.
#[derive(Default)]
struct Swap {
    held: bool,
}

impl BodyTransform for Swap {
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        for &byte in chunk {
            match (self.held, byte) {
                (true, b'b') => out.extend(b"ba"),
                (true, b'a') => out.push(b'a'),
                (true, _) => out.extend([b'a', byte]),
                (false, b'a') => {}
                (false, _) => out.push(byte),
            }
            self.held = byte == b'a';
        }
        Ok(out)
    }

    fn finish(&mut self) -> Result<Vec<u8>, Failure> {
        Ok(if self.held { b"a".to_vec() } else { Vec::new() })
    }
}

fn scripted(settings: Value) -> Scripted {
    testing::filter(settings).unwrap()
}

#[test]
fn every_phase_comes_in_its_turn() {
    let filter = scripted(json!({ "request": "buffer", "response": "buffer", "response-body": "replace" }));
    let ran = Exchange::post("/")
        .request_body("in")
        .response(201)
        .response_body("out")
        .run(&filter);

    assert_eq!(
        *filter.seen.borrow(),
        ["request", "request-body", "response", "response-body", "ok 201"]
    );
    assert_eq!(
        (ran.request_body(), ran.response_body()),
        (&b"in"[..], &b"replaced"[..])
    );
    assert_eq!(ran.response().header("x-seen").unwrap(), "response");
    assert_eq!(ran.note("seen").as_deref(), Some("request"));
}

#[test]
fn after_a_reply_only_complete_comes() {
    let filter = scripted(json!({ "request": "reply" }));
    let ran = Exchange::get("/").response_header("x-from", "backend").run(&filter);

    assert_eq!(*filter.seen.borrow(), ["request", "replied 403"]);
    assert_eq!(ran.replied().unwrap().status(), 403);
    assert_eq!(ran.response().header("x-why").unwrap(), "tested");
    assert_eq!(ran.response().header("x-from"), None);
    assert_eq!(ran.response_body(), b"no");
}

#[test]
fn every_body_phase_can_reply() {
    for settings in [
        json!({ "request": "buffer", "request-body": "reply" }),
        json!({ "response": "buffer", "response-body": "reply" }),
    ] {
        let ran = Exchange::post("/").run(&scripted(settings));
        assert_eq!((ran.replied().unwrap().status(), ran.response().status()), (422, 422));
    }
}

#[test]
fn a_body_over_the_limit_is_the_gateways_to_refuse() {
    let ran = Exchange::post("/")
        .request_body("123456789")
        .run(&scripted(json!({ "request": "buffer" })));
    assert_eq!((ran.response().status(), ran.replied()), (413, None));

    let ran = Exchange::get("/")
        .response_body("123456789")
        .run(&scripted(json!({ "response": "buffer" })));
    assert_eq!((ran.response().status(), ran.replied()), (502, None));
}

#[test]
fn a_transform_gives_the_same_whatever_the_chunks() {
    let filter = scripted(json!({ "request": "transform", "response": "transform" }));
    for size in [1, 2, 3, 5, 64 * 1024] {
        let exchange = Exchange::post("/")
            .request_body("aabxab")
            .response_body("abba")
            .chunk_size(size);
        let ran = exchange.run(&filter);
        assert_eq!(ran.request_body(), b"abaxba", "{size}");
        assert_eq!(ran.response_body(), b"baba", "{size}");
    }
}

#[test]
fn a_failure_is_handed_over() {
    let failed = |phase: &str| {
        Exchange::get("/")
            .try_run(&scripted(json!({ phase: "fail" })))
            .err()
            .unwrap()
            .to_string()
    };
    assert_eq!(failed("request"), "request failed");
    assert_eq!(failed("response"), "response failed");
}

#[test]
#[should_panic = "the filter failed: request failed"]
fn a_failure_ends_a_test_that_does_not_expect_it() {
    Exchange::get("/").run(&scripted(json!({ "request": "fail" })));
}

/// Buffers, but forgot to list the phase.
struct Forgetful;

impl Filter for Forgetful {
    type Settings = NoSettings;

    fn new(_: NoSettings) -> Result<Self, SettingsError> {
        Ok(Forgetful)
    }

    fn on_request(&self, _: &mut Request) -> Result<Outcome, Failure> {
        Ok(Outcome::BufferBody(10))
    }
}

#[test]
#[should_panic = "do not list RequestBody"]
fn a_body_phase_that_is_not_listed_ends_the_test() {
    Exchange::post("/").run(&Forgetful);
}

#[test]
#[should_panic = "no phase in the filter's PHASES ever sees one"]
fn a_response_that_nobody_looks_at_ends_the_test() {
    Exchange::get("/").response(500).run(&Edit(|_| Ok(())));
}

/// Edits the exchange in the way that a test says, and hands over what came of it.
struct Edit(fn(&mut Request) -> Result<(), EditError>);

impl Filter for Edit {
    type Settings = NoSettings;

    fn new(_: NoSettings) -> Result<Self, SettingsError> {
        Ok(Edit(|_| Ok(())))
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        (self.0)(request)?;
        Ok(Outcome::Continue)
    }
}

#[test]
fn a_query_holds_what_a_uri_allows() {
    let ran = Exchange::get("/a?b").run(&Edit(|request| {
        request.set_query(Some("a=1&b=%20/?"))?;
        for wrong in ["a b", "a#b", "é", "a\r\nb", "<"] {
            assert_eq!(request.set_query(Some(wrong)), Err(EditError::InvalidValue), "{wrong}");
        }
        assert_eq!(request.query().as_deref(), Some("a=1&b=%20/?"));
        request.set_query(None)?;
        assert_eq!(request.query(), None);
        request.set_path("/x/../y")
    }));
    assert_eq!((ran.request().path().as_str(), ran.request().query()), ("/y", None));
}

#[test]
fn notes_are_bounded_and_replaced() {
    let ran = Exchange::get("/").note("old", "1").run(&Edit(|request| {
        assert_eq!(request.set_note("", "x"), Err(EditError::InvalidName));
        assert_eq!(request.set_note("a\nb", "x"), Err(EditError::InvalidName));
        assert_eq!(request.set_note("n", &"x".repeat(256 << 10)), Err(EditError::TooLarge));
        for number in 1..128 {
            request.set_note(&number.to_string(), "1")?;
        }
        assert_eq!(request.set_note("one-more", "1"), Err(EditError::TooLarge));
        request.set_note("1", "2")?;
        assert_eq!(request.note("1").as_deref(), Some("2"));
        request.set_note("old", "2")
    }));
    assert_eq!(
        (ran.note("old").as_deref(), ran.note("1").as_deref()),
        (Some("2"), Some("2"))
    );
}

#[test]
fn a_response_is_edited_by_the_request_that_asked_for_it() {
    let edit = Edit(|request| {
        request.set_response_header("x-set", "1")?;
        request.append_response_header("vary", "origin")?;
        request.remove_response_header("server")
    });
    let exchange = Exchange::get("/")
        .response_header("vary", "accept")
        .response_header("server", "x");
    let ran = exchange.response_header("x-set", "0").run(&edit);
    assert_eq!(ran.response().header_values("x-set"), ["1"]);
    assert_eq!(ran.response().header_values("vary"), ["accept", "origin"]);
    assert_eq!(ran.response().header("server"), None);
}

/// Tries in its response phase what only a request phase may do.
struct Late;

impl Filter for Late {
    type Settings = NoSettings;

    const PHASES: &'static [Phase] = &[Phase::Response];

    fn new(_: NoSettings) -> Result<Self, SettingsError> {
        Ok(Late)
    }

    fn on_response(&self, request: &mut Request, response: &mut Response) -> Result<Outcome, Failure> {
        assert_eq!(request.set_header("x-a", "1"), Err(EditError::TooLate));
        assert_eq!(request.set_path("/a"), Err(EditError::TooLate));
        assert_eq!(request.set_response_header("x-a", "1"), Err(EditError::TooLate));
        request.set_note("late", "but noted")?;
        for wrong in [0, 100, 199, 600, 999] {
            assert_eq!(response.set_status(wrong), Err(EditError::InvalidValue));
        }
        response.set_status(599)?;
        assert_eq!(response.status(), 599);
        Ok(Outcome::Continue)
    }
}

#[test]
fn a_request_that_was_sent_takes_notes_alone() {
    let ran = Exchange::get("/").run(&Late);
    assert_eq!(
        (ran.response().status(), ran.note("late").as_deref()),
        (599, Some("but noted"))
    );
}
