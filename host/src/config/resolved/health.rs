//! `health` and `eject` of an upstream.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderValue;
use http::uri::PathAndQuery;

use crate::config::units::Share;

/// `health`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What a target is asked.
    pub probe: Probe,
    /// Where, if not at the target's own port.
    pub port: Option<u16>,
    /// From the end of a probe to the next. 5 s by default.
    pub every: Duration,
    /// How long a probe may take. 1 s by default.
    pub timeout: Duration,
    /// Probes passed in a row that bring a target back. 2 by default.
    pub healthy_after: u32,
    /// Probes failed in a row that take a target out. 3 by default.
    pub unhealthy_after: u32,
}

impl Health {
    /// Probes of this kind, and the defaults.
    pub fn of(probe: Probe) -> Health {
        Health {
            probe,
            port: None,
            every: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }
}

/// What a target is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A GET.
    Http {
        /// `/healthz`
        path: PathAndQuery,
        /// The `Host`; the target's own by default.
        host: Option<HeaderValue>,
        /// What counts as healthy. 200 to 299 by default.
        statuses: Vec<RangeInclusive<u16>>,
    },
    /// `grpc.health.v1.Health/Check`
    Grpc {
        /// Empty: the server as a whole.
        service: String,
        /// The `:authority`; the target's own by default.
        host: Option<HeaderValue>,
    },
    /// Whether it accepts a connection.
    Tcp,
}

/// `eject`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eject {
    /// Failures in a row, over all threads. 5 by default.
    pub after: u32,
    /// How long, times the number of ejections of late. 10 s by default.
    pub lasts: Duration,
    /// How long at most. 5 minutes by default.
    pub longest: Duration,
    /// Of the upstream's targets, at a time; one may always be. 50 % by default.
    pub most: Share,
}

impl Default for Eject {
    fn default() -> Self {
        Eject {
            after: 5,
            lasts: Duration::from_secs(10),
            longest: Duration::from_secs(300),
            most: Share::percent(50),
        }
    }
}
