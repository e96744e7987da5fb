//! Why a try gave nothing that could be passed on.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use super::Answer;
use crate::body::ClientBodyState;
use crate::rejection::Rejection;
use crate::server::incoming::is_malformed;

/// Why a try gave nothing that could be passed on.
pub(super) struct Failed {
    pub(super) cause: Cause,
    /// Whether it speaks against the target, and so against its upstream.
    pub(super) blames: bool,
    /// What the client gets where nothing more is tried: an answer that said to ask again, or what to say in its place.
    pub(super) last: Result<Box<Answer>, Rejection>,
}

/// What a request may be sent again for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// There is no connection, so nothing was sent.
    Connect,
    /// The target does not accept in time.
    ConnectTimeout,
    Reset,
    Timeout,
    Status,
    Unavailable,
    /// Nothing of it: the request's time is over, the answer is no HTTP, or it is the client's or our own doing.
    Final,
}

impl Cause {
    /// Whether nothing was sent.
    pub(super) fn is_unsent(self) -> bool {
        matches!(self, Cause::Connect | Cause::ConnectTimeout)
    }
}

impl Failed {
    /// By the target's doing.
    pub(super) fn by_target(cause: Cause, rejection: Rejection) -> Failed {
        Failed {
            cause,
            blames: true,
            last: Err(rejection),
        }
    }

    /// By somebody else's doing.
    pub(super) fn by_others(cause: Cause, rejection: Rejection) -> Failed {
        Failed {
            blames: false,
            ..Failed::by_target(cause, rejection)
        }
    }

    /// There is an answer, and it says to ask again. How the target did has been said already.
    pub(super) fn answered(cause: Cause, answer: Answer) -> Failed {
        Failed {
            cause,
            blames: false,
            last: Ok(Box::new(answer)),
        }
    }
}

/// What an error means that came instead of an answer.
pub(super) fn unanswered(error: &hyper::Error, client_body: Option<&ClientBodyState>) -> Failed {
    tracing::debug!(%error, "upstream failed");
    if let Some(failure) = client_body.and_then(|state| state.failure.get()) {
        return Failed::by_others(Cause::Final, failure.rejection());
    }
    if error.is_user() {
        // A filter's transform is the only other body that can fail.
        return Failed::by_others(Cause::Final, Rejection::FilterFailed);
    }
    if error.is_parse() || error.is_parse_too_large() || is_malformed(error) {
        Failed::by_target(Cause::Final, Rejection::UpstreamMalformed)
    } else {
        Failed::by_target(Cause::Reset, Rejection::UpstreamReset)
    }
}

/// Whether an answer with this status tells of an upstream that is doing badly.
pub(super) fn is_bad(status: StatusCode) -> bool {
    status.is_server_error() && status.as_u16() != 501
}

/// How long an answer of this status asks to be left alone (RFC 9110 section 10.2.3).
pub(super) fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if ![429, 503].contains(&status.as_u16()) {
        return None;
    }
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(std::time::SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |status: u16, value: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap())]);
            retry_after(StatusCode::from_u16(status).unwrap(), &headers)
        };
        assert_eq!(after(503, "2"), Some(Duration::from_secs(2)));
        assert_eq!(after(429, " 0 "), Some(Duration::ZERO));
        assert_eq!(after(429, "Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert!(after(503, "Fri, 01 Jan 2100 00:00:00 GMT").unwrap() > Duration::from_secs(1 << 24));
        assert_eq!(after(502, "2"), None);
        assert_eq!(after(503, "soon"), None);
    }
}
