//! The router against a slow and simple one that asks every pattern.

use std::cmp::Reverse;

use http::{HeaderMap, HeaderName, Method};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{Found, Lookup, Pattern, PatternParts, Router, ValueMatch};

/// A pattern in pieces that a test can reason about, independently of how patterns are parsed.
#[derive(Debug, Clone)]
struct Rule {
    methods: Vec<&'static str>,
    host: Option<&'static str>,
    segments: Vec<&'static str>,
    headers: Vec<(&'static str, ValueMatch)>,
    query: Vec<(&'static str, ValueMatch)>,
}

#[derive(Debug, Clone)]
struct Request {
    method: &'static str,
    host: &'static str,
    segments: Vec<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    query: Vec<(&'static str, &'static str)>,
}

/// How specific the host is, and each segment: the kind, the text before, the text after.
type Place = (usize, Vec<(u8, usize, usize)>);

const PIECES: [&str; 8] = ["", "a", "b", "ab", "{}", "a{}", "{}b", "a{}b"];
const HOSTS: [&str; 4] = ["h.t", "t", "*.t", "*.h.t"];

fn any_rule() -> impl Strategy<Value = Rule> {
    let value = || {
        prop_oneof![
            select(vec!["1", "2", "12"]).prop_map(|value| ValueMatch::Exact(value.to_owned())),
            Just(ValueMatch::Prefix("1".to_owned())),
            Just(ValueMatch::Regex("1?2".to_owned())),
            Just(ValueMatch::Present),
        ]
    };
    let fields = move || {
        (subsequence(vec!["x", "y"], 0..=2), value(), value())
            .prop_map(|(names, one, two)| names.into_iter().zip([one, two]).collect::<Vec<_>>())
    };
    let segments = (vec(select(PIECES.to_vec()), 0..3), any::<bool>()).prop_map(|(mut segments, rest)| {
        if rest || segments.is_empty() {
            segments.push("{...}");
        }
        segments
    });
    let none_or_some = || prop_oneof![2 => Just(vec![]).boxed(), 1 => fields().boxed()];
    (
        subsequence(vec!["GET", "HEAD", "POST"], 0..=2),
        option::of(select(HOSTS.to_vec())),
        segments,
        none_or_some(),
        none_or_some(),
    )
        .prop_map(|(methods, host, segments, headers, query)| Rule {
            methods,
            host,
            segments,
            headers,
            query,
        })
}

fn any_request() -> impl Strategy<Value = Request> {
    let values = || vec((select(vec!["x", "y"]), select(vec!["1", "2", "12", "3"])), 0..3);
    (
        select(vec!["GET", "HEAD", "POST", "PUT"]),
        select(vec!["h.t", "t", "i.t", "i.h.t", "u", ""]),
        vec(select(vec!["", "a", "b", "ab", "aab", "c"]), 1..4),
        values(),
        values(),
    )
        .prop_map(|(method, host, segments, headers, query)| Request {
            method,
            host,
            segments,
            headers,
            query,
        })
}

impl Rule {
    fn pattern(&self) -> Pattern {
        let names = ["p", "q", "r"];
        let path = self
            .segments
            .iter()
            .zip(names)
            .map(|(piece, name)| format!("/{}", piece.replacen('{', &format!("{{{name}"), 1)));
        let fields = |fields: &[(&str, ValueMatch)]| {
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect::<Vec<_>>()
        };
        Pattern::from_parts(PatternParts {
            methods: self.methods.iter().map(|&method| method.to_owned()).collect(),
            host: self.host.map(str::to_owned),
            path: path.collect(),
            headers: fields(&self.headers),
            query: fields(&self.query),
        })
        .unwrap()
    }

    /// How specific the match is, greater for more specific, but for the method; `None` where there is no match.
    fn place(&self, request: &Request) -> Option<Place> {
        let host = match self.host {
            None => 0,
            Some(host) if host == request.host => 100,
            Some(host) => {
                let suffix = host.strip_prefix('*')?;
                request.host.strip_suffix(suffix).filter(|label| !label.is_empty())?;
                suffix.len()
            }
        };
        let mut kinds = Vec::new();
        let mut sent = request.segments.iter();
        for &piece in &self.segments {
            if piece == "{...}" {
                kinds.push((0, 0, 0));
                sent = [].iter();
                break;
            }
            let segment = *sent.next()?;
            match piece.split_once("{}") {
                None if piece == segment => kinds.push((3, 0, 0)),
                None => return None,
                Some((before, after)) => {
                    let middle = segment.strip_prefix(before)?.strip_suffix(after)?;
                    if middle.is_empty() {
                        return None;
                    }
                    let around = !before.is_empty() || !after.is_empty();
                    kinds.push((1 + u8::from(around), before.len(), after.len()));
                }
            }
        }
        kinds.push((4, 0, 0));
        let passes = |tests: &[(&str, ValueMatch)], values: &[(&str, &str)]| {
            tests.iter().all(|(name, test)| {
                let first = values.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
                first.is_some_and(|value| match test {
                    ValueMatch::Exact(exact) => value == exact,
                    ValueMatch::Prefix(prefix) => value.starts_with(prefix),
                    ValueMatch::Regex(_) => value == "2" || value == "12",
                    ValueMatch::Present => true,
                })
            })
        };
        let all =
            sent.next().is_none() && passes(&self.headers, &request.headers) && passes(&self.query, &request.query);
        all.then_some((host, kinds))
    }

    fn method_rank(&self, method: &str) -> Option<u8> {
        if self.methods.contains(&method) {
            Some(2)
        } else if method == "HEAD" && self.methods.contains(&"GET") {
            Some(1)
        } else {
            self.methods.is_empty().then_some(0)
        }
    }
}

/// The route by the book, or the methods that would have been allowed.
fn expected(rules: &[Rule], request: &Request) -> Result<usize, Vec<&'static str>> {
    let matching = || {
        rules
            .iter()
            .enumerate()
            .filter_map(|(index, rule)| Some((index, rule, rule.place(request)?)))
    };
    let mut scored: Vec<_> = matching()
        .filter_map(|(index, rule, place)| {
            let method = rule.method_rank(request.method)?;
            Some((Reverse((place, method, rule.headers.len(), rule.query.len())), index))
        })
        .collect();
    scored.sort();
    match scored.as_slice() {
        [(best, _), (second, _), ..] if best == second => panic!("a tie that is no conflict: {rules:?} {request:?}"),
        [(_, best), ..] => Ok(*best),
        [] => {
            let mut allow: Vec<&str> = matching()
                .flat_map(|(_, rule, _)| rule.methods.iter().copied())
                .collect();
            if allow.contains(&"GET") {
                allow.push("HEAD");
            }
            allow.sort_unstable();
            allow.dedup();
            Err(allow)
        }
    }
}

/// What the router says; what its parameters matched must make up the path again.
fn found(router: &Router, patterns: &[Pattern], request: &Request) -> Result<usize, Vec<&'static str>> {
    let path: String = request.segments.iter().map(|segment| format!("/{segment}")).collect();
    let query = request
        .query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("&");
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(HeaderName::from_static(name), value.parse().unwrap());
    }
    let method = Method::from_bytes(request.method.as_bytes()).unwrap();
    let lookup = Lookup {
        method: &method,
        host: request.host,
        path: &path,
        query: Some(&query),
        headers: &headers,
    };
    match router.find(&lookup) {
        Found::Route { route, params } => {
            let refilled = params
                .iter(&path)
                .fold(patterns[route].to_string(), |text, (name, value)| {
                    text.replace(&format!("{{{name}...}}"), value)
                        .replace(&format!("{{{name}}}"), value)
                });
            let refilled = refilled.split(" (").next().unwrap_or_default();
            let at = refilled.find('/').unwrap_or_default();
            assert!(
                [path.clone(), format!("{path}/")]
                    .iter()
                    .any(|path| path == &refilled[at..]),
                "{refilled} {path}"
            );
            Ok(route)
        }
        Found::MethodNotAllowed { allow } => Err(["GET", "HEAD", "POST"]
            .into_iter()
            .filter(|method| allow.split(", ").any(|own| own == *method))
            .collect()),
        Found::NotFound => Err(vec![]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_router_agrees_with_asking_every_pattern(
        rules in vec(any_rule(), 1..12),
        requests in vec(any_request(), 40),
    ) {
        // Without the later one of each pair that ties.
        let mut kept: Vec<(Rule, Pattern)> = Vec::new();
        for rule in rules {
            let pattern = rule.pattern();
            kept.push((rule, pattern));
            if Router::build(kept.iter().map(|(_, pattern)| pattern).enumerate()).is_err() {
                kept.pop();
            }
        }
        let (rules, patterns): (Vec<Rule>, Vec<Pattern>) = kept.into_iter().unzip();
        let router = Router::build(patterns.iter().enumerate()).unwrap();
        for request in &requests {
            prop_assert_eq!(found(&router, &patterns, request), expected(&rules, request), "{:?} {:?}", rules, request);
        }
    }

    #[test]
    fn conflicts_do_not_depend_on_the_order(one in any_rule(), two in any_rule()) {
        let (one, two) = (one.pattern(), two.pattern());
        let forth = Router::build([(1, &one), (2, &two)].into_iter());
        let back = Router::build([(2, &two), (1, &one)].into_iter());
        match (forth, back) {
            (Ok(_), Ok(_)) => {}
            (Err(forth), Err(back)) => {
                prop_assert_eq!((forth[0].first, forth[0].second), (1, 2));
                prop_assert_eq!((back[0].first, back[0].second), (2, 1));
            }
            _ => prop_assert!(false, "{} and {}", one, two),
        }
    }

    #[test]
    fn no_path_or_host_panics(rules in vec(any_rule(), 1..6), host in "\\PC*", path in "/\\PC*", query in "\\PC*") {
        let patterns: Vec<Pattern> = rules.iter().map(Rule::pattern).collect();
        if let Ok(router) = Router::build(patterns.iter().enumerate()) {
            let headers = HeaderMap::new();
            router.find(&Lookup { method: &Method::GET, host: &host, path: &path, query: Some(&query), headers: &headers });
        }
    }
}
