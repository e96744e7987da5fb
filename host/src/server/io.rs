//! A client's socket as the protocols see it: with what was read ahead, watched, and followed: HTTP/1 is held to strict
//! framing, HTTP/2 to its budgets of frames.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use super::activity::Activity;
use super::frames::Frames;
use super::framing::{Framing, Malformed};
use crate::rejection::Rejection;

/// A socket under a protocol.
pub(crate) struct ClientIo<S> {
    socket: S,
    /// Read to tell the protocol, and not yet seen by it.
    ahead: Bytes,
    activity: Rc<Activity>,
    protocol: Protocol,
}

enum Protocol {
    Http1(Http1),
    Http2(Box<Frames>),
}

/// Bytes that are read of what may be another protocol, before it is known whether it is.
const HELD: usize = 4 << 10;

/// What HTTP/1 needs beyond its parser.
struct Http1 {
    framing: Framing,
    refused: Option<Rejection>,
    /// What is left of an early hint that the socket has taken a part of.
    hint: Bytes,
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
    /// For HTTP/2. Where there are too many frames of a kind, reading ends with an error, and the activity knows why.
    pub(crate) fn http2(socket: S, ahead: Bytes, activity: Rc<Activity>, frames: Frames) -> ClientIo<S> {
        activity.framed();
        ClientIo {
            socket,
            ahead,
            activity,
            protocol: Protocol::Http2(Box::new(frames)),
        }
    }

    /// For HTTP/1 with heads of so many bytes at most. Refusals are kept back, hyper's own as well, and so is the end:
    /// both are for the caller to give, by [`ended`](ClientIo::ended).
    pub(crate) fn http1(socket: S, ahead: Bytes, activity: Rc<Activity>, header_size: usize) -> ClientIo<S> {
        let http1 = Http1 {
            framing: Framing::new(header_size),
            refused: None,
            hint: Bytes::new(),
        };
        ClientIo {
            socket,
            ahead,
            activity,
            protocol: Protocol::Http1(http1),
        }
    }

    /// The socket itself, and what is left to be done.
    pub(crate) fn ended(self) -> Ended<S> {
        let (refused, unread) = match self.protocol {
            Protocol::Http1(http1) => (http1.refused, http1.framing.in_body()),
            Protocol::Http2(_) => (None, false),
        };
        Ended {
            socket: self.socket,
            refused,
            unread,
            ahead: self.ahead,
        }
    }

