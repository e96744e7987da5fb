//! What the gateway must know of gRPC: which requests are calls, how long they may take, how a refusal is told.
//! (`PROTOCOL-HTTP2.md` of the gRPC project.)

mod dialect;
mod refusal;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) use self::dialect::Dialect;
pub(crate) use self::refusal::{code_of, refusal, translated};

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The status code UNAVAILABLE.
const UNAVAILABLE: &[u8] = b"14";

/// Whether an answer's head is all of it, and says UNAVAILABLE.
pub(crate) fn is_unavailable(headers: &HeaderMap) -> bool {
    headers
        .get(GRPC_STATUS)
        .is_some_and(|status| status.as_bytes() == UNAVAILABLE)
}

/// How long the caller waits, where it says so.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Says how long the call may take.
pub(crate) fn set_timeout(headers: &mut HeaderMap, timeout: Duration) {
    let milliseconds = timeout.as_millis().max(1);
    // At most eight digits.
    let text = if milliseconds < 100_000_000 {
        format!("{milliseconds}m")
    } else {
        format!("{}S", timeout.as_secs().min(99_999_999))
    };
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(GRPC_TIMEOUT, value);
    }
}

/// A text as `grpc-message` has it: percent-encoded but for what is printable ASCII.
pub(crate) fn message(text: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::try_from(encoded).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn timeouts_are_read_as_written() {
        for (text, milliseconds) in [
            ("100m", Some(100)),
            ("2S", Some(2_000)),
            ("1H", Some(3_600_000)),
            ("99999999n", Some(99)),
            ("123456789m", None),
            ("5", None),
            ("m", None),
            ("-1S", None),
            ("+1S", None),
            ("", None),
        ] {
            let read = timeout(&with(GRPC_TIMEOUT, text)).map(|timeout| timeout.as_millis());
            assert_eq!(read, milliseconds, "{text}");
        }
    }

    #[test]
    fn timeouts_are_written_so_that_they_can_be_read() {
        for (timeout, text) in [
            (Duration::from_millis(1_500), "1500m"),
            (Duration::ZERO, "1m"),
            (Duration::from_secs(100_000), "100000S"),
        ] {
            let mut headers = HeaderMap::new();
            set_timeout(&mut headers, timeout);
            assert_eq!(headers[GRPC_TIMEOUT], text);
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(message("100 % größer\n"), "100 %25 gr%C3%B6%C3%9Fer%0A");
    }
}
