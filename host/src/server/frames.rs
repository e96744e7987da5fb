//! The frames of an HTTP/2 connection, followed in both directions: what costs the gateway more than its sender has a budget.
//!
//! A frame of most types asks for an answer, a search or an allocation, and is no request that any other limit counts: rapid
//! reset (CVE-2023-44487), resets that a client provokes (CVE-2025-8671), floods of CONTINUATION (CVE-2024-27316), PING,
//! SETTINGS, PRIORITY, WINDOW_UPDATE and empty frames (CVE-2019-9511 to 9518). Only heads of frames are looked at, nothing is
//! copied, and the clock is read only when a budget is used up.

// Long because nearly half of it is tests of what floods and what does not.

pub use super::flood::Flood;
use super::flood::Floods;
use crate::config::resolved::Http2Limits;

/// Follows the bytes of one connection.
///
/// ```
/// use portcullis::config::resolved::Http2Limits;
/// use portcullis::frames::Frames;
///
/// const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
/// let mut frames = Frames::new(&Http2Limits::default());
/// frames.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/// frames.received(&PING);
/// assert!(frames.flood().is_none());
///
/// frames.received(&PING.repeat(1000));
/// assert_eq!(frames.flood().unwrap().as_str(), "pings");
/// ```
#[derive(Debug)]
pub struct Frames {
    peer: Peer,
    incoming: Heads,
    outgoing: Heads,
    /// Bytes of the client's preface that are still to come, or to go.
    preface: usize,
    /// The peer's last stream.
    stream: u32,
    /// The frame at hand is part of a header section, and not its end.
    in_section: bool,
    /// The frame at hand is part of a header section.
    in_block: bool,
    /// Small CONTINUATION frames of the header section at hand.
    continuations: u32,
    /// How many there may be in one section.
    most_continuations: Option<u32>,
    floods: Floods,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Client,
    /// It answers all that this thread sends it, over one connection.
    Target,
}

/// What a client says first (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// A sender that splits a section fills its frames (16 KiB, unless told otherwise) but for the last.
const SMALL_CONTINUATION: u32 = 8 << 10;

/// Frames that a client may send for a frame of DATA or HEADERS of so many bytes that it got: one window for the stream and
/// one for the connection, each twice, and that for every 4 KiB, since some clients (Go's) open their windows so often.
const fn window_updates_earned(length: u32) -> u32 {
    4 * (1 + length / (4 << 10))
}
/// A PING to measure the bandwidth.
const PINGS_EARNED: u32 = 1;
/// What a target may have on its way for a stream that we take back: a window of 2 MiB in frames of 16 KiB. Once h2 has
/// forgotten the stream it answers each of them with STREAM_CLOSED.
const PROVOKED_EARNED: u32 = 128;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

impl Frames {
    /// For a client's connection of which nothing has been read.
    pub fn new(limits: &Http2Limits) -> Frames {
        Frames::with(Peer::Client, limits)
    }

    /// For a connection to a target, of which nothing has been written.
    pub fn of_target(limits: &Http2Limits) -> Frames {
        Frames::with(Peer::Target, limits)
    }

    fn with(peer: Peer, limits: &Http2Limits) -> Frames {
        Frames {
            peer,
            incoming: Heads::default(),
            outgoing: Heads::default(),
            preface: PREFACE,
            stream: 0,
            in_section: false,
            in_block: false,
            continuations: 0,
            most_continuations: limits.continuations,
            floods: Floods::new(limits),
        }
    }

    /// What there was too much of, once there was.
    pub fn flood(&self) -> Option<Flood> {
        self.floods.over()
    }

    /// Whether a header section, or the head of a frame, has begun and is not complete.
    pub fn in_head(&self) -> bool {
        self.in_section || self.incoming.come > 0 || (self.in_block && self.incoming.payload > 0)
    }

    /// Follows bytes from the peer.
    pub fn received(&mut self, bytes: &[u8]) {
        let mut rest = self.after_preface(Peer::Client, bytes);
        while let Some(head) = self.incoming.next(&mut rest) {
            self.check(head);
        }
    }

