//! A client's socket as HTTP/1 sees it: held to strict framing, with refusals and early hints of our own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use crate::rejection::Rejection;
use crate::server::activity::Activity;
use crate::server::framing::{Framing, Malformed};

/// A socket under HTTP/1.
pub(in crate::server) struct Http1Io<S> {
    socket: S,
    /// Read to tell the protocol, or held back from it.
    ahead: Bytes,
    activity: Rc<Activity>,
    framing: Framing,
    refused: Option<Rejection>,
    /// What is left of an early hint that the socket has taken a part of.
    hint: Bytes,
    /// What the socket has not taken yet of the last answers before another protocol. hyper does not wait for that.
    unsent: BytesMut,
}

/// Bytes that are read of what may be another protocol, before it is known whether it is.
const HELD: usize = 4 << 10;

/// An HTTP/1 connection's socket after its protocol is done with it.
pub(in crate::server) struct Ended<S> {
    pub(in crate::server) socket: S,
    /// The request that was refused before it became an exchange, and has no answer yet.
    pub(in crate::server) refused: Option<Rejection>,
    /// The last request's body was not read to its end.
    pub(in crate::server) unread: bool,
    /// What came after a request for another protocol.
    pub(in crate::server) ahead: Bytes,
    /// What is still to be written before anything in that protocol.
    pub(in crate::server) unsent: Bytes,
}

impl<S> Http1Io<S> {
    /// For heads of so many bytes at most. Refusals are kept back, hyper's own as well, and so is the end: both are for the
    /// caller to give, by [`ended`](Http1Io::ended).
    pub(in crate::server) fn new(socket: S, ahead: Bytes, activity: Rc<Activity>, header_size: usize) -> Http1Io<S> {
        Http1Io {
            socket,
            ahead,
            activity,
            framing: Framing::new(header_size),
            refused: None,
            hint: Bytes::new(),
            unsent: BytesMut::new(),
        }
    }

    /// The socket itself, and what is left to be done.
    pub(in crate::server) fn ended(self) -> Ended<S> {
        Ended {
            socket: self.socket,
            refused: self.refused,
            unread: self.framing.in_body(),
            ahead: self.ahead,
            unsent: self.unsent.freeze(),
        }
    }

    /// What came of a write. What the socket does not take of the last answers before another protocol is kept for later.
    fn wrote(&mut self, bufs: &[IoSlice<'_>], written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.activity.wrote(&written);
        if written.is_ready() || !self.activity.handshake.is_agreed() {
            return written;
        }
        bufs.iter().for_each(|buf| self.unsent.extend_from_slice(buf));
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    /// Whether a request for another protocol has no answer yet, so that nothing after it may be read as HTTP.
    fn is_held(&mut self, cx: &Context<'_>) -> bool {
        if !self.framing.is_held() {
            return false;
        }
        let refused = self.activity.handshake.take_refusal(cx.waker());
        if refused {
            self.framing.resume();
        }
        !refused
    }

    /// Ends reading once something is malformed.
    fn poll_malformed(&mut self) -> Poll<io::Result<()>> {
        let what = match self.framing.malformed() {
            None => return Poll::Ready(Ok(())),
            Some(Malformed::Body(what)) => what,
            // Answers to earlier requests come first; when they have gone out, `poll_flush` makes the protocol read again.
            Some(Malformed::Head(_)) if !self.activity.is_refusing() => return Poll::Pending,
            Some(Malformed::Head(rejection)) => {
                self.refused = Some(rejection.clone());
                "the request's head is malformed"
            }
        };
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)))
    }

    /// Whether a malformed head waited for earlier answers to go out, and they have.
    fn may_refuse_now(&self) -> bool {
        matches!(self.framing.malformed(), Some(Malformed::Head(_)))
            && self.refused.is_none()
            && self.activity.is_refusing()
    }

    /// Whether these bytes are a refusal of hyper's own, to a head that it cannot parse. It writes those by itself, when no
    /// exchange is under way, which is how they are told from ours; ours takes their place.
    fn keeps_back(&mut self, bytes: &[u8]) -> bool {
        if self.refused.is_none() && self.activity.is_refusing() {
            self.refused = status(bytes).map(Rejection::of_malformed_head);
        }
        self.refused.is_some()
    }
}

