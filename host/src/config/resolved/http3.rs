//! `http3`, of a `[[listener]]`.

use std::time::Duration;

/// HTTP/3 on a listener's TCP addresses, over UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http3 {
    /// The port that clients are told; `None` is the one that they came to.
    pub port: Option<u16>,
    /// How long clients may remember that. 24 hours by default; zero tells them nothing.
    pub max_age: Duration,
    /// Whether every client must show that its address is its own. Off by default: only while many connections begin at
    /// once.
    pub retry: bool,
}

impl Default for Http3 {
    fn default() -> Http3 {
        Http3 {
            port: None,
            max_age: Duration::from_hours(24),
            retry: false,
        }
    }
}
