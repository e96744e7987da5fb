//! Capability `log`: lines of filters in the gateway's log.

use std::borrow::Cow;

use crate::wasm::abi::v0_1::host::log::{Host, Level};
use crate::wasm::instance::HostState;

/// Bytes of one line; the rest is cut.
const LONGEST: usize = 8 << 10;

impl Host for HostState {
    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let message = one_line(&message);
        let id = self.exchange_id();
        let (plugin, filter, route) = (&self.labels.plugin, &self.labels.filter, &self.labels.route);
        match level {
            Level::Trace => tracing::trace!(target: "portcullis::filter", %plugin, %filter, %route, %id, "{message}"),
            Level::Debug => tracing::debug!(target: "portcullis::filter", %plugin, %filter, %route, %id, "{message}"),
            Level::Info => tracing::info!(target: "portcullis::filter", %plugin, %filter, %route, %id, "{message}"),
            Level::Warn => tracing::warn!(target: "portcullis::filter", %plugin, %filter, %route, %id, "{message}"),
            Level::Error => tracing::error!(target: "portcullis::filter", %plugin, %filter, %route, %id, "{message}"),
        }
        Ok(())
    }
}

/// The message cut to its longest, with control characters escaped, so that no message can forge a line.
pub(in crate::wasm) fn one_line(message: &str) -> Cow<'_, str> {
    let mut end = message.len().min(LONGEST);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let message = &message[..end];
    if message.chars().any(char::is_control) {
        message.escape_debug().to_string().into()
    } else {
        message.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_on_one_line() {
        assert_eq!(one_line("plain"), "plain");
        assert_eq!(one_line("two\nlines"), "two\\nlines");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(one_line(&"é".repeat(LONGEST)).len(), LONGEST);
    }
}
