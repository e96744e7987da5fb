//! Two patterns of which neither is more specific.

use std::fmt::Write as _;

use http::{HeaderName, Method};

use super::candidate::{Candidate, Fields};
use super::host_pattern::HostPattern;
use super::pattern::Pattern;
use super::segment::Segment;
use super::value_match::{ValueMatch, ValueTest};

/// Two routes that could both take the same request, with nothing to say which one should.
///
/// Their patterns have the same host and path (but for the names of parameters), share a method, and have as many headers
/// and query parameters to match, none of which rule each other out. Of one route's own patterns any may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The route whose pattern was given first.
    pub first: usize,
    /// The other one.
    pub second: usize,
    /// A request that both match, in words: `GET example.com/users/x with x-tenant: a`.
    pub example: String,
}

/// Conflicts among candidates for the same paths. Each candidate is reported at most once, with the first it ties with.
pub(super) fn among(candidates: &[Candidate], patterns: &[(usize, &Pattern)]) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    for (index, second) in candidates.iter().enumerate() {
        let earlier = candidates.iter().take(index);
        let tied = earlier.filter(|first| first.route != second.route).find_map(|first| {
            let method = tie(first, second)?;
            Some((first, method))
        });
        if let Some((first, method)) = tied
            && let Some((_, pattern)) = patterns.get(second.pattern)
        {
            let example = example(&method, pattern, first, second);
            conflicts.push(Conflict {
                first: first.route,
                second: second.route,
                example,
            });
        }
    }
    conflicts
}

/// A method that both take, where they tie.
fn tie(one: &Candidate, two: &Candidate) -> Option<Method> {
    if one.precedence() != two.precedence() {
        return None;
    }
    // Only named methods: where one names HEAD, it comes before another that has GET.
    let method = match &*one.methods {
        [] => Method::GET,
        methods => methods.iter().find(|method| two.methods.contains(method))?.clone(),
    };
    let disjoint = match (&one.fields, &two.fields) {
        (Some(one), Some(two)) => exclude(&one.headers, &two.headers) || exclude(&one.query, &two.query),
        _ => false,
    };
    (!disjoint).then_some(method)
}

fn exclude<N: PartialEq>(one: &[(N, ValueTest)], two: &[(N, ValueTest)]) -> bool {
    one.iter()
        .any(|(name, test)| two.iter().any(|(other, others)| name == other && test.excludes(others)))
}

fn example(method: &Method, pattern: &Pattern, one: &Candidate, two: &Candidate) -> String {
    let mut text = format!("{method} ");
    match &pattern.host {
        HostPattern::Any => {}
        HostPattern::Exact(host) => text.push_str(host),
        HostPattern::Wildcard(suffix) => text.extend(["x", suffix]),
    }
    for segment in &pattern.segments {
        text.push('/');
        match segment {
            Segment::Literal(literal) => text.push_str(literal),
            Segment::Parameter { before, after, .. } => text.extend([before, "x", after]),
            Segment::Rest(_) => text.push('x'),
        }
    }
    let fields: [Option<&Fields>; 2] = [one.fields.as_deref(), two.fields.as_deref()];
    let fields = || fields.into_iter().flatten();
    let query = samples(fields().flat_map(|fields| &fields.query), String::as_str);
    for (index, (name, value)) in query.iter().enumerate() {
        let _ = write!(text, "{}{name}={value}", if index == 0 { "?" } else { "&" });
    }
    let headers = samples(fields().flat_map(|fields| &fields.headers), HeaderName::as_str);
    for (index, (name, value)) in headers.iter().enumerate() {
        let _ = write!(text, "{} {name}: {value}", if index == 0 { " with" } else { "," });
    }
    text
}

