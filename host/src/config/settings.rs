//! A filter's settings against its plugin's own JSON Schema (draft 2020-12), each violation at its place in the file.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::interpolate::Secret;
use super::problem::Problem;
use super::resolved::FilterUse;
use super::source::Place;
use super::suggest::{any_of, did_you_mean};

/// Where each part of a filter's settings is written, by its JSON pointer (RFC 6901). `Debug` shows no secret.
pub struct SettingsPlaces {
    whole: Place,
    parts: HashMap<String, Part>,
    secrets: HashMap<String, Vec<(String, String)>>,
}

struct Part {
    key: Range<usize>,
    value: Range<usize>,
}

impl SettingsPlaces {
    pub(crate) fn new(whole: Place) -> Self {
        Self {
            whole,
            parts: HashMap::new(),
            secrets: HashMap::new(),
        }
    }

    /// Notes where the part at `pointer` is written.
    pub(crate) fn add(&mut self, pointer: String, key: &Range<usize>, value: &Range<usize>) {
        self.parts.insert(
            pointer,
            Part {
                key: key.clone(),
                value: value.clone(),
            },
        );
    }

    /// Notes that `${..}` was filled in at `pointer`.
    pub(crate) fn add_secret(&mut self, pointer: &str, secret: &Secret) {
        self.secrets.insert(pointer.to_owned(), secret.parts.clone());
    }

    /// Where the value at `pointer` is written, or the nearest part around it.
    pub fn value(&self, pointer: &str) -> Place {
        self.find(pointer, |part| &part.value)
    }

    /// Where the key at `pointer` is written, or the nearest part around it.
    pub fn key(&self, pointer: &str) -> Place {
        self.find(pointer, |part| &part.key)
    }

    /// `text` with everything that came from `${..}` written as such again.
    pub fn masked(&self, text: &str) -> String {
        let mut secrets: Vec<_> = self
            .secrets
            .values()
            .flatten()
            .filter(|(value, _)| !value.is_empty())
            .collect();
        // The longest first: one may be part of another.
        secrets.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        secrets
            .into_iter()
            .fold(text.to_owned(), |text, (value, written)| text.replace(value, written))
    }

    fn find(&self, pointer: &str, which: impl Fn(&Part) -> &Range<usize>) -> Place {
        let mut pointer = pointer;
        loop {
            if let Some(part) = self.parts.get(pointer) {
                return Place::new(&self.whole.source, which(part).clone());
            }
            match pointer.rfind('/') {
                Some(end) => pointer = pointer.get(..end).unwrap_or_default(),
                None => return self.whole.clone(),
            }
        }
    }
}

impl fmt::Debug for SettingsPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SettingsPlaces({})", self.whole)
    }
}

/// Checks a filter's settings against its plugin's JSON Schema. No network and no files: a reference to another
/// document makes the schema unusable, which is a problem as well.
pub fn check_settings(schema: &Value, filter: &FilterUse) -> Vec<Problem> {
    let validator = match jsonschema::draft202012::new(schema) {
        Ok(validator) => validator,
        Err(error) => {
            let title = format!(
                "plugin `{}` describes its settings with an unusable schema",
                filter.plugin.name
            );
            return vec![Problem::at(filter.plugin.place.clone(), title).label(error.to_string())];
        }
    };
    let check = Check { schema, filter };
    validator
        .iter_errors(&filter.settings)
        .flat_map(|error| check.problems(&error))
        .collect()
}

/// What a plugin's own `configure` had against a filter's settings: `text` is the plugin's.
pub fn settings_error(filter: &FilterUse, text: &str) -> Problem {
    let title = format!(
        "plugin `{}` refuses the settings of filter `{}`",
        filter.plugin.name, filter.name
    );
    let places = &filter.settings_places;
    Problem::at(places.value(""), title).label(places.masked(text))
}

struct Check<'a> {
    schema: &'a Value,
    filter: &'a FilterUse,
}

