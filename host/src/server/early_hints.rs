//! Early hints: the interim answers 103 of targets (RFC 8297), on their way to clients of HTTP/1.1.
//!
//! hyper's server sends final responses only. So these go past it, straight to the socket, whenever nothing of an earlier
//! response is left in hyper's buffers, and before anything of their own is: a hint that comes too late is dropped.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};

use super::hop_by_hop;

/// Hints of one exchange. hyper wants to be able to tell them from any thread, though it never does: hence the lock.
#[derive(Debug)]
pub(crate) struct Hints(Mutex<Pending>);

#[derive(Debug)]
struct Pending {
    /// To be sent.
    bytes: Vec<u8>,
    /// How many more are taken.
    left: usize,
    sender: Option<Waker>,
}

/// Interim answers that one exchange may have, and bytes of them that may wait.
const MOST: usize = 8;
const SIZE: usize = 16 << 10;

impl Hints {
    pub(super) fn new() -> Arc<Hints> {
        Arc::new(Hints(Mutex::new(Pending {
            bytes: Vec::new(),
            left: MOST,
            sender: None,
        })))
    }

    /// Has the hints that answer this request passed on.
    pub(crate) fn follow<B>(self: &Arc<Hints>, request: &mut Request<B>) {
        let hints = self.clone();
        hyper::ext::on_informational(request, move |answer| {
            if answer.status() == StatusCode::EARLY_HINTS {
                hints.add(answer.headers());
            }
        });
    }

    fn add(&self, headers: &HeaderMap) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let message = message(headers);
        if pending.left == 0 || pending.bytes.len() + message.len() > SIZE {
            return;
        }
        pending.left -= 1;
        pending.bytes.extend_from_slice(&message);
        if let Some(sender) = pending.sender.take() {
            sender.wake();
        }
    }

    /// What is to be sent; the waker hears when there is more.
    pub(super) fn take(&self, waker: &Waker) -> Bytes {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.bytes.is_empty() && !pending.sender.as_ref().is_some_and(|known| known.will_wake(waker)) {
            pending.sender = Some(waker.clone());
        }
        std::mem::take(&mut pending.bytes).into()
    }
}

/// An interim answer without what belongs to the connection, or speaks of a body.
fn message(headers: &HeaderMap) -> Vec<u8> {
    let mut headers = headers.clone();
    hop_by_hop::strip(&mut headers);
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRAILER);
    let mut message = b"HTTP/1.1 103 Early Hints\r\n".to_vec();
    for (name, value) in &headers {
        message.extend_from_slice(name.as_str().as_bytes());
        message.extend_from_slice(b": ");
        message.extend_from_slice(value.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
    message
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn so_many_hints_are_taken_and_no_more() {
        let hints = Hints::new();
        let link = |value: &str| HeaderMap::from_iter([(header::LINK, HeaderValue::from_str(value).unwrap())]);
        hints.add(&link("</a.css>; rel=preload"));
        assert_eq!(
            hints.take(Waker::noop()),
            "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n"
        );
        assert!(hints.take(Waker::noop()).is_empty());
        hints.add(&link(&"x".repeat(SIZE)));
        assert!(hints.take(Waker::noop()).is_empty());
        (0..100).for_each(|_| hints.add(&link("</b.css>")));
        let text = hints.take(Waker::noop());
        assert_eq!(String::from_utf8_lossy(&text).matches("103").count(), MOST - 1);
    }
}
