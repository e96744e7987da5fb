//! The command line: a file, or a folder, for each subcommand.
//!
//! Exit codes: 0 good, 1 configuration, 2 usage, 3 run time.

mod check;
mod demo;
mod explain;
mod inspect;
mod new_plugin;
mod routes;
mod run;
mod schema;

mod build;
mod configuration_file;
mod descriptors;
mod output;
mod table;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::configuration_file::ConfigurationFile;

#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    bin_name = "portcullis",
    version,
    about = "An API gateway that people extend with WebAssembly.",
    long_about = None,
    after_help = "Without a command it runs the demo.\n\n\
        Examples:\n  \
        portcullis demo                              three services, and the gateway before them\n  \
        portcullis check gateway.toml                say all that is wrong with a configuration\n  \
        portcullis run -c gateway.toml               serve\n  \
        portcullis new plugin check-tenant           write a filter of one's own\n\n\
        Exit codes: 0 good, 1 configuration, 2 usage, 3 run time"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a configuration until told to stop
    #[command(
        after_help = "The file, those it names and the plugins' files are followed: a change takes effect without a \
        restart, and a bad one leaves the old configuration running. SIGHUP loads again, SIGTERM drains, a second one \
        stops.\n\nExample:\n  portcullis run -c gateway.toml"
    )]
    Run(ConfigurationFile),
    /// Say all that is wrong with a configuration, and open no socket
    Check(check::Arguments),
    /// Say which route a request takes, through which filters, to which backend
    Explain(explain::Arguments),
    /// List the routes of a configuration
    Routes(routes::Arguments),
    /// Run three small services and the gateway before them (the default)
    Demo(demo::Arguments),
    /// Look at plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Write something new
    #[command(subcommand)]
    New(NewCommand),
    /// Print the JSON Schema of the configuration, for editors
    #[command(after_help = "Example:\n  portcullis schema > portcullis.schema.json")]
    Schema,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  portcullis plugin inspect rate-limit")]
enum PluginCommand {
    /// Say what a plugin is, what it imports, and which settings it takes
    Inspect(inspect::Arguments),
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  portcullis new plugin check-tenant")]
enum NewCommand {
    /// Write the crate of a filter, with a test and all that it needs to build
    Plugin(new_plugin::Arguments),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let command = Cli::parse()
        .command
        .unwrap_or_else(|| Command::Demo(demo::Arguments::default()));
    match command {
        Command::Run(file) => run::run(file.path()),
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => exit(explain::run(arguments)),
        Command::Routes(arguments) => exit(routes::run(&arguments)),
        Command::Demo(arguments) => exit(demo::run(&arguments)),
        Command::Plugin(PluginCommand::Inspect(arguments)) => exit(inspect::run(&arguments)),
        Command::New(NewCommand::Plugin(arguments)) => exit(new_plugin::run(&arguments)),
        Command::Schema => {
            schema::run();
            ExitCode::SUCCESS
        }
    }
}

/// The names of the standard plugins.
pub(crate) fn standard() -> Vec<&'static str> {
    portcullis_plugins::all().iter().map(|plugin| plugin.name).collect()
}

/// The runtime of the control thread.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, run::Failed> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| run::Failed::Machine(error.to_string()))
}

/// Says what went wrong, and how it counts.
pub(crate) fn exit(result: Result<(), run::Failed>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(run::Failed::Configuration(problems)) => {
            eprintln!("{}", problems.render(colours()));
            ExitCode::from(1)
        }
        Err(failed) => {
            eprintln!("error: {failed}");
            ExitCode::from(3)
        }
    }
}

/// Whether standard error takes colours (<https://no-color.org>).
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn examples(command: &mut clap::Command) {
            let help = command.render_long_help().to_string();
            assert!(help.contains("\n  portcullis "), "{help}");
            for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
                examples(inner);
            }
        }
        let mut command = Cli::command();
        command.build();
        examples(&mut command);
    }

    #[test]
    fn no_command_is_the_demo() {
        assert!(Cli::try_parse_from(["portcullis"]).is_ok_and(|cli| cli.command.is_none()));
    }
}