/// For each name, a value that is likely to pass all its tests: that of the strictest one.
fn samples<'f, N: 'f>(
    fields: impl Iterator<Item = &'f (N, ValueTest)>,
    text: impl Fn(&'f N) -> &'f str,
) -> Vec<(&'f str, String)> {
    let strictness = |written: &ValueMatch| match written {
        ValueMatch::Exact(_) => (3, 0),
        ValueMatch::Regex(_) => (2, 0),
        ValueMatch::Prefix(prefix) => (1, prefix.len()),
        ValueMatch::Present => (0, 0),
    };
    let mut strictest: Vec<(&str, &ValueMatch)> = Vec::new();
    for (name, test) in fields {
        let name = text(name);
        match strictest.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) if strictness(known) < strictness(&test.written) => *known = &test.written,
            Some(_) => {}
            None => strictest.push((name, &test.written)),
        }
    }
    let sample = |written: &ValueMatch| match written {
        ValueMatch::Exact(value) | ValueMatch::Prefix(value) => value.clone(),
        ValueMatch::Regex(regex) => format!("/{regex}/"),
        ValueMatch::Present => "x".to_owned(),
    };
    strictest
        .into_iter()
        .map(|(name, written)| (name, sample(written)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{PatternParts, Router};

    fn field(name: &str, value: ValueMatch) -> (String, ValueMatch) {
        (name.to_owned(), value)
    }

    fn exact(name: &str, value: &str) -> (String, ValueMatch) {
        field(name, ValueMatch::Exact(value.to_owned()))
    }

    fn pattern(methods: &[&str], headers: &[(String, ValueMatch)], query: &[(String, ValueMatch)]) -> Pattern {
        Pattern::from_parts(PatternParts {
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            host: None,
            path: "/a/{x}".to_owned(),
            headers: headers.to_vec(),
            query: query.to_vec(),
        })
        .unwrap()
    }

    /// The examples of a conflict, which must not depend on the order.
    fn conflict(one: &Pattern, two: &Pattern) -> Option<String> {
        let build = |one, two| Router::build([(3, one), (5, two)].into_iter()).err();
        let forth = build(one, two);
        assert_eq!(forth.is_some(), build(two, one).is_some(), "{one} and {two}");
        let conflicts = forth?;
        assert_eq!((conflicts.len(), conflicts[0].first, conflicts[0].second), (1, 3, 5));
        Some(conflicts[0].example.clone())
    }

    fn parsed(one: &str, two: &str) -> Option<String> {
        conflict(&Pattern::parse(one).unwrap(), &Pattern::parse(two).unwrap())
    }

    #[test]
    fn the_same_path_and_a_shared_method_tie() {
        assert_eq!(parsed("/a/{x}/b{y}", "/a/{z}/b{y}").as_deref(), Some("GET /a/x/bx"));
        assert_eq!(
            parsed("PUT,GET *.a/{x...}", "PUT,POST *.a/{y...}").as_deref(),
            Some("PUT x.a/x")
        );
        assert_eq!(parsed("GET a.b/", "GET a.b/").as_deref(), Some("GET a.b/"));
    }

    #[test]
    fn anything_that_decides_prevents_it() {
        assert_eq!(parsed("GET /a", "PUT /a"), None);
        assert_eq!(parsed("GET /a", "HEAD /a"), None);
        assert_eq!(parsed("GET /a", "/a"), None);
        assert_eq!(parsed("/a", "a.b/a"), None);
        assert_eq!(parsed("*.b/a", "*.a.b/a"), None);
        assert_eq!(parsed("/a/{x}", "/a/{rest...}"), None);
        assert_eq!(parsed("/a/{x}", "/a/v{x}"), None);
        assert_eq!(parsed("/{x}.a", "/{x}.b"), None);
    }

    #[test]
    fn headers_and_queries_tie_unless_one_rules_the_other_out() {
        let a1 = pattern(&["GET"], &[exact("a", "1")], &[]);
        let a2 = pattern(&["GET"], &[exact("A", "2")], &[]);
        let b1 = pattern(&["GET"], &[exact("b", "1")], &[]);
        let any_a = pattern(&["GET"], &[field("a", ValueMatch::Present)], &[]);
        let two = pattern(&["GET"], &[exact("a", "1"), exact("b", "1")], &[]);
        assert_eq!(conflict(&a1, &a2), None);
        assert_eq!(conflict(&a1, &two), None);
        assert_eq!(conflict(&a1, &b1).as_deref(), Some("GET /a/x with a: 1, b: 1"));
        assert_eq!(conflict(&any_a, &a1).as_deref(), Some("GET /a/x with a: 1"));

        let v1 = pattern(&[], &[], &[exact("v", "1")]);
        let v2 = pattern(&[], &[], &[exact("v", "2")]);
        let w = pattern(&[], &[], &[field("w", ValueMatch::Present)]);
        assert_eq!(conflict(&v1, &v2), None);
        assert_eq!(conflict(&v1, &a1), None);
        assert_eq!(conflict(&v1, &w).as_deref(), Some("GET /a/x?v=1&w=x"));
    }

    #[test]
    fn a_route_does_not_conflict_with_itself() {
        let pattern = Pattern::parse("/a").unwrap();
        assert!(Router::build([(1, &pattern), (1, &pattern)].into_iter()).is_ok());
    }
}
