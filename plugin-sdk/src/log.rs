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

/// How much a line matters. Levels are ordered: `Trace` is the least.
///
/// ```
/// use portcullis_sdk::log::Level;
///
/// assert!(Level::Trace < Level::Debug && Level::Warn < Level::Error);
/// ```
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
///
/// ```
/// use portcullis_sdk::log::{self, Level};
///
/// fn refused(status: u16) {
///     let level = if status < 500 { Level::Info } else { Level::Warn };
///     log::log(level, format!("refused with {status}"));
/// }
///
/// refused(403);
/// # use portcullis_sdk::testing;
/// # assert_eq!(testing::logged(), [(Level::Info, "refused with 403".to_owned())]);
/// ```
pub fn log(level: Level, message: impl AsRef<str>) {
    host::log(level, message.as_ref());
}

/// Writes a line for tracing one exchange.
///
/// ```
/// portcullis_sdk::log::trace("the query is empty");
/// # use portcullis_sdk::{log::Level, testing};
/// # assert_eq!(testing::logged(), [(Level::Trace, "the query is empty".to_owned())]);
/// ```
pub fn trace(message: impl AsRef<str>) {
    log(Level::Trace, message);
}

/// Writes a line for whoever debugs the filter.
///
/// ```
/// portcullis_sdk::log::debug("no token: the next filter decides");
/// # use portcullis_sdk::{log::Level, testing};
/// # assert_eq!(testing::logged(), [(Level::Debug, "no token: the next filter decides".to_owned())]);
/// ```
pub fn debug(message: impl AsRef<str>) {
    log(Level::Debug, message);
}

/// Writes a line worth knowing.
///
/// ```
/// portcullis_sdk::log::info(format!("{} tokens are accepted", 3));
/// # use portcullis_sdk::{log::Level, testing};
/// # assert_eq!(testing::logged(), [(Level::Info, "3 tokens are accepted".to_owned())]);
/// ```
pub fn info(message: impl AsRef<str>) {
    log(Level::Info, message);
}

/// Writes a line that an operator should look at.
///
/// ```
/// portcullis_sdk::log::warn("the list of tenants is empty: nobody comes in");
/// # use portcullis_sdk::{log::Level, testing};
/// # assert_eq!(testing::logged(), [(Level::Warn, "the list of tenants is empty: nobody comes in".to_owned())]);
/// ```
pub fn warn(message: impl AsRef<str>) {
    log(Level::Warn, message);
}

/// Writes a line that says something is broken.
///
/// ```
/// portcullis_sdk::log::error("the response is no JSON, and passes as it is");
/// # use portcullis_sdk::{log::Level, testing};
/// # assert_eq!(testing::logged(), [(Level::Error, "the response is no JSON, and passes as it is".to_owned())]);
/// ```
pub fn error(message: impl AsRef<str>) {
    log(Level::Error, message);
}
