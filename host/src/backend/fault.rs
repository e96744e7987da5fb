//! What goes wrong on purpose, so that it can be seen what clients and services make of it.

use std::time::Instant;

use tokio::time::sleep_until;

use crate::config::resolved;
use crate::rejection::Rejection;
use crate::telemetry::Counter;
use crate::telemetry::metrics::{FAULTS, Metrics};

/// Delays a share of a route's requests, and answers a share of them with a failure.
pub(crate) struct Fault {
    settings: resolved::Fault,
    delayed: Counter,
    aborted: Counter,
}

impl Fault {
    pub(crate) fn new(settings: resolved::Fault, route: &str, metrics: &Metrics, thread: usize) -> Fault {
        let counter = |kind: &str| {
            let labels = vec![("kind", kind.into()), ("route", route.into())];
            metrics.counter(thread, FAULTS, labels)
        };
        Fault {
            settings,
            delayed: counter("delay"),
            aborted: counter("abort"),
        }
    }

    /// Delays this request, or fails it, or both, or neither. No delay outlasts the request's deadline.
    pub(crate) async fn strike(&self, deadline: Instant) -> Result<(), Rejection> {
        if let Some((delay, share)) = self.settings.delay
            && share.draw()
        {
            self.delayed.add(1);
            sleep_until((Instant::now() + delay).min(deadline).into()).await;
        }
        match self.settings.abort {
            Some((status, share)) if share.draw() => {
                self.aborted.add(1);
                Err(Rejection::Fault(status))
            }
            _ if Instant::now() >= deadline => Err(Rejection::Deadline),
            _ => Ok(()),
        }
    }
}
