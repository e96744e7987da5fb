//! `[[route]]`.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::backend::backend;
use super::compress::compress;
use super::filter::Filters;
use super::interim::{early_hints, upgrades};
use super::listener::Listeners;
use super::matches::{Matched, matches};
use super::names::Names;
use super::scope::Scope;
use super::traffic::fault;
use super::upstream::Upstreams;
use crate::backend::aggregate::template::PathRules;
use crate::config::file::{self, Located};
use crate::config::resolved::{Backend, Route, Server};
use crate::config::source::Place;
use crate::router::{Pattern, Router};

/// A route's time where it is not written.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// A route's match, to be compared with all others.
struct Entry<'s, 'd> {
    scope: &'s Scope<'d>,
    span: Range<usize>,
    secret: bool,
    patterns: Vec<Pattern>,
    listeners: Vec<Arc<str>>,
}

/// The routes of all documents, in the order written, without those that are wrong.
pub(super) fn routes(
    scopes: &[Scope<'_>],
    names: &Names<'_>,
    upstreams: &Upstreams,
    filters: &Filters<'_>,
    listeners: &Listeners,
    server: &Server,
) -> Vec<Route> {
    let rules = PathRules {
        allow_encoded_slash: server.paths.allow_encoded_slash,
        allow_encoded_backslash: server.paths.allow_encoded_backslash,
    };
    let mut routes = Vec::new();
    let mut entries = Vec::new();
    let mut taken = HashMap::new();
    let mut written = 0;
    for scope in scopes {
        for table in &scope.document.file.route {
            written += 1;
            let matched = matches(scope, table);
            let served = match &table.listeners {
                Some(names) => listeners.named(scope, &names.0),
                None => Vec::new(),
            };
            let span = table
                .matches
                .as_ref()
                .map_or_else(|| table.span.clone(), |list| list.span.clone());
            entries.push(Entry {
                scope,
                span,
                secret: matched.iter().any(|one| one.secret),
                patterns: matched.iter().map(|one| one.pattern.clone()).collect(),
                listeners: served.clone(),
            });
            let name = name(scope, table, &matched, &mut taken);
            let backend = backend(scope, table, &matched, names, upstreams, rules);
            let route = route(scope, table, matched, name, backend, filters);
            routes.extend(route.map(|route| Route {
                listeners: served,
                compress: compress(scope, table.compress.as_ref(), server.compress.as_ref()),
                ..route
            }));
        }
    }
    let main = scopes
        .first()
        .filter(|_| written == 0 && !scopes.iter().any(|scope| scope.is_unread(&(0..0), "route")));
    if let Some(main) = main {
        let help = "write a `[[route]]` with a `match`, and `to`, `redirect` or `respond`";
        main.report(
            main.problem(&(0..0), "no route", "nothing would be answered")
                .help(Some(help.to_owned())),
        );
    }
    report_ties(&entries, listeners);
    routes
}

fn route(
    scope: &Scope<'_>,
    table: &Located<file::Route>,
    matched: Vec<Matched>,
    name: Option<Arc<str>>,
    backend: Option<Backend>,
    filters: &Filters<'_>,
) -> Option<Route> {
    let entries = table
        .filters
        .as_ref()
        .map(|filters| filters.value.as_slice())
        .unwrap_or_default();
    let filters = entries.iter().filter_map(|entry| filters.entry(scope, entry)).collect();
    let upgrades = upgrades(scope, table);
    let timeout = scope.duration("timeout", table.timeout.as_ref(), TIMEOUT);
    Some(Route {
        name: name?,
        matches: matched.into_iter().map(|one| one.pattern).collect(),
        listeners: Vec::new(),
        filters,
        backend: backend?,
        timeout,
        timeout_written: table.timeout.is_some(),
        fault: table.fault.as_ref().map(|table| fault(scope, table)),
        body_size: table.body_size.as_ref().map(|size| size.value.0.0),
        upgrades,
        early_hints: early_hints(scope, table),
        compress: None,
        place: scope.place(&table.span),
    })
}

/// A route's name: as written, which no other may have, or the text of its match.
fn name(
    scope: &Scope<'_>,
    table: &Located<file::Route>,
    matched: &[Matched],
    taken: &mut HashMap<String, Place>,
) -> Option<Arc<str>> {
    if let Some(name) = &table.name {
        scope.name(name, &name.span);
        let place = scope.place(&name.span);
        if let Some(first) = taken.get(&name.value) {
            let problem = scope.problem(&name.span, "two routes have the same name", "named so again here");
            scope.report(problem.note(format!("first at {first}")));
            return None;
        }
        taken.insert(name.value.clone(), place);
        return Some(Arc::from(name.value.as_str()));
    }
    let text = &matched.first()?.text;
    // Matches that differ in headers only have one text, but each route its own metrics.
    let mut names = std::iter::once(text.clone()).chain((2_usize..).map(|number| format!("{text} ({number})")));
    let name = names.find(|name| !taken.contains_key(name))?;
    taken.insert(name.clone(), scope.place(&table.span));
    Some(Arc::from(name))
}

/// Two routes may match the same requests where no listener serves both.
fn report_ties(entries: &[Entry<'_, '_>], listeners: &Listeners) {
    let mut served: Vec<Vec<usize>> = Vec::new();
    for listener in &listeners.all {
        let here = |entry: &Entry<'_, '_>| entry.listeners.is_empty() || entry.listeners.contains(&listener.name);
        let numbers = entries.iter().enumerate().filter(|(_, entry)| here(entry));
        let numbers = numbers.map(|(number, _)| number).collect();
        if !served.contains(&numbers) {
            served.push(numbers);
        }
    }
    // Where no listener could be read, all routes are looked at together.
    if served.is_empty() {
        served.push((0..entries.len()).collect());
    }
    for numbers in served {
        report_ties_of(entries, &numbers);
    }
}

fn report_ties_of(entries: &[Entry<'_, '_>], numbers: &[usize]) {
    let patterns = numbers.iter().filter_map(|index| Some((*index, entries.get(*index)?)));
    let patterns = patterns.flat_map(|(index, entry)| entry.patterns.iter().map(move |one| (index, one)));
    let Err(conflicts) = Router::build(patterns) else {
        return;
    };
    for conflict in conflicts {
        let (Some(first), Some(second)) = (entries.get(conflict.first), entries.get(conflict.second)) else {
            continue;
        };
        let place = first.scope.place(&first.span);
        let problem = second.scope.problem(
            &second.span,
            "two routes match the same requests",
            "nothing says which one wins",
        );
        let problem = match first.secret {
            true => problem.note(format!("the other one is at {place}")),
            false => problem.note(format!("the other one is {} at {place}", place.text())),
        };
        let problem = match first.secret || second.secret {
            true => problem,
            false => problem.note(format!("both match `{}`", conflict.example)),
        };
        let help = "make one more specific: by methods, a host, a longer path, headers or query";
        second.scope.report(problem.help(Some(help.to_owned())));
    }
}
