//! Whether a request is sent again after a failure, to whom, and when.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::attempt::{Attempt, Repeat};
use super::failure::{Cause, Failed, retry_after};
use super::{Answer, Proxy, Terms};
use crate::grpc;
use crate::pipeline::Exchange;
use crate::upstream::{Target, Trial, UpstreamBody};

impl Proxy {
    /// Whether an answer says to ask again, so that it is passed on only where that is not to be.
    pub(super) fn asks_again(&self, answer: &Answer, attempt: &Attempt, exchange: &Exchange) -> Option<Cause> {
        if !self.judges_answers || !matches!(attempt.repeat, Repeat::Always(_)) {
            return None;
        }
        let (on, head) = (&self.retry.on, &answer.response);
        if attempt.idempotent && on.status(head.status()) {
            return Some(Cause::Status);
        }
        let unavailable = on.unavailable && exchange.is_grpc_call() && grpc::is_unavailable(head.headers());
        unavailable.then_some(Cause::Unavailable)
    }

    /// The target to send the request to again, with the breaker's leave, after a pause where there is to be one; or the
    /// failure that stays, with nothing about it changed.
    pub(super) async fn again(
        &self,
        failed: Failed,
        attempt: &mut Attempt,
        tried: &[Rc<Target>],
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Result<(Rc<Target>, Option<Trial>), Failed> {
        let cause = failed.cause;
        if attempt.tries >= self.retry.tries || !self.is_cause(cause, cause.is_unsent() || attempt.idempotent) {
            return Err(failed);
        }
        let other = self.upstream.next(tried, attempt.affinity);
        let is_other = other.is_some();
        // Who did not even accept is not asked twice.
        let same = || match cause {
            Cause::ConnectTimeout => None,
            _ => self.upstream.next(&[], attempt.affinity),
        };
        let Some(target) = other.or_else(same) else {
            return Err(failed);
        };
        let free = cause.is_unsent() && is_other;
        let wait = match &failed.last {
            _ if free => Duration::ZERO,
            // Only who is asked again can mind when.
            Ok(answer) if !is_other => self.pause(attempt.tries, Some(answer)),
            _ => self.pause(attempt.tries, None),
        };
        let now = Instant::now();
        // A target may ask for any time.
        if now.checked_add(wait).is_none_or(|then| then >= exchange.deadline) {
            return Err(failed);
        }
        let Ok(trial) = self.enter() else {
            return Err(failed);
        };
        // What was never sent is no load.
        if !free && !self.budget.withdraw(now) {
            self.counts.over_budget.add(1);
            return Err(failed);
        }
        // Last of all: whoever reads the body now reads it no more.
        if attempt.request.is_none() {
            attempt.request = self.repeated(attempt, exchange, terms);
        }
        if attempt.request.is_none() {
            if !free {
                self.budget.give_back();
            }
            return Err(failed);
        }
        attempt.tries += 1;
        self.counts.retried(cause);
        if let Ok(answer) = failed.last {
            drain(*answer, self.upstream.settings.idle_timeout);
        }
        if !wait.is_zero() {
            sleep(wait).await;
        }
        Ok((target, trial))
    }

    /// Whether this is something to send a request again for; `safe`: a repetition does no harm.
    fn is_cause(&self, cause: Cause, safe: bool) -> bool {
        let on = &self.retry.on;
        match cause {
            Cause::Connect | Cause::ConnectTimeout => on.connect,
            Cause::Reset => on.reset && safe,
            Cause::Timeout => on.timeout && safe,
            Cause::Status | Cause::Unavailable => true,
            Cause::Final => false,
        }
    }

    /// How long to wait after so many tries: half to all of a time that doubles, or as long as the answer asks for.
    fn pause(&self, tries: u32, answer: Option<&Answer>) -> Duration {
        let doublings = tries.saturating_sub(1).min(16);
        let longest = self.retry.longest_backoff;
        let backoff = self.retry.backoff.saturating_mul(1 << doublings).min(longest);
        let backoff = backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
        let asked = answer.and_then(|answer| retry_after(answer.response.status(), answer.response.headers()));
        asked.map_or(backoff, |asked| asked.max(backoff))
    }
}

/// Bytes of a response, and time, that are spent on keeping its connection.
const DRAINED: usize = 64 << 10;
const DRAINING: Duration = Duration::from_secs(1);

/// Reads an answer that nobody wants, so that its connection can be used again. One that is long or slow is not worth it:
/// then the connection is closed.
pub(super) fn drain(answer: Answer, idle_timeout: Duration) {
    let Answer {
        response,
        lease,
        verdict,
    } = answer;
    let mut body = UpstreamBody::new(response.into_body(), lease, None, verdict, idle_timeout);
    if body.is_end_stream() {
        return;
    }
    tokio::task::spawn_local(timeout(DRAINING, async move {
        let mut left = DRAINED;
        while let Some(Ok(frame)) = std::future::poll_fn(|cx| body.poll_frame(cx)).await {
            match left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }));
}
