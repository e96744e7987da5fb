//! `portcullis check`: all that is wrong with a configuration, plugins and their settings included.

use std::collections::HashSet;
use std::process::ExitCode;

use clap::Args;

use super::build::{Built, build};
use super::configuration_file::ConfigurationFile;
use super::output::{count, print};
use super::run::Failed;
use super::{colours, exit};
use crate::config::Problem;
use crate::gateway::Gateway;

#[derive(Debug, Args)]
#[command(
    after_help = "It loads the plugins and has them read their settings, as `run` does. Nothing is fetched and no \
        socket is opened.\n\n\
        Examples:\n  \
        portcullis check gateway.toml\n  \
        portcullis check gateway.toml --json"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationFile,
    /// Print a list of problems, empty where all is well, as JSON
    #[arg(long)]
    json: bool,
}

/// Prints what is wrong, or what is there.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let built = build(arguments.configuration.path());
    if !arguments.json {
        return exit(built.map(|built| good(&built)));
    }
    match built {
        Ok(built) => {
            print_json(&built.warnings);
            ExitCode::SUCCESS
        }
        Err(Failed::Configuration(problems)) => {
            print_json(&Vec::from(problems));
            ExitCode::from(1)
        }
        Err(failed) => exit(Err(failed)),
    }
}

fn print_json(problems: &[Problem]) {
    let problems: serde_json::Value = problems.iter().map(Problem::to_json).collect();
    print(format_args!("{problems:#}\n"));
}

fn good(built: &Built) {
    for warning in &built.warnings {
        eprintln!("{}\n", warning.render(colours()));
    }
    print(format_args!("ok: {}\n", summary(&built.gateway)));
    for upstream in &built.gateway.config.upstreams {
        if let Some(discovery) = &upstream.discovery {
            let (name, source) = (&upstream.name, &discovery.written);
            print(format_args!("    the targets of {name} come from {source}\n"));
        }
    }
}

/// `5 routes, 3 upstreams, 4 filters`: a filter that several routes share counts once.
fn summary(gateway: &Gateway) -> String {
    let filters: HashSet<_> = gateway
        .routes
        .iter()
        .flat_map(|route| &route.filters)
        .map(|filter| &filter.scope)
        .collect();
    [
        count(gateway.routes.len(), "route"),
        count(gateway.config.upstreams.len(), "upstream"),
        count(filters.len(), "filter"),
    ]
    .join(", ")
}
