//! Several bodies to one answer.
//!
//! A call writes certain places of the answer: what it allows, else all of its `into`, else, with neither, each member of
//! its body. Two calls may not write one place, nor one inside of what the other writes, unless the later one of them in
//! the configuration says how to `merge`. Where the places are known from the configuration, that is an error there; the
//! members of a body that is taken whole are known at run time only. Bodies are joined in the order of configuration,
//! whatever the order they arrived in.

mod join;
mod layout;

pub(crate) use self::join::{Merge, join};
pub(crate) use self::layout::{Into, Layout};
