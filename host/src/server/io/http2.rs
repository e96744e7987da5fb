//! A client's socket as HTTP/2 sees it: held to its budgets of frames.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use crate::server::activity::Activity;
use crate::server::frames::Frames;

/// A socket under HTTP/2.
pub(in crate::server) struct Http2Io<S> {
    socket: S,
    /// Read to tell the protocol, and not yet seen by it.
    ahead: Bytes,
    activity: Rc<Activity>,
    frames: Frames,
}

impl<S> Http2Io<S> {
    /// Where there are too many frames of a kind, reading ends with an error, and the activity knows why.
    pub(in crate::server) fn new(socket: S, ahead: Bytes, activity: Rc<Activity>, frames: Frames) -> Http2Io<S> {
        activity.framed();
        Http2Io {
            socket,
            ahead,
            activity,
            frames,
        }
    }

    /// Some of these bytes have gone out, or none could.
    fn wrote(&mut self, bufs: &[IoSlice<'_>], written: &Poll<io::Result<usize>>) {
        self.activity.wrote(written);
        let Poll::Ready(Ok(mut written)) = *written else {
            return;
        };
        for buf in bufs {
            let part = written.min(buf.len());
            self.frames.sent(&buf[..part]);
            written -= part;
        }
        // Where many resets go out at once h2 may have had enough too, and read no more.
        if let Some(flood) = self.frames.flood() {
            self.activity.flooded(flood);
        }
    }
}

impl<S: Read + Write + Unpin> Http2Io<S> {
    /// Ends reading once there is too much.
    fn check_flood(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(flood) = self.frames.flood() else {
            return Ok(());
        };
        self.activity.flooded(flood);
        self.say_last_word(cx);
        Err(io::Error::new(io::ErrorKind::InvalidData, "too many frames"))
    }

    /// Tells a client that it was too much, as far as its socket takes that without waiting. What it has sent until now is
    /// read away: to close with bytes unread is to reset the connection.
    fn say_last_word(&mut self, cx: &mut Context<'_>) {
        const READS: usize = 16;
        let socket = &mut self.socket;
        if let Some(frame) = self.frames.last_word() {
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
}

impl<S: Read + Write + Unpin> Read for Http2Io<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        io.check_flood(cx)?;
        let (frames, activity) = (&mut io.frames, &io.activity);
        let passed = ready!(super::poll_read(
            &mut io.socket,
            &io.activity.turns,
            &mut io.ahead,
            cx,
            buf,
            |bytes| {
                frames.received(bytes);
                activity.in_head(frames.in_head());
                if frames.flood().is_none() { bytes.len() } else { 0 }
            }
        ))?;
        if passed == 0 {
            io.check_flood(cx)?;
        }
        Poll::Ready(Ok(()))
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
