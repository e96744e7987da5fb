//! A client's socket as the protocols see it: with what was read ahead, watched, held to strict framing, and with refusals
//! in our own words.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use super::activity::Activity;
use super::framing::{Framing, Malformed};

/// A socket under a protocol.
pub(crate) struct ClientIo<S> {
    socket: S,
    /// Read to tell the protocol, and not yet seen by it.
    ahead: Bytes,
    activity: Rc<Activity>,
    http1: Option<Http1>,
}

/// What HTTP/1 needs beyond its parser.
pub(crate) struct Http1 {
    framing: Framing,
    /// Puts problem+json in the place of the bare answers that hyper writes to heads it cannot parse: from the status that
    /// was meant to the whole message. hyper writes them by itself, when no exchange is under way, which is how they are
    /// told from ours.
    refusal: fn(u16) -> Bytes,
    pending: Option<Bytes>,
}

impl Http1 {
    pub(crate) fn new(refusal: fn(u16) -> Bytes) -> Http1 {
        Http1 { framing: Framing::default(), refusal, pending: None }
    }
}

impl<S> ClientIo<S> {
    pub(crate) fn new(socket: S, ahead: Bytes, activity: Rc<Activity>, http1: Option<Http1>) -> ClientIo<S> {
        ClientIo { socket, ahead, activity, http1 }
    }

    /// The socket itself, for a last word.
    pub(crate) fn into_socket(self) -> S {
        self.socket
    }

    /// Looks at bytes before the protocol does. Those of a malformed message never reach it.
    fn follow(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.activity.read_progress();
        let Some(http1) = &mut self.http1 else { return Ok(()) };
        match http1.framing.follow(bytes) {
            Ok(()) => Ok(()),
            Err(Malformed::Head(what)) => {
                self.activity.refuse(what);
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
            Err(Malformed::Body(what)) => Err(io::Error::new(io::ErrorKind::InvalidData, what)),
        }
    }

    /// The message to write instead, if these bytes are a refusal of hyper's own.
    fn refusal(&mut self, bytes: &[u8]) -> Option<&mut Bytes> {
        let http1 = self.http1.as_mut()?;
        if http1.pending.is_none() && self.activity.is_refusing() {
            let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
            let status = std::str::from_utf8(status).ok()?.parse().ok()?;
            http1.pending = Some((http1.refusal)(status));
        }
        http1.pending.as_mut()
    }
}

impl<S: Read + Unpin> Read for ClientIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if !io.ahead.is_empty() {
            let ahead = io.ahead.split_to(io.ahead.len().min(buf.remaining()));
            io.follow(&ahead)?;
            buf.put_slice(&ahead);
            return Poll::Ready(Ok(()));
        }
        // SAFETY: a `ReadBuf` only ever initialises what it is given, so the cursor's bytes stay as initialised as they were.
        let mut read = ReadBuf::uninit(unsafe { buf.as_mut() });
        ready!(Pin::new(&mut io.socket).poll_read(cx, read.unfilled()))?;
        io.follow(read.filled())?;
        let filled = read.filled().len();
        // SAFETY: these bytes lie at the beginning of the cursor, and the socket has just written them.
        unsafe { buf.advance(filled) };
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for ClientIo<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        if io.refusal(buf).is_some() {
            return io.poll_refuse(cx, buf.len());
        }
        let written = Pin::new(&mut io.socket).poll_write(cx, buf);
        io.activity.write_progress(written.is_pending());
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        ready!(Pin::new(&mut io.socket).poll_flush(cx))?;
        io.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
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
        if io.refusal(first).is_some() {
            let length = bufs.iter().map(|buf| buf.len()).sum();
            return io.poll_refuse(cx, length);
        }
        let written = Pin::new(&mut io.socket).poll_write_vectored(cx, bufs);
        io.activity.write_progress(written.is_pending());
        written
    }
}

impl<S: Write + Unpin> ClientIo<S> {
    /// Writes our own message, then says that hyper's has been written.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        if let Some(message) = self.http1.as_mut().and_then(|http1| http1.pending.as_mut()) {
            while !message.is_empty() {
                let written = ready!(Pin::new(&mut self.socket).poll_write(cx, message))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                message.advance(written);
            }
        }
        Poll::Ready(Ok(length))
    }
}
