//! A certificate that the gateway obtains while it runs.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Certificate;

/// A certificate that is obtained, and replaced, while its listeners run. There may be none yet.
#[derive(Debug)]
pub(crate) struct Obtained {
    /// The hosts that it is for, in lower case.
    names: Vec<String>,
    current: ArcSwapOption<Certificate>,
}

impl Obtained {
    pub(crate) fn new(names: &[String], current: Option<Arc<Certificate>>) -> Obtained {
        Obtained {
            names: names.to_vec(),
            current: ArcSwapOption::new(current),
        }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// What clients are shown from now on.
    pub(crate) fn replace(&self, certificate: Arc<Certificate>) {
        self.current.store(Some(certificate));
    }

    /// What clients are shown now.
    pub(crate) fn current(&self) -> Option<Arc<Certificate>> {
        self.current.load_full()
    }
}
