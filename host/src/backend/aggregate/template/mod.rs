//! What a call sends: its target, its fields and its body, with `${..}` for what is known only at run time.
//!
//! | reference | is |
//! |---|---|
//! | `${path.id}` | a parameter of the route's path |
//! | `${path.rest...}` | the same as several segments, only in the path of a target |
//! | `${query.limit}`, `${query["page[size]"]}` | the first value of a parameter of the client's query |
//! | `${header.x-tenant}` | a field of the client's request |
//! | `${client.ip}` | the client's address |
//! | `${call.user.body.address[0].city}` | a value in the body of another call's answer, as it was received |
//! | `${call.user.status}`, `${call.user.header.etag}` | the rest of that answer |
//! | `${item}`, `${item.id}` | the element at hand, in a call with `foreach` |
//!
//! A value that is missing (or `null`) fails the call, unless the reference says otherwise: `${query.limit ?? 10}` has a
//! default, and `${query.limit?}` is left out, and with it the query parameter, field or member of which it is all.
//! `$${` stands for `${` itself.

mod body;
mod field;
mod piece;
mod reference;
mod target;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use self::body::BodyTemplate;
pub(crate) use self::field::FieldTemplate;
pub(crate) use self::piece::{Insert, Missing, Piece};
pub(crate) use self::reference::{Scope, Source};
pub(crate) use self::target::{PathRules, Target};
pub(crate) use self::values::Found;
pub(crate) use self::values::{Answered, Request, Unfilled, Unfit, Values};
