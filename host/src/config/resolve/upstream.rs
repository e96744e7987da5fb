//! `[upstream.NAME]`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::ServerName;

use super::balance::{balance, slow_start, sticky};
use super::connections::connections;
use super::discovery::discovery;
use super::health::{eject, health};
use super::resilience::resilience;
use super::scope::Scope;
use crate::config::file::{self, Located, OneOrMany, Shorthand};
use crate::config::resolved::{Address, Discovery, Http2Limits, Target, Upstream};
use crate::config::units::Share;

/// The upstreams of a configuration.
pub(super) struct Upstreams {
    /// In the order written.
    pub(super) all: Vec<Arc<Upstream>>,
    by_name: HashMap<String, usize>,
}

impl Upstreams {
    /// Those of all documents. `frames` is what their targets may send.
    pub(super) fn of(scopes: &[Scope<'_>], frames: &Http2Limits) -> Self {
        let mut upstreams = Self {
            all: Vec::new(),
            by_name: HashMap::new(),
        };
        for scope in scopes {
            for (name, table) in &scope.document.file.upstream.0 {
                let upstream = upstream(scope, &name.value, table, frames);
                upstreams
                    .by_name
                    .entry(name.value.clone())
                    .or_insert(upstreams.all.len());
                upstreams.all.push(Arc::new(upstream));
            }
        }
        upstreams
    }

    /// Its index.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

fn upstream(scope: &Scope<'_>, name: &str, table: &Located<file::Upstream>, frames: &Http2Limits) -> Upstream {
    let seconds = Duration::from_secs;
    let resolver = table.resolver.as_ref().map(|resolver| resolver.0.0);
    let (targets, scheme, discovery) = targets(scope, table, resolver);
    Upstream {
        name: name.to_owned(),
        targets,
        discovery,
        resolver,
        balance: balance(scope, table),
        sticky: sticky(scope, table),
        prefer_zone: table.prefer_zone.as_ref().map(|zone| zone.value.as_str().into()),
        panic: table.panic.as_ref().map_or(Share::percent(50), |share| share.value.0),
        slow_start: slow_start(scope, table),
        health: health(scope, table),
        eject: eject(scope, table),
        connections: connections(scope, table, scheme, frames),
        connect_timeout: scope.duration("connect_timeout", table.connect_timeout.as_ref(), seconds(2)),
        response_timeout: scope.duration("response_timeout", table.response_timeout.as_ref(), seconds(60)),
        idle_timeout: scope.duration("idle_timeout", table.idle_timeout.as_ref(), seconds(60)),
        resilience: resilience(scope, table),
    }
}

/// Either `targets`, with the scheme that those with one have in common, or `discover`.
fn targets(
    scope: &Scope<'_>,
    table: &Located<file::Upstream>,
    resolver: Option<SocketAddr>,
) -> (Vec<Target>, Option<Scheme>, Option<Discovery>) {
    match (&table.targets, &table.discover) {
        (Some(list), None) => {
            if list.0.is_empty() && !scope.has_unread(&list.span) {
                let example = "write for example `targets = [\"http://127.0.0.1:9001\"]`";
                scope.wrong_help(
                    &list.span,
                    "an upstream without targets",
                    "expected at least one",
                    example,
                );
            }
            let (targets, scheme) = listed(scope, list);
            (targets, scheme, None)
        }
        (None, Some(discover)) => (Vec::new(), None, discovery(scope, discover, resolver)),
        (Some(list), Some(discover)) => {
            let problem = scope.problem(&discover.span, "both `targets` and `discover`", "found here");
            let problem = problem.note(format!("listed at {}", scope.place(&list.span)));
            scope.report(problem.help(Some(
                "keep one of them: fixed and discovered targets need an upstream each".to_owned(),
            )));
            (Vec::new(), None, None)
        }
        (None, None) => {
            if !scope.is_unread(&table.span, "discover") {
                let help = "write for example `targets = [\"http://127.0.0.1:9001\"]`, \
                    or `discover = \"dns:users.internal:8080\"`";
                scope.missing(&table.span, "targets", help);
            }
            (Vec::new(), None, None)
        }
    }
}

/// Targets that are listed, and the scheme that those with one have in common: in the configuration, or in a file of their own.
pub(crate) fn listed(
    scope: &Scope<'_>,
    list: &Located<OneOrMany<Located<Shorthand<file::Target>>>>,
) -> (Vec<Target>, Option<Scheme>) {
    let mut targets: Vec<(Target, &Located<_>)> = Vec::new();
    let mut scheme: Option<(Scheme, &Located<_>)> = None;
    for entry in &list.0 {
        let Some((target, its_scheme)) = target(scope, entry) else {
            continue;
        };
        if let Some((_, first)) = targets.iter().find(|(other, _)| other.address == target.address) {
            let problem = scope.problem(&entry.span, "a target is listed twice", "listed again here");
            let problem = problem.note(format!("first listed at {}", scope.place(&first.span)));
            scope.report(problem.help(Some(
                "for a larger share of the load write `{ url = \"..\", weight = 2 }`".to_owned(),
            )));
        } else if let Some((first, place)) = scheme
            && its_scheme.is_some_and(|its| its != first)
        {
            let problem = scope.problem(&entry.span, "targets with and without TLS", "another scheme");
            let problem = problem.note(format!("the first with a scheme is at {}", scope.place(&place.span)));
            scope.report(
                problem.help("an upstream's targets are all `http`, or all `https`: make two upstreams".to_owned()),
            );
        }
        scheme = scheme.or(its_scheme.map(|its| (its, entry)));
        targets.push((target, entry));
    }
    let targets = targets.into_iter().map(|(target, _)| target).collect();
    (targets, scheme.map(|(scheme, _)| scheme))
}

fn target(scope: &Scope<'_>, entry: &Located<Shorthand<file::Target>>) -> Option<(Target, Option<Scheme>)> {
    match &entry.value {
        Shorthand::Short(text) => url(scope, text, &entry.span).map(|(address, scheme)| (Target::at(address), scheme)),
        Shorthand::Long(table) => {
            let weight = scope.number("weight", table.weight.as_ref(), 1..=1_000, 1);
            let priority = scope.number("priority", table.priority.as_ref(), 0..=100, 0);
            let Some(url_text) = &table.url else {
                scope.missing(
                    &entry.span,
                    "url",
                    "write for example `url = \"http://127.0.0.1:9001\"`",
                );
                return None;
            };
            let (address, scheme) = url(scope, url_text, &url_text.span)?;
            let target = Target {
                address,
                weight: u32::try_from(weight).unwrap_or(1),
                priority: u32::try_from(priority).unwrap_or_default(),
                zone: table.zone.as_ref().map(|zone| zone.value.as_str().into()),
            };
            Some((target, scheme))
        }
    }
}

/// What a target's URL begins with; a Unix socket's has none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// `http://host[:port]`, `https://host[:port]` or `unix:/path`, and nothing else.
fn url(scope: &Scope<'_>, text: &str, span: &std::ops::Range<usize>) -> Option<(Address, Option<Scheme>)> {
    let secret = scope.secrets.at(span).is_some();
    let title = "not the URL of a target";
    let example = || "write scheme, host and port: `http://127.0.0.1:9001`".to_owned();
    let fail = |label: &str, help: String| -> Option<(Address, Option<Scheme>)> {
        scope.wrong_help(span, title, label, help);
        None
    };
    if let Some(path) = text.strip_prefix("unix:") {
        let path = Path::new(path);
        if !path.is_absolute() || path.as_os_str().len() > LONGEST_SOCKET_PATH {
            let label = format!("expected an absolute path of at most {LONGEST_SOCKET_PATH} bytes");
            return fail(&label, "write for example `unix:/run/users.sock`".to_owned());
        }
        return Some((Address::Unix(path.into()), None));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let help = if secret || text.contains(['/', ' ']) {
            example()
        } else {
            format!("write `http://{text}`")
        };
        return fail("no scheme", help);
    };
    let (scheme, usual_port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (Scheme::Http, 80),
        "https" => (Scheme::Https, 443),
        "ws" => return fail("WebSockets go over http", "write `http://` for `ws://`".to_owned()),
        "wss" => return fail("WebSockets go over https", "write `https://` for `wss://`".to_owned()),
        "http+unix" => return fail("unknown scheme", "write `unix:/run/users.sock`".to_owned()),
        "h2" | "h2c" | "grpc" => {
            return fail(
                "unknown scheme",
                "write `http://`, and `http = \"2\"` in the upstream".to_owned(),
            );
        }
        _ => return fail("unknown scheme", example()),
    };
    if let Some((authority, path)) = rest.split_once('/').filter(|(_, path)| !path.is_empty()) {
        let help = match secret || authority.contains('@') {
            true => "a target has no path: write `rewrite = { path = \"..\" }` on the route".to_owned(),
            false => {
                format!(
                    "write `{}://{authority}` here, and the path with `rewrite` on the route: `{{ path = \"/{}/{{rest}}\" }}`",
                    if scheme == Scheme::Https { "https" } else { "http" },
                    path.trim_end_matches('/')
                )
            }
        };
        return fail("a target has no path", help);
    }
    if rest.contains('@') {
        return fail(
            "a target has no user name",
            "send credentials with the `edit-headers` filter".to_owned(),
        );
    }
    let uri: Option<Uri> = text.parse().ok();
    let uri = uri.filter(|uri| uri.query().is_none() && uri.host().is_some_and(|host| !host.is_empty()));
    // `Uri` keeps a port that is no number, or too large a one, as text.
    let uri = uri.filter(|uri| {
        uri.authority().is_some_and(|all| {
            all.as_str().ends_with(uri.host().unwrap_or_default()) || uri.port_u16().is_some_and(|port| port != 0)
        })
    });
    let Some((host, port)) = uri
        .as_ref()
        .and_then(|uri| Some((uri.host()?, uri.port_u16().unwrap_or(usual_port))))
    else {
        return fail("not a URL", example());
    };
    let host: Arc<str> = host.trim_matches(['[', ']']).into();
    if scheme == Scheme::Https && ServerName::try_from(&*host).is_err() {
        return fail("no certificate can have this name", example());
    }
    Some((Address::Tcp { host, port }, Some(scheme)))
}

/// What fits into a socket's address, its final NUL aside.
const LONGEST_SOCKET_PATH: usize = 107;
