//! `include`: the files that make up a configuration.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::file::{File, Located};
use super::interpolate::{Environment, reason};
use super::problem::Problem;
use super::read::{Document, read};
use super::source::Place;

/// A pattern that matches more files than this is a slip.
const MOST_FILES: usize = 1_000;

/// A configuration's files, the main one first.
#[derive(Default)]
pub(crate) struct Documents {
    /// Those that are TOML.
    pub(crate) all: Vec<Document>,
    /// Whether one is not, so that nothing can be said about what is missing.
    pub(crate) incomplete: bool,
    /// Every file that was read, or should have been.
    pub(crate) files: Vec<PathBuf>,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
    /// Files already read, and where they were included.
    seen: HashMap<PathBuf, Option<Place>>,
}

/// A file still to be read.
struct Next {
    /// As messages show it.
    shown: PathBuf,
    /// Where it is.
    path: PathBuf,
    /// The files that lead to it, itself included.
    trail: Vec<PathBuf>,
}

/// Reads `text` as the main file, and all that it includes.
pub(crate) fn read_all(
    shown: &Path,
    path: Option<&Path>,
    text: &str,
    folder: &Path,
    environment: Environment<'_>,
) -> Documents {
    let mut documents = Documents::default();
    let mut trail = Vec::new();
    if let Some(path) = path {
        let identity = identity(path);
        documents.files.push(path.to_owned());
        documents.seen.insert(identity.clone(), None);
        trail.push(identity);
    }
    documents.add(shown, text, folder, &trail, environment);
    documents
}

impl Documents {
    fn add(&mut self, shown: &Path, text: &str, folder: &Path, trail: &[PathBuf], environment: Environment<'_>) {
        let reading = read(shown, text, folder, environment);
        self.problems.extend(reading.problems);
        self.files.extend(reading.files);
        let Some(mut document) = reading.document else {
            self.incomplete = true;
            return;
        };
        if !self.all.is_empty() {
            self.problems.extend(main_only(&mut document));
        }
        let next = self.included(&document, trail);
        self.all.push(document);
        for Next { shown, path, trail } in next {
            self.files.push(path.clone());
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            match std::fs::read_to_string(&path) {
                Ok(text) => self.add(&shown, &text, &folder, &trail, environment),
                Err(error) => {
                    let problem =
                        Problem::anywhere(format!("`{}` cannot be read: {}", shown.display(), reason(&error)));
                    self.problems.push(problem);
                    self.incomplete = true;
                }
            }
        }
    }

    /// The files that a document includes, in the order of patterns and names.
    fn included(&mut self, document: &Document, trail: &[PathBuf]) -> Vec<Next> {
        let mut next = Vec::new();
        let patterns = document
            .file
            .include
            .as_ref()
            .map(|include| include.0.as_slice())
            .unwrap_or_default();
        for pattern in patterns {
            for path in self.matches(document, pattern) {
                let identity = identity(&path);
                let place = document.place(&pattern.span);
                let shown = shown(document, &path);
                if trail.contains(&identity) {
                    let problem = Problem::at(place, format!("`{}` includes itself", shown.display()));
                    self.problems.push(problem.label("a circle of includes"));
                    continue;
                }
                if let Some(first) = self.seen.get(&identity) {
                    let mut problem = Problem::at(place, format!("`{}` is included twice", shown.display()));
                    if let Some(first) = first {
                        problem = problem.note(format!("first included at {first}"));
                    }
                    self.problems.push(problem.label("here again"));
                    continue;
                }
                self.seen.insert(identity.clone(), Some(place));
                let trail = trail.iter().cloned().chain([identity]).collect();
                next.push(Next { shown, path, trail });
            }
        }
        next
    }

    fn matches(&mut self, document: &Document, pattern: &Located<String>) -> Vec<PathBuf> {
        let place = document.place(&pattern.span);
        let folder = glob::Pattern::escape(&document.folder.to_string_lossy());
        let full = Path::new(&folder).join(&pattern.value);
        let paths = match glob::glob(&full.to_string_lossy()) {
            Ok(paths) => paths,
            Err(error) => {
                let problem = Problem::at(place, "not a pattern for files").label(error.msg);
                self.problems
                    .push(problem.help(Some("write for example `routes.d/*.toml`".to_owned())));
                return Vec::new();
            }
        };
        let paths: Vec<PathBuf> = paths
            .filter_map(Result::ok)
            .filter(|path| path.is_file())
            .take(MOST_FILES + 1)
            .collect();
        if paths.len() > MOST_FILES {
            self.problems
                .push(Problem::at(place, format!("more than {MOST_FILES} files")).label("matches too much"));
            return Vec::new();
        }
        if paths.is_empty() {
            if pattern.value.contains(['*', '?', '[']) {
                self.problems.push(
                    Problem::at(place, "no file matches")
                        .label("nothing is included")
                        .warning(),
                );
            } else {
                let problem = Problem::at(place, "no such file").label("nothing to include");
                self.problems
                    .push(problem.note(format!("paths are relative to `{}`", document.source.path.display())));
            }
        }
        paths
    }
}

/// Takes out what only the main file may hold.
fn main_only(document: &mut Document) -> Vec<Problem> {
    fn span<T>(value: Option<Located<T>>) -> Option<Range<usize>> {
        value.map(|value| value.span)
    }
    let File {
        version,
        server,
        log,
        wasm,
        ..
    } = &mut document.file;
    let found = [
        ("version", span(version.take())),
        ("[server]", span(server.take())),
        ("[log]", span(log.take())),
        ("[wasm]", span(wasm.take())),
    ];
    let found = found.into_iter().filter_map(|(name, span)| Some((name, span?)));
    found
        .map(|(name, span)| {
            Problem::at(document.place(&span), format!("`{name}` in an included file"))
                .label("only the main file may hold it")
                .note("included files hold `[upstream]`, `[plugin]`, `[filter]`, `[[route]]` and `include`")
        })
        .collect()
}

/// One name for a file, however it is written.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// An included file's path as it would be written beside the including one's.
fn shown(document: &Document, path: &Path) -> PathBuf {
    let parent = document.source.path.parent().unwrap_or(Path::new(""));
    match path.strip_prefix(&document.folder) {
        Ok(relative) => parent.join(relative),
        Err(_) => path.to_owned(),
    }
}
