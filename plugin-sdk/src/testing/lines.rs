//! What a filter wrote to the log.

use std::cell::RefCell;

use crate::log::Level;

thread_local! {
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Takes every line that this thread's filters have logged since the last call.
///
/// ```
/// use portcullis_sdk::log::{self, Level};
/// use portcullis_sdk::testing;
///
/// log::warn("the list is empty");
/// assert_eq!(testing::logged(), [(Level::Warn, "the list is empty".to_owned())]);
/// assert!(testing::logged().is_empty());
/// ```
pub fn logged() -> Vec<(Level, String)> {
    LINES.take()
}

pub(crate) fn log(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
    LINES.with_borrow_mut(|lines| lines.push((level, message.to_owned())));
}
