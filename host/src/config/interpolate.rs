//! `${env:NAME}` and `${file:path}` in string values.
//!
//! Other `${..}` are left alone, since templates of plugins use them; what looks like a slip (`${TOKEN}`,
//! `${var:TOKEN}`) is a problem. `$${` stands for a plain `${`.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::source::{Place, Source};
use super::suggest::closest;

/// Files named by `${file:}` hold keys and passwords, not data.
pub(crate) const LARGEST_FILE: u64 = 1 << 20;

/// Looks up an environment variable.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The strings of a file that `${..}` was filled into, by their place.
#[derive(Default, Clone)]
pub(crate) struct Secrets(HashMap<(usize, usize), Secret>);

/// A string that `${..}` was filled into.
#[derive(Clone)]
pub(crate) struct Secret {
    /// As written, safe to show.
    pub(crate) written: String,
    /// What was filled in, and the `${..}` it stands for.
    pub(crate) parts: Vec<(String, String)>,
}

impl Secrets {
    /// The secret written at `span`.
    pub(crate) fn at(&self, span: &Range<usize>) -> Option<&Secret> {
        self.0.get(&(span.start, span.end))
    }
}

/// Fills in every `${..}` of a file.
pub(crate) struct Interpolation<'a> {
    /// The file.
    pub(crate) source: &'a Arc<Source>,
    /// What `${file:}` is relative to.
    pub(crate) folder: &'a Path,
    /// What `${env:}` reads.
    pub(crate) environment: Environment<'a>,
    /// What was filled in.
    pub(crate) secrets: Secrets,
    /// The files that were read.
    pub(crate) files: Vec<PathBuf>,
    /// The strings that could not be filled in.
    pub(crate) failed: Vec<Range<usize>>,
    /// Variables and files that are missing.
    pub(crate) problems: Vec<Problem>,
}

impl Interpolation<'_> {
    /// Fills in every string of a table.
    pub(crate) fn table(&mut self, table: &mut DeTable<'_>) {
        for (_, value) in table.iter_mut() {
            self.value(value);
        }
    }

    fn value(&mut self, value: &mut Spanned<DeValue<'_>>) {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(text) if text.contains("${") => {
                let written = text.clone().into_owned();
                let mut parts = Vec::new();
                let problems = self.problems.len();
                *text = self.string(&written, &span, &mut parts).into();
                if self.problems.len() > problems {
                    self.failed.push(span.clone());
                }
                if !parts.is_empty() {
                    self.secrets.0.insert((span.start, span.end), Secret { written, parts });
                }
            }
            // JSON has no dates, and no key of ours takes one: they are the text they look like.
            DeValue::Datetime(date) => {
                let text = date.to_string();
                *value.get_mut() = DeValue::String(text.into());
            }
            DeValue::Array(list) => list.iter_mut().for_each(|element| self.value(element)),
            DeValue::Table(table) => self.table(table),
            _ => {}
        }
    }

    fn string(&mut self, text: &str, span: &Range<usize>, parts: &mut Vec<(String, String)>) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                filled.push_str(before);
                filled.push_str("${");
                rest = after;
                continue;
            }
            filled.push_str(before);
            let name = after.split_once('}').map(|(name, _)| name);
            let written = format!("${{{}}}", name.unwrap_or_default());
            match self.look_up(after, name, &written, span) {
                Some(value) => {
                    filled.push_str(&value);
                    parts.push((value, written.clone()));
                }
                None => filled.push_str(&written),
            }
            rest = match after.split_once('}') {
                Some((_, rest)) => rest,
                None => {
                    // An open brace that is none of ours: the text goes on as it is.
                    filled.truncate(filled.len() - written.len());
                    filled.push_str("${");
                    after
                }
            };
        }
        filled.push_str(rest);
        filled
    }

    /// The value of one `${..}`; `None` where it is not ours to fill in, or cannot be.
    fn look_up(&mut self, after: &str, name: Option<&str>, written: &str, span: &Range<usize>) -> Option<String> {
        let Some(name) = name else {
            if after.starts_with("env:") || after.starts_with("file:") {
                let problem = Problem::at(self.place_of("${", span), "`${` without its `}`");
                self.problems.push(problem.label("never closed"));
            }
            return None;
        };
        let place = self.place_of(written, span);
        match name.split_once(':') {
            Some(("env", variable)) => {
                let value = (self.environment)(variable);
                if value.is_none() {
                    let problem = Problem::at(place, format!("the environment variable `{variable}` is not set"));
                    self.problems.push(problem.label("not set, or not UTF-8"));
                }
                value
            }
            Some(("file", path)) => {
                let file = self.folder.join(path);
                match read_secret(&file) {
                    Ok(text) => {
                        self.files.push(file);
                        Some(text)
                    }
                    Err(why) => {
                        let problem = Problem::at(place, format!("the file `{path}` cannot be read"));
                        self.problems.push(problem.label(why));
                        None
                    }
                }
            }
            Some((kind, rest)) if is_word(kind) && !rest.starts_with(':') => {
                let problem = Problem::at(place, format!("`${{{kind}:..}}` is not known"));
                let problem = problem.label("expected `${env:NAME}` or `${file:path}`");
                let meant = closest(kind, ["env", "file"]);
                let help = meant.map(|kind| format!("did you mean `${{{kind}:{rest}}}`?"));
                self.problems
                    .push(problem.help(help.or_else(|| Some(plain_help(written)))));
                None
            }
            None if is_variable(name) => {
                let problem = Problem::at(place, format!("`{written}` is not known"));
                let problem = problem.label("expected `${env:NAME}` or `${file:path}`");
                let help = format!("did you mean `${{env:{name}}}`? {}", plain_help(written));
                self.problems.push(problem.help(Some(help)));
                None
            }
            _ => None,
        }
    }

    /// Where `written` stands inside the string at `span`; all of the string where it is written with escapes.
    fn place_of(&self, written: &str, span: &Range<usize>) -> Place {
        let whole = Place::new(self.source, span.clone());
        match whole.text().find(written) {
            Some(at) => {
                let start = span.start + at;
                Place::new(self.source, start..start + written.len())
            }
            None => whole,
        }
    }
}

