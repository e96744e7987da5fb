//! What a connection says of itself: our one-way streams, among them the control stream, whose GOAWAY must not be lost.
//!
//! h3 writes when it is told to and not again. But while responses fill the window of what is not acknowledged, nothing can
//! be written on any stream. So all that it says is held here, and whoever drives the connection sends it when it can.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h3::quic::{SendStream, StreamErrorIncoming, StreamId, WriteBuf};

use super::quic::{number, unsent};

/// All that is said.
#[derive(Default)]
pub(super) struct Told {
    streams: RefCell<Vec<Stream>>,
}

struct Stream {
    quinn: quinn::SendStream,
    /// Some tens of bytes: settings, and GOAWAY a few times.
    waiting: BytesMut,
}

/// A one-way stream as h3 writes on it. It stays open until the connection ends, as control streams must.
pub(super) struct OneWay {
    told: Rc<Told>,
    place: usize,
    id: StreamId,
}

/// Before all responses, whose streams have 0.
const PRIORITY: i32 = 1;

impl Told {
    /// A stream that we have opened.
    pub(super) fn on(self: &Rc<Told>, id: StreamId, quinn: quinn::SendStream) -> OneWay {
        // It fails only where the stream is closed.
        let _ = quinn.set_priority(PRIORITY);
        let mut streams = self.streams.borrow_mut();
        streams.push(Stream {
            quinn,
            waiting: BytesMut::new(),
        });
        OneWay {
            told: self.clone(),
            place: streams.len() - 1,
            id,
        }
    }

    /// Sends what waits. Ready when nothing does.
    ///
    /// # Errors
    /// The client wants no more of a stream that it must read, or has gone.
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let mut all = Poll::Ready(Ok(()));
        for stream in self.streams.borrow_mut().iter_mut() {
            match stream.poll_sent(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => all = Poll::Pending,
                failed => return failed,
            }
        }
        all
    }
}

impl Stream {
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while self.waiting.has_remaining() {
            let written = ready!(Pin::new(&mut self.quinn).poll_write(cx, &self.waiting)).map_err(unsent)?;
            self.waiting.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl SendStream<Bytes> for OneWay {
    /// What cannot be sent yet is held.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let mut streams = self.told.streams.borrow_mut();
        let sent = streams.get_mut(self.place).map(|stream| stream.poll_sent(cx));
        match sent {
            Some(Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        let mut data = data.into();
        if let Some(stream) = self.told.streams.borrow_mut().get_mut(self.place) {
            while data.has_remaining() {
                let chunk = data.chunk();
                stream.waiting.extend_from_slice(chunk);
                let taken = chunk.len();
                data.advance(taken);
            }
        }
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(stream) = self.told.streams.borrow_mut().get_mut(self.place) {
            // It fails only where the stream is closed.
            let _ = stream.quinn.finish();
        }
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, code: u64) {
        if let Some(stream) = self.told.streams.borrow_mut().get_mut(self.place) {
            let _ = stream.quinn.reset(number(code));
        }
    }

    fn send_id(&self) -> StreamId {
        self.id
    }
}
