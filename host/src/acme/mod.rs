//! Certificates that the gateway obtains and renews itself, by ACME (RFC 8555).
//!
//! ```text
//! keeper ──> due? ──> lock the store ──> account ──> order ──> challenges ──> keep it ──> show it
//!   ^                                                             |
//!   '── a failure: wait, ever longer              answered by the listeners, on any thread
//! ```
//!
//! All of it runs on the main thread, and nothing waits for it: neither the start, nor a reload, nor a request. What the
//! threads share is [`Obtained`], which handshakes read, and [`Challenges`].

mod account;
mod authority;
mod certificate;
mod challenges;
mod failure;
mod keeper;
mod order;
mod renewal;
mod store;

pub(crate) use certificate::{AcmeCertificate, prepare_stores};
pub(crate) use challenges::Challenges;
pub(crate) use keeper::Keeper;
