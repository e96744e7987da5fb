//! The WebAssembly side: what turns a [`Filter`](crate::Filter) into the component that the gateway loads.
//!
//! Public only because [`register_filter!`](crate::register_filter) expands in the plugin's crate.

pub mod bindings;
mod capabilities;
mod component;
mod exchange;

pub use component::{Component, FilterCell, Plugin, Transform};

pub(crate) use capabilities::{Limiter, Verifier, log};
pub(crate) use exchange::{Request, Response};
