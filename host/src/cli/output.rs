//! What commands print, and the words they share.

use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::config::resolved::PluginSource;

/// Prints to standard output. Where nobody reads it any more (`portcullis routes | head -1`) there is nothing to do.
pub(super) fn print(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// `1 route`, `2 routes`
pub(super) fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// `16 MiB`, `46.5 KiB`, `7 bytes`
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        None => format!("{bytes} bytes"),
        Some((unit, name)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
    }
}

/// `1m 30s`
pub(super) fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// `standard`, or the path of its file.
pub(super) fn source(source: &PluginSource) -> String {
    match source {
        PluginSource::Standard(_) => "standard".to_owned(),
        PluginSource::File(path) => shown(path),
    }
}

/// A path as text.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Text that somebody else wrote, for a terminal: what could steer it becomes a space.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_their_unit() {
        assert_eq!(
            [size(7), size(46 << 10), size(47_616), size(16 << 20)],
            ["7 bytes", "46 KiB", "46.5 KiB", "16 MiB"]
        );
        assert_eq!([count(1, "route"), count(0, "route")], ["1 route", "0 routes"]);
        assert_eq!(duration(Duration::from_millis(1500)), "1s 500ms");
    }

    #[test]
    fn foreign_text_does_not_steer_the_terminal() {
        assert_eq!(printable("\u{1b}[2Ja\tb\n"), " [2Ja b ");
    }
}
