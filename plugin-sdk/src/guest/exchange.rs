//! The exchange at hand: read through the gateway, changed by what a phase returns.

use super::bindings::portcullis::filter::http as wit;
use super::bindings::portcullis::filter::{request, response};
use crate::edits::{HeaderEdit, HeaderEdits, Room};
use crate::request::RequestEdits;
use crate::response::ResponseEdits;

/// The request before it is sent.
pub(super) fn unsent_request(room: Room) -> crate::Request {
    room.open();
    crate::Request {
        host: Request,
        edits: RequestEdits::before_it_is_sent(room),
    }
}

/// The request of a response phase, and the response.
pub(super) fn answered_request(room: Room) -> (crate::Request, crate::Response) {
    room.open();
    let request = crate::Request {
        host: Request,
        edits: RequestEdits::after_it_was_sent(room),
    };
    let response = crate::Response {
        host: Response,
        edits: ResponseEdits::new(room),
    };
    (request, response)
}

/// The request of an exchange that has ended: nothing can be changed.
pub(super) fn ended_request() -> crate::Request {
    answered_request(Room::default()).0
}

impl From<wit::Room> for Room {
    fn from(room: wit::Room) -> Self {
        Room {
            bytes: room.bytes,
            fields: room.fields,
            notes: room.notes,
        }
    }
}

impl From<RequestEdits> for wit::RequestEdits {
    fn from(edits: RequestEdits) -> Self {
        wit::RequestEdits {
            path: edits.path,
            query: edits.query,
            headers: header_edits(edits.headers),
            response_headers: header_edits(edits.response_headers),
            notes: notes(edits.notes),
        }
    }
}

/// The edits of a response phase: of the response, and the notes that were made by the way.
pub(super) fn response_edits(request: RequestEdits, response: ResponseEdits) -> wit::ResponseEdits {
    wit::ResponseEdits {
        status: response.status,
        headers: header_edits(response.headers),
        notes: notes(request.notes),
    }
}

fn header_edits(edits: HeaderEdits) -> Vec<wit::HeaderEdit> {
    let field = |name, value| wit::Field { name, value };
    let edit = |edit| match edit {
        HeaderEdit::Set(name, value) => wit::HeaderEdit::Set(field(name, value)),
        HeaderEdit::Append(name, value) => wit::HeaderEdit::Append(field(name, value)),
        HeaderEdit::Remove(name) => wit::HeaderEdit::Remove(name),
    };
    edits.edits.into_iter().map(edit).collect()
}

fn notes(notes: Vec<(String, String)>) -> Vec<wit::Note> {
    notes
        .into_iter()
        .map(|(name, value)| wit::Note { name, value })
        .collect()
}

/// The request as the gateway has it.
pub(crate) struct Request;

impl Request {
    pub(crate) fn id(&self) -> String {
        request::id()
    }

    pub(crate) fn method(&self) -> String {
        request::method()
    }

    pub(crate) fn scheme(&self) -> String {
        request::scheme()
    }

    pub(crate) fn authority(&self) -> String {
        request::authority()
    }

    pub(crate) fn path(&self) -> String {
        request::path()
    }

    pub(crate) fn query(&self) -> Option<String> {
        request::query()
    }

    pub(crate) fn route(&self) -> String {
        request::route()
    }

    pub(crate) fn path_parameter(&self, name: &str) -> Option<String> {
        request::path_parameter(name)
    }

    pub(crate) fn client_address(&self) -> String {
        request::client_address()
    }

    pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
        request::header(name)
    }

    pub(crate) fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        request::header_values(name)
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        request::headers()
            .into_iter()
            .map(|field| (field.name, field.value))
            .collect()
    }

    pub(crate) fn note(&self, name: &str) -> Option<String> {
        request::note(name)
    }
}

/// The response as the gateway has it.
pub(crate) struct Response;

impl Response {
    pub(crate) fn status(&self) -> u16 {
        response::status()
    }

    pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
        response::header(name)
    }

    pub(crate) fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        response::header_values(name)
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        response::headers()
            .into_iter()
            .map(|field| (field.name, field.value))
            .collect()
    }
}
