//! A response from the configuration.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::pipeline::Reply;

/// Always gives the same response.
pub(crate) struct Fixed {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Fixed {
    pub(crate) fn new(status: StatusCode, headers: &[(HeaderName, HeaderValue)], body: Bytes) -> Fixed {
        Fixed {
            status,
            headers: headers.iter().cloned().collect(),
            body,
        }
    }

    /// 204, and no word beside it.
    pub(crate) fn nothing() -> Fixed {
        Fixed::new(StatusCode::NO_CONTENT, &[], Bytes::new())
    }

    pub(crate) fn answer(&self) -> Reply {
        Reply {
            status: self.status,
            headers: self.headers.clone(),
            body: self.body.clone(),
        }
    }
}
