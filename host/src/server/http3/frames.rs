//! The frames of one stream that a client sends, followed before h3 sees them.
//!
//! h3 keeps a frame in memory until it is whole, also one of no known type, and adds its pieces up after each; it takes an
//! empty DATA frame for the end of the body, and a stream that ends within one for a stream that ends. So what it gets from
//! here is frames that it can use: DATA as it comes, and any other whole and in one piece, of a size that we are ready to
//! hold. All else is left out, counted, or ends the connection.

use bytes::{Buf, Bytes, BytesMut};
use h3::error::Code;

use super::field_section::{self, Place, Verdict};
use crate::server::flood::{Flood, Floods};

/// Follows the bytes of one stream.
#[derive(Debug)]
pub(super) struct Frames {
    stream: Stream,
    state: State,
    /// Bytes that a header section may have.
    most_head: u64,
    /// Where the next header section stands.
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Request,
    /// One-way, of a type that has not come yet.
    OneWay,
    Control,
}

#[derive(Debug)]
enum State {
    /// What a frame begins with, its type and its length, as far as it has come.
    Head(Head),
    /// Bytes of the payload that are still to come, and whether they are passed on.
    Payload { left: u64, passed: bool },
    /// A frame that is passed on when it is whole: what has come, and how many bytes are still to.
    Collected { come: BytesMut, left: u64 },
    /// No frames: passed on as it is.
    Opaque,
}

/// A client has broken a rule that costs it its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(super) struct Violation {
    pub(super) code: Code,
    pub(super) what: &'static str,
}

/// Types of frames (RFC 9114 section 7.2, RFC 9218 section 7.2).
mod kind {
    pub(super) const DATA: u64 = 0;
    pub(super) const HEADERS: u64 = 1;
    pub(super) const CANCEL_PUSH: u64 = 3;
    pub(super) const SETTINGS: u64 = 4;
    pub(super) const PUSH_PROMISE: u64 = 5;
    pub(super) const GOAWAY: u64 = 7;
    pub(super) const MAX_PUSH_ID: u64 = 0xd;
    pub(super) const PRIORITY_UPDATES: [u64; 2] = [0xf_0700, 0xf_0701];
    /// HTTP/2's, which nobody may send here.
    pub(super) const OF_HTTP2: [u64; 4] = [2, 6, 8, 9];
}

/// The type of the one one-way stream that has frames (RFC 9114 section 6.2.1).
const CONTROL: u64 = 0;

/// Bytes that SETTINGS may have: some thirty of them.
const MOST_SETTINGS: u64 = 512;
/// Bytes of one number (RFC 9000 section 16).
const MOST_NUMBER: u64 = 8;

impl Frames {
    /// Of a stream with a request, whose header sections may have so many bytes.
    pub(super) fn of_request(most_head: u64) -> Frames {
        Frames::new(Stream::Request, most_head)
    }

    /// Of a one-way stream.
    pub(super) fn of_one_way() -> Frames {
        Frames::new(Stream::OneWay, 0)
    }

    fn new(stream: Stream, most_head: u64) -> Frames {
        Frames {
            stream,
            state: State::Head(Head::default()),
            most_head,
            place: Place::Head,
        }
    }

    /// Bytes that are held of a frame that is not whole.
    pub(super) fn held(&self) -> usize {
        match &self.state {
            State::Collected { come, .. } => come.len(),
            _ => 0,
        }
    }

