//! One file: its text, what serde made of it, and where everything stands.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::file::{File, TargetsFile};
use super::interpolate::{Environment, Interpolation, Secrets};
use super::peel::{Peeled, peel};
use super::problem::Problem;
use super::source::{Place, Source};

/// A file that was read.
pub(crate) struct Document {
    /// Its text.
    pub(crate) source: Arc<Source>,
    /// What its paths are relative to.
    pub(crate) folder: PathBuf,
    /// What it says, without the parts that could not be read.
    pub(crate) file: File,
    /// The strings that `${..}` was filled into.
    pub(crate) secrets: Secrets,
    /// The names it declares, those of unreadable tables included.
    pub(crate) declared: Vec<Declared>,
    unread: Unread,
}

/// What could not be read.
#[derive(Default)]
struct Unread {
    /// Keys that are written but could not be read, all or in part, by the table they stand in: they are not missing.
    keys: HashSet<(Range<usize>, String)>,
    /// Everything that could not be read.
    spans: Vec<Range<usize>>,
}

/// `[upstream.users]`
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    /// `upstream`, `plugin` or `filter`.
    pub(crate) kind: &'static str,
    /// `users`
    pub(crate) name: String,
    /// The name's place.
    pub(crate) span: Range<usize>,
}

/// What reading a file brought up.
pub(crate) struct Reading {
    /// `None` where it is not TOML at all.
    pub(crate) document: Option<Document>,
    /// What is wrong with it.
    pub(crate) problems: Vec<Problem>,
    /// What `${file:}` named.
    pub(crate) files: Vec<PathBuf>,
}

impl Document {
    /// The bytes `span` of this file.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        Place::new(&self.source, span.clone())
    }

    /// Whether `key` is written in the table at `table`, but could not be read.
    pub(crate) fn is_unread(&self, table: &Range<usize>, key: &str) -> bool {
        self.unread.keys.contains(&(table.clone(), key.to_owned()))
    }

    /// Whether some of what is written within `span` could not be read.
    pub(crate) fn has_unread(&self, span: &Range<usize>) -> bool {
        self.unread
            .spans
            .iter()
            .any(|unread| unread.start >= span.start && unread.end <= span.end)
    }
}

/// Reads one file's text.
pub(crate) fn read(path: &Path, text: &str, folder: &Path, environment: Environment<'_>) -> Reading {
    let source = Arc::new(Source {
        path: path.to_owned(),
        text: text.to_owned(),
    });
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problems = errors.iter().map(|error| syntax_problem(&source, error)).collect();
        return Reading {
            document: None,
            problems,
            files: Vec::new(),
        };
    }
    let mut root = root.into_inner();
    let declared = declared(&root);
    let mut interpolation = Interpolation {
        source: &source,
        folder,
        environment,
        secrets: Secrets::default(),
        files: Vec::new(),
        failed: Vec::new(),
        problems: Vec::new(),
    };
    interpolation.table(&mut root);
    let Interpolation {
        secrets,
        files,
        failed,
        mut problems,
        ..
    } = interpolation;

    let (file, peeled) = peel::<File>(root, failed, &|span| secrets.at(span).is_some());
    let unread = Unread::of(peeled, &source, &mut problems);
    let folder = folder.to_owned();
    let document = file.map(|file| Document {
        source,
        folder,
        file,
        secrets,
        declared,
        unread,
    });
    Reading {
        document,
        problems,
        files,
    }
}

/// Reads a file that lists targets, which has no `${..}`. The document is that of an empty configuration: it is there for
/// the places.
pub(crate) fn read_targets(source: &Arc<Source>, toml: &str) -> (Option<(TargetsFile, Document)>, Vec<Problem>) {
    let (root, errors) = DeTable::parse_recoverable(toml);
    let mut problems: Vec<_> = errors.iter().map(|error| syntax_problem(source, error)).collect();
    if !problems.is_empty() {
        return (None, problems);
    }
    let (targets, peeled) = peel::<TargetsFile>(root.into_inner(), Vec::new(), &|_| false);
    let document = Document {
        source: Arc::clone(source),
        folder: PathBuf::new(),
        file: File::default(),
        secrets: Secrets::default(),
        declared: Vec::new(),
        unread: Unread::of(peeled, source, &mut problems),
    };
    (targets.map(|targets| (targets, document)), problems)
}

impl Unread {
    /// What was cut out; why goes to `problems`.
    fn of(peeled: Vec<Peeled>, source: &Arc<Source>, problems: &mut Vec<Problem>) -> Unread {
        let mut unread = Unread::default();
        for one in peeled {
            unread.keys.insert((one.table, one.key));
            unread.spans.push(one.span.clone());
            let Some(explained) = one.explained else { continue };
            let mut problem = Problem::at(Place::new(source, one.span), explained.title);
            problem = problem.label(explained.label).help(explained.help);
            problems.push(match explained.note {
                Some(note) => problem.note(note),
                None => problem,
            });
        }
        unread
    }
}

/// An error of the TOML parser, whose words for a value that is no value are those of its last guess.
fn syntax_problem(source: &Arc<Source>, error: &toml::de::Error) -> Problem {
    let end = source.text.trim_end().len();
    let span = error.span().unwrap_or(end..end);
    let message = error.message();
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let before = source
        .text
        .get(..source.floor(span.start))
        .unwrap_or_default()
        .trim_end_matches([' ', '\t']);
    let (what, label, help) = match what {
        _ if what.starts_with("invalid") && before.ends_with('=') && span.is_empty() => (
            "missing value",
            "expected a value".to_owned(),
            Some("write for example `key = \"value\"`, or leave the key out"),
        ),
        "invalid boolean" | "string values must be quoted" | "missing value" => (
            "not a value",
            "expected a value".to_owned(),
            Some("strings stand in quotes: `key = \"value\"`"),
        ),
        "invalid basic string" if expected == "`\"`" => {
            ("a string that does not end", "expected `\"`".to_owned(), None)
        }
        "invalid literal string" if expected == "`'`" => {
            ("a string that does not end", "expected `'`".to_owned(), None)
        }
        "duplicate key" => {
            let help = "a key or table may be written once; only `[[..]]` may be repeated";
            (what, "written before".to_owned(), Some(help))
        }
        what if expected.is_empty() => (what, String::new(), None),
        what => (what, format!("expected {expected}"), None),
    };
    let problem = Problem::at(Place::new(source, span), format!("invalid TOML: {what}"));
    problem.label(label).help(help.map(str::to_owned))
}

fn declared(root: &DeTable<'_>) -> Vec<Declared> {
    let mut all = Vec::new();
    for kind in ["upstream", "plugin", "filter"] {
        if let Some(DeValue::Table(table)) = root.get(kind).map(toml::Spanned::get_ref) {
            let names = table.iter().map(|(key, _)| (key.get_ref().to_string(), key.span()));
            all.extend(names.map(|(name, span)| Declared { kind, name, span }));
        }
    }
    all
}
