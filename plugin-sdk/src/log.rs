//! Lines in the gateway's own log. Needs no grant.
//!
//! The gateway adds plugin, filter, route and exchange id, cuts a line at 8 KiB and escapes what would break it.
//! Natively the lines go to stderr, where `cargo test` shows them for a test that fails, and to
//! [`testing::logged`](../testing/fn.logged.html).
//!
//! ```
//! use portcullis_sdk::log;
//!
//! log::debug("no token");
//! log::warn(format!("{} keys are left", 3));
//! ```
//!
//! Never log a token or a password. A line costs a call to the gateway even where its level is off: keep
//! [`trace`] out of what every request passes.

use crate::host;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For tracing one exchange.
    Trace,
    /// For whoever debugs the filter.
    Debug,
    /// Worth knowing.
    Info,
    /// Something an operator should look at.
    Warn,
    /// Something is broken.
    Error,
}

/// Writes a line at this level.
pub fn log(level: Level, message: impl AsRef<str>) {
    host::log(level, message.as_ref());
}

/// Writes a line for tracing one exchange.
pub fn trace(message: impl AsRef<str>) {
    log(Level::Trace, message);
}

/// Writes a line for whoever debugs the filter.
pub fn debug(message: impl AsRef<str>) {
    log(Level::Debug, message);
}

/// Writes a line worth knowing.
pub fn info(message: impl AsRef<str>) {
    log(Level::Info, message);
}

/// Writes a line that an operator should look at.
pub fn warn(message: impl AsRef<str>) {
    log(Level::Warn, message);
}

/// Writes a line that says something is broken.
pub fn error(message: impl AsRef<str>) {
    log(Level::Error, message);
}
