//! Where each message of an HTTP/1 connection begins and ends, read strictly and before the parser sees a byte: whatever two
//! parsers could disagree on is refused here (RFC 9112 sections 2.2, 5.1, 5.2, 6.1, 6.3 and 7.1; RFC 9110 section 8.6).

// Long because half of it is tests of what must be refused.

use memchr::{memchr, memchr2, memchr3};

use crate::rejection::Rejection;

/// Follows the bytes of one connection.
#[derive(Debug)]
pub(crate) struct Framing {
    state: State,
    /// Bytes of a head at most.
    header_size: usize,
    /// Bytes that the head, chunk's line or trailers at hand may still have.
    room: usize,
    /// The line at hand, as far as it came with earlier reads.
    partial: Vec<u8>,
    head: Head,
    malformed: Option<Malformed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RequestLine,
    Field,
    Body(u64),
    ChunkSize,
    /// What is left of a chunk, its line end included.
    Chunk(u64),
    Trailer,
    /// A head has asked for another protocol: what follows is in one or the other, and not looked at until that is known.
    Held,
}

/// What the head at hand says of its body.
#[derive(Debug, Default, Clone, Copy)]
struct Head {
    length: Option<u64>,
    chunked: bool,
    host: bool,
    old: bool,
    upgrade: bool,
}

/// Why a connection cannot be followed any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// In a head: no exchange has begun, so this is what the client is told.
    Head(Rejection),
    /// In a body: the exchange that reads it is told.
    Body(&'static str),
}

/// Bytes of a chunk's line at most, extensions included.
const LONGEST_CHUNK_LINE: usize = 256;

impl Framing {
    /// For heads of so many bytes at most.
    pub(crate) fn new(header_size: usize) -> Framing {
        Framing {
            state: State::RequestLine,
            header_size,
            room: header_size,
            partial: Vec::new(),
            head: Head::default(),
            malformed: None,
        }
    }

    /// Whether a head has begun and is not complete.
    pub(crate) fn in_head(&self) -> bool {
        match self.state {
            State::RequestLine => !self.partial.is_empty(),
            state => state == State::Field,
        }
    }

    /// Whether a body has begun and is not complete.
    pub(crate) fn in_body(&self) -> bool {
        !matches!(self.state, State::RequestLine | State::Field | State::Held)
    }

    /// Whether the last head has asked for another protocol, and nothing after it is followed.
    pub(crate) fn is_held(&self) -> bool {
        self.state == State::Held
    }

    /// The protocol stays as it is: what follows is a request.
    pub(crate) fn resume(&mut self) {
        self.enter(State::RequestLine);
    }

    /// What is wrong with the bytes that came, once something is.
    pub(crate) fn malformed(&self) -> Option<&Malformed> {
        self.malformed.as_ref()
    }

