//! The response's body on its way to the client.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::completion::Completion;
use super::wait::Watch;
use crate::body::{Body, BodyError};
use crate::pipeline::ResponseHead;

/// An exchange that has no response yet. It is made when the request has been read, and handed on as one pointer from then on.
pub(super) struct Outgoing(Box<Underway>);

/// The response's body on its way to the client, and the exchange that ends with it; none where the exchange goes on after
/// its response.
pub(super) struct Sending(Option<Box<Underway>>);

struct Underway {
    body: Body,
    /// What is left of a frame that is handed over in pieces.
    rest: Bytes,
    watch: Watch,
    completion: Completion,
}

/// Bytes that are handed to HTTP/2 at once. It takes any number while the client's window is open by one, so that of a larger
/// piece nobody could tell how far it has got; and what it has taken it holds after the exchange has ended.
const PIECE: usize = 64 << 10;

impl Outgoing {
    pub(super) fn new(completion: Completion) -> Outgoing {
        Outgoing(Box::new(Underway {
            body: Body::Empty,
            rest: Bytes::new(),
            watch: Watch::new(completion.connection.activity.clone()),
            completion,
        }))
    }

    pub(super) fn completion(&mut self) -> &mut Completion {
        &mut self.0.completion
    }

    /// The response: the exchange's head, and this body.
    pub(super) fn respond(mut self, body: Body) -> Response<Sending> {
        let head = self.0.completion.send_head(body.is_end_stream());
        self.0.body = body;
        head.response(Sending(Some(self.0)))
    }

    /// The response that has no body, and does not end the exchange.
    pub(super) fn respond_and_go_on(mut self) -> (Response<Sending>, Completion) {
        let head = self.0.completion.send_head(true);
        (head.response(Sending(None)), self.0.completion)
    }
}

impl ResponseHead {
    fn response<B>(self, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl Underway {
    fn is_ended(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    /// The next frame whole, or as much of it as may be handed over at once.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            let large = |frame: &Frame<Bytes>| frame.data_ref().is_some_and(|data| data.len() > PIECE);
            match frame {
                Some(Ok(frame)) if self.completion.connection.activity.is_framed() && large(&frame) => {
                    self.rest = frame.into_data().unwrap_or_default();
                }
                frame => return Poll::Ready(frame),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl Sending {
    /// The head cannot go out before the client takes more. The waker is that of the stream.
    pub(super) fn head_waits(&mut self, waker: &Waker) {
        if let Some(underway) = &mut self.0 {
            underway.watch.until_taken(waker, 0);
        }
    }

    /// Bytes of the body that have been handed to the protocol.
    pub(super) fn sent(&self) -> u64 {
        self.0.as_ref().map_or(0, |underway| underway.completion.sent_bytes())
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // The last of it was handed to the protocol, and stayed there.
        if let Some(underway) = &mut self.0
            && underway.watch.is_stalled()
        {
            underway.completion.not_taken();
        }
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(outgoing) = &mut self.get_mut().0 else {
            return Poll::Ready(None);
        };
        outgoing.watch.over();
        let polled = ready!(outgoing.poll_piece(cx));
        match &polled {
            Some(Ok(frame)) => {
                let sent = outgoing.completion.sending(frame.data_ref().map_or(0, Bytes::len));
                outgoing.watch.until_taken(cx.waker(), sent);
                // After trailers hyper does not ask for more.
                if frame.is_trailers() || outgoing.is_ended() {
                    outgoing.completion.sent_all();
                }
            }
            Some(Err(error)) => outgoing.completion.broke_off(*error),
            None => outgoing.completion.sent_all(),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|underway| underway.is_ended())
    }

    fn size_hint(&self) -> SizeHint {
        let Some(underway) = &self.0 else {
            return SizeHint::with_exact(0);
        };
        let (mut hint, rest) = (underway.body.size_hint(), underway.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
