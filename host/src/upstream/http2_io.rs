//! The socket of an HTTP/2 connection to a target, which is held to budgets of frames as a client is: what its frames make the
//! gateway do would be taken from all the requests that share the thread.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::life::{EndedBy, Life};
use crate::following::read_following;
use crate::server::frames::Frames;

/// A socket under HTTP/2. Where its target sends too many frames of a kind, reading ends with an error.
pub(super) struct Http2Io<S> {
    socket: S,
    frames: Frames,
    life: Rc<Life>,
}

impl<S> Http2Io<S> {
    /// `life` hears why it ends.
    pub(super) fn new(socket: S, frames: Frames, life: Rc<Life>) -> Http2Io<S> {
        Http2Io { socket, frames, life }
    }

    /// Some of these bytes have gone out, or none could.
    fn wrote(&mut self, bufs: &[IoSlice<'_>], written: &Poll<io::Result<usize>>) {
        let Poll::Ready(Ok(mut written)) = *written else {
            return;
        };
        for buf in bufs {
            let part = written.min(buf.len());
            self.frames.sent(&buf[..part]);
            written -= part;
        }
    }
}

/// An error once there are too many.
fn check(frames: &Frames, life: &Life) -> io::Result<()> {
    let Some(flood) = frames.flood() else {
        return Ok(());
    };
    life.end(EndedBy::Flood);
    tracing::debug!(frames = flood.as_str(), "too many HTTP/2 frames from a target");
    Err(io::Error::new(io::ErrorKind::InvalidData, "too many frames"))
}

impl<S: Read + Unpin> Read for Http2Io<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        // What goes out counts, too.
        check(&io.frames, &io.life)?;
        let (socket, frames, life) = (Pin::new(&mut io.socket), &mut io.frames, &io.life);
        let read = read_following(
            buf,
            |buf| socket.poll_read(cx, buf),
            |bytes| {
                frames.received(bytes);
                check(frames, life).map(|()| bytes.len())
            },
        );
        read.map_ok(|_| ())
    }
}

impl<S: Write + Unpin> Write for Http2Io<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        let written = Pin::new(&mut io.socket).poll_write(cx, buf);
        io.wrote(&[IoSlice::new(buf)], &written);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
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
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        let written = Pin::new(&mut io.socket).poll_write_vectored(cx, bufs);
        io.wrote(bufs, &written);
        written
    }
}
