//! Failure to response: the only place that picks a status for a failure, and the closed list of outcomes.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::grpc::{self, Dialect};
use crate::pipeline::{ExchangeId, Reply};

/// A failure that ends an exchange, or keeps one from beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The message is not HTTP, or says two things at once. The text is for the client.
    BadRequest(&'static str),
    /// The request target is longer than the limit.
    UriTooLong,
    /// The header section is larger than the limits.
    HeadersTooLarge,
    /// The client went away in the middle of its request; perhaps it can still read.
    ClientGone,
    /// The client took too long to send.
    RequestTimeout,
    /// No route matches.
    NoRoute,
    /// The connection was made for another host than the request's.
    Misdirected,
    /// Routes match, but for the method; the value of `Allow`.
    MethodNotAllowed(HeaderValue),
    /// The method is one that the gateway does not serve: `CONNECT` or `TRACE`.
    NotImplemented,
    /// The client expects something else than `100-continue`.
    ExpectationFailed,
    /// The request's body is larger than the limit.
    BodyTooLarge,
    /// A filter failed and may not be skipped.
    FilterFailed,
    /// A filter that may not be skipped is out of service.
    FilterQuarantined {
        /// Until it may be back.
        retry_after: std::time::Duration,
    },
    /// A filter asked for more of the response's body than its limit.
    ResponseTooLarge,
    /// All filter instances are busy.
    Overloaded,
    /// No target may be used: none is listed, or none is healthy.
    NoTarget,
    /// No target could be connected to.
    UpstreamConnect,
    /// No target could be trusted, or trusted us: the TLS handshake failed.
    UpstreamTls,
    /// The target closed the connection before its response was whole.
    UpstreamReset,
    /// The target answered something that is not HTTP.
    UpstreamMalformed,
    /// The target took too long.
    UpstreamTimeout,
    /// The route's time is over.
    Deadline,
    /// As much is asked of the upstream already as may be.
    UpstreamBusy,
    /// The upstream has failed too often, and is left alone for a while.
    CircuitOpen {
        /// Until it is asked again.
        retry_after: std::time::Duration,
    },
    /// What the client has sent leaves a call without a value that it needs; the text says which.
    CallUnfilled(Box<str>),
    /// A call without which there is no answer has failed.
    CallFailed,
    /// A call without which there is no answer took too long.
    CallTimeout,
    /// A call without which there is no answer was answered with a status that is passed on.
    CallStatus(StatusCode),
    /// What the route's `fault` says.
    Fault(StatusCode),
}

impl Rejection {
    /// What a status means that the protocol gave to a head it could not parse.
    pub(crate) fn of_malformed_head(status: u16) -> Rejection {
        match status {
            414 => Rejection::UriTooLong,
            431 => Rejection::HeadersTooLarge,
            _ => Rejection::BadRequest("the head of the request is malformed"),
        }
    }

