//! What request and response have in common.

use crate::{EditError, HeaderValue, Request, Response};

/// A [`Request`] or a [`Response`], for a function that reads or edits the header fields of either.
///
/// Both have the same methods of their own; where the type is known this trait is not needed.
///
/// ```
/// use portcullis_sdk::{EditError, Message};
///
/// /// Takes out what only the inside may know.
/// fn clean(message: &mut impl Message) -> Result<(), EditError> {
///     message.remove_header("x-debug")?;
///     message.remove_header("x-trace")
/// }
/// ```
pub trait Message {
    /// The first value of a field. Names are matched without regard to case.
    fn header(&self, name: &str) -> Option<HeaderValue>;

    /// Every value of a field, in the order received.
    fn header_values(&self, name: &str) -> Vec<HeaderValue>;

    /// Replaces every value of a field with one.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError>;

    /// Adds a value after those that are there.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    fn append_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError>;

    /// Removes every value of a field; nothing happens where there is none.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    fn remove_header(&mut self, name: &str) -> Result<(), EditError>;
}

macro_rules! message {
    ($message:ty) => {
        impl Message for $message {
            fn header(&self, name: &str) -> Option<HeaderValue> {
                self.header(name)
            }

            fn header_values(&self, name: &str) -> Vec<HeaderValue> {
                self.header_values(name)
            }

            fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
                self.set_header(name, value)
            }

            fn append_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
                self.append_header(name, value)
            }

            fn remove_header(&mut self, name: &str) -> Result<(), EditError> {
                self.remove_header(name)
            }
        }
    };
}

message!(Request);
message!(Response);
