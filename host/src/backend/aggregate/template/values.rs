//! Where the values of references come from at run time.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;

use http::{HeaderMap, Method, StatusCode};
use percent_encoding::percent_decode_str;
use thiserror::Error;

use super::reference::Source;
use crate::backend::aggregate::failure::Failure;
use crate::backend::aggregate::json::{Document, Kind, Value};
use crate::router::query_value;

/// What a route's calls may know of the client's request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'r> {
    /// Its method.
    pub(crate) method: &'r Method,
    /// The parameters of the route's path, as they stand in it: still percent-encoded.
    pub(crate) parameters: &'r [(&'r str, &'r str)],
    /// The query, without `?`.
    pub(crate) query: Option<&'r str>,
    /// Its fields, without those that belong to the connection.
    pub(crate) headers: &'r HeaderMap,
    /// The client's address.
    pub(crate) client: IpAddr,
}

/// What is known of a call that has ended, for those that refer to it.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// The status, if there was one answer.
    pub(crate) status: Option<StatusCode>,
    /// Its fields.
    pub(crate) headers: HeaderMap,
    /// Its body, or what its `on_error` puts in the place of one.
    pub(crate) body: Option<Document>,
    /// What each item of a `foreach` has come to, in the order of the items.
    pub(crate) items: Option<Vec<Result<Option<Document>, Failure>>>,
    /// The fields of the answers, for what may be cached of them.
    pub(crate) heads: Vec<HeaderMap>,
    /// Why there is no answer.
    pub(crate) failure: Option<Failure>,
}

/// The values that references may have at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Values<'v> {
    /// The client's request.
    pub(crate) request: &'v Request<'v>,
    /// The calls in the order of configuration, as far as they have ended.
    pub(crate) answers: &'v [OnceCell<Answered>],
    /// The item at hand.
    pub(crate) item: Option<Value<'v>>,
}

/// That a template cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{reference}`: {why}")]
pub(crate) struct Unfilled {
    /// What stands between the braces.
    pub(crate) reference: String,
    /// Whether the value is what the client has sent, so that the client can mend it.
    pub(crate) clients: bool,
    /// What is wrong with its value.
    pub(crate) why: Unfit,
}

/// What is wrong with a value for its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Unfit {
    /// There is none.
    #[error("no value")]
    Missing,
    /// An array or an object, where text is needed.
    #[error("an array or an object")]
    NotText,
    /// It would make a segment of a path that is empty, `.` or `..`, and so lead elsewhere.
    #[error("not a segment of a path")]
    Segment,
    /// It has `/`, `\` or NUL in it, which servers disagree about even where they are encoded.
    #[error("a slash, backslash or NUL")]
    Slash,
    /// It cannot stand in a field: a line break or another control character.
    #[error("not a value of a field")]
    Field,
    /// It is not UTF-8, and so cannot stand in JSON.
    #[error("not UTF-8")]
    Utf8,
    /// With it the target or the body is larger than it may be.
    #[error("too long")]
    Length,
}

/// A value.
pub(crate) enum Found<'v> {
    /// Of the client's request, or a field.
    Bytes(Cow<'v, [u8]>),
    /// A status.
    Number(u16),
    /// A part of a document.
    Json(Value<'v>),
}

impl<'v> Values<'v> {
    pub(crate) fn find(&self, source: &Source) -> Option<Found<'v>> {
        let answered = |call: &usize| self.answers.get(*call)?.get();
        let field = |headers: &'v HeaderMap, name| headers.get(name).map(|value| Cow::Borrowed(value.as_bytes()));
        Some(match source {
            Source::Path(name) => {
                let mut parameters = self.request.parameters.iter();
                let (_, value) = parameters.find(|(own, _)| own == name)?;
                Found::Bytes(Cow::from(percent_decode_str(value)))
            }
            Source::Query(name) => Found::Bytes(query_value(self.request.query?, name)?),
            Source::Header(name) => Found::Bytes(field(self.request.headers, name)?),
            Source::Client => Found::Bytes(Cow::Owned(self.request.client.to_string().into_bytes())),
            Source::Item(steps) => Found::Json(self.item?.at(steps)?),
            Source::Body(call, steps) => Found::Json(answered(call)?.body.as_ref()?.root().at(steps)?),
            Source::Status(call) => Found::Number(answered(call)?.status?.as_u16()),
            Source::Field(call, name) => Found::Bytes(field(&answered(call)?.headers, name)?),
        })
    }
}

impl<'v> Found<'v> {
    /// As text; nothing for `null`.
    pub(crate) fn text(self) -> Result<Option<Cow<'v, [u8]>>, Unfit> {
        Ok(Some(match self {
            Found::Bytes(bytes) => bytes,
            Found::Number(number) => Cow::Owned(number.to_string().into_bytes()),
            Found::Json(value) => match value.kind() {
                Kind::Null => return Ok(None),
                Kind::Bool(true) => Cow::Borrowed(b"true"),
                Kind::Bool(false) => Cow::Borrowed(b"false"),
                Kind::Number(digits) => Cow::Borrowed(digits),
                Kind::Text(text) => match text.decoded() {
                    Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                    Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                },
                Kind::Array(_) | Kind::Object(_) => return Err(Unfit::NotText),
            },
        }))
    }
}