    /// Whether nothing more should be read from the client's connection, HTTP/1's.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(
            self,
            Rejection::BadRequest(_)
                | Rejection::NotImplemented
                | Rejection::ExpectationFailed
                | Rejection::UriTooLong
                | Rejection::HeadersTooLarge
                | Rejection::RequestTimeout
        )
    }

    /// The status that the client gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Rejection::BadRequest(_) | Rejection::CallUnfilled(_) | Rejection::ClientGone => StatusCode::BAD_REQUEST,
            Rejection::UriTooLong => StatusCode::URI_TOO_LONG,
            Rejection::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Rejection::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Rejection::NoRoute => StatusCode::NOT_FOUND,
            Rejection::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Rejection::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Rejection::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Rejection::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Rejection::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Rejection::FilterFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Rejection::FilterQuarantined { .. }
            | Rejection::Overloaded
            | Rejection::NoTarget
            | Rejection::UpstreamBusy
            | Rejection::CircuitOpen { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Rejection::ResponseTooLarge
            | Rejection::UpstreamConnect
            | Rejection::UpstreamTls
            | Rejection::UpstreamReset
            | Rejection::UpstreamMalformed
            | Rejection::CallFailed => StatusCode::BAD_GATEWAY,
            Rejection::UpstreamTimeout | Rejection::Deadline | Rejection::CallTimeout => StatusCode::GATEWAY_TIMEOUT,
            Rejection::Fault(status) | Rejection::CallStatus(status) => *status,
        }
    }

    /// Its word in the access log, in metrics, and in the problem's `code`.
    pub fn outcome(&self) -> &'static str {
        match self {
            Rejection::BadRequest(_) => "bad-request",
            Rejection::ClientGone => "client-gone",
            Rejection::UriTooLong => "uri-too-long",
            Rejection::HeadersTooLarge => "headers-too-large",
            Rejection::RequestTimeout => "request-timeout",
            Rejection::NoRoute => "no-route",
            Rejection::Misdirected => "misdirected",
            Rejection::MethodNotAllowed(_) => "method-not-allowed",
            Rejection::NotImplemented => "not-implemented",
            Rejection::ExpectationFailed => "expectation-failed",
            Rejection::BodyTooLarge => "body-too-large",
            Rejection::FilterFailed => "filter-failed",
            Rejection::FilterQuarantined { .. } => "filter-quarantined",
            Rejection::ResponseTooLarge => "response-too-large",
            Rejection::Overloaded => "overloaded",
            Rejection::NoTarget => "no-target",
            Rejection::UpstreamConnect => "upstream-connect",
            Rejection::UpstreamTls => "upstream-tls",
            Rejection::UpstreamReset => "upstream-reset",
            Rejection::UpstreamMalformed => "upstream-malformed",
            Rejection::UpstreamTimeout => "upstream-timeout",
            Rejection::Deadline => "deadline",
            Rejection::UpstreamBusy => "upstream-busy",
            Rejection::CircuitOpen { .. } => "circuit-open",
            Rejection::CallUnfilled(_) => "call-unfilled",
            Rejection::CallFailed => "call-failed",
            Rejection::CallTimeout => "call-timeout",
            Rejection::CallStatus(_) => "call-status",
            Rejection::Fault(_) => "fault",
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Rejection::BadRequest(_) => "The request is malformed",
            Rejection::ClientGone => "The request is incomplete",
            Rejection::UriTooLong => "The request target is too long",
            Rejection::HeadersTooLarge => "The header section is too large",
            Rejection::RequestTimeout => "The request took too long to arrive",
            Rejection::Misdirected => "This connection was made for another host",
            Rejection::NoRoute => "Nothing is served at this address",
            Rejection::MethodNotAllowed(_) => "This address is not served with this method",
            Rejection::NotImplemented => "The method is not supported",
            Rejection::ExpectationFailed => "The request expects what is not known here",
            Rejection::BodyTooLarge => "The request's body is too large",
            Rejection::FilterFailed => "The gateway could not process the request",
            Rejection::FilterQuarantined { .. } => "The gateway cannot process the request at present",
            Rejection::ResponseTooLarge => "The service's answer is too large to process",
            Rejection::Overloaded => "The gateway is overloaded",
            Rejection::NoTarget => "The service is not available",
            Rejection::UpstreamConnect => "The service cannot be reached",
            Rejection::UpstreamTls => "No secure connection to the service can be made",
            Rejection::UpstreamReset => "The service ended the connection before its answer was complete",
            Rejection::UpstreamMalformed => "The service's answer is malformed",
            Rejection::UpstreamTimeout => "The service took too long to answer",
            Rejection::Deadline => "The request took too long to answer",
            Rejection::UpstreamBusy => "The service is overloaded",
            Rejection::CircuitOpen { .. } => "The service is not available at present",
            Rejection::CallUnfilled(_) => "The request lacks a value that is needed",
            Rejection::CallFailed => "A service that is needed for the answer failed",
            Rejection::CallTimeout => "A service that is needed for the answer took too long",
            Rejection::CallStatus(_) => "A service that is needed for the answer refused",
            Rejection::Fault(_) => "The request failed on purpose",
        }
    }

    /// The response: problem+json (RFC 9457) with the exchange's id, and nothing about the inside.
    pub(crate) fn reply(&self, id: ExchangeId) -> Reply {
        let status = self.status();
        let mut problem = json!({
            "type": "about:blank",
            "title": self.title(),
            "status": status.as_u16(),
            "code": self.outcome(),
            "id": id.to_string(),
        });
        if let Rejection::BadRequest(detail) = self {
            problem["detail"] = json!(detail);
        }
        if let Rejection::CallUnfilled(detail) = self {
            problem["detail"] = json!(detail);
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Rejection::MethodNotAllowed(allow) => {
                headers.insert(header::ALLOW, allow.clone());
            }
            Rejection::FilterQuarantined { retry_after } | Rejection::CircuitOpen { retry_after } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs() + 1));
            }
            Rejection::Overloaded | Rejection::UpstreamBusy => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(1));
            }
            _ => {}
        }
        Reply {
            status,
            headers,
            body: Bytes::from(problem.to_string()),
        }
    }

    /// The same for a client that speaks gRPC, with the id in the message.
    pub(crate) fn grpc_reply(&self, dialect: Dialect, id: ExchangeId) -> Reply {
        let message = format!("{} ({}, {id})", self.title(), self.outcome());
        grpc::refusal(dialect, self.grpc_code(), &message, HeaderMap::new())
    }

    /// The code for a gRPC call: that of the status, but for failures that gRPC has a code of its own for.
    fn grpc_code(&self) -> u16 {
        match self {
            Rejection::Deadline => 4,
            Rejection::BodyTooLarge | Rejection::HeadersTooLarge | Rejection::ResponseTooLarge => 8,
            _ => grpc::code_of(self.status()),
        }
    }
}

