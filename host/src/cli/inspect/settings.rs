//! A JSON Schema of settings, as a table for people. It is the plugin's own, and may be anything.

use serde_json::{Map, Value};

use crate::cli::output::printable;

/// How deep tables in tables are looked into.
const DEPTH: usize = 4;

/// How many rows are shown.
const ROWS: usize = 200;

/// How many references lead on from one to the next.
const REFERENCES: usize = 8;

/// Key, type, default and description of each setting, a table's own ones after it: `missing`, `missing.status`.
pub(super) fn rows(schema: &Value) -> Vec<[String; 4]> {
    let mut rows = Vec::new();
    table(schema, schema, "", DEPTH, &mut rows);
    rows
}

fn table(root: &Value, schema: &Value, prefix: &str, depth: usize, rows: &mut Vec<[String; 4]>) {
    let Some(properties) = member(schema, "properties") else {
        return;
    };
    let required = schema.get("required").and_then(Value::as_array);
    for (key, setting) in properties {
        if rows.len() >= ROWS {
            return;
        }
        let is_required = required.is_some_and(|keys| keys.iter().any(|required| required == key));
        let target = resolve(root, setting);
        let key = format!("{prefix}{key}");
        rows.push([
            printable(&key),
            printable(&kind(root, setting, DEPTH)),
            default(setting, is_required),
            printable(
                text(setting, "description")
                    .or_else(|| text(target, "description"))
                    .unwrap_or_default(),
            ),
        ]);
        if depth > 0 {
            inner(root, target, &key, depth - 1, rows);
        }
    }
}

/// The settings inside of one: of a table, of each entry of a table of tables, of each element of a list of tables.
fn inner(root: &Value, schema: &Value, key: &str, depth: usize, rows: &mut Vec<[String; 4]>) {
    table(root, schema, &format!("{key}."), depth, rows);
    if let Some(entry) = schema.get("additionalProperties") {
        table(root, resolve(root, entry), &format!("{key}.NAME."), depth, rows);
    }
    if let Some(element) = schema.get("items") {
        table(root, resolve(root, element), &format!("{key}[]."), depth, rows);
    }
}

/// `required`, the default as JSON, or nothing.
fn default(setting: &Value, is_required: bool) -> String {
    match setting.get("default") {
        _ if is_required => "required".to_owned(),
        Some(Value::Null) | None => "none".to_owned(),
        Some(default) => default.to_string(),
    }
}

/// `text`, `list of text`, `"deny" | "allow"`, ...
fn kind(root: &Value, schema: &Value, depth: usize) -> String {
    let schema = resolve(root, schema);
    if depth == 0 {
        return "any".to_owned();
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return alternatives(values.iter().filter(|value| !value.is_null()).map(Value::to_string));
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(schemas) = schema.get(choice).and_then(Value::as_array) {
            let kinds = schemas.iter().map(|schema| kind(root, schema, depth - 1));
            return alternatives(kinds.filter(|kind| kind != "null"));
        }
    }
    match schema.get("type") {
        Some(Value::String(name)) => named(root, schema, name, depth),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            alternatives(names.map(|name| named(root, schema, name, depth)))
        }
        _ => "any".to_owned(),
    }
}

fn named(root: &Value, schema: &Value, name: &str, depth: usize) -> String {
    let of = |key: &str| {
        schema
            .get(key)
            .filter(|inner| inner.is_object())
            .map(|inner| kind(root, inner, depth - 1))
    };
    match name {
        "string" => "text".to_owned(),
        "object" => of("additionalProperties").map_or("table".to_owned(), |kind| format!("table of {kind}")),
        "array" => of("items").map_or("list".to_owned(), |kind| format!("list of {kind}")),
        other => other.to_owned(),
    }
}

fn alternatives(kinds: impl Iterator<Item = String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for kind in kinds {
        if !distinct.contains(&kind) {
            distinct.push(kind);
        }
    }
    distinct.join(" | ")
}

/// What a schema's `$ref` leads to, within the same document.
fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    for _ in 0..REFERENCES {
        let target = text(schema, "$ref").and_then(|reference| root.pointer(reference.strip_prefix('#')?));
        match target {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

fn member<'s>(schema: &'s Value, key: &str) -> Option<&'s Map<String, Value>> {
    schema.get(key).and_then(Value::as_object)
}

fn text<'s>(schema: &'s Value, key: &str) -> Option<&'s str> {
    schema.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_becomes_rows() {
        let schema = json!({
            "properties": {
                "tokens": { "type": "array", "items": { "type": "string" }, "description": "Those\nlet in." },
                "missing": { "$ref": "#/$defs/Answer", "default": { "status": 401 } },
                "policy": { "oneOf": [{ "const": "deny" }, { "const": "allow" }], "default": "deny" },
                "keys": { "type": "object", "additionalProperties": { "$ref": "#/$defs/Answer" } },
                "scheme": { "type": ["string", "null"], "default": null },
            },
            "required": ["tokens", "keys"],
            "$defs": { "Answer": { "type": "object", "properties": { "status": { "type": "integer" } } } },
        });
        let rows = rows(&schema);
        let lines: Vec<String> = rows.iter().map(|row| row.join(", ")).collect();
        assert_eq!(
            lines,
            [
                "tokens, list of text, required, Those let in.",
                "missing, table, {\"status\":401}, ",
                "missing.status, integer, none, ",
                "policy, \"deny\" | \"allow\", \"deny\", ",
                "keys, table of table, required, ",
                "keys.NAME.status, integer, none, ",
                "scheme, text, none, ",
            ]
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let loops =
            json!({ "properties": { "a": { "$ref": "#/$defs/A" } }, "$defs": { "A": { "$ref": "#/$defs/A" } } });
        assert_eq!(rows(&loops).len(), 1);
        let deep =
            json!({ "properties": { "a": { "$ref": "#" }, "b": { "type": "array", "items": { "$ref": "#" } } } });
        assert!(rows(&deep).len() <= ROWS);
        for odd in [
            json!(true),
            json!({ "properties": 1 }),
            json!({ "properties": { "a": 1 } }),
        ] {
            rows(&odd);
        }
    }
}
