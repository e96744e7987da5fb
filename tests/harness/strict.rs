//! An upstream that reads HTTP/1.1 as strictly as one can, and keeps every byte.

use std::fmt;
use std::mem::take;
use std::sync::{Arc, Mutex};

use crate::{Raw, Upstream};

/// Answers each request that is in the one canonical form with 200 and `ok`, and records it byte by byte. What is in any
/// other form is recorded as [odd](Received::odd), and its connection closed.
///
/// Canonical: names in lower case, one space after the colon, one `host`, at most one of `content-length` (digits, no
/// leading zero) and `transfer-encoding: chunked`, chunks without extensions, nothing that belongs to a connection.
#[derive(Debug)]
pub struct StrictUpstream {
    upstream: Upstream,
    received: Arc<Mutex<Received>>,
}

/// What came in.
#[derive(Debug, Default)]
pub struct Received {
    /// Whole messages.
    pub whole: Vec<Vec<u8>>,
    /// What there was of messages whose connection ended before they did.
    pub broken: Vec<Vec<u8>>,
    /// What is in no canonical form, and why.
    pub odd: Vec<String>,
}

impl StrictUpstream {
    /// Starts it on a port that the system chooses.
    pub async fn start() -> Self {
        let received: Arc<Mutex<Received>> = Arc::default();
        let record = received.clone();
        let upstream = Upstream::raw(move |socket| serve(socket, record.clone())).await;
        StrictUpstream { upstream, received }
    }

    /// What came in since this was asked last.
    pub fn take(&self) -> Received {
        take(&mut *self.received.lock().expect("what was received"))
    }

    /// The upstream itself.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }
}

impl fmt::Display for StrictUpstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.upstream.fmt(formatter)
    }
}

async fn serve(mut socket: Raw, received: Arc<Mutex<Received>>) {
    loop {
        match length(socket.unread()) {
            Ok(Some(length)) => {
                let message: Vec<u8> = socket.unread().drain(..length).collect();
                let answer = if message.starts_with(b"HEAD ") { "" } else { "ok" };
                received.lock().expect("what was received").whole.push(message);
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{answer}");
                socket.send(answer).await;
            }
            Ok(None) if socket.read_some().await => {}
            Ok(None) => {
                let rest = take(socket.unread());
                if !rest.is_empty() {
                    received.lock().expect("what was received").broken.push(rest);
                }
                return;
            }
            Err(why) => {
                let message = format!("{why}: {}", socket.unread().escape_ascii());
                received.lock().expect("what was received").odd.push(message);
                return;
            }
        }
    }
}

/// The length of the first message, once it is whole.
fn length(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default();
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let parts: Vec<&str> = start.split(' ').collect();
    if !matches!(parts[..], [method, target, "HTTP/1.1"] if visible(method) && visible(target)) {
        return Err("the request line is not canonical");
    }
    let (mut length, mut chunked, mut hosts) = (None, false, 0);
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or("a field line is not canonical")?;
        let is_name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err("a name is not canonical");
        }
        if value.trim_ascii() != value || value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err("a value is not canonical");
        }
        match name {
            "host" => hosts += 1,
            "content-length" if length.is_some() || (value.len() > 1 && value.starts_with('0')) => {
                return Err("a length is not canonical");
            }
            "content-length" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                length = Some(value.parse::<usize>().map_err(|_| "a length is not a number")?);
            }
            "transfer-encoding" if value == "chunked" && !chunked => chunked = true,
            "te" if value == "trailers" => {}
            "content-length"
            | "transfer-encoding"
            | "te"
            | "connection"
            | "keep-alive"
            | "upgrade"
            | "expect"
            | "proxy-connection"
            | "http2-settings"
            | "proxy-authorization" => {
                return Err("a field has no business here");
            }
            _ => {}
        }
    }
    if hosts != 1 {
        return Err("there is not one host");
    }
    match (length, chunked) {
        (Some(_), true) => Err("there are two lengths"),
        (None, true) => chunks(&bytes[end + 4..]).map(|length| Some(end + 4 + length?)),
        (length, false) => Ok(Some(end + 4 + length.unwrap_or(0)).filter(|all| *all <= bytes.len())),
    }
}

/// The length of a chunked body, once it is whole.
fn chunks(body: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut at = 0;
    loop {
        let Some(line) = body[at..].windows(2).position(|window| window == b"\r\n") else {
            return Ok(None);
        };
        let digits = &body[at..at + line];
        let digits = std::str::from_utf8(digits).map_err(|_| "a chunk's size is not canonical")?;
        let canonical =
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && (digits == "0" || !digits.starts_with('0'));
        let size = usize::from_str_radix(digits, 16).map_err(|_| "a chunk's size is no number")?;
        if !canonical {
            return Err("a chunk's size is not canonical");
        }
        at += line + 2;
        if size == 0 {
            // Trailers, and the empty line.
            return Ok(if body[at..].starts_with(b"\r\n") {
                Some(at + 2)
            } else {
                let end = body[at..].windows(4).position(|window| window == b"\r\n\r\n");
                end.map(|end| at + end + 4)
            });
        }
        match body.get(at + size..at + size + 2) {
            None => return Ok(None),
            Some(b"\r\n") => at += size + 2,
            Some(_) => return Err("a chunk is not ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn only_the_canonical_form_is_read() {
        let post =
            |fields: &str, body: &str| length(format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n{body}").as_bytes());
        assert_eq!(post("", ""), Ok(Some(28)));
        assert_eq!(post("content-length: 5\r\n", "hello"), Ok(Some(52)));
        assert_eq!(post("content-length: 5\r\n", "hell"), Ok(None));
        assert_eq!(
            post("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            Ok(Some(71))
        );
        assert_eq!(post("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n"), Ok(None));
        for fields in [
            "content-length: 05\r\n",
            "content-length: +5\r\n",
            "content-length: 5\r\ncontent-length: 5\r\n",
            "Content-Length: 5\r\n",
            "content-length:5\r\n",
            "transfer-encoding: Chunked\r\n",
            "host: b\r\n",
            "x : 1\r\n",
            "connection: close\r\n",
        ] {
            assert!(post(fields, "hello").is_err(), "{fields:?}");
        }
        assert!(post("transfer-encoding: chunked\r\n", "05\r\nhello\r\n0\r\n\r\n").is_err());
        assert!(post("transfer-encoding: chunked\r\n", "5;a\r\nhello\r\n0\r\n\r\n").is_err());
    }
}
