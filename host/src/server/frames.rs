//! The frames of an HTTP/2 connection, followed in both directions: what costs the gateway more than its sender has a budget.
//!
//! A frame of most types asks for an answer, a search or an allocation, and is no request that any other limit counts: rapid
//! reset (CVE-2023-44487), resets that a client provokes (CVE-2025-8671), floods of CONTINUATION (CVE-2024-27316), PING,
//! SETTINGS, PRIORITY, WINDOW_UPDATE and empty frames (CVE-2019-9511 to 9518). Only heads of frames are looked at, nothing is
//! copied, and the clock is read only when a budget is used up.

// Long because nearly half of it is tests of what floods and what does not.

use std::time::Instant;

use crate::config::resolved::Http2Limits;

/// Follows the bytes of one connection.
#[derive(Debug)]
pub struct Frames {
    incoming: Heads,
    outgoing: Heads,
    /// Bytes of the client's preface that are still to come.
    preface: usize,
    /// The client's last stream.
    stream: u32,
    /// The frame at hand is part of a header section, and not its end.
    in_section: bool,
    /// The frame at hand is part of a header section.
    in_block: bool,
    /// Small CONTINUATION frames of the header section at hand.
    continuations: u32,
    /// How many of these there may be in one section.
    most_continuations: Option<u32>,
    budgets: [Budget; Flood::BUDGETS],
    over: Option<Flood>,
}

/// What there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// RST_STREAM from the client.
    Resets,
    /// RST_STREAM to the client, for what it did wrong.
    ProvokedResets,
    /// PING, and answers to it.
    Pings,
    /// SETTINGS, and answers to it.
    Settings,
    /// PRIORITY and PRIORITY_UPDATE.
    Priorities,
    /// WINDOW_UPDATE.
    WindowUpdates,
    /// DATA and HEADERS that hold nothing and end nothing.
    EmptyFrames,
    /// Frames of no known type.
    UnknownFrames,
    /// CONTINUATION that is small and ends nothing.
    Continuations,
}

impl Flood {
    /// All of them; the last has no budget, but a limit.
    pub const ALL: [Flood; Flood::BUDGETS + 1] = [
        Flood::Resets,
        Flood::ProvokedResets,
        Flood::Pings,
        Flood::Settings,
        Flood::Priorities,
        Flood::WindowUpdates,
        Flood::EmptyFrames,
        Flood::UnknownFrames,
        Flood::Continuations,
    ];
    const BUDGETS: usize = 8;

    /// The word in metrics and log.
    pub fn as_str(self) -> &'static str {
        match self {
            Flood::Resets => "resets",
            Flood::ProvokedResets => "provoked-resets",
            Flood::Pings => "pings",
            Flood::Settings => "settings",
            Flood::Priorities => "priorities",
            Flood::WindowUpdates => "window-updates",
            Flood::EmptyFrames => "empty-frames",
            Flood::UnknownFrames => "unknown-frames",
            Flood::Continuations => "continuations",
        }
    }

    /// How many a second.
    fn rate(self, limits: &Http2Limits) -> Option<u32> {
        match self {
            Flood::Resets => limits.resets,
            Flood::ProvokedResets => limits.provoked_resets,
            Flood::Pings => limits.pings,
            Flood::Settings => limits.settings,
            Flood::Priorities => limits.priorities,
            Flood::WindowUpdates => limits.window_updates,
            Flood::EmptyFrames => limits.empty_frames,
            Flood::UnknownFrames => limits.unknown_frames,
            Flood::Continuations => None,
        }
    }
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

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

impl Frames {
    /// For a connection of which nothing has been read.
    pub fn new(limits: &Http2Limits) -> Frames {
        let now = Instant::now();
        let budget = |flood: usize| Budget::new(Flood::ALL[flood].rate(limits), now);
        Frames {
            incoming: Heads::default(),
            outgoing: Heads::default(),
            preface: PREFACE,
            stream: 0,
            in_section: false,
            in_block: false,
            continuations: 0,
            most_continuations: limits.continuations,
            budgets: std::array::from_fn(budget),
            over: None,
        }
    }

    /// What there was too much of, once there was.
    pub fn flood(&self) -> Option<Flood> {
        self.over
    }

    /// Whether a header section, or the head of a frame, has begun and is not complete.
    pub fn in_head(&self) -> bool {
        self.in_section || self.incoming.come > 0 || (self.in_block && self.incoming.payload > 0)
    }

