//! A client's socket as the protocols see it: with what was read ahead, watched, and with refusals in our own words.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};

use super::activity::Activity;

/// A socket under a protocol.
pub(crate) struct ClientIo<S> {
    socket: S,
    /// Read to tell the protocol, and not yet seen by it.
    ahead: Bytes,
    activity: Rc<Activity>,
    refusals: Option<Refusals>,
}

/// Puts problem+json in the place of the bare answers that hyper writes to heads it cannot parse. It writes them by itself,
/// when no exchange is under way, which is how they are told from ours.
pub(crate) struct Refusals {
    /// From the status that was meant to the whole message.
    pub(crate) message: Box<dyn Fn(u16) -> Bytes>,
    pending: Option<Bytes>,
}

impl Refusals {
    pub(crate) fn new(message: impl Fn(u16) -> Bytes + 'static) -> Refusals {
        Refusals { message: Box::new(message), pending: None }
    }
}

impl<S> ClientIo<S> {
    pub(crate) fn new(socket: S, ahead: Bytes, activity: Rc<Activity>, refusals: Option<Refusals>) -> ClientIo<S> {
        ClientIo { socket, ahead, activity, refusals }
    }

    /// The socket itself, for a last word.
    pub(crate) fn into_socket(self) -> S {
        self.socket
    }

    /// The message to write instead, if these bytes are a refusal of hyper's own.
    fn refusal(&mut self, bytes: &[u8]) -> Option<&mut Bytes> {
        let refusals = self.refusals.as_mut()?;
        if refusals.pending.is_none() && self.activity.is_refusing() {
            let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
            let status = std::str::from_utf8(status).ok()?.parse().ok()?;
            refusals.pending = Some((refusals.message)(status));
        }
        refusals.pending.as_mut()
    }
}

impl<S: Read + Unpin> Read for ClientIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if !io.ahead.is_empty() {
            let length = io.ahead.len().min(buf.remaining());
            buf.put_slice(&io.ahead[..length]);
            io.ahead.advance(length);
            io.activity.read_progress();
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut io.socket).poll_read(cx, buf);
        if read.is_ready() {
            io.activity.read_progress();
        }
        read
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
        if let Some(message) = self.refusals.as_mut().and_then(|refusals| refusals.pending.as_mut()) {
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
