//! How long a response's head is waited for, and who is to blame when it does not come in time.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Instant;

use super::failure::{Cause, Failed};
use super::{Proxy, Terms};
use crate::body::ClientBodyState;
use crate::pipeline::Exchange;
use crate::rejection::Rejection;

impl Proxy {
    /// Waits for a response's head: until the try's time is over, and no longer than the upstream may take from the
    /// request's last byte on, or while it takes nothing of what the client has sent.
    pub(super) async fn answered<T>(
        &self,
        mut response: Pin<&mut impl Future<Output = T>>,
        sent: Instant,
        until: Instant,
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Result<T, Failed> {
        let mut upload = terms.client_body.as_deref().map(Upload::new);
        let mut since = sent;
        let mut alarm = terms.alarm.take();
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answered) = response.as_mut().poll(cx) {
                return Poll::Ready(Ok(answered));
            }
            loop {
                ready!(alarm.poll(until.min(since + self.upstream.settings.response_timeout), cx));
                let now = Instant::now();
                match upload.as_mut().and_then(|upload| upload.moved(since, now)) {
                    Some(moved) if now < until => since = moved,
                    _ => break,
                }
            }
            let mut failed = late(exchange);
            // That the client has not sent all of its request is nothing against the target.
            if upload.as_ref().is_some_and(Upload::awaits_client) {
                (failed.cause, failed.blames) = (Cause::Final, false);
            }
            Poll::Ready(Err(failed))
        })
        .await;
        terms.alarm.set(alarm);
        answered
    }
}

/// A body on its way from the client to a target, looked at now and then.
struct Upload<'a> {
    body: &'a ClientBodyState,
    read: u64,
}

impl Upload<'_> {
    fn new(body: &ClientBodyState) -> Upload<'_> {
        Upload {
            body,
            read: body.read.get(),
        }
    }

    /// When the target was given its last byte, if after `since`; or now, where it has taken some of the body since the last
    /// look, or would take more than there is.
    fn moved(&mut self, since: Instant, now: Instant) -> Option<Instant> {
        if let Some(ended) = self.body.ended.get() {
            return Some(ended).filter(|ended| *ended > since);
        }
        let read = self.body.read.get();
        let before = std::mem::replace(&mut self.read, read);
        (read > before || self.awaits_client()).then_some(now)
    }

    fn awaits_client(&self) -> bool {
        self.body.ended.get().is_none() && self.body.is_awaited.get()
    }
}

/// There was no answer in time: the request's, or else the try's or the upstream's.
pub(super) fn late(exchange: &Exchange) -> Failed {
    let now = Instant::now();
    if now < exchange.deadline {
        return Failed::by_target(Cause::Timeout, Rejection::UpstreamTimeout);
    }
    // A client that is ready to wait for less says nothing about the target by it: or five calls with no time at all would
    // take a healthy target away from everybody.
    let own = exchange.started.checked_add(exchange.route.timeout);
    if own.is_some_and(|own| now < own) {
        return Failed::by_others(Cause::Final, Rejection::Deadline);
    }
    Failed::by_target(Cause::Final, Rejection::Deadline)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_who_has_nothing_to_give_is_waited_for() {
        let (body, start) = (ClientBodyState::default(), Instant::now());
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut upload = Upload::new(&body);
        assert_eq!(upload.moved(start, after(1)), None, "the target takes nothing");
        assert!(!upload.awaits_client());

        body.read.set(10);
        assert_eq!(upload.moved(start, after(2)), Some(after(2)));
        assert_eq!(upload.moved(start, after(3)), None);

        body.is_awaited.set(true);
        assert!(upload.awaits_client());
        assert_eq!(upload.moved(start, after(4)), Some(after(4)));

        body.ended.set(Some(after(5)));
        assert!(!upload.awaits_client());
        assert_eq!(upload.moved(start, after(9)), Some(after(5)));
        assert_eq!(upload.moved(after(5), after(9)), None);
    }
}
