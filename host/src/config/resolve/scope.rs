//! One document while it is resolved: its places, and where its problems go.

use std::cell::RefCell;
use std::ops::{Deref, Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::file::{Located, Text};
use crate::config::interpolate::{LARGEST_FILE, reason};
use crate::config::problem::{Problem, Severity};
use crate::config::read::Document;

/// One document while it is resolved.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The document.
    pub(super) document: &'a Document,
    problems: &'a RefCell<Vec<Problem>>,
    files: &'a RefCell<Vec<PathBuf>>,
}

impl Deref for Scope<'_> {
    type Target = Document;

    fn deref(&self) -> &Document {
        self.document
    }
}

impl<'a> Scope<'a> {
    /// `document`, whose problems go to `problems`, and the files it names to `files`.
    pub(crate) fn new(
        document: &'a Document,
        problems: &'a RefCell<Vec<Problem>>,
        files: &'a RefCell<Vec<PathBuf>>,
    ) -> Self {
        Self {
            document,
            problems,
            files,
        }
    }

    /// The bytes of a file that is named here; its changes are a reason to load again. None, and a problem, where it
    /// cannot be read.
    pub(super) fn read_file(&self, written: &Located<String>) -> Option<Vec<u8>> {
        let path = self.folder.join(&written.value);
        self.files.borrow_mut().push(path.clone());
        match read_whole(&path) {
            Ok(bytes) => Some(bytes),
            Err(why) => {
                let problem = self.problem(&written.span, "the file cannot be read", why);
                let note = format!("paths are relative to `{}`", self.source.path.display());
                self.report(problem.note(note));
                None
            }
        }
    }

    /// One more problem.
    pub(crate) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// A problem at `span`, with a text beside its caret.
    pub(super) fn wrong(&self, span: &Range<usize>, title: impl Into<String>, label: impl Into<String>) {
        self.report(self.problem(span, title, label));
    }

    /// The same with a way to mend it.
    pub(super) fn wrong_help(
        &self,
        span: &Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report(self.problem(span, title, label).help(Some(help.into())));
    }

    /// A problem to be reported later.
    pub(crate) fn problem(&self, span: &Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Problem {
        Problem::at(self.place(span), title).label(label)
    }

    /// `key` is missing in the table at `table`; said only where it is not written at all.
    pub(crate) fn missing(&self, table: &Range<usize>, key: &str, help: &str) {
        if !self.is_unread(table, key) {
            self.wrong_help(
                table,
                format!("missing key `{key}`"),
                format!("`{key}` is missing here"),
                help,
            );
        }
    }

    /// How much has been found wrong so far, in all documents.
    pub(super) fn errors(&self) -> usize {
        let problems = self.problems.borrow();
        problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count()
    }

    /// Whether anything has been found wrong so far, in any document.
    pub(super) fn has_errors(&self) -> bool {
        self.problems
            .borrow()
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// A whole number within `range`; `default` where it is not written, or is wrong.
    pub(super) fn number(
        &self,
        key: &str,
        written: Option<&Located<i64>>,
        range: RangeInclusive<i64>,
        default: i64,
    ) -> i64 {
        let Some(written) = written else { return default };
        if range.contains(&written.value) {
            return written.value;
        }
        let limits = format!("{} to {}", grouped(*range.start()), grouped(*range.end()));
        self.wrong(
            &written.span,
            format!("`{key}` is out of range"),
            format!("expected {limits}"),
        );
        default
    }

    /// A duration that is not zero; `default` where it is not written, or is wrong.
    pub(super) fn duration(&self, key: &str, written: Option<&Located<Text<Duration>>>, default: Duration) -> Duration {
        let Some(written) = written else { return default };
        if written.is_zero() {
            self.wrong(&written.span, format!("`{key}` is zero"), "expected more than zero");
            return default;
        }
        written.value.0
    }

    /// A name for logs and metrics: these must not need quoting anywhere.
    pub(super) fn name(&self, name: &str, span: &Range<usize>) {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(fine) {
            let help = "a name has 1 to 64 letters, digits, `-`, `_` and `.`";
            self.wrong_help(span, "not a name", "names go into metrics and logs", help);
        }
    }
}

fn read_whole(path: &Path) -> Result<Vec<u8>, String> {
    let about = std::fs::metadata(path).map_err(|error| reason(&error))?;
    if !about.is_file() {
        return Err("not a file".to_owned());
    }
    if about.len() > LARGEST_FILE {
        return Err("larger than 1 MiB".to_owned());
    }
    std::fs::read(path).map_err(|error| reason(&error))
}

/// A number as people read it: `1,000,000`.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
