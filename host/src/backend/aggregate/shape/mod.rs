//! What of a body goes into the answer: `target`, `allow`, `deny` and `rename`.
//!
//! They apply in that order, and each names members as the service does: `rename` does not change what `allow` speaks of.
//! All of them are prepared as one tree, so that a body is gone through once.
//!
//! What `allow` does not reach is not kept, and neither is what is of another kind than a path expects: with
//! `allow = ["address.city"]` an `address` that is a text is left out, since letting it pass would pass what nobody named.
//! With `items[].price` the array keeps its length for as long as its elements are objects.

mod apply;
#[cfg(test)]
mod oracle;
mod prepare;

pub(crate) use self::apply::Clash;
pub(crate) use self::prepare::Rule;
pub(crate) use self::prepare::{Place, Shape, ShapeSettings};
