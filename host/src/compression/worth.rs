//! Which responses are worth compressing, and may be.

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use http_body::Body as _;

use super::accepted::has_word;
use crate::body::Body;
use crate::config::resolved::Compress;
use crate::pipeline::ResponseHead;

/// Whether a response would be compressed for a client that takes it. The body of a response to HEAD is not there; what its
/// fields say of it decides.
pub(super) fn is_worth(settings: &Compress, head: &ResponseHead, body: &Body, is_head: bool) -> bool {
    let headers = &head.headers;
    // A part of the content, or none, is no content to encode.
    let whole = head.status.is_success()
        && !matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
        );
    let size = if is_head {
        headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok())
    } else {
        body.size_hint().exact()
    };
    whole
        && (is_head || !body.is_end_stream())
        && size.is_none_or(|size: u64| size >= settings.least)
        && may_be_encoded(settings, headers, false)
}

/// Whether a response with these fields may be encoded; `untyped`: also where they do not say what it is.
pub(super) fn may_be_encoded(settings: &Compress, headers: &HeaderMap, untyped: bool) -> bool {
    is_wanted_type(settings, headers, untyped)
        && !headers.keys().any(|name| FORBIDDING.contains(name))
        && is_plain(headers)
        && !headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .any(|value| has_word(value.as_bytes(), b"no-transform"))
}

/// What speaks of the bytes as they are: a part of them, or a digest.
const FORBIDDING: [header::HeaderName; 5] = [
    header::CONTENT_RANGE,
    header::HeaderName::from_static("content-digest"),
    header::HeaderName::from_static("content-md5"),
    header::HeaderName::from_static("digest"),
    header::HeaderName::from_static("repr-digest"),
];

/// Events must not wait for each other, and gRPC has an encoding of its own.
fn is_wanted_type(settings: &Compress, headers: &HeaderMap, untyped: bool) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return untyped;
    };
    let media_type = value
        .as_bytes()
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    let is = |name: &[u8]| media_type.eq_ignore_ascii_case(name);
    let is_grpc = media_type
        .get(..16)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"));
    !is(b"text/event-stream") && !is_grpc && settings.types.iter().any(|pattern| pattern.matches(media_type))
}

/// Not encoded yet.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The response depends on what its client takes (RFC 9110 section 12.5.5).
pub(super) fn vary(headers: &mut HeaderMap) {
    let known =
        |value: &HeaderValue| has_word(value.as_bytes(), b"accept-encoding") || has_word(value.as_bytes(), b"*");
    if !headers.get_all(header::VARY).iter().any(known) {
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}
