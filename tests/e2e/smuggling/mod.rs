//! Messages that two servers may take for different ones, from the literature on request smuggling: sent as raw bytes,
//! each is either refused, or forwarded in the one canonical form that is written beside it, byte by byte.
//!
//! Each message is followed, in the same write, by a canary: a request that may be swallowed, answered twice, or be taken
//! for the message's own answer where anything of the message is left over. Another canary follows on a fresh connection,
//! which finds what was left over on the gateway's connection to the upstream.

mod chunks;
mod codings;
mod connection;
mod fields;
mod hosts;
mod http2;
mod lengths;
mod methods;
mod request_lines;

use std::fmt::Write;

use portcullis_tests::{Gateway, StrictUpstream};

/// A message, and what must come of it.
struct Message {
    bytes: Vec<u8>,
    expected: Expected,
}

enum Expected {
    /// Answered with this status, and the connection closed; the upstream sees nothing.
    Refused(u16),
    /// The body is malformed: answered with this status, and the connection closed; the upstream may have seen the
    /// beginning, and never a whole message.
    BrokenOff(u16),
    /// Forwarded as exactly these bytes.
    Forwarded(Vec<u8>),
    /// The same, and the connection is closed after the answer.
    ForwardedLast(Vec<u8>),
}

fn refused(status: u16, bytes: impl AsRef<[u8]>) -> Message {
    message(bytes, Expected::Refused(status))
}

fn broken_off(status: u16, bytes: impl AsRef<[u8]>) -> Message {
    message(bytes, Expected::BrokenOff(status))
}

fn forwarded(bytes: impl AsRef<[u8]>, as_bytes: impl AsRef<[u8]>) -> Message {
    message(bytes, Expected::Forwarded(with_own(as_bytes.as_ref())))
}

fn forwarded_last(bytes: impl AsRef<[u8]>, as_bytes: impl AsRef<[u8]>) -> Message {
    message(bytes, Expected::ForwardedLast(with_own(as_bytes.as_ref())))
}

fn message(bytes: impl AsRef<[u8]>, expected: Expected) -> Message {
    let bytes = bytes.as_ref().to_owned();
    Message { bytes, expected }
}

/// A GET of `/` from `a`, with these field lines.
fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nhost: a\r\n", fields.as_ref(), b"\r\n\r\n"].concat()
}

/// A POST to `/` of `a`, with these field lines and this body.
fn post(fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    [
        b"POST / HTTP/1.1\r\nhost: a\r\n",
        fields.as_ref(),
        b"\r\n\r\n",
        body.as_ref(),
    ]
    .concat()
}

/// A POST with this chunked body.
fn chunked(body: impl AsRef<[u8]>) -> Vec<u8> {
    post("transfer-encoding: chunked", body)
}

/// What the upstream gets of a chunked POST.
fn as_chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n<own>transfer-encoding: chunked\r\n\r\n{body}")
}

/// What the upstream gets of a POST of `hello`.
const HELLO: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n<own>\r\nhello";

/// What the upstream gets of a GET.
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n<own>\r\n";

/// Puts the fields that the gateway adds of its own in the place of `<own>`.
fn with_own(bytes: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).expect("text");
    assert!(text.contains("<own>"), "{text:?}");
    let (_, after) = text.split_once("host: ").expect("a host");
    let (host, _) = after.split_once("\r\n").expect("a line");
    let own = format!(
        "via: 1.1 portcullis\r\nx-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1;host=\"{host}\";proto=http\r\n\
         x-forwarded-host: {host}\r\nx-forwarded-proto: http\r\n"
    );
    text.replace("<own>", &own).into_bytes()
}

/// Sends each of the messages, at least so many, and compares all that comes of it.
async fn hold(least: usize, messages: Vec<Message>) {
    assert!(messages.len() >= least, "only {} messages", messages.len());
    let upstream = StrictUpstream::start().await;
    let gateway = Gateway::start(format!(
        "log.level = 'debug'\n{}",
        Gateway::proxying_configuration(upstream.upstream())
    ))
    .await;
    let mut wrong = String::new();
    for message in &messages {
        if let Err(what) = check(&gateway, &upstream, message).await {
            writeln!(wrong, "{}\n    {what}", message.bytes.escape_ascii()).expect("memory");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

const SAME: &str = "GET /same HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const FRESH: &str = "GET /fresh HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

async fn check(gateway: &Gateway, upstream: &StrictUpstream, message: &Message) -> Result<(), String> {
    let mut client = gateway.raw().await;
    client.send([&message.bytes, SAME.as_bytes()].concat()).await;
    let answers = statuses(&client.read_to_end().await);
    let fresh = statuses(&gateway.raw().await.answer_to(FRESH).await);
    let received = upstream.take();

    let canary = |name: &str| with_own(format!("GET /{name} HTTP/1.1\r\nhost: a\r\n<own>\r\n").as_bytes());
    let (expected, mut whole) = match &message.expected {
        Expected::Refused(status) | Expected::BrokenOff(status) => (vec![*status], vec![]),
        Expected::Forwarded(bytes) => (vec![200, 200], vec![bytes.clone(), canary("same")]),
        Expected::ForwardedLast(bytes) => (vec![200], vec![bytes.clone()]),
    };
    whole.push(canary("fresh"));
    let mut wrong = Vec::new();
    if answers != expected {
        wrong.push(format!("answered {answers:?} instead of {expected:?}"));
    }
    if fresh != [200] {
        wrong.push(format!("a fresh connection was answered {fresh:?}"));
    }
    if !received.odd.is_empty() {
        wrong.push(format!(
            "the upstream received what is not canonical: {:?}",
            received.odd
        ));
    }
    if !received.broken.is_empty() && !matches!(message.expected, Expected::BrokenOff(_)) {
        wrong.push(format!(
            "the upstream received parts of {} messages",
            received.broken.len()
        ));
    }
    if received.whole != whole {
        let shown = |messages: &[Vec<u8>]| {
            let each = messages.iter().map(|bytes| format!("\n      {}", bytes.escape_ascii()));
            each.collect::<String>()
        };
        wrong.push(format!(
            "the upstream received{}\n    instead of{}",
            shown(&received.whole),
            shown(&whole)
        ));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n    "))
    }
}

/// The statuses of the responses in a text.
fn statuses(text: &str) -> Vec<u16> {
    let after = text.split("HTTP/1.").skip(1);
    after.filter_map(|text| text.get(2..5)?.parse().ok()).collect()
}
