//! Runs the filters of a route, phase by phase.
//!
//! ```text
//! request:   filter 1 ──> filter 2 ──> filter 3 ──> backend        a reply turns back where it is made
//! response:  filter 1 <── filter 2 <── filter 3 <── backend        only filters that let the request pass
//! complete:  after the client has all of it
//! ```

pub(crate) mod body;
pub(crate) mod edit;
mod exchange;
mod phase;
mod quarantine;
mod run;
mod stage;

pub use self::exchange::{Exchange, ExchangeId, ResponseHead, RouteInfo};
pub use self::phase::{Phase, Phases};
pub(crate) use self::quarantine::QuarantineState;
pub(crate) use self::run::{Pipeline, Verdict, answer, reject};
pub(crate) use self::stage::{Labels, Reply, Stage};
