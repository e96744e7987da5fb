//! What the gateway tells of itself: metrics and the access log.

pub(crate) mod access_log;
mod counter;
pub(crate) mod metrics;
mod names;
mod route_counters;

pub(crate) use self::counter::{Counter, Histogram};
pub use self::metrics::Metrics;
pub(crate) use self::route_counters::RouteCounters;
