//! The deadline on both sides: what the client says shortens it, and the target is told what is left of it.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};

use super::Proxy;
use crate::grpc;
use crate::pipeline::Exchange;

impl Proxy {
    /// Shortens the deadline to what the client is ready to wait.
    ///
    /// A gRPC call's time is that of the whole call, while the route's is over with the response's head. So a route whose
    /// `timeout` nobody wrote does not end a stream: only what is written, or said by the client, is passed on.
    pub(super) fn shorten_deadline(&self, exchange: &mut Exchange) {
        let started = exchange.started;
        let from_start = |timeout: Duration| started.checked_add(timeout);
        if let Some(name) = &self.upstream.settings.resilience.deadline_header {
            let said = exchange.headers.get(name).and_then(|value| value.to_str().ok());
            let said = said
                .and_then(|text| text.trim().parse().ok())
                .map(Duration::from_millis);
            if let Some(deadline) = said.and_then(from_start) {
                exchange.deadline = exchange.deadline.min(deadline);
            }
        }
        if exchange.is_grpc_call() {
            let written = exchange.route.timeout_written.then_some(exchange.route.timeout);
            let timeout = grpc::timeout(&exchange.headers).into_iter().chain(written).min();
            exchange.call_deadline = timeout.and_then(from_start);
            if let Some(deadline) = exchange.call_deadline {
                exchange.deadline = exchange.deadline.min(deadline);
            }
        }
    }

    /// Writes what is left of it.
    pub(super) fn tell_deadline(&self, exchange: &Exchange, headers: &mut HeaderMap) {
        let now = Instant::now();
        if let Some(name) = &self.upstream.settings.resilience.deadline_header {
            let left = exchange.deadline.saturating_duration_since(now).as_millis();
            headers.insert(name, HeaderValue::from(u64::try_from(left).unwrap_or(u64::MAX).max(1)));
        }
        if let Some(deadline) = exchange.call_deadline {
            grpc::set_timeout(headers, deadline.saturating_duration_since(now));
        }
    }
}
