//! What a reference is to.

use std::fmt;

use http::HeaderName;

use crate::backend::aggregate::json::{Path, Step, is_word, steps};
use crate::backend::aggregate::misread::Misread;
use crate::config::suggest::{any_of, did_you_mean};

/// What is known where a template is read: references to anything else are errors.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope<'a> {
    /// The names of the route's calls; a reference to one becomes its place in this list.
    pub(crate) calls: &'a [&'a str],
    /// Whether each call answers for many items, and so has no one status.
    pub(crate) many: &'a [bool],
    /// The parameters that every match of the route has.
    pub(crate) parameters: &'a [&'a str],
    /// Whether there is an item at hand.
    pub(crate) item: bool,
}

/// What a reference is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A parameter of the route's path.
    Path(String),
    /// A parameter of the client's query.
    Query(String),
    /// A field of the client's request.
    Header(HeaderName),
    /// The client's address.
    Client,
    /// A value in the element at hand.
    Item(Vec<Step>),
    /// A value in a call's body.
    Body(usize, Vec<Step>),
    /// A call's status.
    Status(usize),
    /// A field of a call's answer.
    Field(usize, HeaderName),
}

const KINDS: [&str; 6] = ["path", "query", "header", "client", "call", "item"];

impl Source {
    /// Reads the reference that begins at `at`; gives where it ends.
    pub(crate) fn parse(text: &str, at: usize, scope: &Scope<'_>) -> Result<(Self, usize), Misread> {
        let rest = text.get(at..).unwrap_or_default();
        let kind = rest.get(..rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        let kind = kind.unwrap_or_default();
        let from = at + kind.len();
        if !KINDS.contains(&kind) {
            let help =
                did_you_mean(kind, KINDS).unwrap_or_else(|| format!("a reference begins with {}", any_of(&KINDS)));
            return Err(Misread::new(at..from, format!("`{kind}` is nothing to refer to")).help(help));
        }
        let (steps, end) = if kind == "path" {
            parameter(text, from)?
        } else {
            steps(text, from)?
        };
        let place = at..end;
        if let Some(Step::Every) = steps.iter().find(|step| **step == Step::Every) {
            let help = "write `[0]` for one element, or use `foreach` for all".to_owned();
            return Err(Misread::new(place, "`[]` is not one value").help(help));
        }
        let expected = |example: &str| {
            let help = format!("write for example `{example}`");
            Misread::new(place.clone(), format!("`{}` is not complete", &text[place.clone()])).help(help)
        };
        let source = match (kind, steps.as_slice()) {
            ("path", [Step::Member(name)]) => {
                known("path parameter", name, from + 1..end, scope.parameters)?;
                Source::Path(name.clone())
            }
            ("query", [Step::Member(name)]) => Source::Query(name.clone()),
            ("query", _) => return Err(expected("query.limit")),
            ("header", [Step::Member(name)]) => Source::Header(field_name(name, from + 1..end)?),
            ("header", _) => return Err(expected("header.x-tenant")),
            ("client", [Step::Member(name)]) if name == "ip" => Source::Client,
            ("client", _) => return Err(expected("client.ip")),
            ("item", steps) if scope.item => Source::Item(steps.to_vec()),
            ("item", _) => {
                let help = "give the call a `foreach`".to_owned();
                return Err(Misread::new(place, "there is no item here").help(help));
            }
            ("call", [Step::Member(name), Step::Member(part), steps @ ..]) => {
                let call = call(name, from + 1..from + 1 + name.len(), scope)?;
                match (part.as_str(), steps) {
                    ("body", steps) => Source::Body(call, steps.to_vec()),
                    ("status" | "header", _) if scope.many.get(call) == Some(&true) => {
                        let help = format!("`call.{name}.body` is the array of all its answers");
                        return Err(Misread::new(place, format!("`{name}` has many answers")).help(help));
                    }
                    ("status", []) => Source::Status(call),
                    ("header", [Step::Member(field)]) => {
                        Source::Field(call, field_name(field, end - field.len().min(end)..end)?)
                    }
                    _ => return Err(expected(&format!("call.{name}.body.id"))),
                }
            }
            ("call", [Step::Member(name), ..]) => {
                call(name, from + 1..from + 1 + name.len(), scope)?;
                return Err(expected(&format!("call.{name}.body.id")));
            }
            ("call", _) => return Err(expected("call.NAME.body.id")),
            _ => return Err(expected("path.id")),
        };
        Ok((source, end))
    }

    /// The call it needs the answer of.
    pub(crate) fn call(&self) -> Option<usize> {
        match self {
            Source::Body(call, _) | Source::Status(call) | Source::Field(call, _) => Some(*call),
            _ => None,
        }
    }

    /// Whether its value is what the client has sent.
    pub(crate) fn is_clients(&self) -> bool {
        matches!(self, Source::Path(_) | Source::Query(_) | Source::Header(_))
    }
}

/// `.name` of a path parameter: dots after it may be those of `...`.
fn parameter(text: &str, at: usize) -> Result<(Vec<Step>, usize), Misread> {
    let rest = text.get(at..).unwrap_or_default();
    let Some(name) = rest.strip_prefix('.') else {
        return steps(text, at);
    };
    let name = name.get(..name.find(|c| !is_word(c)).unwrap_or(name.len()));
    let name = name.unwrap_or_default();
    Ok((vec![Step::Member(name.to_owned())], at + 1 + name.len()))
}

fn call(name: &str, place: std::ops::Range<usize>, scope: &Scope<'_>) -> Result<usize, Misread> {
    known("call", name, place, scope.calls)?;
    Ok(scope.calls.iter().position(|known| *known == name).unwrap_or_default())
}

fn known(what: &str, name: &str, place: std::ops::Range<usize>, all: &[&str]) -> Result<(), Misread> {
    if all.contains(&name) {
        return Ok(());
    }
    let help = did_you_mean(name, all.iter().copied()).unwrap_or_else(|| match all {
        [] => format!("there is no {what}"),
        all => format!("known is {}", any_of(all)),
    });
    Err(Misread::new(place, format!("unknown {what} `{name}`")).help(help))
}

fn field_name(name: &str, place: std::ops::Range<usize>) -> Result<HeaderName, Misread> {
    HeaderName::try_from(name).map_err(|_| Misread::new(place, format!("`{name}` is not the name of a field")))
}

/// With the number of a call in place of its name, for logs.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |f: &mut fmt::Formatter<'_>, steps: &[Step]| {
            let path = Path::from(steps.to_vec()).to_string();
            let dot = if path.is_empty() || path.starts_with('[') {
                ""
            } else {
                "."
            };
            write!(f, "{dot}{path}")
        };
        match self {
            Source::Path(name) => write!(f, "path.{name}"),
            Source::Query(name) => write!(f, "query.{name}"),
            Source::Header(name) => write!(f, "header.{name}"),
            Source::Client => f.write_str("client.ip"),
            Source::Item(steps) => {
                f.write_str("item")?;
                path(f, steps)
            }
            Source::Body(call, steps) => {
                write!(f, "call[{call}].body")?;
                path(f, steps)
            }
            Source::Status(call) => write!(f, "call[{call}].status"),
            Source::Field(call, name) => write!(f, "call[{call}].header.{name}"),
        }
    }
}
