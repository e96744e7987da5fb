//! Reads a table through serde so that every problem in it is found, not only the first.
//!
//! Serde stops at the first error. So what the error is about is cut out of the table, and the rest is read again,
//! until it goes through.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::wording::{Explained, Refused, explain};

/// A file with more problems than this is not a configuration; the rest is found once these are mended.
const MOST: usize = 100;

/// Something that was cut out.
pub(crate) struct Peeled {
    /// Where it is written.
    pub(crate) span: Range<usize>,
    /// The table that it was in, if perhaps as an element of a list there.
    pub(crate) table: Range<usize>,
    /// The key of that table.
    pub(crate) key: String,
    /// What is wrong with it; `None` where that has been said already.
    pub(crate) explained: Option<Explained>,
}

/// Reads `root`, cutting out what cannot be read; `failed` are values that are known to be no use. The result is `None`
/// where even that leaves nothing readable.
pub(crate) fn peel<T: DeserializeOwned>(
    mut root: DeTable<'_>,
    failed: Vec<Range<usize>>,
    is_secret: &dyn Fn(&Range<usize>) -> bool,
) -> (Option<T>, Vec<Peeled>) {
    let mut peeled = Vec::new();
    for span in failed {
        let wanted = Wanted { span, kind: Kind::Any };
        if let Some(Cut { table, key, .. }) = cut_from_table(&mut root, &(0..0), &wanted, &mut Vec::new()) {
            peeled.push(Peeled {
                span: wanted.span,
                table,
                key,
                explained: None,
            });
        }
    }
    loop {
        let error = match T::deserialize(Deserializer::from(Spanned::new(0..0, root.clone()))) {
            Ok(value) => return (Some(value), peeled),
            Err(error) => error,
        };
        let Some(span) = error.span() else {
            return (None, peeled);
        };
        let wanted = Wanted::of(error.message(), span.clone());
        let mut path = Vec::new();
        let Some(cut) = cut_from_table(&mut root, &(0..0), &wanted, &mut path) else {
            return (None, peeled);
        };
        let refused = Refused {
            key: &cut.key,
            table: &table_name(&path),
            text: cut.text.as_deref().filter(|_| !is_secret(&span)),
        };
        let explained = Some(explain(error.message(), &refused));
        peeled.push(Peeled {
            span,
            table: cut.table,
            key: cut.key,
            explained,
        });
        if peeled.len() >= MOST {
            return (None, peeled);
        }
    }
}

/// What to look for: the span of an error, and what it is the span of.
struct Wanted {
    span: Range<usize>,
    kind: Kind,
}

/// A table's header is also the span of the list that it is the first element of, so the span alone does not tell.
enum Kind {
    Key,
    List,
    Table,
    Any,
}

impl Wanted {
    fn of(message: &str, span: Range<usize>) -> Self {
        let kind = if message.starts_with("unknown field ") {
            Kind::Key
        } else if message.starts_with("invalid type: sequence") {
            Kind::List
        } else if message.starts_with("invalid type: map") {
            Kind::Table
        } else {
            Kind::Any
        };
        Self { span, kind }
    }

    fn is(&self, key: Option<&Range<usize>>, value: &Spanned<DeValue<'_>>) -> bool {
        match self.kind {
            Kind::Key => key == Some(&self.span),
            Kind::List => value.span() == self.span && value.get_ref().is_array(),
            Kind::Table => value.span() == self.span && value.get_ref().is_table(),
            Kind::Any => value.span() == self.span,
        }
    }
}

struct Cut {
    table: Range<usize>,
    key: String,
    text: Option<String>,
}

/// Cuts out what is wanted. `path` is then that of the table it was in.
fn cut_from_table(
    table: &mut DeTable<'_>,
    span: &Range<usize>,
    wanted: &Wanted,
    path: &mut Vec<String>,
) -> Option<Cut> {
    for (key, value) in table.iter_mut() {
        path.push(key.get_ref().to_string());
        match cut_from_value(value, wanted, path) {
            Some(Found::InTable(cut)) => return Some(cut),
            Some(Found::InList(text)) => {
                let key = path.pop().unwrap_or_default();
                return Some(Cut {
                    table: span.clone(),
                    key,
                    text,
                });
            }
            None => drop(path.pop()),
        }
    }
    let (key, value) = table.iter().find(|(key, value)| wanted.is(Some(&key.span()), value))?;
    let key = key.get_ref().to_string();
    let text = value.get_ref().as_str().map(str::to_owned);
    table.remove(key.as_str());
    Some(Cut {
        table: span.clone(),
        key,
        text,
    })
}

enum Found {
    InTable(Cut),
    InList(Option<String>),
}

fn cut_from_value(value: &mut Spanned<DeValue<'_>>, wanted: &Wanted, path: &mut Vec<String>) -> Option<Found> {
    let span = value.span();
    match value.get_mut() {
        DeValue::Table(table) => cut_from_table(table, &span, wanted, path).map(Found::InTable),
        DeValue::Array(list) => {
            for element in list.iter_mut() {
                let found = cut_from_value(element, wanted, path);
                if found.is_some() {
                    return found;
                }
            }
            let at = list.iter().position(|element| wanted.is(None, element))?;
            let text = list
                .get(at)
                .and_then(|element| element.get_ref().as_str())
                .map(str::to_owned);
            let rest = std::mem::replace(list, DeArray::new()).into_iter().enumerate();
            *list = rest
                .filter(|(index, _)| *index != at)
                .map(|(_, element)| element)
                .collect();
            Some(Found::InList(text))
        }
        _ => None,
    }
}

/// `` `[server.limits]` ``, as a table is written.
fn table_name(path: &[String]) -> String {
    match path {
        [] => "the top level of the file".to_owned(),
        [table, rest @ ..] if table == "route" => {
            let rest: String = rest.iter().map(|key| format!(".{key}")).collect();
            if rest.is_empty() {
                "`[[route]]`".to_owned()
            } else {
                format!("`{}` of a route", rest.trim_start_matches('.'))
            }
        }
        _ => format!("`[{}]`", path.join(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::File;
    use super::*;

    fn problems(text: &str) -> Vec<(String, String)> {
        let (table, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{errors:?}");
        let (file, peeled) = peel::<File>(table.into_inner(), Vec::new(), &|_| false);
        assert!(file.is_some());
        peeled
            .into_iter()
            .map(|one| (text[one.span].to_owned(), one.explained.unwrap().label))
            .collect()
    }

    #[test]
    fn every_problem_of_a_file_is_found() {
        let found = problems(
            "[server]\nlisen = 5\nthreads = \"x\"\nlisten = [\"127.0.0.1:1\", 5]\n\
             [[log]]\n[[log]]\n[upstream.a]\ntargets = [{ uri = \"\" }]\n\
             balance = \"x\"\n[[route]]\nmatch = 5\n",
        );
        let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(
            places,
            ["lisen", "\"x\"", "5", "[[log]]", "uri", "\"x\"", "5"],
            "{found:?}"
        );
    }
}
