//! For a request that no route takes: the routes that it may have been meant for, and what keeps each from it.

use serde::Serialize;

use crate::config::resolved::Route;
use crate::router::{Found, Lookup, Pattern, Router};

/// How many are named.
const SHOWN: usize = 3;

/// How alike a path must be to be worth a line, from 0 to 1.
const ALIKE: f64 = 0.4;

/// A route that does not take the request.
#[derive(Debug, Serialize)]
pub(super) struct Nearest {
    pub(super) route: String,
    #[serde(rename = "match")]
    pub(super) pattern: String,
    /// What keeps it from this request.
    pub(super) why: String,
}

/// The nearest routes, the most likely one first.
pub(super) fn nearest(routes: &[Route], listener: &str, lookup: &Lookup<'_>) -> Vec<Nearest> {
    let mut near: Vec<(f64, Nearest)> = Vec::new();
    for route in routes {
        for pattern in &route.matches {
            let text = pattern.to_string();
            let shape = Shape::of(&text);
            let alike = likeness(lookup.path, shape.path);
            if alike >= ALIKE {
                let why = match route.is_served_on(listener) {
                    true => why(&shape, lookup),
                    false => format!("only on the listener `{}`", route.listeners.join("`, `")),
                };
                near.push((
                    alike,
                    Nearest {
                        route: route.name.to_string(),
                        pattern: text.clone(),
                        why,
                    },
                ));
            }
        }
    }
    near.sort_by(|(one, _), (two, _)| two.total_cmp(one));
    near.into_iter().take(SHOWN).map(|(_, nearest)| nearest).collect()
}

/// A pattern's canonical text in its parts: `GET example.com/users/{id} (x-tenant: a)`.
struct Shape<'p> {
    methods: &'p str,
    host: &'p str,
    path: &'p str,
    fields: &'p str,
}

impl<'p> Shape<'p> {
    fn of(text: &'p str) -> Shape<'p> {
        let (text, fields) = text.split_once(" (").unwrap_or((text, ""));
        let (methods, target) = text.split_once(' ').unwrap_or(("", text));
        let (host, path) = target.split_at(target.find('/').unwrap_or(target.len()));
        Shape {
            methods,
            host,
            path,
            fields: fields.strip_suffix(')').unwrap_or(fields),
        }
    }
}

/// The mean likeness of the segments. A parameter is like anything, but less than the same word.
fn likeness(path: &str, pattern: &str) -> f64 {
    let asked: Vec<&str> = path.split('/').skip(1).collect();
    let written: Vec<&str> = pattern.split('/').skip(1).collect();
    let pairs = asked.iter().zip(&written).map(|(asked, written)| match *written {
        written if written == *asked => 1.0,
        written if written.ends_with("...}") => 0.6,
        written if written.starts_with('{') => 0.8,
        written => strsim::normalized_damerau_levenshtein(asked, written),
    });
    pairs.sum::<f64>() / asked.len().max(written.len()) as f64
}

fn why(shape: &Shape<'_>, lookup: &Lookup<'_>) -> String {
    if !takes(shape.path, lookup) {
        return match lookup.path.strip_suffix('/') {
            Some(shorter)
                if takes(
                    shape.path,
                    &Lookup {
                        path: shorter,
                        ..*lookup
                    },
                ) =>
            {
                "it would match without the slash at the end".to_owned()
            }
            None if takes(
                shape.path,
                &Lookup {
                    path: &format!("{}/", lookup.path),
                    ..*lookup
                },
            ) =>
            {
                "it would match with a slash at the end".to_owned()
            }
            _ => "another path".to_owned(),
        };
    }
    if !takes(&format!("{}{}", shape.host, shape.path), lookup) {
        return format!("only for the host `{}`", shape.host);
    }
    if !takes(&format!("{} {}{}", shape.methods, shape.host, shape.path), lookup) {
        return format!("only for {}", shape.methods);
    }
    format!("only with {}", shape.fields)
}

/// Whether a pattern, in its short form, takes the request.
fn takes(pattern: &str, lookup: &Lookup<'_>) -> bool {
    let Ok(pattern) = Pattern::parse(pattern) else {
        return false;
    };
    let router = Router::build([(0, &pattern)].into_iter());
    router.is_ok_and(|router| matches!(router.find(lookup), Found::Route { .. }))
}
