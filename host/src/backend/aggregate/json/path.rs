//! Places in a document as they are written in a configuration: `address.city`, `items[0].id`, `items[].price`,
//! `["name.with.dots"]`.

use std::fmt;

use crate::backend::aggregate::misread::Misread;

/// A place in a document, or with `[]` in it a place in every element of an array.
///
/// ```text
/// items[].price   the member `items`, in every element of it the member `price`
/// items[0].id     of the first element alone
/// ["a.b"].c       the member `a.b`, and in it `c`
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    steps: Vec<Step>,
}

/// One step into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into the member of that name.
    Member(String),
    /// Into one element, counted from 0.
    Element(usize),
    /// Into every element.
    Every,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// For an empty path, and for what is not a step, with its place.
    pub(crate) fn parse(text: &str) -> Result<Self, Misread> {
        let first = if text.starts_with('[') {
            None
        } else {
            Some(word(text, 0)?)
        };
        let from = first.map_or(0, str::len);
        let (more, end) = steps(text, from)?;
        if let Some(rest) = text.get(end..).filter(|rest| !rest.is_empty()) {
            let odd = rest.chars().next().map_or(0, char::len_utf8);
            return Err(unexpected(text, end, odd));
        }
        let first = first.map(|name| Step::Member(name.to_owned()));
        Ok(Self {
            steps: first.into_iter().chain(more).collect(),
        })
    }

    /// Its steps.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The names of its steps, if all are members.
    pub(crate) fn names(&self) -> Option<Vec<String>> {
        let name = |step: &Step| match step {
            Step::Member(name) => Some(name.clone()),
            _ => None,
        };
        self.steps.iter().map(name).collect()
    }
}

impl From<Vec<Step>> for Path {
    fn from(steps: Vec<Step>) -> Self {
        Self { steps }
    }
}

/// Reads `.name`, `[0]`, `[]` and `["name"]` from `at` on for as long as there are any; gives where they end.
pub(crate) fn steps(text: &str, mut at: usize) -> Result<(Vec<Step>, usize), Misread> {
    let mut steps = Vec::new();
    loop {
        let rest = text.get(at..).unwrap_or_default();
        if rest.starts_with('.') {
            let name = word(text, at + 1)?;
            steps.push(Step::Member(name.to_owned()));
            at += 1 + name.len();
        } else if rest.starts_with('[') {
            let (step, len) = bracket(text, at)?;
            steps.push(step);
            at += len;
        } else {
            return Ok((steps, at));
        }
    }
}

/// The name that stands at `at`.
fn word(text: &str, at: usize) -> Result<&str, Misread> {
    let rest = text.get(at..).unwrap_or_default();
    let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    match rest.get(..len) {
        Some(name) if len > 0 => Ok(name),
        _ if rest.is_empty() => Err(Misread::new(at..at, "a name is missing at the end")),
        _ => Err(unexpected(text, at, rest.chars().next().map_or(0, char::len_utf8))),
    }
}

/// What a name may have in it without quotes.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@')
}

/// `[0]`, `[]`, `["name"]` or `['name']` at `at`, and how long it is.
fn bracket(text: &str, at: usize) -> Result<(Step, usize), Misread> {
    let inside = text.get(at + 1..).unwrap_or_default();
    if let Some(quote) = inside.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let name = inside.get(1..).unwrap_or_default();
        return match name.split_once(quote) {
            Some((name, rest)) if rest.starts_with(']') => Ok((Step::Member(name.to_owned()), name.len() + 4)),
            Some((name, _)) => {
                let end = at + 3 + name.len();
                Err(Misread::new(at..end, "`[` is not closed").help(format!("write `[{quote}{name}{quote}]`")))
            }
            None => Err(Misread::new(at + 1..text.len(), "the quoted name has no end")),
        };
    }
    let Some((number, _)) = inside.split_once(']') else {
        return Err(Misread::new(at..text.len(), "`[` is not closed").help("write `]` after it".to_owned()));
    };
    let place = at + 1..at + 1 + number.len();
    let step = match number {
        "" => Step::Every,
        _ if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            let out_of_range = |_| Misread::new(place.clone(), "larger than any array");
            Step::Element(number.parse().map_err(out_of_range)?)
        }
        _ => {
            let help = format!("expected `[0]`, `[]` or `[\"{number}\"]`");
            return Err(Misread::new(place, format!("`{number}` is not a place in an array")).help(help));
        }
    };
    Ok((step, number.len() + 2))
}

fn unexpected(text: &str, at: usize, len: usize) -> Misread {
    let odd = text.get(at..at + len).unwrap_or_default();
    Misread::new(at..at + len, format!("`{odd}` cannot stand here in a path")).help(
        "a name with other characters than letters, digits, `_`, `-`, `$` and `@` stands in `[\"..\"]`".to_owned(),
    )
}

/// As it is written.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.steps.iter().enumerate() {
            match step {
                Step::Member(name) if name.is_empty() || !name.chars().all(is_word) => {
                    let quote = if name.contains('"') { '\'' } else { '"' };
                    write!(f, "[{quote}{name}{quote}]")?;
                }
                Step::Member(name) if place == 0 => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Element(number) => write!(f, "[{number}]")?,
                Step::Every => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn malformed_paths_are_refused_with_their_place() {
        for (text, place, message) in [
            ("", "", "a name is missing at the end"),
            ("a.", "", "a name is missing at the end"),
            ("a..b", ".", "`.` cannot stand here in a path"),
            (".a", ".", "`.` cannot stand here in a path"),
            ("a b", " ", "` ` cannot stand here in a path"),
            ("a[x]", "x", "`x` is not a place in an array"),
            ("a[-1]", "-1", "`-1` is not a place in an array"),
            ("a[1", "[1", "`[` is not closed"),
            ("a[\"b", "\"b", "the quoted name has no end"),
            ("a[\"b\".c", "[\"b\"", "`[` is not closed"),
            (
                "a[99999999999999999999]",
                "99999999999999999999",
                "larger than any array",
            ),
            ("a[0]b", "b", "`b` cannot stand here in a path"),
        ] {
            let error = Path::parse(text).expect_err(text);
            assert_eq!(
                (text.get(error.at.clone()), error.message.as_str()),
                (Some(place), message),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_written_again(text in "(\\PC|[a.\\[\\]\"'0]){0,12}") {
            match Path::parse(&text) {
                Ok(path) => prop_assert_eq!(Path::parse(&path.to_string()), Ok(path)),
                Err(error) => prop_assert!(text.get(error.at).is_some()),
            }
        }
    }
}
