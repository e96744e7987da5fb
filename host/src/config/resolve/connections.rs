//! The keys of `[upstream.NAME]` that say how its targets are connected to.

use std::time::Duration;

use super::scope::Scope;
use super::upstream::Scheme;
use super::upstream_tls;
use crate::config::file::{self, Located};
use crate::config::resolved::{Connections, Http2Limits, HttpVersion, ProxyProtocol, TargetTls};

/// `scheme` is that of the targets, where they have one; `frames` are the budgets of all peers.
pub(super) fn connections(
    scope: &Scope<'_>,
    table: &Located<file::Upstream>,
    scheme: Option<Scheme>,
    frames: &Http2Limits,
) -> Connections {
    let usual = Connections::default();
    let count = |key: &str, written: Option<&Located<i64>>, least: i64, most: i64| {
        written.map(|written| scope.number(key, Some(written), least..=most, least).unsigned_abs())
    };
    let most = count("connections", table.connections.as_ref(), 1, 1_000_000);
    let pending = count("pending", table.pending.as_ref(), 0, 1_000_000);
    if let (Some(pending), None) = (&table.pending, most) {
        let title = "`pending` without `connections`";
        let problem = scope.problem(&pending.span, title, "nothing ever waits");
        scope.report(
            problem
                .help("write `connections = 100`, for example, as well".to_owned())
                .warning(),
        );
    }
    let keep = count("keep", table.keep.as_ref(), 0, 100_000);
    let http = http(table.http.as_ref());
    Connections {
        http,
        tls: tls(scope, table, scheme, http),
        proxy_protocol: table.proxy_protocol.as_ref().map(|version| match version.value {
            file::TargetsProxyProtocol::V1 => ProxyProtocol::V1,
            file::TargetsProxyProtocol::V2 => ProxyProtocol::V2,
        }),
        most: most.map(usize_of),
        pending: pending.map_or(usual.pending, usize_of),
        keep: keep.map_or(usual.keep, usize_of),
        keep_for: scope.duration("keep_for", table.keep_for.as_ref(), usual.keep_for),
        reuse_for: scope.duration("reuse_for", table.reuse_for.as_ref(), usual.reuse_for),
        requests: count(
            "requests_per_connection",
            table.requests_per_connection.as_ref(),
            1,
            1_000_000_000,
        ),
        frames: frames.clone(),
        tcp_keepalive: tcp_keepalive(scope, table, usual.tcp_keepalive),
    }
}

/// Whole seconds: that is what kernels count in.
fn tcp_keepalive(scope: &Scope<'_>, table: &file::Upstream, usual: Duration) -> Duration {
    let Some(written) = &table.tcp_keepalive else {
        return usual;
    };
    if (1..=32_767).contains(&written.as_secs()) {
        return Duration::from_secs(written.as_secs());
    }
    let title = "`tcp_keepalive` is out of range";
    scope.wrong(&written.span, title, "expected 1s to 9h");
    usual
}

/// TLS is on where targets are `https`; where they have no scheme of their own, where `tls` is written.
fn tls(scope: &Scope<'_>, table: &file::Upstream, scheme: Option<Scheme>, http: HttpVersion) -> Option<TargetTls> {
    let written = table.tls.as_ref();
    match (scheme, written) {
        (Some(Scheme::Http), Some(written)) => {
            let problem = scope.problem(&written.span, "`tls` for targets without TLS", "they are `http`");
            scope.report(problem.help("write `https://` for `http://` in `targets`, or leave out `tls`".to_owned()));
            None
        }
        (Some(Scheme::Http), None) | (None, None) => None,
        (Some(Scheme::Https), written) => upstream_tls::tls(scope, written, http),
        (None, Some(written)) => {
            let only_sockets = table.targets.as_ref().is_some_and(|targets| !targets.0.is_empty());
            if only_sockets && written.server_name.is_none() {
                let help = "a Unix socket has no name of its own: write `server_name = \"users.internal\"`";
                scope.missing(&written.span, "server_name", help);
                return None;
            }
            upstream_tls::tls(scope, Some(written), http)
        }
    }
}

fn http(written: Option<&Located<file::HttpVersion>>) -> HttpVersion {
    match written.map(|http| http.value) {
        None | Some(file::HttpVersion::One) => HttpVersion::One,
        Some(file::HttpVersion::Two) => HttpVersion::Two,
        Some(file::HttpVersion::Auto) => HttpVersion::Auto,
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
