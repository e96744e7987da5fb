//! A client's socket as a protocol sees it: it begins with what was read ahead, it is watched, and what comes in is followed
//! before the protocol sees it.

mod http1;
mod http2;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor};

pub(super) use self::http1::{Ended, Http1Io};
pub(super) use self::http2::Http2Io;
use crate::following::read_following;
use crate::turns::Turns;

/// Reads once, what is there already first. `follow` looks at the bytes and says how many of them the protocol may see; the
/// others stay in `ahead`. How many it has seen: none at the end, or where it may see none.
fn poll_read<S: Read + Unpin>(
    socket: &mut S,
    turns: &Turns,
    ahead: &mut Bytes,
    cx: &mut Context<'_>,
    mut buf: ReadBufCursor<'_>,
    follow: impl FnOnce(&[u8]) -> usize,
) -> Poll<io::Result<usize>> {
    if !ahead.is_empty() {
        let offered = &ahead[..ahead.len().min(buf.remaining())];
        let passed = follow(offered);
        buf.put_slice(&offered[..passed]);
        ahead.advance(passed);
        return Poll::Ready(Ok(passed));
    }
    read_following(
        buf,
        |buf| turns.read(cx, |cx| Pin::new(socket).poll_read(cx, buf)),
        |bytes| {
            let passed = follow(bytes);
            if passed < bytes.len() {
                *ahead = Bytes::copy_from_slice(&bytes[passed..]);
            }
            Ok(passed)
        },
    )
}
