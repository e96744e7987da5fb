//! Claims as text: for header fields and for notes.

use portcullis_sdk::jwt::Claims;
use portcullis_sdk::serde_json::Value;
use portcullis_sdk::{EditError, Request};

/// How many claims become notes where the settings name none. A token may hold hundreds.
const MOST_NOTES: usize = 32;

/// A claim as text: as it is, and lists and objects as JSON, in which no item can pass for two.
pub(crate) fn written(claim: &Value) -> Option<String> {
    match claim {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Notes claims as `jwt:NAME`: `sub` and those that are named, or else every scalar one.
pub(crate) fn note(request: &mut Request, claims: &Claims, named: Option<&[String]>) -> Result<(), EditError> {
    if let Some(subject) = claims.get("sub").and_then(written) {
        request.set_note("jwt:sub", &subject)?;
    }
    match named {
        Some(named) => {
            for name in named.iter().filter(|name| *name != "sub") {
                if let Some(value) = claims.get(name).and_then(written) {
                    request.set_note(&format!("jwt:{name}"), &value)?;
                }
            }
        }
        None => {
            let scalar = claims
                .0
                .iter()
                .filter(|(name, value)| *name != "sub" && !value.is_array() && !value.is_object());
            for (name, value) in scalar.take(MOST_NOTES) {
                // Nobody asked for this one by name, so one that does not fit is left out.
                if let Some(value) = written(value) {
                    let _ = request.set_note(&format!("jwt:{name}"), &value);
                }
            }
        }
    }
    Ok(())
}