/// The status of a response that begins with these bytes.
fn status(bytes: &[u8]) -> Option<u16> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

impl<S: Read + Unpin> Read for Http1Io<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        ready!(io.poll_malformed())?;
        if io.is_held(cx) {
            return io.poll_held(cx);
        }
        let (framing, activity) = (&mut io.framing, &io.activity);
        let passed = ready!(super::poll_read(
            &mut io.socket,
            &activity.turns,
            &mut io.ahead,
            cx,
            buf,
            |bytes| {
                let passed = framing.follow(bytes);
                activity.in_head(framing.in_head());
                if framing.is_held() {
                    activity.handshake.ask();
                }
                passed
            }
        ))?;
        if passed == 0 {
            io.poll_malformed()
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

impl<S: Read + Unpin> Http1Io<S> {
    /// Reads what may be in another protocol, a piece of it, and passes none on; only the end is told.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            return Poll::Pending;
        }
        let mut piece = [0; HELD];
        let mut read = ReadBuf::new(&mut piece);
        let socket = Pin::new(&mut self.socket);
        ready!(self.activity.turns.read(cx, |cx| socket.poll_read(cx, read.unfilled())))?;
        if read.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.ahead = Bytes::copy_from_slice(read.filled());
        Poll::Pending
    }
}

impl<S: Write + Unpin> Write for Http1Io<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        ready!(io.poll_begun_hint(cx))?;
        if io.keeps_back(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = if io.unsent.is_empty() {
            Pin::new(&mut io.socket).poll_write(cx, buf)
        } else {
            Poll::Pending
        };
        io.wrote(&[IoSlice::new(buf)], written)
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

    /// The end is for whoever has the socket afterwards.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
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
        ready!(io.poll_begun_hint(cx))?;
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| &buf[..]);
        if io.keeps_back(first) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let written = if io.unsent.is_empty() {
            Pin::new(&mut io.socket).poll_write_vectored(cx, bufs)
        } else {
            Poll::Pending
        };
        io.wrote(bufs, written)
    }
}

impl<S: Write + Unpin> Http1Io<S> {
    /// Writes early hints, while nothing else is on its way: the protocol has written all that it had.
    fn poll_hints(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_begun_hint(cx))?;
            let next = match &*self.activity.hints.borrow() {
                Some(hints) => hints.take(cx.waker()),
                None => return Poll::Ready(Ok(())),
            };
            if next.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.hint = next;
        }
    }

    /// Writes the rest of a hint that has begun: nothing may come between.
    fn poll_begun_hint(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.hint.is_empty() {
            let written = Pin::new(&mut self.socket).poll_write(cx, &self.hint);
            self.activity.wrote(&written);
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.hint.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_the_socket_does_not_take_of_the_last_answer_is_kept() {
        const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        let (socket, mut client) = duplex(8);
        let activity = Rc::new(Activity::new());
        activity.begin_exchange();
        let mut io = Http1Io::new(TokioIo::new(socket), Bytes::new(), activity.clone(), 1000);
        activity.handshake.agree();
        let mut cx = Context::from_waker(std::task::Waker::noop());

        let mut written = 0;
        while written < ANSWER.len() {
            match Pin::new(&mut io).poll_write(&mut cx, &ANSWER[written..]) {
                Poll::Ready(Ok(some)) => written += some,
                other => panic!("{other:?}"),
            }
        }

        let mut got = vec![0; 8];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!([&got, &io.ended().unsent[..]].concat(), ANSWER);
    }
}
