//! What a gRPC client is told where its call has no answer of a service. It looks for a status of gRPC alone: a plain HTTP
//! response, whatever it says, is a broken one to it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::{Dialect, GRPC_MESSAGE, GRPC_STATUS, message};
use crate::pipeline::Reply;

/// Bytes of a reply's text at most that become a status' message: it travels in a header field.
const LONGEST_MESSAGE: usize = 1 << 10;
/// Bytes of JSON at most in which a message is looked for.
const LONGEST_JSON: usize = 64 << 10;
/// Where errors in JSON say to people what is wrong: problem+json (RFC 9457) first, then what is common besides.
const MESSAGES: [&str; 5] = ["detail", "title", "message", "error_description", "error"];

/// Fields that speak of a body which is no longer there.
const OF_THE_BODY: [HeaderName; 8] = [
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::ETAG,
    header::LAST_MODIFIED,
];

/// The flag of a gRPC-Web message that consists of trailers.
const TRAILERS: u8 = 0x80;

/// The code that says what this status of HTTP says (`http-grpc-status-mapping.md` of the gRPC project).
pub(crate) fn code_of(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// A refusal with this code and message. The fields are those that it is to have besides.
pub(crate) fn refusal(dialect: Dialect, code: u16, text: &str, mut headers: HeaderMap) -> Reply {
    let text = message(text);
    let (media_type, body) = match dialect {
        Dialect::Native => {
            headers.insert(GRPC_STATUS, HeaderValue::from(code));
            headers.insert(GRPC_MESSAGE, text);
            ("application/grpc", Bytes::new())
        }
        // Not in the head, as it might be: there a browser hides them from pages of another origin.
        Dialect::Web => ("application/grpc-web+proto", trailers(code, &text)),
        Dialect::WebText => {
            let body = STANDARD.encode(trailers(code, &text));
            ("application/grpc-web-text+proto", Bytes::from(body))
        }
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    Reply {
        status: StatusCode::OK,
        headers,
        body,
    }
}

/// What somebody answers who may not know of gRPC, in its words. What is gRPC already stays as it is.
pub(crate) fn translated(dialect: Dialect, reply: Reply) -> Reply {
    let kind = reply.headers.get(header::CONTENT_TYPE);
    let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_grpc || reply.headers.contains_key(GRPC_STATUS) {
        return reply;
    }
    let (code, text) = (code_of(reply.status), said(&reply));
    let mut headers = reply.headers;
    for name in OF_THE_BODY {
        headers.remove(name);
    }
    refusal(dialect, code, &text, headers)
}

/// What a reply says to people: in its body, or at least by its status.
fn said(reply: &Reply) -> String {
    let readable = !reply.headers.contains_key(header::CONTENT_ENCODING);
    let text = Some(&reply.body).filter(|_| readable).and_then(|body| {
        let kind = reply.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if kind == "application/json" || kind.ends_with("+json") {
            let json: Value = serde_json::from_slice(body.get(..LONGEST_JSON).unwrap_or(body)).ok()?;
            let text = MESSAGES.iter().find_map(|name| json.get(name)?.as_str())?;
            return Some(shortened(text));
        }
        let text = std::str::from_utf8(body).ok()?.trim();
        (kind == "text/plain" && !text.is_empty()).then(|| shortened(text))
    });
    text.unwrap_or_else(|| match reply.status.canonical_reason() {
        Some(reason) => reason.to_owned(),
        None => format!("HTTP status {}", reply.status.as_u16()),
    })
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST_MESSAGE)].to_owned()
}

