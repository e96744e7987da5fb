//! The last head of a connection that may be sent again, where the connection turns out to be dead.
//!
//! A request is hardly ever sent twice, and nobody knows beforehand which one: what counts is the price of being able to.
//! Here it is one copy of bytes on their way to the socket; a copy of the request would take a reference to each name and
//! value.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use hyper::rt::{Read, ReadBufCursor, Write};

use super::interim::Interim;
use crate::following::read_following;
use crate::turns::Turns;

/// Bytes that a connection keeps for its heads: most are smaller.
const KEPT: usize = 4096;

/// The head of the request that an HTTP/1 connection was given last.
#[derive(Debug, Default)]
pub(crate) struct LastHead {
    expected: Cell<bool>,
    /// Whether some of what was written has not gone out yet.
    unflushed: Cell<bool>,
    bytes: RefCell<Vec<u8>>,
}

impl LastHead {
    /// What is written next is a head. False where that cannot be said: some of the last request is still to go out, since
    /// its response came before all of it was sent.
    pub(crate) fn expect(&self) -> bool {
        if self.unflushed.get() {
            return false;
        }
        self.expected.set(true);
        let mut bytes = self.bytes.borrow_mut();
        bytes.clear();
        // One large head must not stay with the connection for good.
        bytes.shrink_to(KEPT);
        true
    }

    /// The protocol wants to write this. It writes heads whole, however much of them the socket then takes.
    fn offered(&self, bytes: &[u8]) {
        self.unflushed.set(true);
        if self.expected.get() && !bytes.is_empty() {
            self.expected.set(false);
            self.bytes.borrow_mut().extend_from_slice(bytes);
        }
    }

    /// The fields of the head, if it is that of a request with this method and target.
    pub(crate) fn fields(&self, method: &Method, target: &str) -> Option<HeaderMap> {
        let bytes = self.bytes.borrow();
        let mut lines = bytes.strip_suffix(b"\r\n\r\n")?.split(|byte| *byte == b'\n');
        let line = lines.next()?.trim_ascii_end();
        if line != format!("{method} {target} HTTP/1.1").as_bytes() {
            return None;
        }
        lines.map(field).collect()
    }
}

/// `name: value`, as the protocol wrote it.
fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
}

/// The socket of an HTTP/1 connection to a target, with the head that went out by it last, and the answers that came before
/// the final one.
///
/// A target may answer without reading the request, and close. Then writing fails while its answer is still there to be read,
/// and the protocol, which would give up at the first error, hears nothing of it: reading tells the end, after the answer.
pub(crate) struct TargetIo<S> {
    pub(crate) socket: S,
    pub(crate) head: Rc<LastHead>,
    pub(super) interim: Rc<Interim>,
    pub(super) turns: Rc<Turns>,
}

impl<S: Read + Unpin> Read for TargetIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if !io.interim.is_expected() {
            return io.turns.read(cx, |cx| Pin::new(&mut io.socket).poll_read(cx, buf));
        }
        let socket = Pin::new(&mut io.socket);
        let read = read_following(
            buf,
            |buf| io.turns.read(cx, |cx| socket.poll_read(cx, buf)),
            |bytes| io.interim.follow(bytes).map(|()| bytes.len()),
        );
        read.map_ok(|_| ())
    }
}

impl<S: Write + Unpin> Write for TargetIo<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        io.head.offered(buf);
        let socket = Pin::new(&mut io.socket);
        let written = io.turns.socket(cx, |cx| socket.poll_write(cx, buf));
        unless_closed(written, || buf.len())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        // The protocol asks for this once all that it had to write has been taken.
        let socket = Pin::new(&mut io.socket);
        let flushed = io.turns.socket(cx, |cx| socket.poll_flush(cx));
        ready!(unless_closed(flushed, || ()))?;
        io.head.unflushed.set(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        let socket = Pin::new(&mut io.socket);
        io.turns.socket(cx, |cx| socket.poll_shutdown(cx))
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
        // A head comes before its body, in a piece of its own.
        io.head.offered(bufs.first().map_or(&[][..], |first| first));
        let socket = Pin::new(&mut io.socket);
        let written = io.turns.socket(cx, |cx| socket.poll_write_vectored(cx, bufs));
        unless_closed(written, || bufs.iter().map(|buf| buf.len()).sum())
    }
}

