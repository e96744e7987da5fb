//! WebSockets over HTTP/2 (RFC 8441). A client's extended CONNECT becomes the handshake that targets know, of HTTP/1.1: routes
//! and filters see the same GET either way. Once the target agrees, the client's stream carries the bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use sha1::{Digest, Sha1};

use super::outgoing::{Outgoing, Sending};
use super::tunnel::Tunnel;
use crate::body::Body;
use crate::pipeline;
use crate::rejection::Rejection;

/// The one protocol that can be asked for in this way.
pub(super) const WEBSOCKET: &str = "websocket";

/// A client that has asked for a WebSocket.
pub(super) struct ExtendedConnect {
    /// What the target has to show that it has read (RFC 6455 section 1.3).
    key: HeaderValue,
    stream: OnUpgrade,
}

impl ExtendedConnect {
    /// Makes the handshake of HTTP/1.1 of a head that asks for a WebSocket. None of any other head, which stays as it is.
    pub(super) fn of(parts: &mut Parts) -> Option<ExtendedConnect> {
        if parts.method != Method::CONNECT {
            return None;
        }
        let protocol = parts.extensions.get::<Protocol>()?;
        if !protocol.as_str().eq_ignore_ascii_case(WEBSOCKET) {
            return None;
        }
        let stream = parts.extensions.remove::<OnUpgrade>()?;
        let key = HeaderValue::try_from(STANDARD.encode(fastrand::u128(..).to_be_bytes())).ok()?;
        let version = HeaderValue::from_static("13");
        let headers = &mut parts.headers;
        headers.try_insert(header::SEC_WEBSOCKET_KEY, key.clone()).ok()?;
        headers.try_insert(header::SEC_WEBSOCKET_VERSION, version).ok()?;
        parts.method = Method::GET;
        Some(ExtendedConnect { key, stream })
    }

    /// The response: 200 where the target has agreed, and the exchange goes on in the stream; what it says otherwise.
    pub(super) fn answer(self, mut outgoing: Outgoing, body: Body) -> Response<Sending> {
        let (exchange, outcome) = outgoing.completion().parts();
        let head = &mut exchange.response;
        let body = match body {
            Body::Upgraded(upgraded)
                if head.status == StatusCode::SWITCHING_PROTOCOLS && is_answer_to(&self.key, &head.headers) =>
            {
                head.status = StatusCode::OK;
                head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
                let (response, completion) = outgoing.respond_and_go_on();
                let tunnel = Tunnel::new(completion, *upgraded);
                tokio::task::spawn_local(tunnel.run_in_stream(self.stream));
                return response;
            }
            // Any success would tell the client that it is through.
            _ if head.status.is_success() || head.status.is_informational() => {
                pipeline::reject(exchange, &Rejection::UpstreamMalformed, outcome)
            }
            body => body,
        };
        outgoing.respond(body)
    }
}

/// Whether an answer shows that this key was read (RFC 6455 section 4.2.2).
fn is_answer_to(key: &HeaderValue, answer: &HeaderMap) -> bool {
    let digest = Sha1::new_with_prefix(key.as_bytes()).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let expected = STANDARD.encode(digest.finalize());
    let shown = answer.get(header::SEC_WEBSOCKET_ACCEPT);
    shown.is_some_and(|shown| shown.as_bytes() == expected.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_rfc_is_one() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let answer = |value| HeaderMap::from_iter([(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static(value))]);
        assert!(is_answer_to(&key, &answer("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
        assert!(!is_answer_to(&key, &answer("s3pPLMBiTxaQ9kYGzzhZRbK+xOp=")));
        assert!(!is_answer_to(&key, &HeaderMap::new()));
    }
}
