//! `portcullis plugin inspect`: what a plugin is, before any configuration uses it.

mod interface;
mod settings;

use std::io::ErrorKind;
use std::path::Path;

use clap::Args;
use serde_json::json;

use super::output::{print, printable, size};
use super::run::Failed;
use super::table::table;
use super::{runtime, standard};
use crate::config::resolved::{Grants, Wasm};
use crate::config::{self, Loaded, Problem, Problems};
use crate::pipeline::Phase;
use crate::wasm::{Engine, Plugin};

#[derive(Debug, Args)]
#[command(
    after_help = "It is compiled and asked what it is, without a grant being needed for that.\n\n\
        Examples:\n  \
        portcullis plugin inspect rate-limit\n  \
        portcullis plugin inspect filters/geo.wasm --json"
)]
pub(super) struct Arguments {
    /// A component's file, or the name of a standard plugin
    #[arg(value_name = "FILE|NAME")]
    plugin: String,
    /// Print JSON, with the whole schema of the settings
    #[arg(long)]
    json: bool,
}

/// Everything that a plugin may import: looking at it grants nothing.
const ALL: Grants = Grants {
    rate_limit: true,
    jwt: true,
};

/// Prints what the plugin is.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failed> {
    let name = &arguments.plugin;
    let read;
    let bytes = match portcullis_plugins::find(name) {
        Some(plugin) => plugin.component,
        None => {
            read = std::fs::read(name).map_err(|error| unreadable(name, &error))?;
            &read[..]
        }
    };
    let engine = Engine::new(&machine()?).map_err(|error| Failed::Machine(error.to_string()))?;
    let plugin = runtime()?.block_on(Plugin::load(&engine, bytes, &ALL));
    let plugin =
        plugin.map_err(|error| Problems::from(Problem::anywhere(format!("`{name}` is no plugin: {error}"))))?;
    let interface = interface::version(bytes).unwrap_or_default();
    print(if arguments.json {
        to_json(&plugin, &interface, bytes.len())
    } else {
        text(&plugin, &interface, bytes.len())
    });
    Ok(())
}

fn unreadable(name: &str, error: &std::io::Error) -> Problems {
    let is_path = name.contains('/') || Path::new(name).extension().is_some();
    if is_path || error.kind() != ErrorKind::NotFound {
        return Problem::anywhere(format!("`{name}` cannot be read: {error}")).into();
    }
    let known = format!("the standard plugins are {}", standard().join(", "));
    Problem::anywhere(format!("`{name}` is no standard plugin and no file"))
        .help(known)
        .into()
}

/// Where filters run when a configuration says nothing of it. One instance is enough here.
fn machine() -> Result<Wasm, Problems> {
    let text = "version = 1\nserver.listen = '127.0.0.1:0'\n[[route]]\nmatch = '/'\nrespond = {}\n";
    let Loaded { config, .. } = config::load_text("defaults", text, Path::new("."), &[])?;
    Ok(Wasm {
        instances: 1,
        ..config.wasm
    })
}

fn phases(plugin: &Plugin) -> Vec<&'static str> {
    plugin.manifest.phases.iter().map(Phase::as_str).collect()
}

fn capabilities(plugin: &Plugin) -> Vec<&'static str> {
    plugin
        .capabilities
        .iter()
        .map(|capability| capability.as_str())
        .collect()
}

fn to_json(plugin: &Plugin, interface: &str, bytes: usize) -> String {
    let json = json!({
        "name": plugin.manifest.name,
        "version": plugin.manifest.version,
        "summary": plugin.manifest.summary,
        "interface": interface,
        "phases": phases(plugin),
        "capabilities": capabilities(plugin),
        "size": bytes,
        "sha256": plugin.hash,
        "settings": plugin.manifest.schema,
    });
    format!("{json:#}\n")
}

fn text(plugin: &Plugin, interface: &str, bytes: usize) -> String {
    let manifest = &plugin.manifest;
    let list = |words: Vec<&str>| {
        if words.is_empty() {
            "none".to_owned()
        } else {
            words.join(", ")
        }
    };
    let capabilities = capabilities(plugin);
    // `log` is for all.
    let granted: Vec<String> = capabilities
        .iter()
        .filter(|name| **name != "log")
        .map(|name| format!("{name} = true"))
        .collect();
    let grant = if granted.is_empty() {
        String::new()
    } else {
        format!(" (grant = {{ {} }})", granted.join(", "))
    };
    let mut text = format!(
        "{} {}\n{}\n\n\
        interface     portcullis:filter {interface}\n\
        phases        {}\n\
        capabilities  {}{grant}\n\
        size          {}\n\
        sha256        {}\n",
        printable(&manifest.name),
        printable(&manifest.version),
        printable(&manifest.summary),
        list(phases(plugin)),
        list(capabilities),
        size(bytes as u64),
        plugin.hash,
    );
    let rows = settings::rows(&manifest.schema);
    if rows.is_empty() {
        text.push_str("settings      none\n");
    } else {
        text.push('\n');
        text.push_str(&table(["SETTING", "TYPE", "DEFAULT", "MEANS"], &rows));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(name: &str) -> (Plugin, &'static [u8]) {
        let bytes = portcullis_plugins::find(name).unwrap().component;
        let engine = Engine::new(&machine().unwrap()).unwrap();
        let plugin = runtime().unwrap().block_on(Plugin::load(&engine, bytes, &ALL)).unwrap();
        (std::sync::Arc::into_inner(plugin).unwrap(), bytes)
    }

    #[test]
    fn a_plugin_tells_phases_capabilities_and_settings() {
        let (plugin, bytes) = inspected("rate-limit");
        let text = text(&plugin, &interface::version(bytes).unwrap(), bytes.len());
        for words in [
            "rate-limit 0.1.0\n",
            "portcullis:filter 0.1.0\n",
            "(grant = { rate-limit = true })",
            "SETTING",
            "burst",
        ] {
            assert!(text.contains(words), "{text}");
        }
        let json: serde_json::Value = serde_json::from_str(&to_json(&plugin, "0.1.0", bytes.len())).unwrap();
        assert!(json["settings"]["properties"]["rate"].is_object(), "{json:#}");
    }

    #[test]
    fn what_cannot_be_read_is_said_with_what_can_be() {
        let problems = unreadable("rate-limiter", &ErrorKind::NotFound.into());
        assert!(problems.to_string().contains("rate-limit,"), "{problems}");
    }
}
