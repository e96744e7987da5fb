//! A plugin made without the SDK, so that nothing but the gateway holds it to the rules: which one it breaks, its setting
//! `act` says.

// Its exports have names that no native linker takes.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;

use bindings::exports::portcullis::filter::filter::{
    BodyFlow, BodyTransform, Guest, GuestBodyTransform, Manifest, Phases, RequestFlow, ResponseFlow, Summary,
};
use bindings::portcullis::filter::http::EditError;
use bindings::portcullis::filter::{request, response};

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
    #![allow(clippy::undocumented_unsafe_blocks, reason = "generated")]

    wit_bindgen::generate!({ world: "plugin", path: "../../wit/v0.1" });
}

thread_local! {
    static ACT: RefCell<String> = RefCell::default();
}

/// A filter without a conscience.
struct Lawless;

impl Guest for Lawless {
    type BodyTransform = Nosy;

    fn describe() -> Manifest {
        Manifest {
            name: "lawless".into(),
            version: "0.0.0".into(),
            summary: "Breaks the rules".into(),
            phases: Phases::REQUEST | Phases::RESPONSE | Phases::COMPLETE,
            settings_schema: "{}".into(),
        }
    }

    fn configure(settings: String) -> Result<(), String> {
        // `{"act":"bad-edits"}`
        let act = settings.split('"').nth(3).unwrap_or_default();
        if act == "request-at-configure" {
            request::path();
        }
        ACT.replace(act.to_owned());
        Ok(())
    }

    fn on_request() -> Result<RequestFlow, String> {
        match ACT.with_borrow(String::clone).as_str() {
            "bad-edits" => tell(request::set_header, &bad_edits()),
            "fill" => fill(),
            "response-too-early" => {
                edit_request();
                response::status();
            }
            "body-without-phase" => {
                edit_request();
                return Ok(RequestFlow::BufferBody(1024));
            }
            _ => edit_request(),
        }
        Ok(RequestFlow::Next)
    }

    fn on_request_body(_: Vec<u8>) -> Result<BodyFlow, String> {
        Err("it has no such phase".into())
    }

    fn on_response() -> Result<ResponseFlow, String> {
        match ACT.with_borrow(String::clone).as_str() {
            "bad-edits" => tell(response::set_header, &bad_response_edits()),
            "late-edits" => tell(response::set_header, &late_edits()),
            "body-without-phase-at-response" => {
                edit_response();
                return Ok(ResponseFlow::BufferBody(1024));
            }
            "request-in-transform" => return Ok(ResponseFlow::TransformBody(BodyTransform::new(Nosy))),
            _ => {}
        }
        Ok(ResponseFlow::Next)
    }

    fn on_response_body(_: Vec<u8>) -> Result<BodyFlow, String> {
        Err("it has no such phase".into())
    }

    fn on_complete(_: Summary) {
        if ACT.with_borrow(|act| act == "response-at-the-end") {
            response::status();
        }
    }
}

/// Wants to know whose body it transforms.
struct Nosy;

impl GuestBodyTransform for Nosy {
    fn push(&self, _: Vec<u8>) -> Result<Vec<u8>, String> {
        Ok(request::path().into_bytes())
    }

    fn finish(&self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }
}

type Edited = Result<(), EditError>;

/// Edits that nobody can object to, of all that a request phase may edit.
fn edit_request() {
    let made = [
        request::set_path("/elsewhere"),
        request::set_query(Some("changed=1")),
        request::set_header("x-edited", b"yes"),
        request::remove_header("x-kept"),
        request::set_response_header("x-ahead", b"yes"),
        request::set_note("changed", "yes"),
    ];
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

fn edit_response() {
    let made = [response::set_status(299), response::set_header("x-edited", b"yes")];
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

fn bad_edits() -> Vec<Edited> {
    let long = [b'x'; (64 << 10) + 1];
    vec![
        request::set_header("x-mine\r\nx-other", b"x"),
        request::append_header("x-mine", b"x\r\nx-other: y"),
        request::append_header("x-mine", b"x\0"),
        request::set_header("x-mine", b" x"),
        request::set_header("content-length", b"7"),
        request::append_header("Transfer-Encoding", b"gzip"),
        request::remove_header("HOST"),
        request::set_header("x-mine", &long),
        request::set_response_header("x mine", b"x"),
        request::append_response_header("x-mine", b"x\r\nset-cookie: a=b"),
        request::set_response_header("connection", b"upgrade"),
        request::remove_response_header("Content-Length"),
        request::append_response_header("x-mine", &long),
        request::set_path("no-slash"),
        request::set_query(Some("a#b")),
        request::set_note("two\nlines", "x"),
        request::set_note("", "x"),
    ]
}

fn bad_response_edits() -> Vec<Edited> {
    vec![
        response::set_header("x mine", b"x"),
        response::append_header("x-mine", b"x\r\nset-cookie: a=b"),
        response::set_header("content-length", b"7"),
        response::remove_header("Connection"),
        response::set_header("x-mine", &[b'x'; (64 << 10) + 1]),
        response::set_status(99),
        response::set_status(600),
    ]
}

fn late_edits() -> Vec<Edited> {
    vec![
        request::set_path("/elsewhere"),
        request::set_query(None),
        request::set_header("x-edited", b"yes"),
        request::append_header("x-edited", b"yes"),
        request::remove_header("x-kept"),
        request::set_response_header("x-edited", b"yes"),
        request::append_response_header("x-edited", b"yes"),
        request::remove_response_header("content-type"),
    ]
}

/// Says in `x-refused` how edits were refused.
fn tell(set_header: impl Fn(&str, &[u8]) -> Edited, edits: &[Edited]) {
    let words = edits.iter().map(|edited| match edited {
        Ok(()) => "passed",
        Err(EditError::InvalidName) => "name",
        Err(EditError::InvalidValue) => "value",
        Err(EditError::Protected) => "protected",
        Err(EditError::TooLarge) => "large",
        Err(EditError::TooLate) => "late",
    });
    let words = words.collect::<Vec<_>>().join(" ");
    set_header("x-refused", words.as_bytes()).expect("a lawful edit");
}

/// Adds fields and notes for as long as there is room.
fn fill() {
    while request::append_header("x-many", b"x").is_ok() {}
    let mut number = 0;
    while request::set_note(&number.to_string(), "x").is_ok() {
        number += 1;
    }
}

bindings::export!(Lawless with_types_in bindings);
