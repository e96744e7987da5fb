//! The configuration: TOML in, [`Config`] or all of its [`Problems`] out. No network, and no file but those it names.
//!
//! ```
//! use std::path::Path;
//!
//! let text = r#"
//!     version = 1
//!
//!     [server]
//!     listen = ["127.0.0.1:8080"]
//!
//!     [upstream.users]
//!     targets = ["http://127.0.0.1:9001"]
//!
//!     [[route]]
//!     match = "GET /users/{id}"
//!     to = "users"
//! "#;
//! let loaded = portcullis::config::load_text("demo.toml", text, Path::new("."), &[])?;
//! assert_eq!(&*loaded.config.routes[0].name, "GET /users/{id}");
//!
//! let problems = portcullis::config::load_text("demo.toml", "verion = 1", Path::new("."), &[]).unwrap_err();
//! assert!(problems.to_string().contains("did you mean `version`?"));
//! # Ok::<(), portcullis::config::Problems>(())
//! ```
//!
//! On the way from text to [`Config`]:
//! 1. `include` reads the file and those it names; `read` parses each, with every error of syntax.
//! 2. `interpolate` fills in `${env:NAME}` and `${file:path}`, and keeps in mind which values are secrets for it.
//! 3. `peel` lets serde make a `file::File` of it: what is written, and where. What cannot be read is reported and cut
//!    out, so that the rest is still looked at.
//! 4. `resolve` looks up names, fills in defaults, and reports all that makes no sense.
//! 5. Once plugins are loaded, [`check_settings`] holds each filter's settings against its plugin's own schema.
//!
//! **No message holds a value that came from `${..}`**: messages quote the file as written, where it says `${..}`.

pub mod problem;
pub mod resolved;
pub mod settings;
pub mod source;
pub mod units;

mod file;
mod include;
mod interpolate;
mod peel;
mod read;
mod resolve;
pub(crate) mod suggest;
mod targets_file;
mod wording;

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use problem::{Problem, Problems, Severity};
pub use resolved::Config;
pub use settings::{check_settings, settings_error};
pub use source::{Place, Source};
pub(crate) use targets_file::read_targets_file;

use interpolate::{Environment, reason};

/// A configuration that can be run.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is odd about it, if anything: upstreams that no route uses, patterns that match no file.
    pub warnings: Vec<Problem>,
}

/// Reads a configuration file and all that it includes. `standard`: the names of the standard plugins.
///
/// # Errors
/// Everything that is wrong with it, in one go.
pub fn load(path: &Path, standard: &[&str]) -> Result<Loaded, Problems> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let help = "name the file that is meant".to_owned();
        let title = format!("`{}` cannot be read: {}", path.display(), reason(&error));
        Problems::from(Problem::anywhere(title).help(Some(help)))
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    load_with(path, Some(path), &text, folder, standard, &environment)
}

/// The same for a text: `name` stands in messages for the file's, and paths are relative to `folder`.
///
/// # Errors
/// Everything that is wrong with it, in one go.
pub fn load_text(name: &str, text: &str, folder: &Path, standard: &[&str]) -> Result<Loaded, Problems> {
    load_with(Path::new(name), None, text, folder, standard, &environment)
}

/// The JSON Schema of the configuration file, for editors.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(file::File).to_value()
}

fn environment(name: &str) -> Option<String> {
    // `var_os` panics on names that no variable can have.
    let possible = !name.is_empty() && !name.contains(['=', '\0']);
    if possible { std::env::var(name).ok() } else { None }
}

fn load_with(
    shown: &Path,
    path: Option<&Path>,
    text: &str,
    folder: &Path,
    standard: &[&str],
    environment: Environment<'_>,
) -> Result<Loaded, Problems> {
    let documents = include::read_all(shown, path, text, folder, environment);
    let (config, problems) = resolve::resolve(documents, standard, environment);
    let has_errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    let problems = Problems::of(problems);
    match (config, problems) {
        (Some(config), problems) if !has_errors => Ok(Loaded {
            config,
            warnings: problems.map(Vec::from).unwrap_or_default(),
        }),
        (_, Some(problems)) => Err(problems),
        // Nothing is left unsaid: what gives no configuration has a problem. This says so all the same.
        (_, None) => Err(Problem::anywhere("the configuration cannot be read").into()),
    }
}