impl Check<'_> {
    fn problems(&self, error: &ValidationError<'_>) -> Vec<Problem> {
        let pointer = error.instance_path().as_str();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                unexpected.iter().map(|key| self.unknown(error, pointer, key)).collect()
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                let title = format!("missing setting `{}`", dotted(&child(pointer, key)));
                let problem = Problem::at(self.places().value(pointer), title);
                vec![self.about(problem.label(format!("`{key}` is missing here")))]
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.alternatives(error, context)
            }
            kind => {
                let (what, label) = wording(kind, error);
                let problem = Problem::at(self.places().value(pointer), format!("{} {what}", setting(pointer)));
                let help = self.options_help(error);
                vec![self.about(problem.label(label).help(help))]
            }
        }
    }

    fn unknown(&self, error: &ValidationError<'_>, pointer: &str, key: &str) -> Problem {
        let path = error.schema_path().as_str();
        let around = path
            .rfind('/')
            .and_then(|end| path.get(..end))
            .and_then(|path| self.schema.pointer(path));
        let known: Vec<&str> = around
            .and_then(|schema| schema.get("properties")?.as_object())
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let at = child(pointer, key);
        let problem = Problem::at(self.places().key(&at), format!("unknown setting `{}`", dotted(&at)))
            .label(format!("plugin `{}` does not know it", self.filter.plugin.name))
            .help(did_you_mean(key, known.iter().copied()));
        let problem = self.about(problem);
        match known.as_slice() {
            [] => problem,
            known => problem.note(format!("known there: {}", any_of(known).replace(" or ", ", "))),
        }
    }

    /// Of several forms that a value may have, what is wrong with the one that was meant.
    fn alternatives(&self, error: &ValidationError<'_>, forms: &[Vec<ValidationError<'static>>]) -> Vec<Problem> {
        let pointer = error.instance_path().as_str();
        let about_kind = |one: &ValidationError<'_>| {
            one.instance_path().as_str() == pointer
                && matches!(
                    one.kind(),
                    ValidationErrorKind::Type { .. }
                        | ValidationErrorKind::Constant { .. }
                        | ValidationErrorKind::Enum { .. }
                )
        };
        let mut meant = forms.iter().filter(|form| !form.iter().any(about_kind));
        if let (Some(form), None) = (meant.next(), meant.next()) {
            return form.iter().flat_map(|one| self.problems(one)).collect();
        }
        let mut words = Vec::new();
        for one in forms.iter().flatten().filter(|one| about_kind(one)) {
            let expected = match one.kind() {
                ValidationErrorKind::Type { kind } => kinds(kind),
                ValidationErrorKind::Constant { expected_value } => shown(expected_value),
                ValidationErrorKind::Enum { options } => listed(options),
                _ => continue,
            };
            if !words.contains(&expected) {
                words.push(expected);
            }
        }
        let label = match words.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("expected {} or {last}", rest.join(", ")),
            Some((last, _)) => format!("expected {last}"),
            None => "fits none of the forms it may have".to_owned(),
        };
        let options: Vec<&str> = forms.iter().flatten().flat_map(options).collect();
        let problem = Problem::at(
            self.places().value(pointer),
            format!("{} has a value that is not allowed", setting(pointer)),
        );
        vec![self.about(problem.label(label).help(self.meant(error, &options)))]
    }

    fn options_help(&self, error: &ValidationError<'_>) -> Option<String> {
        self.meant(error, &options(error))
    }

    /// The option that a value is a misspelling of. A secret is never compared: the answer would say something about
    /// it.
    fn meant(&self, error: &ValidationError<'_>, options: &[&str]) -> Option<String> {
        let pointer = error.instance_path().as_str();
        let written = error
            .instance()
            .as_str()
            .filter(|_| !self.places().secrets.contains_key(pointer))?;
        did_you_mean(written, options.iter().copied())
    }

    fn places(&self) -> &SettingsPlaces {
        &self.filter.settings_places
    }

    fn about(&self, problem: Problem) -> Problem {
        let FilterUse { name, plugin, .. } = self.filter;
        if **name == plugin.name {
            problem.note(format!("these are settings of the filter `{name}`"))
        } else {
            problem.note(format!(
                "these are settings of the filter `{name}`, which uses `{}`",
                plugin.name
            ))
        }
    }
}

