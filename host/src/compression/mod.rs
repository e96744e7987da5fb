//! Responses that leave smaller than they came: which of them, for which clients, and the work itself.

mod accepted;
mod body;
mod encoder;
mod worth;

use std::cell::Cell;

use http::Method;
use http::header::{self, HeaderMap, HeaderValue};

pub(crate) use self::accepted::choose;
pub(crate) use self::body::Compressed;
use self::encoder::Encoder;
use crate::body::Body;
use crate::config::resolved::Compress;
use crate::pipeline::Exchange;

/// Compresses a response, if it is worth it and its client takes it. The fields are the same for HEAD as for GET.
pub(crate) fn compress(settings: &Compress, exchange: &mut Exchange, body: Body) -> Body {
    let head = &mut exchange.response;
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

/// Says that the content is encoded, and takes back what is only true of it as it was.
fn mark(headers: &mut HeaderMap, encoding: &'static str) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ACCEPT_RANGES);
    // The same bytes no longer: only a weak validator still holds (RFC 9110 section 8.8.1).
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
