//! From what is written to what the gateway builds itself from: every name looked up, every default filled in, and
//! every problem reported in one go.

mod acme;
mod aggregate;
mod backend;
mod balance;
mod compress;
mod connections;
mod discovery;
mod filter;
mod health;
mod http2;
mod http3;
mod interim;
mod listener;
mod matches;
mod names;
mod pem;
mod plugin;
mod resilience;
mod route;
mod rules;
mod scope;
mod server;
mod settings;
mod tls;
mod traffic;
mod upstream;
mod upstream_tls;

use std::cell::RefCell;

use super::include::Documents;
use super::interpolate::Environment;
use super::problem::Problem;
use super::resolved::Config;
use filter::Filters;
use listener::Listeners;
use names::Names;
use plugin::Plugins;
use upstream::Upstreams;

pub(crate) use scope::Scope;
pub(crate) use upstream::{Scheme, listed};

/// The configuration as far as it goes, and what is wrong with it. The configuration counts only where nothing is.
pub(crate) fn resolve(
    documents: Documents,
    standard: &[&str],
    environment: Environment<'_>,
) -> (Option<Config>, Vec<Problem>) {
    let Documents {
        all,
        incomplete,
        files,
        problems,
        ..
    } = documents;
    let (reported, files) = (RefCell::new(problems), RefCell::new(files));
    // Where a file is no TOML, half of the names would seem unknown.
    let Some(main) = all.first().filter(|_| !incomplete) else {
        return (None, reported.into_inner());
    };
    let scopes: Vec<Scope<'_>> = all
        .iter()
        .map(|document| Scope::new(document, &reported, &files))
        .collect();
    let main = Scope::new(main, &reported, &files);

    let names = Names::of(&scopes, standard);
    let plugins = Plugins::of(&scopes, standard);
    let filters = Filters::of(&scopes, &names, &plugins);
    let server = server::server(&main);
    let upstreams = Upstreams::of(&scopes, &server.limits.http2);
    let listeners = Listeners::of(&scopes, &main, &server);
    let config = Config {
        log: server::log(&main),
        wasm: server::wasm(&main, environment),
        routes: route::routes(&scopes, &names, &upstreams, &filters, &listeners, &server),
        upstreams: upstreams.all.clone(),
        server,
        listeners: listeners.all,
        files: files.take(),
    };
    names.warn_of_unused(&scopes);
    (Some(config), reported.into_inner())
}
