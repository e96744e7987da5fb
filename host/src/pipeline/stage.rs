//! A filter at its place in one route's pipeline, on one thread.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::phase::{Phase, Phases};
use super::quarantine::QuarantineState;
use crate::config::resolved::OnFailure;
use crate::telemetry::Counter;
use crate::telemetry::metrics::FilterCounters;
use crate::wasm::{Failure, Pool, Reason};

/// A filter at its place in a pipeline.
pub(crate) struct Stage {
    pub(crate) pool: Rc<Pool>,
    pub(crate) labels: Arc<Labels>,
    pub(crate) phases: Phases,
    pub(crate) on_failure: OnFailure,
    /// Bytes that it may ask to buffer of a body.
    pub(crate) body_limit: u64,
    pub(crate) quarantine: Arc<QuarantineState>,
    pub(crate) counters: FilterCounters,
}

/// Who is being called, for log, metrics and counts.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    pub(crate) plugin: Arc<str>,
    pub(crate) filter: Arc<str>,
    pub(crate) route: Arc<str>,
    /// Whose counts a limiter without a name takes: a named filter's own, or this place's.
    pub(crate) scope: Arc<str>,
}

/// A response that a filter gives instead of the backend's.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Stage {
    /// The counter of calls of one phase.
    pub(crate) fn calls(&self, phase: Phase) -> &Counter {
        self.counters.calls(phase)
    }

    /// Writes one failure down: one line, one metric, and the quarantine's own count.
    pub(crate) fn record_failure(&self, phase: Phase, failure: &Failure, id: super::ExchangeId) {
        let Labels {
            plugin, filter, route, ..
        } = &*self.labels;
        let backtrace = failure.backtrace.join(" < ");
        tracing::warn!(
            %plugin, %filter, %route, phase = phase.as_str(), reason = failure.reason.as_str(), %id,
            detail = %failure.detail.escape_debug(), stderr = %failure.stderr.escape_debug(), backtrace,
            "filter failed"
        );
        self.counters.failure(route, phase, failure.reason);
        // That all instances are busy says nothing about this filter.
        if failure.reason != Reason::Exhausted
            && let Some(pause) = self.quarantine.failed(phase)
        {
            tracing::error!(%plugin, %filter, seconds = pause.as_secs_f64(), "filter quarantined after repeated failures");
        }
    }
}
