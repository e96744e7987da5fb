//! What tells apart the patterns of one host and path: method, headers, query.

use std::cmp::Reverse;

use http::{HeaderName, Method};

use super::find::Lookup;
use super::params;
use super::pattern::Pattern;
use super::query;
use super::value_match::ValueTest;

/// A pattern whose host and path are dealt with.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) route: usize,
    /// Which of the router's patterns it is, in the order they were given.
    pub(super) pattern: usize,
    pub(super) methods: Box<[Method]>,
    /// Of the parameters, from left to right.
    pub(super) names: Box<[&'static str]>,
    /// `None` for most, and one test less.
    pub(super) fields: Option<Box<Fields>>,
}

#[derive(Debug)]
pub(super) struct Fields {
    pub(super) headers: Vec<(HeaderName, ValueTest)>,
    pub(super) query: Vec<(String, ValueTest)>,
}

impl Candidate {
    pub(super) fn new(route: usize, index: usize, pattern: &Pattern) -> Self {
        let has_fields = !pattern.headers.is_empty() || !pattern.query.is_empty();
        Self {
            route,
            pattern: index,
            methods: pattern.methods.clone().into(),
            names: pattern.parameters().map(params::intern).collect(),
            fields: has_fields.then(|| {
                Box::new(Fields {
                    headers: pattern.headers.clone(),
                    query: pattern.query.clone(),
                })
            }),
        }
    }

    /// The smallest comes first: methods before none, more headers before fewer, more query parameters before fewer.
    pub(super) fn precedence(&self) -> (bool, Reverse<usize>, Reverse<usize>) {
        let (headers, query) = self
            .fields
            .as_ref()
            .map_or((0, 0), |f| (f.headers.len(), f.query.len()));
        (self.methods.is_empty(), Reverse(headers), Reverse(query))
    }

    /// `GET` answers `HEAD` too: RFC 9110, section 9.3.2.
    pub(super) fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.names_method(method)
            || (method == Method::HEAD && self.names_method(&Method::GET))
    }

    fn names_method(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }

    /// Whether headers and query are as they must be.
    pub(super) fn fields_match(&self, lookup: &Lookup<'_>) -> bool {
        let Some(fields) = &self.fields else { return true };
        fields.headers.iter().all(|(name, test)| {
            lookup
                .headers
                .get(name)
                .is_some_and(|value| test.accepts(value.as_bytes()))
        }) && fields.query.iter().all(|(name, test)| {
            let value = lookup.query.and_then(|query| query::first_value(query, name));
            value.is_some_and(|value| test.accepts(&value))
        })
    }
}

/// The first that matches, of candidates in order of precedence. Sets `other_method` where one is passed over for its
/// method alone, or perhaps for its headers and query as well.
pub(super) fn choose<'c>(
    candidates: &'c [Candidate],
    lookup: &Lookup<'_>,
    other_method: &mut bool,
) -> Option<&'c Candidate> {
    if *lookup.method == Method::HEAD {
        let mut named = candidates
            .iter()
            .filter(|candidate| candidate.names_method(&Method::HEAD));
        if let Some(chosen) = named.find(|candidate| candidate.fields_match(lookup)) {
            return Some(chosen);
        }
    }
    candidates.iter().find(|candidate| {
        let takes = candidate.takes(lookup.method);
        *other_method |= !takes;
        takes && candidate.fields_match(lookup)
    })
}