/// What writing came to. Where the target reads no more, all of it counts as written: reading tells the end.
#[inline]
fn unless_closed<T>(written: Poll<io::Result<T>>, all: impl FnOnce() -> T) -> Poll<io::Result<T>> {
    match written {
        Poll::Ready(Err(error)) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
            Poll::Ready(Ok(all()))
        }
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::time::Duration;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use hyper::client::conn::http1;

    use super::*;

    /// The socket of a target that reads nothing: a write fails first, and only then is its answer there, and the end.
    struct Deaf {
        refused: bool,
        answer: Option<&'static [u8]>,
    }

    impl Read for Deaf {
        fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
            if !self.refused {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            buf.put_slice(self.get_mut().answer.take().unwrap_or_default());
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Deaf {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            self.get_mut().refused = true;
            Poll::Ready(Err(ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What a request gets from a target that reads nothing of it and says this.
    async fn unread(answer: &'static [u8]) -> hyper::Result<(u16, Bytes)> {
        let turns = Rc::new(Turns::default());
        let io = TargetIo {
            socket: Deaf {
                refused: false,
                answer: Some(answer),
            },
            head: Rc::default(),
            interim: Rc::default(),
            turns: turns.clone(),
        };
        let (mut sender, mut connection) = http1::handshake(io).await?;
        let connection = poll_fn(move |cx| {
            turns.begin(cx);
            Pin::new(&mut connection).poll(cx)
        });
        let request = http::Request::post("/")
            .body(Full::new(Bytes::from_static(b"unread")))
            .unwrap();
        let answered = async {
            let response = sender.send_request(request).await?;
            Ok((
                response.status().as_u16(),
                response.into_body().collect().await?.to_bytes(),
            ))
        };
        let both = async { tokio::join!(answered, connection).0 };
        tokio::time::timeout(Duration::from_secs(5), both)
            .await
            .expect("the connection ends")
    }

    #[tokio::test]
    async fn an_answer_is_read_though_writing_failed_before() {
        let answer = unread(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await;
        assert_eq!(answer.unwrap(), (413, Bytes::from_static(b"no")));
    }

    #[tokio::test]
    async fn where_writing_failed_and_there_is_no_answer_reading_tells_the_end() {
        assert!(unread(b"").await.unwrap_err().is_incomplete_message());
    }

    #[test]
    fn the_fields_of_a_head_come_back_as_they_were() {
        let head = LastHead::default();
        head.offered(b"what is not expected is not kept");
        head.unflushed.set(false);
        assert!(head.expect());
        head.offered(b"GET /a?b HTTP/1.1\r\nhost: a:1\r\nx: \r\nx: 1: 2\r\ny: \xff\r\n\r\n");
        head.offered(b"a body");

        let fields = head.fields(&Method::GET, "/a?b").unwrap();

        assert_eq!(fields["host"], "a:1");
        assert_eq!(fields.get_all("x").iter().collect::<Vec<_>>(), ["", "1: 2"]);
        assert_eq!(fields["y"].as_bytes(), b"\xff");
        assert_eq!(fields.len(), 4);
    }

    #[test]
    fn the_head_of_another_request_or_half_a_head_is_none() {
        let head = LastHead::default();
        let expect = || {
            head.unflushed.set(false);
            assert!(head.expect());
        };
        assert_eq!(head.fields(&Method::GET, "/a"), None);
        expect();
        head.offered(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(head.fields(&Method::GET, "/b"), None);
        assert_eq!(head.fields(&Method::PUT, "/a"), None);
        assert!(head.fields(&Method::GET, "/a").is_some());
        expect();
        assert_eq!(head.fields(&Method::GET, "/a"), None);
        head.offered(b"GET /a HTTP/1.1\r\nhost: a\r\n");
        assert_eq!(head.fields(&Method::GET, "/a"), None);
    }

    #[test]
    fn a_head_is_not_told_from_what_is_left_of_the_request_before() {
        let head = LastHead::default();
        head.offered(b"of a body, the first half");
        assert!(!head.expect());
        head.offered(b"GET /a HTTP/1.1\r\nx: forged by the second half\r\n\r\n");
        assert_eq!(head.fields(&Method::GET, "/a"), None);
    }
}
