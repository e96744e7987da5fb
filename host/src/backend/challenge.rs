//! Proves that a domain is ours, to the certificate authority that we have ordered from (RFC 8555 section 8.3).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::acme::Challenges;
use crate::pipeline::{Exchange, Reply};
use crate::rejection::Rejection;

/// Answers with what is to be found at a path while an order is under way. Other paths are left to the routes: services
/// may have certificates of their own.
#[derive(Clone)]
pub(crate) struct Challenge(pub(crate) Arc<Challenges>);

impl Challenge {
    /// Whether that is a question, and there is an answer to it.
    pub(crate) fn is_asked(&self, method: &Method, path: &str) -> bool {
        matches!(*method, Method::GET | Method::HEAD) && self.0.http(path).is_some()
    }

    pub(crate) fn answer(&self, exchange: &Exchange) -> Result<Reply, Rejection> {
        // The order may have ended meanwhile.
        let proof = self.0.http(exchange.target.path()).ok_or(Rejection::NoRoute)?;
        let kind = (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        Ok(Reply {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([kind]),
            body: Bytes::copy_from_slice(proof.as_bytes()),
        })
    }
}