/// How an exchange ended: the closed list of the access log's `outcome`, with the [`Rejection`]s' words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The backend answered and the client has all of it.
    Ok,
    /// A filter answered.
    Replied,
    /// A redirect route answered.
    Redirected,
    /// A fixed response was given.
    Responded,
    /// It went on in another protocol, and both sides have ended it.
    Upgraded,
    /// The client went away before it had all of the answer.
    ClientGone,
    /// The answer broke off after its head had been sent; the word says why.
    Broken(&'static str),
    /// The gateway answered for itself.
    Rejected(&'static str),
}

/// The status in the log for a client that left before there was one, as nginx counts it.
pub const CLIENT_GONE: u16 = 499;

impl Outcome {
    /// The word in the access log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Replied => "replied",
            Outcome::Redirected => "redirected",
            Outcome::Responded => "responded",
            Outcome::Upgraded => "upgraded",
            Outcome::ClientGone => "client-gone",
            Outcome::Broken(word) | Outcome::Rejected(word) => word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_a_problem_that_names_the_exchange() {
        let id = ExchangeId::draw();

        let reply = Rejection::BadRequest("two Host fields").reply(id);

        let problem: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(reply.status, 400);
        assert_eq!(problem["id"], id.to_string());
        assert_eq!(problem["code"], "bad-request");
        assert_eq!(problem["detail"], "two Host fields");
    }

    #[test]
    fn a_grpc_call_is_refused_in_trailers_with_its_own_code() {
        let id = ExchangeId::draw();
        for (rejection, status) in [
            (Rejection::NoRoute, "12"),
            (Rejection::Deadline, "4"),
            (Rejection::UpstreamTimeout, "14"),
            (Rejection::BodyTooLarge, "8"),
            (Rejection::FilterFailed, "2"),
            (Rejection::Fault(StatusCode::FORBIDDEN), "7"),
        ] {
            let reply = rejection.grpc_reply(Dialect::Native, id);
            assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b""[..]));
            assert_eq!(reply.headers["grpc-status"], status, "{rejection:?}");
            let message = reply.headers["grpc-message"].to_str().unwrap();
            assert!(message.contains(&id.to_string()), "{message}");
        }
    }

    #[test]
    fn a_wrong_method_learns_the_right_ones() {
        let allow = HeaderValue::from_static("GET, HEAD");
        let reply = Rejection::MethodNotAllowed(allow.clone()).reply(ExchangeId::draw());
        assert_eq!(reply.headers[header::ALLOW], allow);
    }
}
