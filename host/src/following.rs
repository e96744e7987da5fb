//! Reading through: what comes from a socket is looked at before its reader sees it.

use std::io;
use std::task::{Poll, ready};

use hyper::rt::{ReadBuf, ReadBufCursor};

/// Reads once into `buf`. `follow` looks at the bytes that have come and says how many of them, from the first on, the reader
/// may see; an error hides them all. How many the reader sees: none at the end, too.
pub(crate) fn read_following(
    mut buf: ReadBufCursor<'_>,
    read: impl FnOnce(ReadBufCursor<'_>) -> Poll<io::Result<()>>,
    follow: impl FnOnce(&[u8]) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    // SAFETY: a `ReadBuf` only ever initialises what it is given, so the cursor's bytes stay as initialised as they were.
    let mut come = ReadBuf::uninit(unsafe { buf.as_mut() });
    ready!(read(come.unfilled()))?;
    let seen = follow(come.filled())?.min(come.filled().len());
    // SAFETY: these bytes lie at the beginning of the cursor, and were filled by the read just now.
    unsafe { buf.advance(seen) };
    Poll::Ready(Ok(seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(follow: impl FnOnce(&[u8]) -> io::Result<usize>) -> (Vec<u8>, Option<usize>) {
        let mut bytes = [0; 8];
        let mut buf = ReadBuf::new(&mut bytes);
        let read = read_following(
            buf.unfilled(),
            |mut buf| {
                buf.put_slice(b"four");
                Poll::Ready(Ok(()))
            },
            follow,
        );
        let Poll::Ready(seen) = read else { panic!("it is ready") };
        (buf.filled().to_vec(), seen.ok())
    }

    #[test]
    fn a_reader_sees_what_it_may() {
        assert_eq!(read(|bytes| Ok(bytes.len())), (b"four".to_vec(), Some(4)));
        assert_eq!(read(|_| Ok(2)), (b"fo".to_vec(), Some(2)));
        assert_eq!(read(|_| Ok(0)), (vec![], Some(0)));
        assert_eq!(read(|_| Err(io::ErrorKind::InvalidData.into())), (vec![], None));
        // More than has come is all of it.
        assert_eq!(read(|_| Ok(100)), (b"four".to_vec(), Some(4)));
    }
}
