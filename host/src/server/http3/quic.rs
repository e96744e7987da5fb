//! A QUIC connection as h3 uses it: quinn's, with every stream followed ([`Frames`]), and with an end of its own. A stream
//! that is given up is reset, never finished, so that nobody takes what was sent for the whole.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{
    BidiStream, Connection, ConnectionErrorIncoming, OpenStreams, RecvStream, SendStream, StreamErrorIncoming,
    StreamId, WriteBuf,
};
use quinn::{ConnectionError, ReadError, VarInt, WriteError};

use super::frames::{Frames, Violation};
use super::incomplete::{Incomplete, Part};
use super::one_way::{OneWay, Told};
use crate::server::activity::{Activity, Order};
use crate::server::flood::{Flood, Floods};

/// A QUIC connection, shared by its streams.
pub(super) struct Quic {
    pub(super) connection: quinn::Connection,
    activity: Rc<Activity>,
    floods: RefCell<Floods>,
    /// Bytes that a header section may have.
    most_head: u64,
    /// Whether streams are no longer accepted.
    closing: Cell<bool>,
    /// The stream accepted last, for whoever answers it.
    accepted: RefCell<Option<Stopped>>,
    /// What is said of the connection itself.
    pub(super) told: Rc<Told>,
    /// What is held of frames that are not whole.
    incomplete: Incomplete,
}

/// Comes when the client wants no more of a response, or has all of it.
pub(super) type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, quinn::StoppedError>>>>;

impl Quic {
    pub(super) fn new(
        connection: quinn::Connection,
        activity: Rc<Activity>,
        floods: Floods,
        most_head: u64,
    ) -> Rc<Quic> {
        Rc::new(Quic {
            connection,
            activity,
            floods: RefCell::new(floods),
            most_head,
            closing: Cell::new(false),
            accepted: RefCell::default(),
            told: Rc::default(),
            incomplete: Incomplete::default(),
        })
    }

    /// What comes when the client is done with the stream that was accepted last.
    pub(super) fn accepted(&self) -> Option<Stopped> {
        self.accepted.take()
    }

    /// Accepts no more streams: who opens one is told that it was not looked at.
    pub(super) fn reject_streams(&self) {
        self.closing.set(true);
    }

    /// There was one of what there may not be too many of.
    pub(super) fn spend(&self, flood: Flood) {
        self.counted(|floods| floods.spend(flood));
    }

    /// Has the connection ended where there has been too much.
    fn counted<T>(&self, count: impl FnOnce(&mut Floods) -> T) -> T {
        let mut floods = self.floods.borrow_mut();
        let counted = count(&mut floods);
        if let Some(flood) = floods.over()
            && self.activity.flood().is_none()
        {
            self.activity.flooded(flood);
            self.activity.order(Order::Close);
        }
        counted
    }

    /// One more of these is no flood.
    pub(super) fn earn(&self, flood: Flood) {
        self.floods.borrow_mut().earn(flood, 1);
    }

    /// Ends the connection for what the client did.
    fn end(&self, violation: Violation) -> StreamErrorIncoming {
        self.close(violation.code, violation.what);
        of_stream(ConnectionErrorIncoming::Undefined(Arc::new(violation)))
    }

    /// Ends the connection at once.
    pub(super) fn close(&self, code: Code, reason: &str) {
        self.connection.close(number(code.value()), reason.as_bytes());
    }
}

/// What h3 drives.
pub(super) struct Driven {
    quic: Rc<Quic>,
    both: Next<(quinn::SendStream, quinn::RecvStream)>,
    one_way: Next<quinn::RecvStream>,
    opened: Next<quinn::SendStream>,
}

/// A stream that is waited for. quinn wakes who waits only as long as the same future does.
struct Next<T>(Option<Coming<T>>);

type Coming<T> = Pin<Box<dyn Future<Output = Result<T, ConnectionError>>>>;

