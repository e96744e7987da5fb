//! Why a try gave nothing that could be passed on.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use super::Answer;
use crate::body::ClientBodyState;
use crate::rejection::Rejection;

/// Why a try gave nothing that could be passed on.
pub(super) enum Failed {
    /// Nothing was sent: another target may be asked. This is what to say where there is none.
    Unsent(Rejection),
    /// It was sent, and there was no answer.
    Unanswered(Cause, Rejection),
    /// There was an answer, and it says to ask again. Where that is not to be, it is what the client gets.
    Answered(Cause, Box<Answer>),
    /// The target is not to blame, and nothing is tried again.
    Rejected(Rejection),
}

/// What a request may be sent again for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Connect,
    /// The target does not accept in time.
    ConnectTimeout,
    Reset,
    Timeout,
    Status,
    Unavailable,
    /// Nothing of it: the request's time is over, or the answer is no HTTP.
    Final,
}

impl Failed {
    pub(super) fn cause(&self) -> Cause {
        match self {
            Failed::Unsent(Rejection::UpstreamTimeout) => Cause::ConnectTimeout,
            Failed::Unsent(_) => Cause::Connect,
            Failed::Unanswered(cause, _) | Failed::Answered(cause, _) => *cause,
            Failed::Rejected(_) => Cause::Final,
        }
    }

    /// What to say of it; none where there is an answer that says it.
    pub(super) fn rejection(&self) -> Option<&Rejection> {
        match self {
            Failed::Unsent(rejection) | Failed::Unanswered(_, rejection) | Failed::Rejected(rejection) => {
                Some(rejection)
            }
            Failed::Answered(..) => None,
        }
    }
}

/// What an error means that came instead of an answer.
pub(super) fn unanswered(error: &hyper::Error, client_body: Option<&ClientBodyState>) -> Failed {
    tracing::debug!(%error, "upstream failed");
    if let Some(failure) = client_body.and_then(|state| state.failure.get()) {
        return Failed::Rejected(failure.rejection());
    }
    if error.is_user() {
        // A filter's transform is the only other body that can fail.
        return Failed::Rejected(Rejection::FilterFailed);
    }
    if error.is_parse() || error.is_parse_too_large() {
        Failed::Unanswered(Cause::Final, Rejection::UpstreamMalformed)
    } else {
        Failed::Unanswered(Cause::Reset, Rejection::UpstreamReset)
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
