//! `portcullis routes`: the routes of a configuration, in the order written.

use clap::Args;
use serde_json::{Value, json};

use super::configuration_file::ConfigurationFile;
use super::output::print;
use super::run::Failed;
use super::standard;
use super::table::table;
use crate::config::resolved::{Backend, Config, Destination, Route};
use crate::config::{self, Loaded};

#[derive(Debug, Args)]
#[command(
    after_help = "Which of them a request takes is not a matter of order: the most specific one wins. \
        `portcullis explain` tells.\n\n\
        Example:\n  \
        portcullis routes -c gateway.toml"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the routes.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failed> {
    let Loaded { config, .. } = config::load(arguments.configuration.path(), &standard())?;
    if arguments.json {
        let routes: Value = config.routes.iter().map(|route| to_json(&config, route)).collect();
        print(format_args!("{routes:#}\n"));
        return Ok(());
    }
    let rows: Vec<[String; 5]> = config.routes.iter().flat_map(|route| rows(&config, route)).collect();
    print(table(["NAME", "MATCH", "LISTENERS", "FILTERS", "BACKEND"], &rows));
    Ok(())
}

/// One row for each of its matches; what they share stands in the first.
fn rows(config: &Config, route: &Route) -> Vec<[String; 5]> {
    let filters: Vec<&str> = route.filters.iter().map(|filter| &*filter.name).collect();
    let filters = if filters.is_empty() {
        "-".to_owned()
    } else {
        filters.join(", ")
    };
    let matches = route.matches.iter().enumerate().map(|(number, pattern)| match number {
        0 => [
            route.name.to_string(),
            pattern.to_string(),
            if route.listeners.is_empty() {
                "all".to_owned()
            } else {
                route.listeners.join(", ")
            },
            filters.clone(),
            backend(config, &route.backend),
        ],
        _ => [
            String::new(),
            pattern.to_string(),
            String::new(),
            String::new(),
            String::new(),
        ],
    });
    matches.collect()
}

fn to_json(config: &Config, route: &Route) -> Value {
    json!({
        "name": &*route.name,
        "match": route.matches.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "listeners": route.listeners.iter().map(|name| &**name).collect::<Vec<_>>(),
        "filters": route.filters.iter().map(|filter| &*filter.name).collect::<Vec<_>>(),
        "backend": backend(config, &route.backend),
        "place": route.place.to_string(),
    })
}

/// `users`, `redirect to https://example.com/{rest}`, `respond 200`
fn backend(config: &Config, backend: &Backend) -> String {
    match backend {
        Backend::Proxy { to, path, .. } => {
            let name = |one: &Destination| {
                config
                    .upstreams
                    .get(one.upstream)
                    .map_or("-", |upstream| &upstream.name)
            };
            let name = match to.as_slice() {
                [only] => name(only).to_owned(),
                several => {
                    let parts: Vec<String> = several
                        .iter()
                        .map(|one| format!("{} {}", one.weight, name(one)))
                        .collect();
                    parts.join(", ")
                }
            };
            path.as_ref()
                .map_or_else(|| name.clone(), |path| format!("{name} at {path}"))
        }
        Backend::Aggregate { to, .. } => format!("aggregate of {} calls", to.len()),
        Backend::Redirect { to, status, .. } => format!("redirect {} to {to}", status.as_u16()),
        Backend::Fixed { status, .. } => format!("respond {}", status.as_u16()),
    }
}
