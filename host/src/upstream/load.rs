//! How much is asked of an upstream at once, over all threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is under way and what waits. Counted only where there is a limit.
#[derive(Debug, Default)]
pub(crate) struct Load {
    requests: AtomicUsize,
    pending: AtomicUsize,
}

/// One of them, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Permit {
    load: Arc<Load>,
    counted: fn(&Load) -> &AtomicUsize,
}

impl Load {
    /// A request, unless there are as many already.
    pub(crate) fn request(self: &Arc<Load>, most: usize) -> Option<Permit> {
        self.enter(|load| &load.requests, most)
    }

    /// A wait for a connection, unless there are as many already.
    pub(crate) fn wait(self: &Arc<Load>, most: usize) -> Option<Permit> {
        self.enter(|load| &load.pending, most)
    }

    fn enter(self: &Arc<Load>, counted: fn(&Load) -> &AtomicUsize, most: usize) -> Option<Permit> {
        if counted(self).fetch_add(1, Ordering::AcqRel) >= most {
            counted(self).fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Permit {
            load: self.clone(),
            counted,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        (self.counted)(&self.load).fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_are_under_way_at_once() {
        let load = Arc::<Load>::default();
        let first = load.request(2);
        let second = load.request(2);
        assert!(first.is_some() && second.is_some() && load.request(2).is_none());
        assert!(load.wait(1).is_some());
        drop(first);
        assert!(load.request(2).is_some());
    }
}
