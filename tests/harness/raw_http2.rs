//! HTTP/2 frame by frame, for what no client library would send.

use std::net::SocketAddr;

use crate::{Raw, within};

/// A connection of HTTP/2 whose preface has been sent, and nothing else that was not asked for.
#[derive(Debug)]
pub struct RawHttp2 {
    socket: Raw,
}

/// One frame (RFC 9113 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The type.
    pub kind: u8,
    /// The flags.
    pub flags: u8,
    /// The stream.
    pub stream: u32,
    /// The payload.
    pub payload: Vec<u8>,
}

/// How a stream was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A response with this status.
    Status(u16),
    /// RST_STREAM with this error code.
    Reset(u32),
    /// GOAWAY with this error code, which is not 0.
    GoAway(u32),
    /// The end of the connection, without a word.
    Closed,
}

/// The types of frames.
#[expect(missing_docs, reason = "the names of RFC 9113 section 6")]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// END_STREAM, of DATA and HEADERS.
pub const END_STREAM: u8 = 1;
/// END_HEADERS, of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 4;

impl Frame {
    /// A frame.
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Self {
        let payload = payload.as_ref().to_owned();
        Frame {
            kind,
            flags,
            stream,
            payload,
        }
    }

    /// A whole request's head, which ends the stream.
    pub fn get(stream: u32, path: &str) -> Self {
        Frame::headers(stream, END_STREAM | END_HEADERS, &request("GET", path))
    }

    /// HEADERS with these fields.
    pub fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Self {
        Frame::new(kind::HEADERS, flags, stream, block(fields))
    }

    /// As it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

/// The pseudo-header fields of a request.
pub fn request<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [
        (":method", method),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path),
    ]
}

/// A header block: each field a literal that is not indexed, in no Huffman code (RFC 7541 section 6.2.2).
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            // A length is an integer with a prefix of seven bits.
            match text.len() {
                short @ ..127 => block.push(short as u8),
                long => {
                    block.push(127);
                    let mut rest = long - 127;
                    while rest >= 128 {
                        block.push((rest % 128) as u8 | 128);
                        rest /= 128;
                    }
                    block.push(rest as u8);
                }
            }
            block.extend_from_slice(text);
        }
    }
    block
}

impl RawHttp2 {
    /// Connects, and sends the preface and SETTINGS that forbid a dynamic table, so that answers can be read without one.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut socket = Raw::connect(address).await;
        socket.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let mut connection = RawHttp2 { socket };
        connection
            .send(&Frame::new(kind::SETTINGS, 0, 0, [0, 1, 0, 0, 0, 0]))
            .await;
        connection
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Frame) {
        self.socket.send(frame.bytes()).await;
    }

    /// Sends the same frame so many times, in pieces of many frames, until the peer takes no more. Gives how many it took.
    pub async fn flood(&mut self, frame: &Frame, times: usize) -> usize {
        self.flood_with(times, |_| frame.bytes()).await
    }

    /// The same with frames of their own.
    pub async fn flood_with(&mut self, times: usize, frame: impl Fn(usize) -> Vec<u8>) -> usize {
        const PIECE: usize = 64;
        let mut sent = 0;
        while sent < times {
            let piece = PIECE.min(times - sent);
            let bytes: Vec<u8> = (sent..sent + piece).flat_map(&frame).collect();
            if !self.socket.try_send(&bytes).await {
                break;
            }
            sent += piece;
        }
        sent
    }

    /// The next frame; none when the connection ends.
    pub async fn next(&mut self) -> Option<Frame> {
        within("a frame comes", async {
            loop {
                let read = self.socket.unread();
                if let Some((head, rest)) = read.split_first_chunk::<9>() {
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                    if rest.len() >= length {
                        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                        let frame = Frame::new(head[3], head[4], stream, &rest[..length]);
                        read.drain(..9 + length);
                        return Some(frame);
                    }
                }
                if !self.socket.read_some().await {
                    return None;
                }
            }
        })
        .await
    }

    /// How a stream is answered. What else comes before is passed over.
    pub async fn answer(&mut self, stream: u32) -> Answer {
        while let Some(frame) = self.next().await {
            let code = |at: usize| {
                frame
                    .payload
                    .get(at..at + 4)
                    .map_or(0, |code| u32::from_be_bytes(code.try_into().expect("four")))
            };
            match frame.kind {
                kind::HEADERS if frame.stream == stream => return Answer::Status(status(&frame.payload)),
                kind::RST_STREAM if frame.stream == stream => return Answer::Reset(code(0)),
                kind::GOAWAY if code(4) != 0 => return Answer::GoAway(code(4)),
                _ => {}
            }
        }
        Answer::Closed
    }

    /// Sends a GET and says how it is answered.
    pub async fn get(&mut self, stream: u32, path: &str) -> Answer {
        self.send(&Frame::get(stream, path)).await;
        self.answer(stream).await
    }

    /// The error code of the GOAWAY that ends the connection, once it has ended; none where it ended without.
    pub async fn ended(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next().await {
            if frame.kind == kind::GOAWAY {
                code = frame
                    .payload
                    .get(4..8)
                    .map(|code| u32::from_be_bytes(code.try_into().expect("four")));
            }
        }
        code
    }
}