    /// Follows bytes to the peer.
    pub fn sent(&mut self, bytes: &[u8]) {
        let mut rest = self.after_preface(Peer::Target, bytes);
        while let Some(head) = self.outgoing.next(&mut rest) {
            if self.peer == Peer::Target {
                self.earn_for_request(head);
            }
            match head.kind {
                kind::DATA | kind::HEADERS => {
                    self.floods
                        .earn(Flood::WindowUpdates, window_updates_earned(head.length));
                    self.floods.earn(Flood::Pings, PINGS_EARNED);
                    // Who has half of its requests answered may take back the other half.
                    if head.flags & END_STREAM != 0 {
                        self.floods.earn(Flood::Resets, 1);
                    }
                }
                kind::RST_STREAM => {
                    // What the peer had on its way for the stream it may answer with a reset, too.
                    self.floods.earn(Flood::Resets, 1);
                    if head.blames_peer() {
                        self.floods.spend(Flood::ProvokedResets);
                    }
                }
                _ => {}
            }
        }
    }

    /// What is left of these bytes, which begin with the preface where the peer is this one.
    fn after_preface<'a>(&mut self, peer: Peer, bytes: &'a [u8]) -> &'a [u8] {
        if self.peer != peer {
            return bytes;
        }
        let (preface, rest) = bytes.split_at(self.preface.min(bytes.len()));
        self.preface -= preface.len();
        rest
    }

    /// A target may do these once for each stream, so what it may do grows with what it is asked.
    fn earn_for_request(&mut self, head: Head) {
        match head.kind {
            kind::HEADERS => {
                self.floods.earn(Flood::Resets, 1);
                self.floods.earn(Flood::EmptyFrames, 1);
            }
            kind::RST_STREAM if !head.blames_peer() => self.floods.earn(Flood::ProvokedResets, PROVOKED_EARNED),
            _ => {}
        }
    }

    /// GOAWAY with ENHANCE_YOUR_CALM, where a frame may be sent: none while another is half-way out.
    pub fn last_word(&self) -> Option<[u8; 17]> {
        const ENHANCE_YOUR_CALM: u8 = 0xb;
        let mut frame = [
            0,
            0,
            8,
            kind::GOAWAY,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            ENHANCE_YOUR_CALM,
        ];
        frame[9..13].copy_from_slice(&self.stream.to_be_bytes());
        self.outgoing.is_between().then_some(frame)
    }

    fn check(&mut self, head: Head) {
        self.in_block = matches!(head.kind, kind::HEADERS | kind::CONTINUATION);
        self.in_section = self.in_block && head.flags & END_HEADERS == 0;
        match head.kind {
            kind::DATA | kind::HEADERS => {
                if head.kind == kind::HEADERS {
                    self.stream = self.stream.max(head.stream);
                    self.continuations = 0;
                }
                let ends = if head.kind == kind::DATA {
                    END_STREAM
                } else {
                    END_HEADERS
                };
                if head.content() == 0 && head.flags & ends == 0 {
                    self.floods.spend(Flood::EmptyFrames);
                }
            }
            kind::CONTINUATION if head.flags & END_HEADERS != 0 || head.length >= SMALL_CONTINUATION => {}
            kind::CONTINUATION => {
                self.continuations += 1;
                if self.most_continuations.is_some_and(|most| self.continuations > most) {
                    self.floods.flooded(Flood::Continuations);
                }
            }
            kind::RST_STREAM => self.floods.spend(Flood::Resets),
            kind::PING => self.floods.spend(Flood::Pings),
            kind::SETTINGS => self.floods.spend(Flood::Settings),
            kind::PRIORITY | kind::PRIORITY_UPDATE => self.floods.spend(Flood::Priorities),
            kind::WINDOW_UPDATE => self.floods.spend(Flood::WindowUpdates),
            // Either ends the connection.
            kind::GOAWAY | kind::PUSH_PROMISE => {}
            _ => self.floods.spend(Flood::UnknownFrames),
        }
    }
}

/// The head of a frame (RFC 9113 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
    /// Where the type has a use for them, the first bytes of the payload: how much of it is padding, or an error code.
    first: u32,
}

mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const PRIORITY: u8 = 2;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PUSH_PROMISE: u8 = 5;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
    /// RFC 9218 section 7.1.
    pub(super) const PRIORITY_UPDATE: u8 = 0x10;
}

impl Head {
    /// Bytes without padding.
    fn content(&self) -> u32 {
        match self.flags & PADDED {
            0 => self.length,
            _ => self.length.saturating_sub(1 + self.first),
        }
    }