fn plain_help(written: &str) -> String {
    format!("for the text itself write `${written}`")
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic())
}

fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// A file's text without its last newline.
fn read_secret(file: &Path) -> Result<String, String> {
    let about = std::fs::metadata(file).map_err(|error| reason(&error))?;
    if !about.is_file() {
        return Err("not a file".to_owned());
    }
    if about.len() > LARGEST_FILE {
        return Err("larger than 1 MiB".to_owned());
    }
    let mut text = std::fs::read_to_string(file).map_err(|error| reason(&error))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Why a file cannot be read, in a few words that are the same on every system.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::InvalidData => "not UTF-8 text".to_owned(),
        std::io::ErrorKind::IsADirectory => "a folder".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(value: &str) -> (String, Vec<String>) {
        let source = Arc::new(Source {
            path: "a.toml".into(),
            text: format!("a = '{value}'"),
        });
        let mut interpolation = Interpolation {
            source: &source,
            folder: Path::new("/nowhere"),
            environment: &|name| (name == "TOKEN").then(|| "s3cret".to_owned()),
            secrets: Secrets::default(),
            files: Vec::new(),
            failed: Vec::new(),
            problems: Vec::new(),
        };
        let text = interpolation.string(value, &(4..4 + value.len() + 2), &mut Vec::new());
        (
            text,
            interpolation
                .problems
                .into_iter()
                .map(|problem| problem.title)
                .collect(),
        )
    }

    #[test]
    fn variables_are_filled_in_and_the_rest_is_left_alone() {
        for (written, expected) in [
            ("Bearer ${env:TOKEN}!", "Bearer s3cret!"),
            ("$${env:TOKEN}", "${env:TOKEN}"),
            ("${claims.sub} ${path.id}", "${claims.sub} ${path.id}"),
            ("${env:TOKEN}${env:TOKEN}", "s3crets3cret"),
            ("open ${ and {x}", "open ${ and {x}"),
            ("open ${ end", "open ${ end"),
            ("${}", "${}"),
        ] {
            assert_eq!(filled(written), (expected.to_owned(), vec![]), "{written}");
        }
    }

    #[test]
    fn slips_are_problems() {
        for written in ["${TOKEN}", "${var:X}", "${env:NOPE}", "${file:nope}", "${env:TOKEN"] {
            assert_eq!(filled(written).1.len(), 1, "{written}");
        }
    }
}
