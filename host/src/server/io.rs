//! A client's socket as the protocols see it: with what was read ahead, watched, and, for HTTP/1, held to strict framing.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use super::activity::Activity;
use super::framing::{Framing, Malformed};
use crate::rejection::Rejection;

/// A socket under a protocol.
pub(crate) struct ClientIo<S> {
    socket: S,
    /// Read to tell the protocol, and not yet seen by it.
    ahead: Bytes,
    activity: Rc<Activity>,
    http1: Option<Http1>,
}

/// Bytes that are read of what may be another protocol, before it is known whether it is.
const HELD: usize = 4 << 10;

/// What HTTP/1 needs beyond its parser.
struct Http1 {
    framing: Framing,
    refused: Option<Rejection>,
}

/// An HTTP/1 connection's socket after its protocol is done with it.
pub(crate) struct Ended<S> {
    pub(crate) socket: S,
    /// The request that was refused before it became an exchange, and has no answer yet.
    pub(crate) refused: Option<Rejection>,
    /// The last request's body was not read to its end.
    pub(crate) unread: bool,
    /// What came after a request for another protocol.
    pub(crate) ahead: Bytes,
}

impl<S> ClientIo<S> {
    /// For HTTP/2.
    pub(crate) fn http2(socket: S, ahead: Bytes, activity: Rc<Activity>) -> ClientIo<S> {
        activity.framed();
        ClientIo {
            socket,
            ahead,
            activity,
            http1: None,
        }
    }

    /// For HTTP/1 with heads of so many bytes at most. Refusals are kept back, hyper's own as well, and so is the end:
    /// both are for the caller to give, by [`ended`](ClientIo::ended).
    pub(crate) fn http1(socket: S, ahead: Bytes, activity: Rc<Activity>, header_size: usize) -> ClientIo<S> {
        let http1 = Http1 {
            framing: Framing::new(header_size),
            refused: None,
        };
        ClientIo {
            socket,
            ahead,
            activity,
            http1: Some(http1),
        }
    }

    /// The socket itself, and what is left to be done.
    pub(crate) fn ended(self) -> Ended<S> {
        let (refused, unread) = self
            .http1
            .map_or((None, false), |http1| (http1.refused, http1.framing.in_body()));
        Ended {
            socket: self.socket,
            refused,
            unread,
            ahead: self.ahead,
        }
    }

    /// Looks at bytes before the protocol does. How many of them it may see.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        let Some(http1) = &mut self.http1 else {
            return bytes.len();
        };
        let passed = http1.framing.follow(bytes);
        self.activity.in_head(http1.framing.in_head());
        if http1.framing.is_held() {
            self.activity.handshake.ask();
        }
        passed
    }

    /// Whether a request for another protocol has no answer yet, so that nothing after it may be read as HTTP.
    fn is_held(&mut self, cx: &Context<'_>) -> bool {
        match &mut self.http1 {
            Some(http1) if http1.framing.is_held() => {
                if self.activity.handshake.take_refusal(cx.waker()) {
                    http1.framing.resume();
                    return false;
                }
                true
            }
            _ => false,
        }
    }

    /// Ends reading once something is malformed.
    fn poll_malformed(&mut self) -> Poll<io::Result<()>> {
        let Some(http1) = &mut self.http1 else {
            return Poll::Ready(Ok(()));
        };
        let what = match http1.framing.malformed() {
            None => return Poll::Ready(Ok(())),
            Some(Malformed::Body(what)) => what,
            // Answers to earlier requests come first; when they have gone out, `poll_flush` makes the protocol read again.
            Some(Malformed::Head(_)) if !self.activity.is_refusing() => return Poll::Pending,
            Some(Malformed::Head(rejection)) => {
                http1.refused = Some(rejection.clone());
                "the request's head is malformed"
            }
        };
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)))
    }

    /// Whether a malformed head waited for earlier answers to go out, and they have.
    fn may_refuse_now(&self) -> bool {
        self.http1.as_ref().is_some_and(|http1| {
            let waits = http1.refused.is_none() && matches!(http1.framing.malformed(), Some(Malformed::Head(_)));
            waits && self.activity.is_refusing()
        })
    }

    /// Whether these bytes are a refusal of hyper's own, to a head that it cannot parse. It writes those by itself, when no
    /// exchange is under way, which is how they are told from ours; ours takes their place.
    fn keeps_back(&mut self, bytes: &[u8]) -> bool {
        let Some(http1) = &mut self.http1 else { return false };
        if http1.refused.is_none() && self.activity.is_refusing() {
            http1.refused = status(bytes).map(Rejection::of_malformed_head);
        }
        http1.refused.is_some()
    }
}

/// The status of a response that begins with these bytes.
fn status(bytes: &[u8]) -> Option<u16> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

impl<S: Read + Unpin> ClientIo<S> {
    /// Reads what may be in another protocol, a piece of it, and passes none on; only the end is told.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            return Poll::Pending;
        }
        let mut piece = [0; HELD];
        let mut read = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.socket).poll_read(cx, read.unfilled()))?;
        if read.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.ahead = Bytes::copy_from_slice(read.filled());
        Poll::Pending
    }
}

impl<S: Read + Unpin> Read for ClientIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        ready!(io.poll_malformed())?;
        if io.is_held(cx) {
            return io.poll_held(cx);
        }
        if !io.ahead.is_empty() {
            let offered = io.ahead.slice(..io.ahead.len().min(buf.remaining()));
            let passed = io.follow(&offered);
            buf.put_slice(&offered[..passed]);
            // Of what is malformed nothing is looked at again; what is held is still to come.
            let gone = if io.is_held(cx) { passed } else { offered.len() };
            io.ahead.advance(gone);
            return if passed == 0 {
                io.poll_malformed()
            } else {
                Poll::Ready(Ok(()))
            };
        }
        // SAFETY: a `ReadBuf` only ever initialises what it is given, so the cursor's bytes stay as initialised as they were.
        let mut read = ReadBuf::uninit(unsafe { buf.as_mut() });
        ready!(Pin::new(&mut io.socket).poll_read(cx, read.unfilled()))?;
        let passed = io.follow(read.filled());
        if passed < read.filled().len() && io.is_held(cx) {
            io.ahead = Bytes::copy_from_slice(&read.filled()[passed..]);
        }
        // SAFETY: these bytes lie at the beginning of the cursor, and the socket has just written them.
        unsafe { buf.advance(passed) };
        if passed == 0 {
            io.poll_malformed()
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

impl<S: Write + Unpin> Write for ClientIo<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        if io.keeps_back(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut io.socket).poll_write(cx, buf);
        io.activity.wrote(written.is_pending());
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        ready!(Pin::new(&mut io.socket).poll_flush(cx))?;
        io.activity.flushed();
        if io.may_refuse_now() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        match io.http1 {
            Some(_) => Poll::Ready(Ok(())),
            None => Pin::new(&mut io.socket).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| &buf[..]);
        if io.keeps_back(first) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let written = Pin::new(&mut io.socket).poll_write_vectored(cx, bufs);
        io.activity.wrote(written.is_pending());
        written
    }
}