    /// Whether this RST_STREAM of ours answers a mistake: PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR,
    /// or REFUSED_STREAM, which a client gets that opens more streams than it was told it may.
    fn blames_peer(&self) -> bool {
        matches!(self.first, 1 | 3 | 5 | 6 | 7)
    }
}

/// Finds the heads of frames in bytes that come in parts.
#[derive(Debug, Default)]
struct Heads {
    /// The head at hand, with as much of the payload as is looked at.
    head: [u8; Heads::SIZE + 4],
    /// Bytes of it that have come.
    come: usize,
    /// Bytes of a payload that are still to come.
    payload: usize,
}

impl Heads {
    const SIZE: usize = 9;

    /// Takes bytes up to the end of the next head; none where they end before.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        let skipped = self.payload.min(bytes.len());
        self.payload -= skipped;
        *bytes = &bytes[skipped..];
        loop {
            let wanted = self.wanted();
            let part = (wanted - self.come).min(bytes.len());
            self.head[self.come..self.come + part].copy_from_slice(&bytes[..part]);
            self.come += part;
            *bytes = &bytes[part..];
            if self.come < wanted {
                return None;
            }
            // What is wanted may be more, now that the type is known.
            if self.wanted() == self.come {
                break;
            }
        }
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3, first @ ..] = self.head;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        let looked_at = std::mem::take(&mut self.come) - Heads::SIZE;
        self.payload = (length as usize).saturating_sub(looked_at);
        Some(Head {
            length,
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
            first: match looked_at {
                0 => 0,
                1 => u32::from(first[0]),
                _ => u32::from_be_bytes(first),
            },
        })
    }

    /// How many bytes of a frame are looked at, as far as is known yet.
    fn wanted(&self) -> usize {
        let [l0, l1, l2, kind, flags, ..] = self.head;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        let padded = flags & PADDED != 0 && length > 0;
        match kind {
            _ if self.come < Heads::SIZE => Heads::SIZE,
            kind::RST_STREAM if length == 4 => Heads::SIZE + 4,
            kind::DATA | kind::HEADERS if padded => Heads::SIZE + 1,
            _ => Heads::SIZE,
        }
    }

    /// Whether no frame is half-way through.
    fn is_between(&self) -> bool {
        self.come == 0 && self.payload == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> Http2Limits {
        Http2Limits {
            resets: Some(2),
            ..Http2Limits::default()
        }
    }

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// What so many of a frame come to, however the bytes are split.
    fn flood(frame: &[u8], times: usize) -> Option<Flood> {
        let bytes = [&[b'x'; PREFACE], &frame.repeat(times)[..]].concat();
        let flood = |size| {
            let mut frames = Frames::new(&limits());
            bytes.chunks(size).for_each(|part| frames.received(part));
            frames.flood()
        };
        let whole = flood(bytes.len());
        assert!([1, 2, 7, 10, 100].into_iter().all(|size| flood(size) == whole));
        whole
    }

    #[test]
    fn each_kind_has_its_budget() {
        for (bytes, flood_of, most) in [
            (frame(kind::RST_STREAM, 0, 1, &[0; 4]), Flood::Resets, 20),
            (frame(kind::PING, 0, 0, &[0; 8]), Flood::Pings, 200),
            (frame(kind::SETTINGS, 0, 0, &[]), Flood::Settings, 50),
            (frame(kind::PRIORITY, 0, 1, &[0; 5]), Flood::Priorities, 1000),
            (frame(kind::PRIORITY_UPDATE, 0, 0, &[0; 4]), Flood::Priorities, 1000),
            (frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]), Flood::WindowUpdates, 1000),
            (frame(kind::DATA, 0, 1, &[]), Flood::EmptyFrames, 100),
            (frame(kind::DATA, PADDED, 1, &[3, 0, 0, 0]), Flood::EmptyFrames, 100),
            (frame(kind::HEADERS, 0, 1, &[]), Flood::EmptyFrames, 100),
            (frame(0xbb, 0, 1, b"grease"), Flood::UnknownFrames, 500),
            (frame(kind::CONTINUATION, 0, 1, b"small"), Flood::Continuations, 4),
        ] {
            assert_eq!(flood(&bytes, most), None, "{flood_of:?}");
            // Time goes on while the test runs, and earns some.
            assert_eq!(flood(&bytes, most * 2), Some(flood_of));
        }
    }

    #[test]
    fn what_makes_a_request_has_none() {
        for bytes in [
            frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, b"block"),
            frame(kind::DATA, 0, 1, b"content"),
            frame(kind::DATA, PADDED, 1, &[2, b'x', 0, 0]),
            frame(kind::DATA, END_STREAM, 1, &[]),
            frame(kind::CONTINUATION, END_HEADERS, 1, b"end"),
            frame(kind::CONTINUATION, 0, 1, &[0; SMALL_CONTINUATION as usize]),
        ] {
            assert_eq!(flood(&bytes, 300), None, "{bytes:?}");
        }
    }

    #[test]
    fn answers_earn_what_clients_send_for_them() {
        let mut frames = Frames::new(&limits());
        frames.received(&[b'x'; PREFACE]);
        for _ in 0..10_000 {
            frames.sent(&frame(kind::DATA, END_STREAM, 1, &[0; 100]));
            for _ in 0..window_updates_earned(100) {
                frames.received(&frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]));
            }
            frames.received(&frame(kind::PING, 0, 0, &[0; 8]));
            frames.received(&frame(kind::RST_STREAM, 0, 1, &[0; 4]));
        }
        assert_eq!(frames.flood(), None);
    }

    #[test]
    fn resets_that_the_client_provoked_are_its_own() {
        let mut frames = Frames::new(&Http2Limits::default());
        let reset = |code: u8| frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, code]);
        let [no_error, cancelled, provoked] = [0, 8, 5].map(reset);
        for _ in 0..1000 {
            frames.sent(&no_error);
            frames.sent(&cancelled);
        }
        assert_eq!(frames.flood(), None);
        for _ in 0..1000 {
            frames.sent(&provoked);
        }
        assert_eq!(frames.flood(), Some(Flood::ProvokedResets));
    }

    #[test]
    fn a_stream_that_we_reset_may_be_reset_by_the_client_too() {
        const STREAM_CLOSED: [u8; 4] = [0, 0, 0, 5];
        const CANCEL: [u8; 4] = [0, 0, 0, 8];
        let mut frames = Frames::new(&limits());
        frames.received(&[b'x'; PREFACE]);
        for _ in 0..1000 {
            frames.sent(&frame(kind::RST_STREAM, 0, 1, &CANCEL));
            frames.received(&frame(kind::RST_STREAM, 0, 1, &STREAM_CLOSED));
        }
        assert_eq!(frames.flood(), None);
        // Those that have nothing to answer count.
        frames.received(&frame(kind::RST_STREAM, 0, 1, &STREAM_CLOSED).repeat(1000));
        assert_eq!(frames.flood(), Some(Flood::Resets));
    }

    #[test]
    fn a_target_says_no_preface_and_hears_one() {
        let mut frames = Frames::of_target(&limits());
        frames.sent(&[b'x'; 10]);
        frames.sent(&[&[b'x'; PREFACE - 10][..], &frame(kind::SETTINGS, 0, 0, &[])].concat());
        frames.received(&frame(kind::PING, 0, 0, &[0; 8]).repeat(200));
        assert_eq!(frames.flood(), None);
        frames.received(&frame(kind::PING, 0, 0, &[0; 8]).repeat(200));
        assert_eq!(frames.flood(), Some(Flood::Pings));
    }

    #[test]
    fn a_target_may_refuse_each_request_and_has_much_on_its_way() {
        let mut frames = Frames::of_target(&limits());
        frames.sent(&[b'x'; PREFACE]);
        let reset = |code: u8| frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, code]);
        let [cancelled, refused, provoked] = [8, 7, 5].map(reset);
        for _ in 0..10_000 {
            // An upload that is refused at once, and a download that is given up.
            frames.sent(&frame(kind::HEADERS, END_HEADERS, 1, b"block"));
            frames.received(&refused);
            frames.sent(&frame(kind::HEADERS, END_HEADERS, 3, b"block"));
            frames.received(&frame(kind::DATA, 0, 3, &[]));
            frames.sent(&cancelled);
            frames.sent(&provoked.repeat(PROVOKED_EARNED as usize));
        }
        assert_eq!(frames.flood(), None);

        let mut frames = Frames::of_target(&limits());
        frames.sent(&[&[b'x'; PREFACE][..], &frame(kind::HEADERS, END_HEADERS, 1, b"block")].concat());
        frames.received(&refused.repeat(1000));
        assert_eq!(frames.flood(), Some(Flood::Resets));
    }

    #[test]
    fn the_last_word_interrupts_no_frame() {
        let mut frames = Frames::new(&limits());
        frames.received(&[&[b'x'; PREFACE][..], &frame(kind::HEADERS, 5, 7, b"block")].concat());
        assert_eq!(frames.last_word().unwrap()[9..], [0, 0, 0, 7, 0, 0, 0, 0xb]);
        let data = frame(kind::DATA, 0, 7, b"content");
        frames.sent(&data[..12]);
        assert_eq!(frames.last_word(), None);
        frames.sent(&data[12..]);
        assert!(frames.last_word().is_some());
    }

    #[test]
    fn a_header_section_is_a_head_until_its_end() {
        let mut frames = Frames::new(&limits());
        frames.received(&[b'x'; PREFACE]);
        assert!(!frames.in_head());
        let (head, end) = (
            frame(kind::HEADERS, 0, 1, b"block"),
            frame(kind::CONTINUATION, END_HEADERS, 1, b"end"),
        );
        for bytes in [&head[..3], &head[3..12], &head[12..], &end[..11]] {
            frames.received(bytes);
            assert!(frames.in_head(), "{bytes:?}");
        }
        frames.received(&end[11..]);
        assert!(!frames.in_head());
        frames.received(&frame(kind::DATA, 0, 1, b"content")[..12]);
        assert!(!frames.in_head());
    }

    #[test]
    fn what_is_switched_off_has_no_budget() {
        let off = Http2Limits {
            pings: None,
            continuations: None,
            ..Http2Limits::default()
        };
        let mut frames = Frames::new(&off);
        frames.received(&[b'x'; PREFACE]);
        frames.received(&frame(kind::PING, 0, 0, &[0; 8]).repeat(100_000));
        frames.received(&frame(kind::CONTINUATION, 0, 1, b"small").repeat(1000));
        assert_eq!(frames.flood(), None);
    }

    /// What comes of these bytes, handed over in parts of this size.
    fn followed(peer: Peer, received: &[u8], sent: &[u8], size: usize) -> (Option<Flood>, bool, Option<[u8; 17]>) {
        let mut frames = Frames::with(peer, &Http2Limits::default());
        received.chunks(size).for_each(|part| frames.received(part));
        let in_head = frames.in_head();
        sent.chunks(size).for_each(|part| frames.sent(part));
        (frames.flood(), in_head, frames.last_word())
    }

    /// Frames of any kind, known or not, and so often that some of them are a flood.
    fn any_frames() -> impl Strategy<Value = Vec<u8>> {
        let payload = prop::collection::vec(any::<u8>(), 0..20);
        let one = (
            0..12_u8,
            any::<u8>(),
            0..6_u32,
            payload,
            prop_oneof![1..4_usize, Just(500)],
        );
        let repeated =
            one.prop_map(|(kind, flags, stream, payload, times)| frame(kind, flags, stream, &payload).repeat(times));
        prop::collection::vec(repeated, 0..8).prop_map(|frames| frames.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        // The same as the fuzz target `frames`, for everybody.
        #[test]
        fn no_bytes_panic_and_all_parts_are_judged_alike(
            received in prop::collection::vec(any::<u8>(), 0..400),
            sent in prop::collection::vec(any::<u8>(), 0..400),
            size in 1..256_usize,
        ) {
            for peer in [Peer::Client, Peer::Target] {
                let all = followed(peer, &received, &sent, usize::MAX);
                prop_assert_eq!(followed(peer, &received, &sent, size), all);
            }
        }

        #[test]
        fn no_frames_panic_and_all_parts_are_judged_alike(
            received in any_frames(),
            sent in any_frames(),
            size in 1..256_usize,
        ) {
            let received = [&[b'x'; PREFACE], &received[..]].concat();
            for peer in [Peer::Client, Peer::Target] {
                let all = followed(peer, &received, &sent, usize::MAX);
                prop_assert_eq!(followed(peer, &received, &sent, size), all);
            }
        }
    }
}
