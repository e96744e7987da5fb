//! `balance`, `sticky` and `slow_start` of an upstream.

use std::ops::Range;
use std::time::Duration;

use http::HeaderName;

use super::matches::Matched;
use super::scope::Scope;
use crate::config::file::{self, Located, Policy, Shorthand};
use crate::config::resolved::{Balance, HashKey, Sticky, Upstream};
use crate::config::suggest::any_of;

/// How a target is chosen.
pub(super) fn balance(scope: &Scope<'_>, table: &file::Upstream) -> Balance {
    let Some(written) = &table.balance else {
        return Balance::LeastRequest;
    };
    match &written.value {
        Shorthand::Short(Policy::LeastRequest) => Balance::LeastRequest,
        Shorthand::Short(Policy::RoundRobin) => Balance::RoundRobin,
        Shorthand::Short(Policy::Random) => Balance::Random,
        Shorthand::Short(Policy::PeakEwma) => Balance::PeakEwma,
        Shorthand::Long(by) => {
            let Some(hash) = &by.hash else {
                scope.missing(
                    &written.span,
                    "hash",
                    "write for example `{ hash = \"header:x-user\" }`",
                );
                return Balance::LeastRequest;
            };
            let surplus = by.surplus.as_ref().map(|share| share.value.0);
            hash_key(scope, hash).map_or(Balance::LeastRequest, |key| Balance::Hash(key, surplus))
        }
    }
}

fn hash_key(scope: &Scope<'_>, written: &Located<String>) -> Option<HashKey> {
    let (kind, name) = written.split_once(':').unwrap_or((written, ""));
    let key = match (kind, name) {
        ("client-ip", "") => Some(HashKey::ClientAddress),
        ("header", name) => name.parse::<HeaderName>().ok().map(HashKey::Header),
        ("cookie", name) => is_token(name).then(|| HashKey::Cookie(name.to_owned())),
        ("path", name) => (!name.is_empty()).then(|| HashKey::Path(name.to_owned())),
        ("query", name) => (!name.is_empty()).then(|| HashKey::Query(name.to_owned())),
        _ => None,
    };
    if key.is_none() {
        scope.wrong_help(
            &written.span,
            "not a part of a request",
            "expected `header:NAME`, `cookie:NAME`, `client-ip`, `path:NAME` or `query:NAME`",
            "requests that are equal in this part go to the same target: write for example `hash = \"header:x-user\"`",
        );
    }
    key
}

/// Reports a route to an upstream that chooses by a path parameter which the route does not have.
pub(super) fn needs_parameter(scope: &Scope<'_>, to: &Range<usize>, upstream: &Upstream, matches: &[Matched]) {
    let Balance::Hash(HashKey::Path(name), _) = &upstream.balance else {
        return;
    };
    let lacks = |one: &&Matched| !one.pattern.parameters().any(|known| known == name);
    let Some(without) = matches.iter().find(lacks) else {
        return;
    };
    let known: Vec<&str> = without.pattern.parameters().collect();
    let label = match (without.secret, known.as_slice()) {
        (true, _) => "not a parameter of this route's match".to_owned(),
        (false, []) => format!("`{}` has no parameters", without.text),
        (false, known) => format!("`{}` has {}", without.text, any_of(known).replace(" or ", " and ")),
    };
    // The parameter's own name may have come from `${..}`.
    let title = "the upstream chooses targets by a path parameter that this route does not have";
    let help = format!(
        "have the route match the parameter that `hash` names in `[upstream.{}]`",
        upstream.name
    );
    scope.wrong_help(to, title, label, help);
}

/// The cookie that names a target.
pub(super) fn sticky(scope: &Scope<'_>, table: &file::Upstream) -> Option<Sticky> {
    let written = table.sticky.as_ref()?;
    let (cookie, span, lasts, key) = match &written.value {
        Shorthand::Short(cookie) => (cookie, &written.span, None, None),
        Shorthand::Long(long) => {
            let Some(cookie) = &long.cookie else {
                scope.missing(&written.span, "cookie", "write for example `cookie = \"target\"`");
                return None;
            };
            let lasts = long.lasts.as_ref();
            let lasts = lasts.map(|lasts| scope.duration("for", Some(lasts), Duration::from_secs(1)));
            (&cookie.value, &cookie.span, lasts, long.key.as_ref())
        }
    };
    if !is_token(cookie) {
        let help = "a cookie's name has letters, digits, `-`, `_` and `.`";
        scope.wrong_help(span, "not the name of a cookie", "not allowed in HTTP", help);
        return None;
    }
    if let Some(key) = key.filter(|key| key.len() < 16) {
        let help = "write at least 16 characters, or leave it out";
        scope.wrong_help(&key.span, "`key` is too short", "could be found by trying", help);
    }
    Some(Sticky {
        cookie: cookie.clone(),
        lasts,
        key: key.map(|key| key.value.clone()).unwrap_or_default(),
    })
}

/// How long the share of a target that comes back grows.
pub(super) fn slow_start(scope: &Scope<'_>, table: &file::Upstream) -> Option<Duration> {
    let written = table.slow_start.as_ref()?;
    if let Some(Shorthand::Long(_)) = table.balance.as_ref().map(|balance| &balance.value) {
        let help = "leave out `slow_start`, or choose another `balance`";
        scope.wrong_help(
            &written.span,
            "`slow_start` with a hash",
            "every step would send clients to other targets",
            help,
        );
    }
    Some(scope.duration("slow_start", Some(written), Duration::from_secs(30)))
}

/// Whether a name may be a cookie's (RFC 6265 section 4.1.1).
fn is_token(name: &str) -> bool {
    let separators = b"()<>@,;:\\\"/[]?={}";
    let fine = |byte: u8| byte.is_ascii_graphic() && !separators.contains(&byte);
    !name.is_empty() && name.bytes().all(fine)
}
