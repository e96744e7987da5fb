//! A filter's settings: as JSON, as they may be shown, and where each stands.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::scope::Scope;
use crate::config::file::{Located, Table, Written};
use crate::config::settings::SettingsPlaces;

/// Settings, ready for a filter.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) value: Arc<Value>,
    pub(super) shown: Arc<Value>,
    pub(super) places: Arc<SettingsPlaces>,
}

impl Settings {
    /// `table` as JSON, or `{}`, which then stands where the filter stands.
    pub(super) fn of(scope: &Scope<'_>, table: Option<&Located<Table>>, filter: &Range<usize>) -> Self {
        let span = table.map_or_else(|| filter.clone(), |table| table.span.clone());
        let mut places = SettingsPlaces::new(scope.place(&span));
        let mut value = Value::Object(serde_json::Map::new());
        let mut shown = value.clone();
        if let Some(table) = table {
            (value, shown) = object(scope, &table.value, "", &mut places);
        }
        Self {
            value: Arc::new(value),
            shown: Arc::new(shown),
            places: Arc::new(places),
        }
    }
}

/// A value as JSON, with `${..}` filled in and as written. `pointer` is its JSON pointer (RFC 6901).
pub(super) fn json(
    scope: &Scope<'_>,
    written: &Located<Written>,
    pointer: &str,
    places: &mut SettingsPlaces,
) -> (Value, Value) {
    let both = |value: Value| (value.clone(), value);
    match &written.value {
        Written::Text(text) => match scope.secrets.at(&written.span) {
            Some(secret) => {
                places.add_secret(pointer, secret);
                (Value::from(text.clone()), Value::from(secret.written.clone()))
            }
            None => both(Value::from(text.clone())),
        },
        Written::Number(number) => both(Value::Number(number.clone())),
        Written::Bool(value) => both(Value::Bool(*value)),
        Written::List(list) => {
            let elements = list.iter().enumerate().map(|(index, element)| {
                let pointer = format!("{pointer}/{index}");
                places.add(pointer.clone(), &element.span, &element.span);
                json(scope, element, &pointer, places)
            });
            let (values, shown): (Vec<_>, Vec<_>) = elements.unzip();
            (Value::Array(values), Value::Array(shown))
        }
        Written::Table(table) => object(scope, table, pointer, places),
    }
}

fn object(scope: &Scope<'_>, table: &Table, pointer: &str, places: &mut SettingsPlaces) -> (Value, Value) {
    let entries = table.0.iter().map(|(key, element)| {
        let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        places.add(pointer.clone(), &key.span, &element.span);
        let (value, shown) = json(scope, element, &pointer, places);
        ((key.value.clone(), value), (key.value.clone(), shown))
    });
    let (values, shown): (serde_json::Map<_, _>, serde_json::Map<_, _>) = entries.unzip();
    (Value::Object(values), Value::Object(shown))
}
