//! `[server.limits.http2]`

/// `[server.limits.http2]`: frames a second that one connection may send, ten seconds' worth of them at once. `None`: no
/// limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Http2Limits {
    /// RST_STREAM, beyond one for each response. 50 by default.
    pub resets: Option<u32>,
    /// RST_STREAM that the gateway has to send for the client's mistakes. 10 by default.
    pub provoked_resets: Option<u32>,
    /// PING, beyond one for each frame of a response. 20 by default.
    pub pings: Option<u32>,
    /// SETTINGS. 5 by default.
    pub settings: Option<u32>,
    /// PRIORITY and PRIORITY_UPDATE. 100 by default.
    pub priorities: Option<u32>,
    /// WINDOW_UPDATE, beyond four for each frame of a response. 100 by default.
    pub window_updates: Option<u32>,
    /// DATA and HEADERS that hold nothing and end nothing. 10 by default.
    pub empty_frames: Option<u32>,
    /// Frames of no known type. 50 by default.
    pub unknown_frames: Option<u32>,
    /// CONTINUATION in one header section that is under 8 KiB and not the last. 4 by default.
    pub continuations: Option<u32>,
}

impl Default for Http2Limits {
    fn default() -> Http2Limits {
        Http2Limits {
            resets: Some(50),
            provoked_resets: Some(10),
            pings: Some(20),
            settings: Some(5),
            priorities: Some(100),
            window_updates: Some(100),
            empty_frames: Some(10),
            unknown_frames: Some(50),
            continuations: Some(4),
        }
    }
}
