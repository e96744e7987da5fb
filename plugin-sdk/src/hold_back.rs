//! Rewriting a stream whose chunks end where they like.

use std::fmt;

use crate::{BodyTransform, Failure};

/// A [`BodyTransform`] made of a function that leaves for later what a chunk's border may have cut in two.
///
/// The function is given what is there, and whether the body ends with it. It gives the bytes to send on, and how many
/// of those it was given it is done with. The rest it gets again, with what follows.
///
/// ```
/// use portcullis_sdk::{BodyTransform, Failure, HoldBack, Outcome};
///
/// /// Leaves out the lines that begin with `#`.
/// fn without_comments(text: &[u8], ended: bool) -> Result<(Vec<u8>, usize), Failure> {
///     let last_break = text.iter().rposition(|&byte| byte == b'\n');
///     let done = if ended { text.len() } else { last_break.map_or(0, |at| at + 1) };
///     let lines = text[..done].split_inclusive(|&byte| byte == b'\n');
///     Ok((lines.filter(|line| !line.starts_with(b"#")).flatten().copied().collect(), done))
/// }
///
/// let mut transform = HoldBack::new(without_comments);
/// assert_eq!(transform.push(b"a\n#b")?, b"a\n");
/// assert_eq!(transform.push(b"c\nd")?, b"");
/// assert_eq!(transform.finish()?, b"d");
///
/// let outcome = Outcome::transform(HoldBack::new(without_comments));
/// # Ok::<(), Failure>(())
/// ```
///
/// What is held back stays in the filter's memory: leave as little as can be.
pub struct HoldBack<F> {
    rewrite: F,
    held: Vec<u8>,
}

impl<F> HoldBack<F>
where
    F: FnMut(&[u8], bool) -> Result<(Vec<u8>, usize), Failure> + 'static,
{
    /// A transform by this function.
    pub fn new(rewrite: F) -> Self {
        let held = Vec::new();
        HoldBack { rewrite, held }
    }
}

impl<F> BodyTransform for HoldBack<F>
where
    F: FnMut(&[u8], bool) -> Result<(Vec<u8>, usize), Failure> + 'static,
{
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Failure> {
        // Mostly nothing is held, and then nothing but the new rest is copied.
        if self.held.is_empty() {
            let (output, done) = (self.rewrite)(chunk, false)?;
            self.held.extend_from_slice(chunk.get(done..).unwrap_or_default());
            return Ok(output);
        }
        self.held.extend_from_slice(chunk);
        let (output, done) = (self.rewrite)(&self.held, false)?;
        self.held.drain(..done.min(self.held.len()));
        Ok(output)
    }

    fn finish(&mut self) -> Result<Vec<u8>, Failure> {
        let held = std::mem::take(&mut self.held);
        let (output, _) = (self.rewrite)(&held, true)?;
        Ok(output)
    }
}

impl<F> fmt::Debug for HoldBack<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoldBack")
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_comes_again_with_what_follows() {
        // Only pairs of bytes are done with.
        let mut pairs = HoldBack::new(|text: &[u8], ended| {
            let done = if ended { text.len() } else { text.len() / 2 * 2 };
            Ok((text.iter().take(done).copied().collect(), done))
        });
        let chunks = [&b"a"[..], b"bcd", b"", b"ef", b"g"].map(|chunk| pairs.push(chunk).unwrap());
        assert_eq!(chunks, [&b""[..], b"abcd", b"", b"ef", b""]);
        assert_eq!(pairs.finish().unwrap(), b"g");
        assert_eq!(pairs.finish().unwrap(), b"");
    }
}