    /// Follows more bytes. How many of them the parser may see: all, or those before the line or chunk that makes the
    /// connection [malformed](Framing::malformed), and none from there on; or those of a head after which it is
    /// [held](Framing::is_held).
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && self.malformed.is_none() && !self.is_held() {
            match self.step(rest) {
                Ok(left) => rest = left,
                Err(malformed) => self.malformed = Some(malformed),
            }
        }
        bytes.len() - rest.len()
    }

    /// Takes one line, body or chunk, or what there is of it, and gives what follows.
    fn step<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Malformed> {
        Ok(match self.state {
            State::Body(left) => {
                let taken = left.min(bytes.len() as u64);
                self.enter(if taken == left {
                    State::RequestLine
                } else {
                    State::Body(left - taken)
                });
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
                self.enter(if taken == left {
                    State::ChunkSize
                } else {
                    State::Chunk(left - taken)
                });
                &bytes[taken as usize..]
            }
            _ => self.line(bytes)?,
        })
    }

    /// Takes one line, or what there is of it.
    fn line<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Malformed> {
        // Nearly every line is here whole and ends as it should: one search finds its end and that nothing odd is before it.
        if self.partial.is_empty()
            && let Some(end) = memchr3(b'\r', b'\n', 0, bytes)
            && bytes[end..].starts_with(b"\r\n")
        {
            self.count(end + 2)?;
            self.take(&bytes[..end])?;
            return Ok(&bytes[end + 2..]);
        }
        self.odd_line(bytes)
    }

    /// Takes a line that has come in parts, or that is not ended as it should be.
    fn odd_line<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Malformed> {
        let end = memchr(b'\n', bytes);
        let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        self.count(line.len())?;
        self.partial.extend_from_slice(line);
        if end.is_some() {
            let mut whole = std::mem::take(&mut self.partial);
            let Some(line) = whole.strip_suffix(b"\r\n") else {
                return Err(self.wrong("a line ends without a carriage return"));
            };
            if memchr2(b'\r', 0, line).is_some() {
                return Err(self.wrong("a line holds a carriage return or NUL"));
            }
            self.take(line)?;
            whole.clear();
            self.partial = whole;
        }
        Ok(rest)
    }

    /// Counts the bytes of a line, or of a part of one.
    fn count(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.room = self.room.checked_sub(bytes).ok_or_else(|| self.too_long())?;
        Ok(())
    }

    /// Takes a whole line, without its end.
    fn take(&mut self, line: &[u8]) -> Result<(), Malformed> {
        match self.state {
            // Empty lines before a request are from clients that end their bodies with one (RFC 9112 section 2.2).
            State::RequestLine if line.is_empty() => {}
            State::RequestLine => {
                check_request_line(line).map_err(malformed_head)?;
                self.head = Head {
                    old: line.ends_with(b"HTTP/1.0"),
                    ..Head::default()
                };
                self.enter(State::Field);
            }
            State::Field if line.is_empty() => {
                let after = self.head.body().map_err(malformed_head)?;
                self.enter(after);
            }
            State::Field => self.head.field(line).map_err(malformed_head)?,
            State::ChunkSize => {
                let size = chunk_size(line).ok_or(Malformed::Body("a chunk's size is malformed"))?;
                self.enter(if size == 0 {
                    State::Trailer
                } else {
                    State::Chunk(size + 2)
                });
            }
            State::Trailer if line.is_empty() => self.enter(State::RequestLine),
            State::Trailer | State::Body(_) | State::Chunk(_) | State::Held => {}
        }
        Ok(())
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        match state {
            // Still the same head.
            State::Field => {}
            State::ChunkSize => self.room = LONGEST_CHUNK_LINE,
            _ => self.room = self.header_size,
        }
    }

    fn wrong(&self, what: &'static str) -> Malformed {
        if self.in_body() {
            Malformed::Body(what)
        } else {
            malformed_head(what)
        }
    }

    fn too_long(&self) -> Malformed {
        match self.state {
            State::RequestLine => Malformed::Head(Rejection::UriTooLong),
            State::Field => Malformed::Head(Rejection::HeadersTooLarge),
            _ => Malformed::Body("a chunk's line or the trailers are too long"),
        }
    }
}

/// `method SP request-target SP HTTP-version` and nothing else (RFC 9112 section 3). A fragment is no part of a target.
fn check_request_line(line: &[u8]) -> Result<(), &'static str> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("the request line is not a method, a target and a version with single spaces between");
    };
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if method.is_empty() || !method.iter().all(is_token) {
        return Err("the method is not a token");
    }
    if target.is_empty() || target.iter().any(|byte| *byte == b'#' || !byte.is_ascii_graphic()) {
        return Err("the request target holds a byte that must be percent-encoded");
    }
    if !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
        return Err("the version is not one that is spoken here");
    }
    Ok(())
}

fn malformed_head(what: &'static str) -> Malformed {
    Malformed::Head(Rejection::BadRequest(what))
}