    /// Looks at bytes before the protocol does. How many of them it may see.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        match &mut self.protocol {
            Protocol::Http1(http1) => {
                let passed = http1.framing.follow(bytes);
                self.activity.in_head(http1.framing.in_head());
                if http1.framing.is_held() {
                    self.activity.handshake.ask();
                }
                passed
            }
            Protocol::Http2(frames) => {
                frames.received(bytes);
                self.activity.in_head(frames.in_head());
                if frames.flood().is_none() { bytes.len() } else { 0 }
            }
        }
    }

    /// Whether a request for another protocol has no answer yet, so that nothing after it may be read as HTTP.
    fn is_held(&mut self, cx: &Context<'_>) -> bool {
        match &mut self.protocol {
            Protocol::Http1(http1) if http1.framing.is_held() => {
                if self.activity.handshake.take_refusal(cx.waker()) {
                    http1.framing.resume();
                    return false;
                }
                true
            }
            _ => false,
        }
    }

    /// Some of these bytes have gone out, or none could.
    fn wrote(&mut self, bufs: &[io::IoSlice<'_>], written: &Poll<io::Result<usize>>) {
        let mut written = match written {
            Poll::Pending => return self.activity.wrote(None),
            Poll::Ready(written) => *written.as_ref().unwrap_or(&0),
        };
        self.activity.wrote(Some(written));
        let Protocol::Http2(frames) = &mut self.protocol else {
            return;
        };
        for buf in bufs {
            let part = written.min(buf.len());
            frames.sent(&buf[..part]);
            written -= part;
        }
        // Where many resets go out at once h2 may have had enough too, and read no more.
        if let Some(flood) = frames.flood() {
            self.activity.flooded(flood);
        }
    }

    /// Ends reading once something is malformed, or too much.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: Read + Write + Unpin,
    {
        let http1 = match &mut self.protocol {
            Protocol::Http1(http1) => http1,
            Protocol::Http2(frames) => {
                let Some(flood) = frames.flood() else {
                    return Poll::Ready(Ok(()));
                };
                self.activity.flooded(flood);
                self.say_last_word(cx);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "too many frames")));
            }
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

    /// Tells a client of HTTP/2 that it was too much, as far as its socket takes that without waiting. What it has sent until
    /// now is read away: to close with bytes unread is to reset the connection.
    fn say_last_word(&mut self, cx: &mut Context<'_>)
    where
        S: Read + Write + Unpin,
    {
        const READS: usize = 16;
        let Protocol::Http2(frames) = &self.protocol else {
            return;
        };
        let socket = &mut self.socket;
        if let Some(frame) = frames.last_word() {
            let _ = Pin::new(&mut *socket).poll_write(cx, &frame);
            let _ = Pin::new(&mut *socket).poll_flush(cx);
        }
        let mut bytes = [0; 16 << 10];
        for _ in 0..READS {
            let mut read = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *socket).poll_read(cx, read.unfilled()) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
                _ => break,
            }
        }
        let _ = Pin::new(socket).poll_shutdown(cx);
    }

    /// Whether a malformed head waited for earlier answers to go out, and they have.
    fn may_refuse_now(&self) -> bool {
        let Protocol::Http1(http1) = &self.protocol else {
            return false;
        };
        let waits = http1.refused.is_none() && matches!(http1.framing.malformed(), Some(Malformed::Head(_)));
        waits && self.activity.is_refusing()
    }

    /// Whether these bytes are a refusal of hyper's own, to a head that it cannot parse. It writes those by itself, when no
    /// exchange is under way, which is how they are told from ours; ours takes their place.
    fn keeps_back(&mut self, bytes: &[u8]) -> bool {
        let Protocol::Http1(http1) = &mut self.protocol else {
            return false;
        };
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

impl<S: Read + Write + Unpin> Read for ClientIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        ready!(io.poll_stopped(cx))?;
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
                io.poll_stopped(cx)
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
            io.poll_stopped(cx)
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

impl<S: Write + Unpin> ClientIo<S> {
    /// Writes early hints, while nothing else is on its way: the protocol has written all that it had.
    fn poll_hints(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_begun_hint(cx))?;
            let next = match &*self.activity.hints.borrow() {
                Some(hints) => hints.take(cx.waker()),
                None => return Poll::Ready(Ok(())),
            };
            match &mut self.protocol {
                Protocol::Http1(http1) if !next.is_empty() => http1.hint = next,
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes the rest of a hint that has begun: nothing may come between.
    fn poll_begun_hint(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Protocol::Http1(http1) = &mut self.protocol else {
            return Poll::Ready(Ok(()));
        };
        while !http1.hint.is_empty() {
            let written = Pin::new(&mut self.socket).poll_write(cx, &http1.hint);
            self.activity.wrote(match &written {
                Poll::Pending => None,
                Poll::Ready(written) => Some(written.as_ref().map_or(0, |bytes| *bytes)),
            });
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => http1.hint.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for ClientIo<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        ready!(io.poll_begun_hint(cx))?;
        if io.keeps_back(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut io.socket).poll_write(cx, buf);
        io.wrote(&[io::IoSlice::new(buf)], &written);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        ready!(io.poll_hints(cx))?;
        ready!(Pin::new(&mut io.socket).poll_flush(cx))?;
        io.activity.flushed();
        if io.may_refuse_now() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        match io.protocol {
            Protocol::Http1(_) => Poll::Ready(Ok(())),
            Protocol::Http2(_) => Pin::new(&mut io.socket).poll_shutdown(cx),
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
        ready!(io.poll_begun_hint(cx))?;
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| &buf[..]);
        if io.keeps_back(first) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let written = Pin::new(&mut io.socket).poll_write_vectored(cx, bufs);
        io.wrote(bufs, &written);
        written
    }
}
