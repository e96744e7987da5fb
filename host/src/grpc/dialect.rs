//! Which requests are gRPC's, and in which of its forms.

use http::{HeaderMap, Method, Version, header};

/// How a client speaks gRPC. It decides where the client looks for the status of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// gRPC itself: the status is in the trailers, so it needs HTTP/2.
    Native,
    /// gRPC-Web (`PROTOCOL-WEB.md`), for clients that cannot read trailers: they are the last message of the body.
    Web,
    /// The same in base64, for clients that can only read text.
    WebText,
}

const MEDIA_TYPE: &[u8] = b"application/grpc";

impl Dialect {
    /// The dialect of a request, if it is a call at all.
    pub(crate) fn of(method: &Method, version: Version, headers: &HeaderMap) -> Option<Dialect> {
        if method != Method::POST {
            return None;
        }
        let rest = headers.get(header::CONTENT_TYPE)?.as_bytes().strip_prefix(MEDIA_TYPE)?;
        let end = rest.iter().position(|byte| matches!(byte, b'+' | b';' | b' '));
        match &rest[..end.unwrap_or(rest.len())] {
            b"" if version >= Version::HTTP_2 => Some(Dialect::Native),
            b"-web" => Some(Dialect::Web),
            b"-web-text" => Some(Dialect::WebText),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn calls_are_told_by_method_protocol_and_media_type() {
        use Dialect::{Native, Web, WebText};

        for (value, over_http2, over_http1) in [
            ("application/grpc", Some(Native), None),
            ("application/grpc+proto", Some(Native), None),
            ("application/grpc;x=y", Some(Native), None),
            ("application/grpc-web", Some(Web), Some(Web)),
            ("application/grpc-web+proto", Some(Web), Some(Web)),
            ("application/grpc-web-text", Some(WebText), Some(WebText)),
            ("application/grpc-web-text+proto; x=y", Some(WebText), Some(WebText)),
            ("application/grpc-websocket", None, None),
            ("application/grpcx", None, None),
            ("application/json", None, None),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
            let dialect = |method, version| Dialect::of(&method, version, &headers);
            assert_eq!(dialect(Method::POST, Version::HTTP_2), over_http2, "{value}");
            assert_eq!(dialect(Method::POST, Version::HTTP_11), over_http1, "{value}");
            assert_eq!(dialect(Method::GET, Version::HTTP_2), None, "{value}");
        }
    }
}