/// What a violation says about a setting, and what stands beside the caret. The value itself is in neither.
fn wording(kind: &ValidationErrorKind, error: &ValidationError<'_>) -> (&'static str, String) {
    use ValidationErrorKind as Kind;
    match kind {
        Kind::Type { kind } => (
            "has a value of the wrong kind",
            format!("expected {}, found {}", kinds(kind), found(error.instance())),
        ),
        Kind::Enum { options } => (
            "has a value that is not allowed",
            format!("expected {}", listed(options)),
        ),
        Kind::Constant { expected_value } => (
            "has a value that is not allowed",
            format!("expected {}", shown(expected_value)),
        ),
        Kind::Minimum { limit } => ("is out of range", format!("expected at least {limit}")),
        Kind::Maximum { limit } => ("is out of range", format!("expected at most {limit}")),
        Kind::ExclusiveMinimum { limit } => ("is out of range", format!("expected more than {limit}")),
        Kind::ExclusiveMaximum { limit } => ("is out of range", format!("expected less than {limit}")),
        Kind::MultipleOf { multiple_of } => ("is out of range", format!("expected a multiple of {multiple_of}")),
        Kind::MinLength { limit: 1 } => ("is empty", "expected some text".to_owned()),
        Kind::MinLength { limit } => ("is too short", format!("expected at least {limit} characters")),
        Kind::MaxLength { limit } => ("is too long", format!("expected at most {limit} characters")),
        Kind::MinItems { limit: 1 } => ("is empty", "expected at least one element".to_owned()),
        Kind::MinItems { limit } => ("is too short", format!("expected at least {limit} elements")),
        Kind::MaxItems { limit } => ("is too long", format!("expected at most {limit} elements")),
        Kind::AdditionalItems { limit } => ("is too long", format!("expected at most {limit} elements")),
        Kind::MinProperties { limit } => ("is too short", format!("expected at least {limit} keys")),
        Kind::MaxProperties { limit } => ("is too long", format!("expected at most {limit} keys")),
        Kind::UniqueItems => ("lists something twice", "expected each element once".to_owned()),
        Kind::Pattern { pattern } => (
            "has not the right form",
            format!("expected to match the regular expression `{pattern}`"),
        ),
        Kind::Format { format } => ("has not the right form", format!("expected the format `{format}`")),
        Kind::OneOfMultipleValid { .. } => ("is ambiguous", "fits more than one of the forms it may have".to_owned()),
        other => (
            "is not allowed",
            format!("the plugin's schema refuses it (`{}`)", other.keyword()),
        ),
    }
}

/// The strings that a value may be.
fn options<'a>(error: &'a ValidationError<'_>) -> Vec<&'a str> {
    match error.kind() {
        ValidationErrorKind::Enum { options } => options
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect(),
        ValidationErrorKind::Constant { expected_value } => expected_value.as_str().into_iter().collect(),
        _ => Vec::new(),
    }
}

fn listed(options: &Value) -> String {
    let words: Vec<String> = options.as_array().into_iter().flatten().map(plain).collect();
    any_of(&words)
}

fn shown(value: &Value) -> String {
    format!("`{}`", plain(value))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn kinds(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => named(*kind).to_owned(),
        TypeKind::Multiple(kinds) => {
            // Null is how a schema says that a setting may be left out; TOML has none.
            let names: Vec<_> = kinds.iter().filter(|kind| *kind != JsonType::Null).map(named).collect();
            names.join(" or ")
        }
    }
}

fn named(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "`true` or `false`",
        JsonType::Integer => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "a number",
        JsonType::Object => "a table",
        JsonType::String => "a string",
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// `/rules/0/name` as `rules[0].name`.
fn dotted(pointer: &str) -> String {
    let mut text = String::new();
    for segment in pointer.split('/').skip(1) {
        if segment.parse::<usize>().is_ok() {
            text.push_str(&format!("[{segment}]"));
            continue;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&segment.replace("~1", "/").replace("~0", "~"));
    }
    text
}

fn setting(pointer: &str) -> String {
    if pointer.is_empty() {
        "`settings`".to_owned()
    } else {
        format!("setting `{}`", dotted(pointer))
    }
}
