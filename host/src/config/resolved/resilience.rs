//! What is done about targets that fail, hang or are busy: deadlines, retries, hedges, limits, the breaker.

use std::time::Duration;

use http::{HeaderName, StatusCode};

use crate::config::units::Share;

/// The part of `[upstream.NAME]` that says what is done when targets do badly.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resilience {
    /// For one try as a whole, from choosing a target to the response's head. No limit of its own by default.
    pub try_timeout: Option<Duration>,
    /// Tells the target, in milliseconds, how long an answer is waited for; what a client says there shortens the deadline.
    pub deadline_header: Option<HeaderName>,
    /// When a request is sent again.
    pub retry: Retry,
    /// When a second request is sent beside the first. Off by default.
    pub hedge: Option<Hedge>,
    /// Requests at once. Off by default.
    pub limits: UpstreamLimits,
    /// When nothing more is sent for a while. Off by default.
    pub breaker: Option<Breaker>,
}

/// `retry = { tries = 3, on = ["connect", "reset"], .. }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries at most, the first one among them. 3 by default; 1 is `"off"`.
    pub tries: u32,
    /// After which failures. `connect` and `reset` by default.
    pub on: RetryOn,
    /// Before the second try; twice as long before each further one, and of that a random part. 25 ms by default.
    pub backoff: Duration,
    /// The longest of these. 250 ms by default.
    pub longest_backoff: Duration,
    /// Repeated requests, as a share of all. 20 % by default.
    pub budget: Share,
    /// Repeated requests a second, on each thread, that are allowed however few requests there are. 3 by default.
    pub budget_least: u32,
    /// Bytes of a request's body that are kept to be sent again. 64 KiB by default.
    pub body: u64,
}

/// Failures after which a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryOn {
    /// `"connect"`: there was no connection, so nothing was sent.
    pub connect: bool,
    /// `"reset"`: the connection ended before there was an answer.
    pub reset: bool,
    /// `"timeout"`: there was no answer in `try_timeout` or `response_timeout`.
    pub timeout: bool,
    /// `"unavailable"`: a gRPC answer that consists of the status UNAVAILABLE.
    pub unavailable: bool,
    /// One bit for each status from 400 to 599.
    statuses: [u64; 4],
}

/// `hedge = { after = "50ms", most = 1 }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// How long a try is without an answer when another one is sent.
    pub after: Duration,
    /// Further requests at most. 1 by default.
    pub most: u32,
}

/// `limits = { requests = 1024, pending = 256 }`, over all threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpstreamLimits {
    /// Requests under way.
    pub requests: Option<usize>,
    /// Requests that wait for a connection.
    pub pending: Option<usize>,
}

/// `breaker = { errors = "50%", least = 20, window = "10s", open = "5s", probes = 3 }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// The share of failed tries that opens it. 50 % by default.
    pub errors: Share,
    /// Tries within the window before their share counts. 20 by default.
    pub least: u32,
    /// How far back tries count. 10 s by default.
    pub window: Duration,
    /// How long nothing is sent then. 5 s by default.
    pub open: Duration,
    /// Requests that must be answered well, after that, to close it again. 3 by default.
    pub probes: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            tries: 3,
            on: RetryOn {
                connect: true,
                reset: true,
                ..RetryOn::default()
            },
            backoff: Duration::from_millis(25),
            longest_backoff: Duration::from_millis(250),
            budget: Share::percent(20),
            budget_least: 3,
            body: 64 << 10,
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker {
            errors: Share::percent(50),
            least: 20,
            window: Duration::from_secs(10),
            open: Duration::from_secs(5),
            probes: 3,
        }
    }
}

impl RetryOn {
    /// Adds a status from 400 to 599; any other is not a failure.
    pub fn add_status(&mut self, status: u16) {
        if let Some((word, bit)) = place(status) {
            self.statuses[word] |= bit;
        }
    }

    /// Whether an answer with this status is such a failure.
    pub fn status(&self, status: StatusCode) -> bool {
        place(status.as_u16()).is_some_and(|(word, bit)| self.statuses[word] & bit != 0)
    }

    /// Whether there is any failure here that may come after a request was sent.
    pub fn after_sending(&self) -> bool {
        self.reset || self.timeout || self.after_answer()
    }

    /// Whether there is any answer here that is a failure.
    pub fn after_answer(&self) -> bool {
        self.unavailable || self.statuses != [0; 4]
    }
}

fn place(status: u16) -> Option<(usize, u64)> {
    let offset = status.checked_sub(400).filter(|offset| *offset < 200)?;
    Some((usize::from(offset / 64), 1 << (offset % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_kept_apart() {
        let mut on = RetryOn::default();
        assert!(!on.after_sending());
        for status in [399, 400, 463, 464, 599, 600] {
            on.add_status(status);
        }
        let listed: Vec<u16> = (100..1000)
            .filter(|status| on.status(StatusCode::from_u16(*status).unwrap()))
            .collect();
        assert_eq!(listed, [400, 463, 464, 599]);
        assert!(on.after_sending());
    }
}
