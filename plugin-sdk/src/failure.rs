//! Why a filter failed.

use std::error::Error;
use std::fmt;

/// Why a filter could not do its work on this exchange: a text for the log, never shown to the client.
///
/// Any error becomes a failure with `?`; the errors below it follow after a colon.
///
/// ```
/// use portcullis_sdk::{Failure, HeaderValue};
///
/// fn age(value: &HeaderValue) -> Result<u32, Failure> {
///     let text = value.to_str().ok_or_else(|| Failure::new("the age is not text"))?;
///     Ok(text.parse()?)
/// }
///
/// assert_eq!(age(&"42".into()).unwrap(), 42);
/// assert_eq!(age(&"old".into()).unwrap_err().to_string(), "invalid digit found in string");
/// ```
///
/// A client's mistake is no failure: answer it with a [`Reply`](crate::Reply).
pub struct Failure {
    text: String,
}

impl Failure {
    /// A failure with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Failure { text: text.into() }
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

// `Failure` is not itself an `Error`, or this would overlap with `impl From<T> for T`.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut below = error.source();
        while let Some(cause) = below {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            below = cause.source();
        }
        Failure { text }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({:?})", self.text)
    }
}
