//! The manifest of the SDK where it stands outside its workspace.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::embedded;

/// Why the SDK cannot stand by itself. A test keeps this from happening.
#[derive(Debug, thiserror::Error)]
#[error("the SDK's manifest has no use outside the workspace: {0}")]
pub(super) struct ManifestError(String);

/// The SDK's own manifest, with what it takes from the workspace's written out, so that versions cannot drift apart.
pub(super) fn manifest() -> Result<String, ManifestError> {
    let workspace = embedded("Cargo.toml")?;
    let workspace = table(&workspace, "workspace")?;
    let own = embedded("plugin-sdk/Cargo.toml")?;

    let mut text = String::from("[package]\n");
    let shared = table(workspace, "package")?;
    for (key, value) in table(&own, "package")? {
        line(
            &mut text,
            key,
            value,
            if inherits(value) { shared.get(key) } else { Some(value) },
        )?;
    }
    let known = table(workspace, "dependencies")?;
    if let Some(dependencies) = own.get("dependencies").and_then(Value::as_table) {
        write_dependencies(&mut text, "dependencies", dependencies, known)?;
    }
    for (target, sections) in own.get("target").and_then(Value::as_table).into_iter().flatten() {
        if let Some(dependencies) = sections.get("dependencies").and_then(Value::as_table) {
            write_dependencies(
                &mut text,
                &format!("target.'{target}'.dependencies"),
                dependencies,
                known,
            )?;
        }
    }
    Ok(text)
}

fn embedded(path: &str) -> Result<Table, ManifestError> {
    let text = embedded::file(path).ok_or_else(|| ManifestError(format!("`{path}` is missing")))?;
    text.parse()
        .map_err(|error| ManifestError(format!("`{path}`: {error}")))
}

fn table<'t>(table: &'t Table, key: &str) -> Result<&'t Table, ManifestError> {
    table
        .get(key)
        .and_then(Value::as_table)
        .ok_or_else(|| ManifestError(format!("no `[{key}]`")))
}

fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

fn write_dependencies(text: &mut String, name: &str, dependencies: &Table, known: &Table) -> Result<(), ManifestError> {
    let _ = write!(text, "\n[{name}]\n");
    for (key, value) in dependencies {
        let found = if inherits(value) {
            known.get(key).map(|shared| merged(shared, value))
        } else {
            Some(value.clone())
        };
        if found.as_ref().is_some_and(|found| found.get("path").is_some()) {
            return Err(ManifestError(format!("`{key}` is a part of the workspace")));
        }
        line(text, key, value, found.as_ref())?;
    }
    Ok(())
}

/// The workspace's entry, with the features that `own` adds, and whether it is optional.
fn merged(shared: &Value, own: &Value) -> Value {
    let mut merged = match shared {
        Value::Table(table) => table.clone(),
        version => Table::from_iter([("version".to_owned(), version.clone())]),
    };
    for (key, value) in own.as_table().into_iter().flatten() {
        match (key.as_str(), merged.get_mut(key), value) {
            ("workspace", _, _) => {}
            ("features", Some(Value::Array(features)), Value::Array(more)) => features.extend(more.iter().cloned()),
            _ => {
                merged.insert(key.clone(), value.clone());
            }
        }
    }
    match merged.get("version") {
        Some(version) if merged.len() == 1 => version.clone(),
        _ => Value::Table(merged),
    }
}

fn line(text: &mut String, key: &str, written: &Value, value: Option<&Value>) -> Result<(), ManifestError> {
    let value = value.ok_or_else(|| ManifestError(format!("the workspace has no `{key}` ({written})")))?;
    let _ = writeln!(text, "{key} = {value}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_stands_by_itself() {
        let text = manifest().unwrap();
        assert!(!text.contains("workspace") && !text.contains("lints"), "{text}");
        let manifest: Table = text.parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("portcullis-sdk"));
        assert_eq!(manifest["package"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(manifest["package"]["publish"].as_bool(), Some(false));
        assert!(manifest["dependencies"]["serde"]["features"].is_array(), "{text}");
        let target = &manifest["target"]["cfg(target_arch = \"wasm32\")"]["dependencies"];
        assert!(target["wit-bindgen"]["version"].is_str(), "{text}");
    }

    #[test]
    fn features_are_added_to_those_of_the_workspace() {
        let value = |text: &str| text.parse::<Table>().unwrap()["a"].clone();
        let shared = value("a = { version = '1', features = ['x'] }");
        let own = value("a = { workspace = true, features = ['y'], optional = true }");
        let expected = value("a = { version = '1', features = ['x', 'y'], optional = true }");
        assert_eq!(merged(&shared, &own), expected);
        assert_eq!(
            merged(&value("a = '2'"), &value("a = { workspace = true }")),
            value("a = '2'")
        );
    }
}
