//! What the gateway tells of itself: metrics and the access log.

pub(crate) mod access_log;
mod counter;
pub(crate) mod metrics;

pub(crate) use self::counter::Counter;
pub use self::metrics::Metrics;