    /// Takes bytes that have come. What is next to be passed on of them, if anything: to be asked again until all are taken.
    ///
    /// # Errors
    /// They break a rule.
    pub(super) fn follow(&mut self, bytes: &mut Bytes, floods: &mut Floods) -> Result<Option<Bytes>, Violation> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Opaque => return Ok(Some(std::mem::take(bytes))),
                State::Payload { left, passed } => {
                    let piece = bytes.split_to(at_most(*left, bytes));
                    let passed = *passed;
                    *left -= piece.len() as u64;
                    if *left == 0 {
                        self.state = State::Head(Head::default());
                    }
                    if passed {
                        return Ok(Some(piece));
                    }
                }
                State::Collected { come, left } => {
                    let piece = bytes.split_to(at_most(*left, bytes));
                    come.extend_from_slice(&piece);
                    *left -= piece.len() as u64;
                    if *left == 0 {
                        let whole = std::mem::take(come).freeze();
                        self.state = State::Head(Head::default());
                        return self.checked(whole).map(Some);
                    }
                }
                State::Head(head) if self.stream == Stream::OneWay => {
                    head.push(bytes.get_u8());
                    if let Some((kind, _)) = number(head.bytes()) {
                        let begun = head.copied();
                        match kind {
                            CONTROL => {
                                self.stream = Stream::Control;
                                self.state = State::Head(Head::default());
                            }
                            _ => self.state = State::Opaque,
                        }
                        return Ok(Some(begun));
                    }
                }
                State::Head(head) => {
                    head.push(bytes.get_u8());
                    if let Some((kind, length)) = head.read() {
                        let begun = *head;
                        let passed = self.judge(kind, length, floods)?;
                        let whole = length == 0;
                        self.state = match length {
                            0 => State::Head(Head::default()),
                            left if passed && kind != kind::DATA => {
                                let mut come = BytesMut::with_capacity(begun.come + at_most(left, bytes));
                                come.extend_from_slice(begun.bytes());
                                State::Collected { come, left }
                            }
                            left => State::Payload { left, passed },
                        };
                        if passed && kind == kind::DATA {
                            return Ok(Some(begun.copied()));
                        } else if passed && whole {
                            return self.checked(begun.copied()).map(Some);
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// A frame that is whole, as h3 is to see it.
    fn checked(&mut self, whole: Bytes) -> Result<Bytes, Violation> {
        if self.stream != Stream::Request {
            return Ok(whole);
        }
        let section = number(&whole).and_then(|(_, rest)| number(rest));
        let section = section.map_or(&[][..], |(_, section)| section);
        let place = std::mem::replace(&mut self.place, Place::Trailers);
        match field_section::judge(section, place) {
            Verdict::Good => Ok(whole),
            // h3 resets the stream for it.
            Verdict::Malformed => Ok(Bytes::from_static(field_section::MALFORMED)),
            Verdict::Undecodable => Err(Violation {
                code: Code::QPACK_DECOMPRESSION_FAILED,
                what: "a header section that cannot be read",
            }),
        }
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// It ended within a frame (RFC 9114 section 7.1).
    pub(super) fn end(&self) -> Result<(), Violation> {
        match &self.state {
            State::Payload { .. } | State::Collected { .. } => Err(Violation::incomplete()),
            State::Head(head) if self.stream == Stream::Request && head.come > 0 => Err(Violation::incomplete()),
            _ => Ok(()),
        }
    }

    /// Whether a frame is passed on.
    fn judge(&self, kind: u64, length: u64, floods: &mut Floods) -> Result<bool, Violation> {
        let unexpected = Err(Violation {
            code: Code::H3_FRAME_UNEXPECTED,
            what: "a frame that does not belong there",
        });
        let within = |most: u64| {
            let too_long = Violation {
                code: Code::H3_EXCESSIVE_LOAD,
                what: "a frame that is far too long",
            };
            (length <= most).then_some(true).ok_or(too_long)
        };
        match (self.stream, kind) {
            (_, kind) if kind::OF_HTTP2.contains(&kind) => unexpected,
            (Stream::Request, kind::DATA) => {
                if length == 0 {
                    floods.spend(Flood::EmptyFrames);
                }
                Ok(length > 0)
            }
            (Stream::Request, kind::HEADERS) => within(self.most_head),
            (_, kind::DATA | kind::HEADERS | kind::PUSH_PROMISE) => unexpected,
            (Stream::Control, kind::SETTINGS) => {
                floods.spend(Flood::Settings);
                within(MOST_SETTINGS)
            }
            (Stream::Control, kind::CANCEL_PUSH | kind::GOAWAY | kind::MAX_PUSH_ID) => {
                floods.spend(Flood::Settings);
                within(MOST_NUMBER)
            }
            (_, kind::CANCEL_PUSH | kind::SETTINGS | kind::GOAWAY | kind::MAX_PUSH_ID) => unexpected,
            (Stream::Control, kind) if kind::PRIORITY_UPDATES.contains(&kind) => {
                floods.spend(Flood::Priorities);
                Ok(false)
            }
            _ => {
                floods.spend(Flood::UnknownFrames);
                Ok(false)
            }
        }
    }
}

impl Violation {
    fn incomplete() -> Violation {
        Violation {
            code: Code::H3_FRAME_ERROR,
            what: "a stream that ends within a frame",
        }
    }
}

/// How many of these bytes belong to a frame of which so many are to come.
fn at_most(left: u64, bytes: &Bytes) -> usize {
    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
}

/// Two numbers, as far as they have come.
#[derive(Debug, Default, Clone, Copy)]
struct Head {
    held: [u8; Head::MOST],
    come: usize,
}

impl Head {
    const MOST: usize = 2 * MOST_NUMBER as usize;

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.held.get_mut(self.come) {
            *place = byte;
            self.come += 1;
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.held[..self.come]
    }

    fn copied(&self) -> Bytes {
        Bytes::copy_from_slice(self.bytes())
    }

    /// Type and length, once both are there.
    fn read(&self) -> Option<(u64, u64)> {
        let (kind, rest) = number(self.bytes())?;
        let (length, _) = number(rest)?;
        Some((kind, length))
    }
}

/// A number as QUIC writes it (RFC 9000 section 16), and what follows it; none where it is not complete.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let (number, rest) = bytes.split_at_checked(1 << (first >> 6))?;
    let value = number.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    // The two bits that say how long it is.
    let mask = u64::MAX >> (66 - 8 * number.len());
    Some((value & mask, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolved::Http2Limits;

    /// What is passed on of a stream that comes in pieces of this size, and whether it may end there.
    fn followed(mut frames: Frames, stream: &[u8], piece: usize) -> Result<(Vec<u8>, bool), Violation> {
        let mut floods = Floods::new(&Http2Limits::default());
        let mut passed = Vec::new();
        for piece in stream.chunks(piece) {
            let mut bytes = Bytes::copy_from_slice(piece);
            while let Some(some) = frames.follow(&mut bytes, &mut floods)? {
                passed.extend_from_slice(&some);
            }
            assert!(bytes.is_empty());
        }
        Ok((passed, frames.end().is_ok()))
    }

    #[test]
    fn numbers_are_read_as_the_rfc_writes_them() {
        // RFC 9000 appendix A.1.
        for (bytes, value) in [
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..],
                151_288_809_941_952_652,
            ),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0xff; 8], (1 << 62) - 1),
        ] {
            assert_eq!(number(bytes), Some((value, &[][..])));
            assert_eq!(number(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn what_h3_can_use_is_passed_on_and_all_else_left_out() {
        let stream = [
            &[0x21, 3, 1, 2, 3][..], // no known type
            &[1, 2, 0, 0],           // HEADERS
            &[0, 0],                 // DATA without any
            &[0x40, 0x41, 1, 9],     // WebTransport's
            &[0, 4, 1, 2, 3, 4],     // DATA
        ]
        .concat();
        for piece in 1..=stream.len() {
            let followed = followed(Frames::of_request(100), &stream, piece);
            assert_eq!(followed, Ok((vec![1, 2, 0, 0, 0, 4, 1, 2, 3, 4], true)));
        }
    }

    #[test]
    fn a_head_is_passed_on_in_one_piece_however_it_comes() {
        let head = [&[1, 0x40, 100, 0, 0][..], &[0xc2; 98]].concat();
        for size in [1, 2, 50, head.len() - 1, head.len()] {
            let (mut floods, mut frames) = (Floods::new(&Http2Limits::default()), Frames::of_request(100));
            let (mut passed, mut most) = (Vec::new(), 0);
            for piece in head.chunks(size) {
                let mut bytes = Bytes::copy_from_slice(piece);
                passed.extend(frames.follow(&mut bytes, &mut floods).unwrap());
                most = most.max(frames.held());
            }
            assert_eq!(passed, [&head[..]], "{size}");
            assert!(most < head.len() && frames.held() == 0);
        }
    }

    #[test]
    fn a_stream_ends_between_frames_only() {
        let stream = [1, 2, 0, 0, 0, 4, 1, 2, 3, 4];
        for length in 0..=stream.len() {
            let (_, whole) = followed(Frames::of_request(100), &stream[..length], 3).unwrap();
            assert_eq!(whole, matches!(length, 0 | 4 | 10), "{length}");
        }
    }

    #[test]
    fn what_is_too_long_or_belongs_elsewhere_ends_the_connection() {
        let of_request = |stream: &[u8]| followed(Frames::of_request(10), stream, 1).map_err(|error| error.code);
        let of_one_way = |stream: &[u8]| followed(Frames::of_one_way(), stream, 1).map_err(|error| error.code);

        assert_eq!(of_request(&[1, 11]), Err(Code::H3_EXCESSIVE_LOAD));
        for kind in [2, 3, 4, 5, 6, 7, 8, 9, 13] {
            assert_eq!(of_request(&[kind, 1]), Err(Code::H3_FRAME_UNEXPECTED), "{kind}");
        }
        for kind in [0, 1, 2, 5, 6, 8, 9] {
            assert_eq!(of_one_way(&[0, kind, 1]), Err(Code::H3_FRAME_UNEXPECTED), "{kind}");
        }
        assert_eq!(of_one_way(&[0, 4, 0x42, 1]), Err(Code::H3_EXCESSIVE_LOAD));
    }

    #[test]
    fn a_control_stream_has_frames_and_others_have_none() {
        let settings = [0, 4, 2, 6, 9, 0x80, 0xf, 7, 0, 1, 0, 7, 1, 0];
        let passed = vec![0, 4, 2, 6, 9, 7, 1, 0];
        assert_eq!(followed(Frames::of_one_way(), &settings, 1), Ok((passed, true)));
        let unknown = [0x40, 0x54, 4, 4, 4, 4];
        assert_eq!(
            followed(Frames::of_one_way(), &unknown, 1),
            Ok((unknown.to_vec(), true))
        );
    }

    #[test]
    fn frames_that_say_nothing_use_up_a_budget() {
        let mut floods = Floods::new(&Http2Limits::default());
        let mut frames = Frames::of_request(100);
        let mut empty = Bytes::from([0, 0].repeat(90));
        assert_eq!(frames.follow(&mut empty, &mut floods), Ok(None));
        assert_eq!(floods.over(), None);
        let mut empty = Bytes::from([0, 0].repeat(90));
        assert_eq!(frames.follow(&mut empty, &mut floods), Ok(None));
        assert_eq!(floods.over(), Some(Flood::EmptyFrames));
    }
}
