//! What all threads know of one target.

use std::sync::Arc;

use crate::config::resolved::Target;

/// What all threads know of one target, for as long as it is listed.
#[derive(Debug)]
pub(crate) struct TargetState {
    /// Its address, as in metrics and log.
    pub(crate) name: Arc<str>,
}

impl TargetState {
    pub(crate) fn new(target: &Target) -> TargetState {
        TargetState {
            name: target.address.to_string().into(),
        }
    }
}