impl Head {
    /// What follows a head.
    fn body(&self) -> Result<State, &'static str> {
        match self {
            Head {
                chunked: true,
                length: Some(_),
                ..
            } => Err("Transfer-Encoding and Content-Length exclude each other"),
            Head {
                chunked: true,
                old: true,
                ..
            } => Err("HTTP/1.0 has no Transfer-Encoding"),
            Head { chunked: true, .. } => Ok(State::ChunkSize),
            Head {
                length: Some(length @ 1..),
                ..
            } => Ok(State::Body(*length)),
            Head {
                upgrade: true,
                old: false,
                ..
            } => Ok(State::Held),
            _ => Ok(State::RequestLine),
        }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err("a field is folded over lines");
        }
        let Some(colon) = name_end(line).filter(|end| *end > 0 && line[*end] == b':') else {
            return Err(match memchr(b':', line) {
                None => "a field has no colon",
                Some(_) => "a field's name is empty or holds a space",
            });
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        // By length first: only four names matter, and most fields are none of them.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") && std::mem::replace(&mut self.host, true) => {
                return Err("more than one Host field");
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = decimal(value.trim_ascii()).ok_or("Content-Length is not a number")?;
                if self.length.replace(length).is_some() {
                    return Err("more than one Content-Length field");
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err("Transfer-Encoding may only be `chunked`, once");
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Where the first byte is that ends a field's name, or may not be in it: a colon or white space.
///
/// Names are short, so that to set up a search takes longer than to look; eight bytes are looked at in one word. A byte of it
/// is zero where the byte is the one that is looked for, and the lowest that is found is right ("Hacker's Delight", 6-1).
fn name_end(line: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let mut at = 0;
    while let Some(eight) = line[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        let ends = b":\x20\t".map(|end| zeros(word ^ (ONES * u64::from(end))));
        let ends = ends[0] | ends[1] | ends[2];
        if ends != 0 {
            return Some(at + (ends.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let end = line[at..].iter().position(|byte| matches!(byte, b':' | b' ' | b'\t'));
    end.map(|end| at + end)
}

/// Digits and nothing else: no sign, no list, no white space between, and no zeros before, which some read as octal.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    let zeros = value.len() > 1 && value.starts_with(b"0");
    if zeros || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// `1A` or `1A;extension`: the size of a chunk (RFC 9112 section 7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let (size, extension) = line.split_at(memchr(b';', line).unwrap_or(line.len()));
    if extension.iter().any(u8::is_ascii_control) {
        return None;
    }
    // White space before an extension is allowed by the grammar, and read by nobody in the same way.
    if size.is_empty() || size.len() > 15 || !size.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_where_its_first_colon_or_white_space_is() {
        for before in 0..20 {
            for end in [b':', b' ', b'\t'] {
                for after in [&b""[..], b":", b"a: b\t", b"\x01\x80\xff :"] {
                    let line = [&vec![b'n'; before][..], &[end], after].concat();
                    assert_eq!(name_end(&line), Some(before), "{line:?}");
                }
            }
            // What is one off, and what has the highest bit.
            let others = [b';', b'9', b'!', 0x1f, 8, 10, 0xba, 0xa0, 0x89, 0];
            assert_eq!(name_end(&others.repeat(before)), None);
        }
    }

    fn framing() -> Framing {
        Framing::new(4096)
    }

    /// The verdict must be the same however the bytes are split.
    fn verdict(bytes: &[u8]) -> Result<(), Malformed> {
        let mut whole = framing();
        let passed = whole.follow(bytes);
        assert_eq!(passed == bytes.len(), whole.malformed().is_none());
        for size in [1, 2, 3, 7] {
            let mut framing = framing();
            bytes.chunks(size).for_each(|part| _ = framing.follow(part));
            assert_eq!(framing.malformed, whole.malformed, "in parts of {size}");
        }
        whole.malformed.map_or(Ok(()), Err)
    }

    #[test]
    fn messages_one_after_the_other_are_followed() {
        let bytes = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
            POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\nhel\r\n\r\n1\r\n!\r\n0\r\nT: 1\r\n\r\n\r\n\
            GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut framing = framing();
        assert_eq!(framing.follow(bytes), bytes.len());
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
            "Content-Length: 01",
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
            let refused = verdict(message.as_bytes()).unwrap_err();
            assert!(
                matches!(refused, Malformed::Head(Rejection::BadRequest(_))),
                "{fields:?}"
            );
        }
        assert!(verdict(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn request_lines_have_one_form() {
        for line in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 x",
            "GET /a b HTTP/1.1",
            "G@T / HTTP/1.1",
            "GET /#a HTTP/1.1",
            "GET",
        ] {
            assert!(
                matches!(verdict(format!("{line}\r\n").as_bytes()), Err(Malformed::Head(_))),
                "{line:?}"
            );
        }
        assert_eq!(verdict(b"OPTIONS * HTTP/1.1\r\n"), Ok(()));
    }

    #[test]
    fn chunks_have_one_form() {
        for body in [
            "5\nhello\r\n",
            "5 \r\nhello\r\n",
            "+5\r\nhello\r\n",
            "5\r\nhello!\r\n",
            "5\r\nhello\n",
            "5;\x01\r\n",
            "g\r\n",
            "\r\n",
        ] {
            let message = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            assert!(
                matches!(verdict(message.as_bytes()), Err(Malformed::Body(_))),
                "{body:?}"
            );
        }
        let endless = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;{}\r\n",
            "x".repeat(1000)
        );
        assert!(verdict(&endless.as_bytes()[..endless.len() - 2]).is_err());
    }

    #[test]
    fn a_head_has_one_size_and_its_request_line_another_name_for_it() {
        let long = "x".repeat(4096);
        let line = format!("GET /{long} HTTP/1.1\r\n");
        assert_eq!(verdict(line.as_bytes()), Err(Malformed::Head(Rejection::UriTooLong)));
        let field = format!("GET / HTTP/1.1\r\nX: {long}\r\n");
        assert_eq!(
            verdict(field.as_bytes()),
            Err(Malformed::Head(Rejection::HeadersTooLarge))
        );
        let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(1000));
        assert_eq!(
            verdict(fields.as_bytes()),
            Err(Malformed::Head(Rejection::HeadersTooLarge))
        );
        let heads = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
        assert_eq!(verdict(heads.as_bytes()), Ok(()));
        let trailers = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}",
            "X: 1\r\n".repeat(1000)
        );
        assert!(matches!(verdict(trailers.as_bytes()), Err(Malformed::Body(_))));
    }

    #[test]
    fn what_came_before_the_malformed_part_passes() {
        let mut framing = framing();
        let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(framing.follow(&[&head[..], b"zz\r\n"].concat()), head.len());
        assert!(matches!(framing.malformed(), Some(Malformed::Body(_))));
        assert_eq!(framing.follow(b"0\r\n\r\n"), 0);
    }

    #[test]
    fn the_rest_of_a_body_is_no_head() {
        let mut framing = framing();
        framing.follow(b"\r\n");
        assert!(!framing.in_head() && !framing.in_body());
        framing.follow(b"PO");
        assert!(framing.in_head());
        framing.follow(b"ST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n");
        assert!(!framing.in_head() && framing.in_body());
        framing.follow(b"a");
        assert!(!framing.in_head() && framing.in_body());
        framing.follow(b"b");
        assert!(!framing.in_head() && !framing.in_body());
    }

    #[test]
    fn what_follows_a_wish_for_another_protocol_is_held() {
        let mut framing = framing();
        let head = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(framing.follow(&[&head[..], b"\x81\0 no head"].concat()), head.len());
        assert!(framing.is_held() && !framing.in_head() && !framing.in_body() && framing.malformed().is_none());
        framing.resume();
        assert_eq!(framing.follow(head), head.len());
        assert!(framing.is_held());
        for others in [
            "POST / HTTP/1.1\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\na",
            "POST / HTTP/1.1\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.0\r\nUpgrade: x\r\n\r\n",
        ] {
            framing.resume();
            framing.follow(others.as_bytes());
            assert_eq!(framing.state, State::RequestLine, "{others}");
        }
    }
}
