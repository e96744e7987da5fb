//! What became of each request.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One request after the other over TLS or not, HTTP/1.1.
    Http1,
    /// Many at once, HTTP/2.
    Http2,
    /// One request after the other, HTTP/3.
    Http3,
    /// Streams of server-sent events.
    Events,
    /// Requests whose filter crashes, and those beside them.
    Crashing,
    /// gRPC, one message each way.
    GrpcCall,
    /// gRPC, many messages both ways.
    GrpcStream,
    /// Messages both ways.
    WebSocket,
}

impl Kind {
    pub(crate) const ALL: [Kind; 8] = [
        Kind::Http1,
        Kind::Http2,
        Kind::Http3,
        Kind::Events,
        Kind::Crashing,
        Kind::GrpcCall,
        Kind::GrpcStream,
        Kind::WebSocket,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Http1 => "http/1.1",
            Kind::Http2 => "http/2",
            Kind::Http3 => "http/3",
            Kind::Events => "events",
            Kind::Crashing => "crashing",
            Kind::GrpcCall => "grpc call",
            Kind::GrpcStream => "grpc stream",
            Kind::WebSocket => "websocket",
        }
    }
}

/// How one request, or one message of a stream, ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// As it should.
    Good,
    /// Badly, and something that the soak did itself is the reason.
    Explained,
    /// Badly, for no reason that is known.
    Unexplained(String),
    /// With the answer to another request.
    MixedUp(String),
}

/// Counts of one kind.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) good: u64,
    pub(crate) explained: u64,
    pub(crate) unexplained: u64,
    pub(crate) mixed_up: u64,
}

/// Counts of all kinds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<[Counts; Kind::ALL.len()]>,
    lines: Mutex<Vec<String>>,
    reloads: AtomicU64,
}

/// Lines that are kept: more say nothing new.
const LINES: usize = 20;

impl Tally {
    pub(crate) fn add(&self, kind: Kind, ended: Ended) {
        let mut counts = self.counts.lock().expect("counts");
        let counts = &mut counts[kind as usize];
        match ended {
            Ended::Good => counts.good += 1,
            Ended::Explained => counts.explained += 1,
            Ended::Unexplained(line) => {
                counts.unexplained += 1;
                self.keep(kind, line);
            }
            Ended::MixedUp(line) => {
                counts.mixed_up += 1;
                self.keep(kind, line);
            }
        }
    }

    fn keep(&self, kind: Kind, line: String) {
        let mut lines = self.lines.lock().expect("lines");
        if lines.len() < LINES {
            lines.push(format!("{}: {line}", kind.name()));
        }
    }

    pub(crate) fn counts(&self, kind: Kind) -> Counts {
        self.counts.lock().expect("counts")[kind as usize]
    }

    pub(crate) fn unexplained(&self) -> Vec<String> {
        self.lines.lock().expect("lines").clone()
    }

    pub(crate) fn reloaded(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }
}
