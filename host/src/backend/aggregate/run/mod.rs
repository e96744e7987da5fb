//! Makes the calls, each as soon as it may, and puts the answer together.
//!
//! All of it is one future of one task: what runs side by side is polled by it, and a call that is not needed any more is
//! stopped by being dropped. A required call that fails ends all others. (Which failure is told, where several would be,
//! depends on which comes first; an answer does not depend on the order in which its parts arrive.)

mod call;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::future::Future;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{HeaderMap, Method, Response};
use tokio::time::Instant;

use crate::backend::aggregate::answer::{self, Answer};
use crate::backend::aggregate::failure::{Failed, Failure};
use crate::backend::aggregate::prepare::Aggregate;
use crate::backend::aggregate::template::{Answered, Request, Values};

/// Sends one request to an upstream. The host's backends are behind it: `http`, `grpc` and `soap` alike.
pub(crate) trait Caller {
    /// The body of an answer.
    type Body: http_body::Body<Data = Bytes>;

    /// Sends a request, and gives its answer once the head is there. Dropping the future, or the body, stops the call.
    fn call(&self, request: Outgoing<'_>) -> impl Future<Output = Result<Response<Self::Body>, CallError>>;
}

/// One request to an upstream.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    /// The place of the call in the settings.
    pub(crate) call: usize,
    /// The name of the upstream.
    pub(crate) upstream: &'a str,
    /// The method.
    pub(crate) method: &'a Method,
    /// Path and query.
    pub(crate) target: String,
    /// All fields but those that frame a message.
    pub(crate) headers: HeaderMap,
    /// The body; empty where there is none.
    pub(crate) body: Bytes,
    /// When it is of no use any more.
    pub(crate) deadline: Instant,
}

/// Why there is no answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallError {
    /// It took too long.
    Timeout,
    /// Nobody could be asked: no target, no connection, none allowed.
    Unreachable,
    /// The connection broke off, or the answer is no HTTP.
    Broken,
}

impl Aggregate {
    /// Makes the calls, and puts the answer together. Past `deadline` optional calls are left out, and required ones fail:
    /// so it should be a little before that of the exchange.
    ///
    /// # Errors
    /// If a required call fails, or all bodies together are too large.
    pub(crate) async fn run<C: Caller>(
        &self,
        request: &Request<'_>,
        caller: &C,
        deadline: std::time::Instant,
        now: std::time::SystemTime,
    ) -> Result<Answer, Failed> {
        let answers: Vec<OnceCell<Answered>> = self.calls.iter().map(|_| OnceCell::new()).collect();
        let values = Values {
            request,
            answers: &answers,
            item: None,
        };
        let mut waits: Vec<usize> = self.graph.needs.iter().map(Vec::len).collect();
        let start = |call: usize| self.call(call, values, caller, Instant::from_std(deadline));
        let first = (0..self.calls.len()).filter(|call| waits.get(*call) == Some(&0));
        let mut running: FuturesUnordered<_> = first.map(start).collect();
        let mut total = 0usize;
        while let Some((call, size, answered)) = running.next().await {
            let failure = answered.failure.as_ref();
            if let Some(failure) = failure.filter(|_| self.calls.get(call).is_some_and(|call| call.required)) {
                let failure = failure.clone();
                return Err(Failed {
                    call: Some(call),
                    failure,
                });
            }
            // Counted when they are whole, so that it does not depend on what arrives when.
            total = total.saturating_add(size);
            if total > self.total {
                let failure = Failure::TooLarge;
                return Err(Failed { call: None, failure });
            }
            if let Some(place) = answers.get(call) {
                let _ = place.set(answered);
            }
            for next in self.graph.then.get(call).into_iter().flatten() {
                if let Some(left) = waits.get_mut(*next) {
                    *left -= 1;
                    if *left == 0 {
                        running.push(start(*next));
                    }
                }
            }
        }
        drop(running);
        answer::assemble(self, request, &answers, now)
    }
}
