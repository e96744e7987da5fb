//! `grpc.health.v1.Health/Check`, as <https://grpc.io/docs/guides/health-checking/> has it.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use prost::Message;

use super::probe::ProbeError;

/// What is called.
pub(super) const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Bytes of an answer at most: it has three.
const LIMIT: usize = 4 << 10;

/// Before each message: a byte that says whether it is compressed, and its length.
const PREFIX: usize = 5;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

/// The body of a call that asks for a service; `""` is the server as a whole.
pub(super) fn request(service: &str) -> Bytes {
    let message = HealthCheckRequest {
        service: service.to_owned(),
    };
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    framed.put_slice(&message.encode_to_vec());
    framed.freeze()
}

/// Whether an answer says that the service serves.
pub(super) async fn judge(response: Response<Incoming>) -> Result<(), ProbeError> {
    let (head, body) = response.into_parts();
    if head.status != 200 {
        return Err(ProbeError::Status(head.status.as_u16()));
    }
    // An answer that is an error has no body, and its status in the head.
    if head.headers.contains_key("grpc-status") {
        status(&head.headers)?;
    }
    let body = Limited::new(body, LIMIT).collect().await;
    let body = body.map_err(|_| ProbeError::Malformed)?;
    status(body.trailers().unwrap_or(&head.headers))?;
    let framed = body.to_bytes();
    let message = framed.get(PREFIX..).filter(|_| framed.first() == Some(&0));
    let answer = message.and_then(|message| HealthCheckResponse::decode(message).ok());
    match answer.ok_or(ProbeError::Malformed)?.status() {
        ServingStatus::Serving => Ok(()),
        ServingStatus::NotServing => Err(ProbeError::NotServing("not serving")),
        ServingStatus::Unknown | ServingStatus::ServiceUnknown => Err(ProbeError::NotServing("unknown")),
    }
}

fn status(fields: &HeaderMap) -> Result<(), ProbeError> {
    let status = fields.get("grpc-status").ok_or(ProbeError::Malformed)?;
    if status == "0" {
        return Ok(());
    }
    let text = String::from_utf8_lossy(status.as_bytes());
    Err(ProbeError::GrpcStatus(text.chars().take(8).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_framed_message() {
        assert_eq!(&request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    }

    #[test]
    fn a_status_is_needed_and_must_be_good() {
        let fields =
            |status: &'static str| HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
        assert!(status(&fields("0")).is_ok());
        assert!(matches!(status(&fields("12")), Err(ProbeError::GrpcStatus(code)) if code == "12"));
        assert!(matches!(status(&HeaderMap::new()), Err(ProbeError::Malformed)));
    }
}
