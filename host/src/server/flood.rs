//! What a client may make the gateway do in a second, beside requests: each kind has a budget, and who overdraws one has its
//! connection ended.

use std::time::Instant;

use crate::config::resolved::Http2Limits;

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

/// The budgets of one connection. The clock is read only when one is used up.
#[derive(Debug)]
pub(crate) struct Floods {
    budgets: [Budget; Flood::BUDGETS],
    over: Option<Flood>,
}

impl Floods {
    pub(crate) fn new(limits: &Http2Limits) -> Floods {
        let now = Instant::now();
        let budget = |flood: usize| Budget::new(Flood::ALL[flood].rate(limits), now);
        Floods {
            budgets: std::array::from_fn(budget),
            over: None,
        }
    }

    /// What there was too much of, once there was.
    pub(crate) fn over(&self) -> Option<Flood> {
        self.over
    }

    /// There was too much of this.
    pub(crate) fn flooded(&mut self, flood: Flood) {
        self.over = self.over.or(Some(flood));
    }

    /// There was one of these.
    pub(crate) fn spend(&mut self, flood: Flood) {
        if !self.budgets[flood as usize].spend() {
            self.flooded(flood);
        }
    }

    /// So many more of these are no flood.
    pub(crate) fn earn(&mut self, flood: Flood, frames: u32) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
}
