//! The stand-in for the gateway: what the SDK's own types call natively.

use std::collections::BTreeMap;

use super::fields::Fields;
use crate::edits::Room;
use crate::request::RequestEdits;
use crate::response::ResponseEdits;

pub(crate) use super::limiter::Limiter;
pub(crate) use super::lines::log;
pub(crate) use super::tokens::Verifier;

/// Bytes that filters may add to one exchange.
const ROOM: u32 = 256 * 1024;
/// Fields of a message at most, whatever filters add.
const MOST_FIELDS: usize = 256;
/// Notes at most.
const MOST_NOTES: usize = 128;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    path: String,
    query: Option<String>,
    pub(super) scheme: String,
    pub(super) authority: String,
    pub(super) client_address: String,
    pub(super) route: String,
    pub(super) path_parameters: BTreeMap<String, String>,
    pub(super) notes: BTreeMap<String, String>,
    pub(super) fields: Fields,
}

impl Request {
    pub(super) fn new(method: &str, path: String, query: Option<String>) -> Self {
        Request {
            method: method.to_owned(),
            path,
            query,
            scheme: "http".to_owned(),
            authority: "example.com".to_owned(),
            client_address: "127.0.0.1".to_owned(),
            route: "test".to_owned(),
            path_parameters: BTreeMap::new(),
            notes: BTreeMap::new(),
            fields: Fields::default(),
        }
    }

    pub(crate) fn id(&self) -> String {
        "00000000000000000000000000000001".to_owned()
    }

    pub(crate) fn method(&self) -> String {
        self.method.clone()
    }

    pub(crate) fn scheme(&self) -> String {
        self.scheme.clone()
    }

    pub(crate) fn authority(&self) -> String {
        self.authority.clone()
    }

    pub(crate) fn path(&self) -> String {
        self.path.clone()
    }

    pub(crate) fn query(&self) -> Option<String> {
        self.query.clone()
    }

    pub(crate) fn route(&self) -> String {
        self.route.clone()
    }

    pub(crate) fn path_parameter(&self, name: &str) -> Option<String> {
        self.path_parameters.get(name).cloned()
    }

    pub(crate) fn client_address(&self) -> String {
        self.client_address.clone()
    }

    pub(crate) fn note(&self, name: &str) -> Option<String> {
        self.notes.get(name).cloned()
    }

    /// What the next call may add to the request.
    pub(super) fn room(&self) -> Room {
        room(&self.fields, &self.notes)
    }

    /// Makes the edits of a call that has ended well.
    pub(super) fn make(&mut self, edits: RequestEdits) {
        self.path = edits.path.unwrap_or_else(|| self.path.clone());
        self.query = edits.query.unwrap_or_else(|| self.query.clone());
        self.fields.make(edits.headers.edits);
        self.notes.extend(edits.notes);
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(super) status: u16,
    pub(super) fields: Fields,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// What the next call may add to the response, and to the notes of its request.
    pub(super) fn room(&self, request: &Request) -> Room {
        room(&self.fields, &request.notes)
    }

    /// Makes the edits of a call that has ended well.
    pub(super) fn make(&mut self, edits: ResponseEdits) {
        self.status = edits.status.unwrap_or(self.status);
        self.fields.make(edits.headers.edits);
    }
}

fn room(fields: &Fields, notes: &BTreeMap<String, String>) -> Room {
    let left = |most: usize, used: usize| u32::try_from(most.saturating_sub(used)).unwrap_or(u32::MAX);
    Room {
        bytes: ROOM,
        fields: left(MOST_FIELDS, fields.len()),
        notes: left(MOST_NOTES, notes.len()),
    }
}

/// Both messages have the same header functions.
macro_rules! header_section {
    ($message:ty) => {
        impl $message {
            pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
                self.fields.values(name).next().cloned()
            }

            pub(crate) fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
                self.fields.values(name).cloned().collect()
            }

            pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
                self.fields.all()
            }
        }
    };
}

header_section!(Request);
header_section!(Response);
