//! `[server.limits.http2]`

use super::scope::Scope;
use crate::config::file;
use crate::config::resolved::Http2Limits;

/// `[server.limits.http2]`
pub(super) fn http2_limits(scope: &Scope<'_>, table: &file::Limits) -> Http2Limits {
    let default = Http2Limits::default();
    let Some(table) = &table.http2 else { return default };
    let rate = |written: &Option<file::Located<file::Text<file::PerSecond>>>, default| {
        written.as_ref().map_or(default, |rate| rate.value.0.0)
    };
    let continuations = scope.number("continuations", table.continuations.as_ref(), 1..=10_000, 4);
    Http2Limits {
        resets: rate(&table.resets, default.resets),
        provoked_resets: rate(&table.provoked_resets, default.provoked_resets),
        pings: rate(&table.pings, default.pings),
        settings: rate(&table.settings, default.settings),
        priorities: rate(&table.priorities, default.priorities),
        window_updates: rate(&table.window_updates, default.window_updates),
        empty_frames: rate(&table.empty_frames, default.empty_frames),
        unknown_frames: rate(&table.unknown_frames, default.unknown_frames),
        continuations: u32::try_from(continuations).ok(),
    }
}
