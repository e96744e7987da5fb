//! Serde's error texts in our words. Serde quotes values, and a value may be a secret: what it quotes is never used.

use super::suggest::{any_of, did_you_mean};

/// What a value of our own type has against its text. Travels through serde's string-only errors as one string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    title: String,
    label: String,
    help: String,
}

/// Stands between the parts. No text of ours contains it.
const MARK: char = '\u{1}';

impl Fault {
    /// A problem's title, and what stands beside the caret. Neither may quote the value.
    pub(crate) fn new(title: &str, label: &str) -> Self {
        Self {
            title: title.to_owned(),
            label: label.to_owned(),
            help: String::new(),
        }
    }

    /// With a way to mend it.
    pub(crate) fn help(mut self, help: &str) -> Self {
        help.clone_into(&mut self.help);
        self
    }

    /// As an error that [`explain`] understands.
    pub(crate) fn into_error<E: serde::de::Error>(self) -> E {
        E::custom(format_args!(
            "{MARK}{}{MARK}{}{MARK}{}",
            self.title, self.label, self.help
        ))
    }
}

/// What is known about the part of the file that serde refused.
pub(crate) struct Refused<'a> {
    /// Of the key it is, or is the value of. Empty for the whole file.
    pub(crate) key: &'a str,
    /// The table it stands in, as in a header: `` `[server.limits]` ``, or `the top level`.
    pub(crate) table: &'a str,
    /// Its text, where it is a string that holds no secret.
    pub(crate) text: Option<&'a str>,
}

/// What goes into a problem.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Explained {
    pub(crate) title: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
    pub(crate) note: Option<String>,
}

/// Turns the message of a serde error into our words.
pub(crate) fn explain(message: &str, refused: &Refused<'_>) -> Explained {
    let key = refused.key;
    if let Some(parts) = message.strip_prefix(MARK) {
        let mut parts = parts.split(MARK).map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let (title, label, help) = (next(), next(), next());
        return Explained {
            title,
            label,
            help: (!help.is_empty()).then_some(help),
            note: None,
        };
    }
    // What was expected comes last, and is our own text: the last such words are the right ones.
    let (found, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    if found.starts_with("unknown field ") {
        let allowed = quoted(expected);
        return Explained {
            title: format!("unknown key `{key}`"),
            label: format!("not known in {}", refused.table),
            help: did_you_mean(key, allowed.iter().copied()),
            note: (!allowed.is_empty()).then(|| format!("known there: {}", list(&allowed))),
        };
    }
    if found.starts_with("unknown variant ") {
        let allowed = quoted(expected);
        return Explained {
            title: format!("unknown value for `{key}`"),
            label: format!("expected {}", any_of(&allowed)),
            help: refused
                .text
                .and_then(|text| did_you_mean(text, allowed.iter().copied())),
            note: None,
        };
    }
    let expected = match expected {
        "i64" | "i32" | "u32" | "u16" | "u64" | "usize" => "a whole number",
        "a sequence" => "a list: `[ .. ]`",
        "a boolean" => "`true` or `false`",
        "" if message == "wanted string or table" => "a string",
        "" => "another value",
        other => other,
    };
    let label = match found.strip_prefix("invalid type: ").map(kind) {
        Some(kind) => format!("expected {expected}, found {kind}"),
        None if found.contains("overflowed") => "too large a number".to_owned(),
        None => format!("expected {expected}"),
    };
    Explained {
        title: format!("`{key}` has a value of the wrong kind"),
        label,
        help: None,
        note: None,
    }
}

/// Serde's name for what it found, without the value.
fn kind(found: &str) -> &'static str {
    match found.split([' ', '`']).next().unwrap_or_default() {
        "string" => "a string",
        "integer" => "a whole number",
        "floating" => "a number with a fraction",
        "boolean" => "a boolean",
        "map" => "a table",
        "sequence" => "a list",
        _ => "something else",
    }
}

/// The words in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn list(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about<'a>(key: &'a str, text: Option<&'a str>) -> Refused<'a> {
        Refused {
            key,
            table: "`[server]`",
            text,
        }
    }

    #[test]
    fn serde_is_reworded() {
        let explained = explain(
            "unknown field `lisen`, expected one of `listen`, `admin`",
            &about("lisen", None),
        );
        assert_eq!(explained.title, "unknown key `lisen`");
        assert_eq!(explained.help.as_deref(), Some("did you mean `listen`?"));
        let explained = explain(
            "invalid type: string \"x, expected y\", expected i64",
            &about("threads", None),
        );
        assert_eq!(explained.label, "expected a whole number, found a string");
    }

    #[test]
    fn a_quoted_value_is_never_repeated() {
        for message in [
            "unknown variant `hunter2`, expected `a` or `b`",
            "invalid type: string \"hunter2\", expected i64",
            "invalid value: string \"hunter2\", expected something",
            "hunter2",
        ] {
            let explained = explain(message, &about("x", None));
            assert!(!format!("{explained:?}").contains("hunter2"), "{explained:?}");
        }
    }
}
