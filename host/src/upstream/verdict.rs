//! How a gRPC call went, which its target says last of all.

use std::rc::Rc;
use std::time::Instant;

use super::{Target, Trial};

/// A call whose status is still to come, after its messages: its target, and the breaker that let it through, hear of it then.
/// One that is dropped before, since its client has gone, says nothing about either.
pub(crate) struct Verdict {
    target: Rc<Target>,
    trial: Option<Trial>,
}

impl Verdict {
    pub(crate) fn new(target: &Rc<Target>, trial: Option<Trial>) -> Verdict {
        Verdict {
            target: target.clone(),
            trial,
        }
    }

    /// This is how it went.
    pub(super) fn give(self, failed: bool) {
        self.target.did(failed);
        if let Some(trial) = self.trial {
            trial.ended(failed, Instant::now());
        }
    }
}
