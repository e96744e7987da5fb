//! Responses that leave smaller than they came: which of them, for which clients, and the work itself.

mod accepted;
mod body;
mod encoder;
mod worth;

use std::cell::Cell;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

pub(crate) use self::accepted::choose;
pub(crate) use self::body::Compressed;
use self::encoder::Encoder;
use crate::body::Body;
use crate::config::resolved::Compress;
use crate::pipeline::Exchange;

/// Compresses a response, if it is worth it and its client takes it. The fields are the same for HEAD as for GET.
pub(crate) fn compress(settings: &Compress, exchange: &mut Exchange, body: Body) -> Body {
    let head = &mut exchange.response;
    if head.status == StatusCode::NOT_MODIFIED {
        confirm(settings, &mut head.headers, exchange.encoding.is_some());
        return body;
    }
    let is_head = exchange.method == Method::HEAD;
    if !worth::is_worth(settings, head, &body, is_head) {
        return body;
    }
    // Also where it goes as it is: whoever keeps it must know that others get it otherwise.
    worth::vary(&mut head.headers);
    let Some(encoding) = exchange.encoding else {
        return body;
    };
    let permit = Permit::take(settings.at_once);
    if permit.is_none() && !is_head {
        return body;
    }
    mark(&mut head.headers, encoding.as_str());
    match permit {
        Some(permit) if !is_head => {
            let encoder = Encoder::new(encoding, settings.levels);
            Body::Compressed(Box::new(Compressed::new(body, encoder, permit)))
        }
        _ => body,
    }
}

/// Makes the fields of 304 those that the response would have which it stands for (RFC 9110 section 15.4.5): a cache that has
/// kept the encoded one with a weak tag would not know it by a strong one. Of what 304 does not say, the length above all, it
/// is supposed that the response would be encoded; a weak tag is right for the other one, too.
fn confirm(settings: &Compress, headers: &mut HeaderMap, encodes: bool) {
    if !worth::may_be_encoded(settings, headers, true) {
        return;
    }
    worth::vary(headers);
    if encodes {
        weaken(headers);
    }
}

/// Says that the content is encoded, and takes back what is only true of it as it was.
fn mark(headers: &mut HeaderMap, encoding: &'static str) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ACCEPT_RANGES);
    weaken(headers);
}

/// The bytes are not the same any more: only a weak validator still holds (RFC 9110 section 8.8.1).
fn weaken(headers: &mut HeaderMap) {
    if let Some(tag) = headers.get(header::ETAG)
        && tag.as_bytes().starts_with(b"\"")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        headers.insert(header::ETAG, weak);
    }
}

thread_local! {
    static AT_ONCE: Cell<usize> = const { Cell::new(0) };
}

/// Leave to hold an encoder, which takes memory: so many a thread.
pub(crate) struct Permit(());

impl Permit {
    fn take(most: usize) -> Option<Permit> {
        let held = AT_ONCE.get();
        (held < most).then(|| {
            AT_ONCE.set(held + 1);
            Permit(())
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        AT_ONCE.set(AT_ONCE.get().saturating_sub(1));
    }
}