impl<T> Next<T> {
    fn poll<F: Future<Output = Result<T, ConnectionError>> + 'static>(
        &mut self,
        cx: &mut Context<'_>,
        quic: &Quic,
        next: impl FnOnce(quinn::Connection) -> F,
    ) -> Poll<Result<T, ConnectionErrorIncoming>> {
        let waiting = self.0.get_or_insert_with(|| Box::pin(next(quic.connection.clone())));
        let come = ready!(waiting.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(come.map_err(lost))
    }
}

impl Driven {
    pub(super) fn new(quic: &Rc<Quic>) -> Driven {
        Driven {
            quic: quic.clone(),
            both: Next(None),
            one_way: Next(None),
            opened: Next(None),
        }
    }
}

/// A stream in both directions.
pub(super) struct Both {
    sender: Sender,
    receiver: Receiver,
}

/// The direction of a stream in both that we send on.
pub(super) struct Sender {
    stream: quinn::SendStream,
    id: StreamId,
    writing: Option<WriteBuf<Bytes>>,
    ended: bool,
}

/// A stream, or one direction of it, that we read.
pub(super) struct Receiver {
    quic: Rc<Quic>,
    stream: quinn::RecvStream,
    id: StreamId,
    frames: Frames,
    /// Bytes that have come and have not been followed yet.
    unread: Bytes,
    /// What is held of a frame that is not whole.
    part: Part,
    ended: bool,
}

impl Receiver {
    fn new(quic: &Rc<Quic>, stream: quinn::RecvStream, frames: Frames) -> Result<Receiver, ConnectionErrorIncoming> {
        let id = id(stream.id())?;
        Ok(Receiver {
            quic: quic.clone(),
            id,
            part: Part::of(id),
            stream,
            frames,
            unread: Bytes::new(),
            ended: false,
        })
    }
}

impl Sender {
    fn new(stream: quinn::SendStream) -> Result<Sender, ConnectionErrorIncoming> {
        Ok(Sender {
            id: id(stream.id())?,
            stream,
            writing: None,
            ended: false,
        })
    }
}

impl Both {
    fn new(
        quic: &Rc<Quic>,
        (sender, receiver): (quinn::SendStream, quinn::RecvStream),
    ) -> Result<Both, ConnectionErrorIncoming> {
        Ok(Both {
            sender: Sender::new(sender)?,
            receiver: Receiver::new(quic, receiver, Frames::of_request(quic.most_head))?,
        })
    }
}

