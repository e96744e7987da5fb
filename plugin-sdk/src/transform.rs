//! Rewriting a body while it streams.

use crate::Failure;

/// Rewrites a body while it streams, without ever holding the whole of it.
///
/// Given in [`Outcome::TransformBody`](crate::Outcome::TransformBody). It belongs to one body until that ends, so it
/// may keep what it has not decided on yet, such as the start of a word that a chunk's border cuts in two.
///
/// ```
/// use portcullis_sdk::{BodyTransform, Failure};
///
/// /// Doubles every line break.
/// struct Spread;
///
/// impl BodyTransform for Spread {
///     fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Failure> {
///         Ok(chunk.iter().flat_map(|&byte| std::iter::repeat_n(byte, if byte == b'\n' { 2 } else { 1 })).collect())
///     }
///
///     fn finish(&mut self) -> Result<Vec<u8>, Failure> {
///         Ok(Vec::new())
///     }
/// }
///
/// assert_eq!(Spread.push(b"a\nb")?, b"a\n\nb");
/// # Ok::<(), Failure>(())
/// ```
///
/// The gateway chooses the chunks. Test a transform with several sizes, down to one byte:
/// [`Exchange::chunk_size`](../portcullis_sdk/testing/struct.Exchange.html#method.chunk_size).
pub trait BodyTransform: 'static {
    /// Takes a chunk (at most 64 KiB) and gives the bytes that can be sent on already, possibly none.
    ///
    /// # Errors
    /// A failure ends the body here: what was sent cannot be called back, so the message is cut off.
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Failure>;

    /// The body has ended: gives what is left.
    ///
    /// # Errors
    /// As with [`push`](BodyTransform::push).
    fn finish(&mut self) -> Result<Vec<u8>, Failure>;
}