/// The status that a response's header block begins with.
fn status(block: &[u8]) -> u16 {
    // A change of the dynamic table's size may come first.
    let block = match block {
        [first, rest @ ..] if first & 0b1110_0000 == 0b0010_0000 => rest,
        block => block,
    };
    // RFC 7541 appendix A: statuses that have an index of their own.
    let indexed = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [first @ 0x88..=0x8e, ..] => indexed[usize::from(first - 0x88)],
        // A literal with the name of index 8, of three digits or their Huffman code.
        [0x08 | 0x48 | 0x18, 3, digits @ ..] => digits[..3]
            .iter()
            .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')),
        [0x08 | 0x48 | 0x18, length, coded @ ..] => huffman_digits(&coded[..usize::from(length & 0x7f)]),
        other => panic!("no status in {other:02x?}"),
    }
}

/// A number in the Huffman code of RFC 7541 appendix B: `0` to `2` have five bits, the other digits six.
fn huffman_digits(coded: &[u8]) -> u16 {
    let bits: Vec<u8> = coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let (mut at, mut number) = (0, 0);
    let value = |bits: &[u8]| bits.iter().fold(0_u16, |value, bit| value * 2 + u16::from(*bit));
    for _ in 0..3 {
        let digit = match value(&bits[at..at + 5]) {
            short @ 0..=2 => {
                at += 5;
                short
            }
            _ => {
                at += 6;
                value(&bits[at - 6..at]) - 0b01_1001 + 3
            }
        };
        number = number * 10 + digit;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::{Answer, RawHttp2, status};
    use crate::Upstream;

    #[tokio::test]
    async fn requests_by_hand_are_answered() {
        let upstream = Upstream::answering("hello").await;
        let mut client = RawHttp2::connect(upstream.address()).await;
        assert_eq!(client.get(1, "/").await, Answer::Status(200));
        assert_eq!(client.get(3, "/").await, Answer::Status(200));
        assert_eq!(upstream.connections(), 1);
    }

    #[test]
    fn statuses_are_read_in_every_code() {
        assert_eq!(status(&[0x8d]), 404);
        assert_eq!(status(b"\x08\x03501"), 501);
        // 501 is 011011 00000 00001, 431 is 011010 011001 00001, filled up with ones.
        assert_eq!(status(&[0x08, 0x82, 0b0110_1100, 0b0000_0001]), 501);
        assert_eq!(status(&[0x20, 0x48, 0x83, 0b0110_1001, 0b1001_0000, 0b1111_1111]), 431);
    }
}
