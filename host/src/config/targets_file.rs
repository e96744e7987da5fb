//! A file of its own that lists targets, in TOML or JSON: `discover = "file:targets.toml"`.
//!
//! ```toml
//! targets = ["http://10.0.0.1:8080", { url = "http://10.0.0.2:8080", weight = 2 }]
//! ```
//!
//! JSON has the same shape: `{"targets": ["http://10.0.0.1:8080", {"url": "http://10.0.0.2:8080", "weight": 2}]}`.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use super::interpolate::reason;
use super::problem::{Problem, Problems, Severity};
use super::read::read_targets;
use super::resolve::{Scheme, Scope, listed};
use super::resolved::Target;
use super::source::{Place, Source};

/// A larger file is a slip.
const LARGEST: u64 = 16 << 20;

/// Reads a file that lists targets; an empty list is one, too.
///
/// # Errors
/// Everything that is wrong with it, in one go.
pub(crate) fn read_targets_file(path: &Path) -> Result<Vec<Target>, Problems> {
    let unreadable = |why: &str| {
        let title = format!("the targets in `{}` cannot be read: {why}", path.display());
        Problems::from(Problem::anywhere(title))
    };
    let about = std::fs::metadata(path).map_err(|error| unreadable(&reason(&error)))?;
    if about.len() > LARGEST {
        return Err(unreadable("larger than 16 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&reason(&error)))?;
    read_targets_text(path, text)
}

fn read_targets_text(path: &Path, text: String) -> Result<Vec<Target>, Problems> {
    let source = |text| {
        Arc::new(Source {
            path: path.to_owned(),
            text,
        })
    };
    let (source, toml) = if text.trim_start().starts_with('{') {
        let text = plain_slashes(&text);
        let source = source(text);
        let toml = toml_of_json(&source)?;
        (source, toml)
    } else {
        let source = source(text);
        let toml = source.text.clone();
        (source, toml)
    };
    let (read, problems) = read_targets(&source, &toml);
    let problems = RefCell::new(problems);
    let mut targets = Vec::new();
    if let Some((file, document)) = &read {
        let files = RefCell::default();
        let scope = Scope::new(document, &problems, &files);
        match &file.targets {
            Some(list) => {
                let scheme;
                (targets, scheme) = listed(&scope, list);
                if scheme == Some(Scheme::Https) {
                    let help = "write `http://` here, and `tls = {}` in the upstream";
                    let title = "the upstream says whether TLS is spoken";
                    let problem = scope.problem(&list.span, title, "targets with `https`");
                    scope.report(problem.help(help.to_owned()));
                }
            }
            None => scope.missing(
                &(0..0),
                "targets",
                "write for example `targets = [\"http://10.0.0.1:8080\"]`",
            ),
        }
    }
    let mut problems = problems.into_inner();
    problems.retain(|problem| problem.severity == Severity::Error);
    match Problems::of(problems) {
        None => Ok(targets),
        Some(problems) => Err(problems),
    }
}

/// JSON as TOML, byte for byte at the same place, so that places are those of the file: `:` becomes `=`, the outer braces
/// go, and their members stand on lines of their own.
fn toml_of_json(source: &Arc<Source>) -> Result<String, Problems> {
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&source.text) {
        let lines = source.text.split_inclusive('\n').take(error.line().saturating_sub(1));
        let line: usize = lines.map(str::len).sum();
        let at = source.floor((line + error.column().saturating_sub(1)).min(source.text.len()));
        // The message ends with the place, which stands beside it anyway.
        let message = error.to_string();
        let what = message.split(" at line ").next().unwrap_or_default();
        let problem = Problem::at(Place::new(source, at..at), format!("invalid JSON: {what}"));
        return Err(problem.label("here").into());
    }
    let (mut depth, mut inside) = (0_usize, Inside::default());
    let toml = source.text.chars().map(|letter| {
        if inside.string(letter) {
            return letter;
        }
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (letter, depth) {
            ('{', 1) | ('}', 0) => ' ',
            (',', 1) => '\n',
            // Members of the file stand on their lines whole, so only what is between them may end one.
            ('\n' | '\r', 1) => ' ',
            (':', _) => '=',
            (letter, _) => letter,
        }
    });
    Ok(toml.collect())
}

/// `\/`, which JSON allows and TOML does not, as the plain `/` it stands for.
fn plain_slashes(json: &str) -> String {
    let mut inside = Inside::default();
    let mut plain = String::with_capacity(json.len());
    for letter in json.chars() {
        let escaped = inside.escaped;
        inside.string(letter);
        if escaped && letter == '/' {
            plain.pop();
        }
        plain.push(letter);
    }
    plain
}

/// Tells strings from what is around them.
#[derive(Default)]
struct Inside {
    string: bool,
    escaped: bool,
}

impl Inside {
    /// Whether this letter, the next one, belongs to a string.
    fn string(&mut self, letter: char) -> bool {
        let before = self.string;
        match letter {
            _ if self.escaped => self.escaped = false,
            '\\' if self.string => self.escaped = true,
            '"' => self.string = !self.string,
            _ => {}
        }
        before || self.string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let read = read_targets_text(Path::new("targets"), text.to_owned());
        read.map(|targets| {
            targets
                .iter()
                .map(|target| format!("{} {}", target.address, target.weight))
                .collect()
        })
        .map_err(|problems| problems.to_string())
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let expected = Ok(vec!["10.0.0.1:80 1".to_owned(), "10.0.0.2:8080 2".to_owned()]);
        let toml = "targets = [\"http://10.0.0.1\", { url = \"http://10.0.0.2:8080\", weight = 2 }]";
        let json = "{\n  \"targets\": [\"http:\\/\\/10.0.0.1\",\n    {\"url\":\n \"http://10.0.0.2:8080\", \"weight\" : 2}\n  ]\n}\n";
        assert_eq!(read(toml), expected);
        assert_eq!(read(json), expected);
        assert_eq!(read("{\"targets\": []}"), Ok(vec![]));
        assert_eq!(read("targets = []"), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, place, said) in [
            (
                "targets = [\"http://10.0.0.1\", \"https//b\"]",
                "targets:1:31",
                "no scheme",
            ),
            (
                "{\n \"targets\": [\"http://10.0.0.1\",\n  \"ftp://b\"]}",
                "targets:3:3",
                "unknown scheme",
            ),
            ("{\"targets\": [\"http://10.0.0.1\"", "targets:1:3", "invalid JSON"),
            ("targets = [\"http://10.0", "targets:1:", "invalid TOML"),
            (
                "{\"targets\": [{\"uri\": \"http://a\"}]}",
                "targets:1:15",
                "unknown key `uri`",
            ),
            ("", "targets:1:1", "missing key `targets`"),
            ("{\"targets\": null}", "targets:1:13", "invalid"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(
                problems.contains(place) && problems.contains(said),
                "{text}\n{problems}"
            );
        }
    }
}