    /// Follows bytes from the client.
    pub fn received(&mut self, bytes: &[u8]) {
        let (preface, mut rest) = bytes.split_at(self.preface.min(bytes.len()));
        self.preface -= preface.len();
        while let Some(head) = self.incoming.next(&mut rest) {
            if let Err(flood) = self.check(head) {
                self.over = self.over.or(Some(flood));
            }
        }
    }

    /// Follows bytes to the client.
    pub fn sent(&mut self, mut bytes: &[u8]) {
        while let Some(head) = self.outgoing.next(&mut bytes) {
            match head.kind {
                kind::DATA | kind::HEADERS => {
                    self.earn(Flood::WindowUpdates, window_updates_earned(head.length));
                    self.earn(Flood::Pings, PINGS_EARNED);
                    // Who has half of its requests answered may take back the other half.
                    if head.flags & END_STREAM != 0 {
                        self.earn(Flood::Resets, 1);
                    }
                }
                kind::RST_STREAM => {
                    // What the client had on its way for the stream it may answer with a reset, too.
                    self.earn(Flood::Resets, 1);
                    if head.blames_client()
                        && let Err(flood) = self.spend(Flood::ProvokedResets)
                    {
                        self.over = self.over.or(Some(flood));
                    }
                }
                _ => {}
            }
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

    fn check(&mut self, head: Head) -> Result<(), Flood> {
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
                    return self.spend(Flood::EmptyFrames);
                }
                Ok(())
            }
            kind::CONTINUATION if head.flags & END_HEADERS != 0 || head.length >= SMALL_CONTINUATION => Ok(()),
            kind::CONTINUATION => {
                self.continuations += 1;
                let over = self.most_continuations.is_some_and(|most| self.continuations > most);
                if over { Err(Flood::Continuations) } else { Ok(()) }
            }
            kind::RST_STREAM => self.spend(Flood::Resets),
            kind::PING => self.spend(Flood::Pings),
            kind::SETTINGS => self.spend(Flood::Settings),
            kind::PRIORITY | kind::PRIORITY_UPDATE => self.spend(Flood::Priorities),
            kind::WINDOW_UPDATE => self.spend(Flood::WindowUpdates),
            // Either ends the connection.
            kind::GOAWAY | kind::PUSH_PROMISE => Ok(()),
            _ => self.spend(Flood::UnknownFrames),
        }
    }

    fn spend(&mut self, flood: Flood) -> Result<(), Flood> {
        if self.budgets[flood as usize].spend() {
            Ok(())
        } else {
            Err(flood)
        }
    }

    fn earn(&mut self, flood: Flood, frames: u32) {
        self.budgets[flood as usize].earn(frames);
    }
}

/// How much what was sent may add to a budget: some seconds of a download at full speed.
const MOST_EARNED: u32 = 1 << 20;

/// How many frames there may still be.
#[derive(Debug)]
struct Budget {
    /// Frames a second; none where there may be any number.
    rate: Option<u32>,
    left: u32,
    /// Up to when time has been turned into frames.
    since: Instant,
}

/// Seconds' worth of frames that may come at once.
const BURST: u32 = 10;

impl Budget {
    fn new(rate: Option<u32>, now: Instant) -> Budget {
        Budget {
            rate,
            left: rate.unwrap_or(0).saturating_mul(BURST),
            since: now,
        }
    }

    /// Takes one frame off, if there is one.
    fn spend(&mut self) -> bool {
        let Some(rate) = self.rate else { return true };
        if self.left == 0 {
            self.pass_time(rate, Instant::now());
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }

    /// Adds frames for something that was sent.
    fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(MOST_EARNED);
    }

    /// Turns the time that has passed into frames.
    fn pass_time(&mut self, rate: u32, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        let earned = (passed * f64::from(rate)).min(f64::from(rate.saturating_mul(BURST)));
        // Less than a frame is not lost, but waits.
        if earned >= 1.0 {
            self.left = earned as u32;
            self.since = now;
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
    fn blames_client(&self) -> bool {
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
    use std::time::Duration;

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
    fn time_earns_up_to_a_burst() {
        let start = Instant::now();
        let mut budget = Budget::new(Some(5), start);
        budget.left = 0;
        budget.pass_time(5, start + Duration::from_millis(100));
        assert_eq!(budget.left, 0);
        budget.pass_time(5, start + Duration::from_secs(2));
        assert_eq!(budget.left, 10);
        budget.pass_time(5, start + Duration::from_secs(3600));
        assert_eq!(budget.left, 50);
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
}
