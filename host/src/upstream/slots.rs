//! The connections that a target may have at once, over all threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The connections that a target may have at once, and who waits for one.
#[derive(Debug)]
pub(crate) struct Slots {
    most: usize,
    pending: usize,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot(#[expect(dead_code, reason = "held, never looked at")] OwnedSemaphorePermit);

/// Somebody who waits for a connection.
#[derive(Debug)]
pub(super) struct Waiter<'a>(&'a Slots);

impl Slots {
    pub(super) fn new(most: usize, pending: usize) -> Slots {
        Slots {
            most,
            pending,
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Whether these limits are the slots'.
    pub(super) fn are_of(&self, most: usize, pending: usize) -> bool {
        (self.most, self.pending) == (most, pending)
    }

    /// A place that is free now, where nobody waits for it.
    pub(super) fn take(&self) -> Option<Slot> {
        self.free.clone().try_acquire_owned().ok().map(Slot)
    }

    /// Waits for a place. Who came first is served first, from whichever thread.
    pub(super) async fn wait(&self) -> Option<Slot> {
        self.free.clone().acquire_owned().await.ok().map(Slot)
    }

    /// Joins those who wait; none where there are too many.
    pub(super) fn enter(&self) -> Option<Waiter<'_>> {
        let joined = self
            .waiting
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < self.pending).then_some(waiting + 1)
            });
        joined.ok().map(|_| Waiter(self))
    }

    /// How many wait, over all threads.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_connection_has_gone() {
        let slots = Slots::new(1, 1);
        let first = slots.take();
        assert!(first.is_some() && slots.take().is_none());
        drop(first);
        assert!(slots.take().is_some());
    }

    #[test]
    fn no_more_wait_than_may() {
        let slots = Slots::new(1, 2);
        let (first, _second) = (slots.enter(), slots.enter());
        assert!(slots.enter().is_none());
        assert_eq!(slots.waiting(), 2);
        drop(first);
        assert!(slots.enter().is_some());
        assert_eq!(slots.waiting(), 1);
    }
}
