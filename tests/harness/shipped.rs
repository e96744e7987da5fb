//! The configurations in `config/`, made to run in a test.

use crate::{Upstream, repository};

/// The text of `config/NAME`, with ports that the system chooses, with these upstreams in the place of those of the
/// same name, and with `test-token` for whatever it takes from the environment.
pub fn shipped(name: &str, upstreams: &[(&str, &Upstream)]) -> String {
    let path = repository().join("config").join(name);
    let mut text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    while let Some(begin) = text.find("${env:") {
        let end = text[begin..].find('}').expect("a closing brace") + begin;
        text.replace_range(begin..=end, "test-token");
    }
    let table = text.parse::<toml::Table>().expect("TOML");
    let server = table.get("server").expect("[server]");
    let listeners = table
        .get("listener")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten();
    let own = ["listen", "admin"].into_iter().filter_map(|key| server.get(key));
    for address in own
        .chain(listeners.filter_map(|listener| listener.get("address")))
        .flat_map(strings)
    {
        text = text.replace(&address, "127.0.0.1:0");
    }
    for (name, upstream) in upstreams {
        let targets = table
            .get("upstream")
            .and_then(|all| all.get(name))
            .and_then(|own| own.get("targets"));
        for target in strings(targets.unwrap_or_else(|| panic!("no targets of {name}"))) {
            text = text.replace(&target, &upstream.to_string());
        }
    }
    text
}

/// Every text in a `tokens` setting, wherever it stands.
pub fn tokens_in(configuration: &str) -> Vec<String> {
    fn collect(value: &toml::Value, found: &mut Vec<String>) {
        match value {
            toml::Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            toml::Value::Table(table) => {
                for (key, value) in table {
                    if key == "tokens" {
                        found.extend(strings(value));
                    }
                    collect(value, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&toml::Value::Table(configuration.parse().expect("TOML")), &mut found);
    found
}

/// A string, or the strings of a list.
fn strings(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::String(text) => vec![text.clone()],
        toml::Value::Array(items) => items
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => vec![],
    }
}
