//! `upgrade` and `early_hints`: what an upstream may say besides its answer.

use super::scope::Scope;
use crate::config::file::{Located, Route};

/// What a route allows where nothing is written.
const DEFAULT: &str = "websocket";

/// Other HTTP versions, and TLS, are for the connection to the gateway: behind it they would get round its checks.
const NEVER: [&str; 4] = ["h2c", "h2", "http", "tls"];

pub(super) fn upgrades(scope: &Scope<'_>, route: &Located<Route>) -> Vec<Box<str>> {
    let Some(written) = &route.upgrade else {
        return if route.to.is_some() {
            vec![DEFAULT.into()]
        } else {
            Vec::new()
        };
    };
    if route.to.is_none() && !scope.is_unread(&route.span, "to") {
        let help = "`upgrade` is for what an upstream speaks; `redirect` and `respond` only speak HTTP";
        scope.wrong_help(
            &written.span,
            "`upgrade` without `to`",
            "nothing is forwarded here",
            help,
        );
    }
    written
        .0
        .iter()
        .filter_map(|protocol| checked(scope, protocol))
        .collect()
}

pub(super) fn early_hints(scope: &Scope<'_>, route: &Located<Route>) -> bool {
    let Some(written) = &route.early_hints else {
        return false;
    };
    if route.to.is_none() && !scope.is_unread(&route.span, "to") {
        let help = "only an upstream gives early hints";
        scope.wrong_help(
            &written.span,
            "`early_hints` without `to`",
            "nothing is forwarded here",
            help,
        );
    }
    written.value
}

fn checked(scope: &Scope<'_>, protocol: &Located<String>) -> Option<Box<str>> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if protocol.is_empty() || !protocol.bytes().all(is_token) {
        let help = "write for example `upgrade = [\"websocket\"]`; a version is the client's to say";
        scope.wrong_help(
            &protocol.span,
            "not the name of a protocol",
            "expected a name without its version",
            help,
        );
        return None;
    }
    if NEVER.iter().any(|never| never.eq_ignore_ascii_case(protocol)) {
        let help = "listen for it on the gateway, and write `http = \"2\"` on the upstream that speaks it";
        scope.wrong_help(
            &protocol.span,
            "a protocol that is never upgraded to",
            "would get round the gateway",
            help,
        );
        return None;
    }
    Some(protocol.as_str().into())
}