/// A gRPC-Web message of trailers.
fn trailers(code: u16, text: &HeaderValue) -> Bytes {
    let mut lines = format!("grpc-status:{code}\r\ngrpc-message:").into_bytes();
    lines.extend_from_slice(text.as_bytes());
    lines.extend_from_slice(b"\r\n");
    let mut message = BytesMut::with_capacity(5 + lines.len());
    message.put_u8(TRAILERS);
    // Three times the longest message, at most.
    message.put_u32(lines.len() as u32);
    message.put_slice(&lines);
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, fields: &[(HeaderName, &'static str)], body: &'static str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: fields
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
                .collect(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn native(status: u16, kind: &'static str, body: &'static str) -> (String, String) {
        let told = translated(Dialect::Native, reply(status, &[(header::CONTENT_TYPE, kind)], body));
        assert_eq!((told.status.as_u16(), told.body.len()), (200, 0));
        let field = |name| told.headers[name].to_str().unwrap().to_owned();
        (field(GRPC_STATUS), field(GRPC_MESSAGE))
    }

    #[test]
    fn a_status_of_http_has_one_code() {
        for (status, code) in [
            (400, "13"),
            (401, "16"),
            (403, "7"),
            (404, "12"),
            (429, "14"),
            (502, "14"),
            (503, "14"),
            (504, "14"),
            (302, "2"),
            (418, "2"),
            (500, "2"),
        ] {
            assert_eq!(native(status, "text/plain", "no").0, code, "{status}");
        }
    }

    #[test]
    fn the_message_is_what_the_body_says_to_people() {
        for (kind, body, message) in [
            ("text/plain; charset=utf-8", "  für alle\n", "f%C3%BCr alle"),
            (
                "application/json",
                r#"{"message":"Token is missing!"}"#,
                "Token is missing!",
            ),
            ("application/problem+json", r#"{"title":"a","detail":"b"}"#, "b"),
            ("application/problem+json", r#"{"title":"a","status":403}"#, "a"),
            ("application/json", r#"{"error":{"code":3}}"#, "Forbidden"),
            ("application/json", "no json", "Forbidden"),
            ("application/json", "[1]", "Forbidden"),
            ("text/html", "<p>no</p>", "Forbidden"),
            ("text/plain", "", "Forbidden"),
        ] {
            assert_eq!(native(403, kind, body).1, message, "{body}");
        }
        assert_eq!(native(499, "text/plain", "").1, "HTTP status 499");
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let body: &'static str = "ü".repeat(LONGEST_MESSAGE).leak();
        assert_eq!(native(403, "text/plain", body).1, "%C3%BC".repeat(LONGEST_MESSAGE / 2));
    }

    #[test]
    fn fields_stay_but_for_those_of_the_body() {
        let fields = [
            (header::CONTENT_LENGTH, "2"),
            (header::CONTENT_ENCODING, "gzip"),
            (header::RETRY_AFTER, "7"),
        ];
        let told = translated(Dialect::Native, reply(429, &fields, "no"));

        assert_eq!(told.headers[header::RETRY_AFTER], "7");
        assert_eq!(told.headers[GRPC_MESSAGE], "Too Many Requests");
        assert!(
            !told.headers.contains_key(header::CONTENT_LENGTH) && !told.headers.contains_key(header::CONTENT_ENCODING)
        );
    }

    #[test]
    fn an_answer_of_grpc_is_left_alone() {
        for field in [(GRPC_STATUS, "8"), (header::CONTENT_TYPE, "application/grpc+proto")] {
            let told = translated(Dialect::Native, reply(200, &[field], "body"));
            assert_eq!((&told.body[..], told.headers.len()), (&b"body"[..], 1));
        }
    }

    #[test]
    fn the_web_has_its_trailers_in_the_body() {
        let lines = b"grpc-status:16\r\ngrpc-message:no\r\n";
        let message = [&[0x80, 0, 0, 0, lines.len() as u8][..], lines].concat();
        let plain = || reply(401, &[(header::CONTENT_TYPE, "text/plain")], "no");

        let told = translated(Dialect::Web, plain());
        assert_eq!(told.headers[header::CONTENT_TYPE], "application/grpc-web+proto");
        assert!(!told.headers.contains_key(GRPC_STATUS));
        assert_eq!(told.body, message);

        let told = translated(Dialect::WebText, plain());
        assert_eq!(told.headers[header::CONTENT_TYPE], "application/grpc-web-text+proto");
        assert_eq!(STANDARD.decode(&told.body).unwrap(), message);
    }
}
