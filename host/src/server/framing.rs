//! Where each message of an HTTP/1 connection begins and ends, read strictly and before the parser sees a byte: whatever two
//! parsers could disagree on is refused here (RFC 9112 sections 2.2, 5.1, 5.2, 6.1, 6.3 and 7.1; RFC 9110 section 8.6).

use memchr::{memchr, memchr2};

/// Follows the bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    /// The line at hand, as far as it came with earlier reads.
    partial: Vec<u8>,
    head: Head,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    RequestLine,
    Field,
    Body(u64),
    ChunkSize,
    /// What is left of a chunk, its line end included.
    Chunk(u64),
    Trailer,
}

/// What the head at hand says of its body.
#[derive(Debug, Default, Clone, Copy)]
struct Head {
    length: Option<u64>,
    chunked: bool,
    host: bool,
    old: bool,
}

/// Why a connection cannot be followed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// In a head, for the client's eyes: no exchange has begun.
    Head(&'static str),
    /// In a body: the exchange that reads it is told.
    Body(&'static str),
}

/// Bytes of a line at most; the limits on heads are the parser's and lower.
const LONGEST_LINE: usize = 64 << 10;
/// Bytes of a chunk's line at most, extensions included.
const LONGEST_CHUNK_LINE: usize = 256;

impl Framing {
    /// Follows more bytes.
    ///
    /// # Errors
    ///
    /// At the first byte that makes the message ambiguous or malformed.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Body(left) => {
                    let taken = left.min(bytes.len() as u64);
                    self.state = if taken == left { State::RequestLine } else { State::Body(left - taken) };
                    &bytes[taken as usize..]
                }
                State::Chunk(left) => {
                    let taken = left.min(bytes.len() as u64);
                    // The last two bytes are the line end.
                    let end = &bytes[..taken as usize];
                    let data = left.saturating_sub(2).min(taken) as usize;
                    let wanted = &b"\r\n"[2 - (left.min(2) as usize)..];
                    if !wanted.starts_with(&end[data..]) {
                        return Err(Malformed::Body("a chunk is longer than its size"));
                    }
                    self.state = if taken == left { State::ChunkSize } else { State::Chunk(left - taken) };
                    &bytes[taken as usize..]
                }
                _ => self.line(bytes)?,
            };
        }
        Ok(())
    }

    /// Takes one line, or what there is of it, and gives the rest.
    fn line<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Malformed> {
        let longest = if self.state == State::ChunkSize { LONGEST_CHUNK_LINE } else { LONGEST_LINE };
        let Some(end) = memchr(b'\n', bytes) else {
            if self.partial.len() + bytes.len() > longest {
                return Err(self.wrong("a line is too long"));
            }
            self.partial.extend_from_slice(bytes);
            return Ok(&[]);
        };
        let (line, rest) = bytes.split_at(end + 1);
        if self.partial.is_empty() {
            self.take(line)?;
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(line);
            self.take(&whole)?;
            whole.clear();
            self.partial = whole;
        }
        Ok(rest)
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(self.wrong("a line ends without a carriage return"));
        };
        if memchr2(b'\r', 0, line).is_some() {
            return Err(self.wrong("a line holds a carriage return or NUL"));
        }
        match self.state {
            // Empty lines before a request are from clients that end their bodies with one (RFC 9112 section 2.2).
            State::RequestLine if line.is_empty() => {}
            State::RequestLine => {
                self.head = Head { old: line.ends_with(b"HTTP/1.0"), ..Head::default() };
                self.state = State::Field;
            }
            State::Field if line.is_empty() => self.state = self.after_head()?,
            State::Field => self.head.field(line).map_err(Malformed::Head)?,
            State::ChunkSize => {
                self.state = match chunk_size(line).ok_or(Malformed::Body("a chunk's size is malformed"))? {
                    0 => State::Trailer,
                    size => State::Chunk(size + 2),
                }
            }
            State::Trailer if line.is_empty() => self.state = State::RequestLine,
            State::Trailer | State::Body(_) | State::Chunk(_) => {}
        }
        Ok(())
    }

    fn after_head(&self) -> Result<State, Malformed> {
        match self.head {
            Head { chunked: true, length: Some(_), .. } => {
                Err(Malformed::Head("Transfer-Encoding and Content-Length exclude each other"))
            }
            Head { chunked: true, old: true, .. } => Err(Malformed::Head("HTTP/1.0 has no Transfer-Encoding")),
            Head { chunked: true, .. } => Ok(State::ChunkSize),
            Head { length: Some(length @ 1..), .. } => Ok(State::Body(length)),
            _ => Ok(State::RequestLine),
        }
    }

    fn wrong(&self, what: &'static str) -> Malformed {
        match self.state {
            State::RequestLine | State::Field => Malformed::Head(what),
            _ => Malformed::Body(what),
        }
    }
}

impl Head {
    fn field(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err("a field is folded over lines");
        }
        let Some(colon) = memchr(b':', line) else { return Err("a field has no colon") };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || name.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
            return Err("a field's name is empty or holds a space");
        }
        // By length first: only three names matter, and most fields are none of them.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if std::mem::replace(&mut self.host, true) {
                    return Err("more than one Host field");
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = decimal(value).ok_or("Content-Length is not a number")?;
                if self.length.replace(length).is_some() {
                    return Err("more than one Content-Length field");
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err("Transfer-Encoding may only be `chunked`, once");
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Digits and nothing else: no sign, no list, no white space between.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// `1A` or `1A;extension`: the size of a chunk (RFC 9112 section 7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = &line[..memchr(b';', line).unwrap_or(line.len())];
    // White space before an extension is allowed by the grammar, and read by nobody in the same way.
    if size.is_empty() || size.len() > 15 || !size.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict must be the same however the bytes are split.
    fn verdict(bytes: &[u8]) -> Result<(), Malformed> {
        let whole = Framing::default().follow(bytes);
        for size in [1, 2, 3, 7] {
            let mut framing = Framing::default();
            let split = bytes.chunks(size).try_for_each(|part| framing.follow(part));
            assert_eq!(split, whole, "in parts of {size}");
        }
        whole
    }

    #[test]
    fn messages_one_after_the_other_are_followed() {
        let bytes = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
            POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\nhel\r\n\r\n1\r\n!\r\n0\r\nT: 1\r\n\r\n\r\n\
            GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut framing = Framing::default();
        assert_eq!(framing.follow(bytes), Ok(()));
        assert_eq!(framing.state, State::RequestLine);
        assert_eq!(verdict(bytes), Ok(()));
    }

    #[test]
    fn what_parsers_disagree_on_is_refused() {
        for fields in [
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1, 1",
            "Content-Length: +1",
            "Content-Length: 0x1",
            "Content-Length: ",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding : chunked",
            "X: 1\r\n folded",
            "X: 1\nY: 2",
            "X: a\rb",
            "X: a\0b",
            "Host: a\r\nHost: a",
            "no colon",
            ": no name",
        ] {
            let message = format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
            assert!(matches!(verdict(message.as_bytes()), Err(Malformed::Head(_))), "{fields:?}");
        }
        assert!(verdict(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_have_one_form() {
        for body in ["5\nhello\r\n", "5 \r\nhello\r\n", "+5\r\nhello\r\n", "5\r\nhello!\r\n", "5\r\nhello\n", "g\r\n", "\r\n"] {
            let message = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            assert!(matches!(verdict(message.as_bytes()), Err(Malformed::Body(_))), "{body:?}");
        }
        let endless = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;{}\r\n", "x".repeat(1000));
        assert!(verdict(&endless.as_bytes()[..endless.len() - 2]).is_err());
    }
}
