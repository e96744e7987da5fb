//! The command line.

mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run {
        #[arg(short)]
        config: PathBuf,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { config } => run::run(&config),
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
        Err(failed @ run::Failed::Configuration(_)) => {
            eprintln!("{failed}");
            ExitCode::from(1)
        }
        Err(failed) => {
            eprintln!("error: {failed}");
            ExitCode::from(3)
        }
    }
}