impl Connection<Bytes> for Driven {
    type RecvStream = Receiver;
    type OpenStreams = Driven;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Receiver, ConnectionErrorIncoming>> {
        let next = async |connection: quinn::Connection| connection.accept_uni().await;
        let stream = ready!(self.one_way.poll(cx, &self.quic, next))?;
        // Three are of use to us. Others say nothing that we know, and each is answered.
        if stream.id().index() >= 3 {
            self.quic.spend(Flood::UnknownFrames);
        }
        Poll::Ready(Receiver::new(&self.quic, stream, Frames::of_one_way()))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, ConnectionErrorIncoming>> {
        loop {
            let next = async |connection: quinn::Connection| connection.accept_bi().await;
            let (mut sender, mut receiver) = ready!(self.both.poll(cx, &self.quic, next))?;
            if self.quic.closing.get() {
                let code = number(Code::H3_REQUEST_REJECTED.value());
                // Both fail only where the client has gone.
                let _ = (sender.reset(code), receiver.stop(code));
                continue;
            }
            *self.quic.accepted.borrow_mut() = Some(Box::pin(sender.stopped()));
            return Poll::Ready(Both::new(&self.quic, (sender, receiver)));
        }
    }

    fn opener(&self) -> Driven {
        Driven::new(&self.quic)
    }
}

impl OpenStreams<Bytes> for Driven {
    type BidiStream = Both;
    type SendStream = OneWay;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        let next = async |connection: quinn::Connection| connection.open_bi().await;
        let both = ready!(self.both.poll(cx, &self.quic, next));
        Poll::Ready(both.and_then(|both| Both::new(&self.quic, both)).map_err(of_stream))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<OneWay, StreamErrorIncoming>> {
        let next = async |connection: quinn::Connection| connection.open_uni().await;
        let opened = ready!(self.opened.poll(cx, &self.quic, next));
        let one_way = opened.and_then(|stream| Ok(self.quic.told.on(id(stream.id())?, stream)));
        Poll::Ready(one_way.map_err(of_stream))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.quic.connection.close(number(code.value()), reason);
    }
}

impl RecvStream for Receiver {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        loop {
            let followed = self.quic.counted(|floods| self.frames.follow(&mut self.unread, floods));
            let held = self.frames.held();
            self.quic.incomplete.hold(&mut self.part, held);
            if let Some(passed) = followed.map_err(|violation| self.quic.end(violation))? {
                return Poll::Ready(Ok(Some(passed)));
            }
            if held > 0 && !self.quic.incomplete.may_grow(&self.part, cx) {
                return Poll::Pending;
            }
            let read = {
                let reading = pin!(self.stream.read_chunk(usize::MAX, true));
                ready!(reading.poll(cx))
            };
            match read {
                Ok(Some(chunk)) => self.unread = chunk.bytes,
                Ok(None) => {
                    self.ended = true;
                    let ended = self.frames.end();
                    return Poll::Ready(ended.map(|()| None).map_err(|violation| self.quic.end(violation)));
                }
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Err(match error {
                        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated {
                            error_code: code.into_inner(),
                        },
                        ReadError::ConnectionLost(error) => of_stream(lost(error)),
                        error => StreamErrorIncoming::Unknown(Box::new(error)),
                    }));
                }
            }
        }
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.ended = true;
        let _ = self.stream.stop(number(error_code));
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}

/// What nobody reads any more the client need not send: it is no mistake of its (RFC 9114 section 4.1).
impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.ended {
            self.stop_sending(Code::H3_NO_ERROR.value());
        }
        self.quic.incomplete.hold(&mut self.part, 0);
    }
}

impl SendStream<Bytes> for Sender {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(data) = self.writing.as_mut().filter(|data| data.has_remaining()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, data.chunk())).map_err(unsent)?;
            data.advance(written);
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.ended = true;
        let finished = self.stream.finish();
        Poll::Ready(finished.map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, reset_code: u64) {
        self.ended = true;
        let _ = self.stream.reset(number(reset_code));
    }

    fn send_id(&self) -> StreamId {
        self.id
    }
}

/// quinn would finish it, and what was sent would look like all.
impl Drop for Sender {
    fn drop(&mut self) {
        if !self.ended {
            self.reset(Code::H3_REQUEST_CANCELLED.value());
        }
    }
}

impl RecvStream for Both {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receiver.poll_data(cx)
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.receiver.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.receiver.recv_id()
    }
}

impl SendStream<Bytes> for Both {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.sender.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.sender.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.sender.poll_finish(cx)
    }

    fn reset(&mut self, reset_code: u64) {
        self.sender.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.sender.send_id()
    }
}

impl BidiStream<Bytes> for Both {
    type SendStream = Sender;
    type RecvStream = Receiver;

    fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

pub(super) fn number(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
}

fn id(id: quinn::StreamId) -> Result<StreamId, ConnectionErrorIncoming> {
    let id = StreamId::try_from(VarInt::from(id).into_inner());
    id.map_err(|_| ConnectionErrorIncoming::InternalError("a stream without an id".to_owned()))
}

pub(super) fn unsent(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated {
            error_code: code.into_inner(),
        },
        WriteError::ConnectionLost(error) => of_stream(lost(error)),
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn of_stream(connection_error: ConnectionErrorIncoming) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
}

fn lost(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => ConnectionErrorIncoming::ApplicationClose {
            error_code: close.error_code.into_inner(),
        },
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}
