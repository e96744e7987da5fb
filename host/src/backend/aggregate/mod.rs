//! One request, several services: from the settings of a route's calls to one JSON answer.
//!
//! [`settings`] are as the file has them; [`Aggregate::new`] prepares them, or says all that is wrong; and
//! [`Aggregate::run`] makes the calls that [`graph`] allows, fills in what each sends ([`template`]), takes from each body
//! what the answer is to have ([`shape`]), and puts that where it belongs ([`merge`]).

mod answer;
mod cache_control;
mod calls;
mod explain;
mod failure;
mod fields;
pub(crate) mod graph;
pub(crate) mod json;
pub(crate) mod merge;
pub(crate) mod misread;
mod prepare;
pub(crate) mod run;
pub(crate) mod settings;
pub(crate) mod shape;
pub(crate) mod template;
pub(crate) mod tree;

pub(crate) use self::calls::Calls;
pub(crate) use self::failure::{Failed, FailsWith, Failure, Statuses};
pub(crate) use self::prepare::Aggregate;
