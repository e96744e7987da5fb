//! What is wrong with a configuration, shown the way a compiler shows it.
//!
//! ```text
//! error: unknown key `lisen`
//!  --> portcullis.toml:4:1
//!   |
//! 4 | lisen = ["127.0.0.1:8080"]
//!   | ^^^^^ not known in `[server]`
//!   |
//!   = help: did you mean `listen`?
//! ```

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::source::{Place, Source};

/// Whether a configuration can be run in spite of a [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but it hardly means what its author wanted.
    Warning,
}

/// One thing that is wrong. No text in it holds a value that came from `${..}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// Where it is written; `None` where no line is to blame (a file that cannot be read).
    pub place: Option<Place>,
    /// What is wrong, in one line.
    pub title: String,
    /// Stands beside the caret: what is wrong with just this, or what is expected. May be empty.
    pub label: String,
    /// How to mend it.
    pub help: Option<String>,
    /// What else is good to know: where the other of two stands, what is allowed.
    pub notes: Vec<String>,
}

impl Problem {
    /// An error at `place`.
    pub fn at(place: Place, title: impl Into<String>) -> Self {
        Self {
            place: Some(place),
            ..Self::anywhere(title)
        }
    }

    /// An error that no line is to blame for.
    pub fn anywhere(title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place: None,
            title: title.into(),
            label: String::new(),
            help: None,
            notes: Vec::new(),
        }
    }

    /// With a text beside the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With a way to mend it. `None` leaves it as it is.
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        if let Some(help) = help.into() {
            self.help = Some(help);
        }
        self
    }

    /// With one more note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// As a warning.
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// For people: with colours for a terminal, else plain text. Ends without a newline.
    pub fn render(&self, colours: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.title.as_str());
        let mut group = match &self.place {
            Some(place) => {
                let lines = Excerpt::of(&place.source, &place.span);
                let label = (!self.label.is_empty()).then_some(self.label.as_str());
                title.element(
                    Snippet::source(lines.text)
                        .line_start(lines.first_line)
                        .path(place.source.path.display().to_string())
                        .annotation(AnnotationKind::Primary.span(lines.span).label(label)),
                )
            }
            None => Group::with_title(title),
        };
        for note in &self.notes {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    /// For programs: `severity`, `message`, and where known `file`, `line`, `column`, `label`, `help`, `notes`.
    pub fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        let severity = if self.severity == Severity::Error {
            "error"
        } else {
            "warning"
        };
        object.insert("severity".to_owned(), json!(severity));
        if let Some(place) = &self.place {
            let (line, column) = place.source.line_column(place.span.start);
            object.insert("file".to_owned(), json!(place.source.path.display().to_string()));
            object.insert("line".to_owned(), json!(line));
            object.insert("column".to_owned(), json!(column));
        }
        object.insert("message".to_owned(), json!(self.title));
        if !self.label.is_empty() {
            object.insert("label".to_owned(), json!(self.label));
        }
        if let Some(help) = &self.help {
            object.insert("help".to_owned(), json!(help));
        }
        if !self.notes.is_empty() {
            object.insert("notes".to_owned(), json!(self.notes));
        }
        Value::Object(object)
    }
}

/// Everything that is wrong with a configuration: at least one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `None` where there is no problem. Brings them into the order of file and line; what is said twice is said once.
    pub fn of(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by(|a, b| order(a).cmp(&order(b)));
        problems.dedup();
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// For people, an empty line between two. Ends without a newline.
    pub fn render(&self, colours: bool) -> String {
        let rendered: Vec<String> = self.0.iter().map(|problem| problem.render(colours)).collect();
        rendered.join("\n\n")
    }

    /// For programs: a list of [`Problem::to_json`].
    pub fn to_json(&self) -> Value {
        self.0.iter().map(Problem::to_json).collect()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl From<Problems> for Vec<Problem> {
    fn from(problems: Problems) -> Self {
        problems.0
    }
}

/// Plain text; [`Problems::render`] knows colours.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

fn order(problem: &Problem) -> (bool, Option<(&std::path::Path, usize)>) {
    let place = problem
        .place
        .as_ref()
        .map(|place| (place.source.path.as_path(), place.span.start));
    (place.is_none(), place)
}

/// The line that a span begins on, so that one problem does not make the renderer walk a whole file.
struct Excerpt<'a> {
    text: &'a str,
    first_line: usize,
    span: Range<usize>,
}

impl<'a> Excerpt<'a> {
    fn of(source: &'a Source, span: &Range<usize>) -> Self {
        let start = source.floor(span.start);
        let end = source.floor(span.end).max(start);
        let line_start = source
            .text
            .get(..start)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |at| at + 1);
        let line_end = source
            .text
            .get(start..)
            .and_then(|after| after.find('\n'))
            .map_or(source.text.len(), |at| start + at);
        let text = source.text.get(line_start..line_end).unwrap_or_default();
        let text = text.strip_suffix('\r').unwrap_or(text);
        let last = text.len();
        Self {
            text,
            first_line: source.line_column(start).0,
            span: (start - line_start).min(last)..(end - line_start).min(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn problem(text: &str, span: Range<usize>) -> Problem {
        let source = Arc::new(Source {
            path: "a.toml".into(),
            text: text.to_owned(),
        });
        Problem::at(Place::new(&source, span), "it is wrong").label("here")
    }

    #[test]
    fn a_problem_is_shown_with_file_line_and_caret() {
        let rendered = problem("a = 1\nbc = 2\n", 6..8)
            .help(Some("mend it".to_owned()))
            .render(false);
        let expected = "error: it is wrong\n --> a.toml:2:1\n  |\n2 | bc = 2\n  | ^^ here\n  |\n  = help: mend it";
        assert_eq!(rendered, expected);
    }

    #[test]
    fn any_span_can_be_shown() {
        for (text, span) in [
            ("", 0..0),
            ("ä", 1..1),
            ("a\n", 2..2),
            ("a\nb", 0..3),
            ("a\r\n", 1..3),
            ("x", 5..9),
        ] {
            assert!(problem(text, span).render(false).contains("it is wrong"));
        }
    }

    #[test]
    fn programs_get_line_and_column() {
        let value = problem("a = 1\nbc = 2\n", 11..12).to_json();
        assert_eq!(value["line"], 2);
        assert_eq!(value["column"], 6);
        assert_eq!(value["file"], "a.toml");
    }
}
