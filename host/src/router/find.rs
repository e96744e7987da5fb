//! The router itself.

use std::collections::BTreeSet;

use http::{HeaderMap, Method};

use super::candidate::{self, Candidate};
use super::conflict::{self, Conflict};
use super::hosts::Hosts;
use super::params::Params;
use super::pattern::Pattern;

/// Finds the route of a request. Built once for a configuration; see the [module](super) for how, and for which route wins.
#[derive(Debug)]
pub struct Router {
    hosts: Hosts,
}

/// What of a request decides about its route.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its host, in lower case and without a port; empty where it has none. An IPv6 address stands in brackets.
    pub host: &'a str,
    /// Its path, in the form that [`normalise`](super::normalise) gives it.
    pub path: &'a str,
    /// Its query, as sent, without the `?`.
    pub query: Option<&'a str>,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// What a lookup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A route.
    Route {
        /// Its number, as given to [`Router::build`].
        route: usize,
        /// What its parameters matched.
        params: Params,
    },
    /// Some routes match all but the method (405).
    MethodNotAllowed {
        /// Their methods, for the `Allow` field: `GET, HEAD, POST`.
        allow: String,
    },
    /// No route matches (404).
    NotFound,
}

impl Router {
    /// Builds the router. A route may have several patterns: its number is then given with each of them.
    ///
    /// # Errors
    /// All pairs of routes that could tie, each pattern at most once, in the order of the patterns.
    pub fn build<'p>(routes: impl Iterator<Item = (usize, &'p Pattern)>) -> Result<Self, Vec<Conflict>> {
        let patterns: Vec<(usize, &Pattern)> = routes.collect();
        let mut hosts = Hosts::default();
        for (index, (route, pattern)) in patterns.iter().enumerate() {
            let candidates = hosts.tree_mut(&pattern.host).candidates_mut(&pattern.segments);
            candidates.push(Candidate::new(*route, index, pattern));
        }
        let mut conflicts = Vec::new();
        for tree in hosts.trees_mut() {
            tree.for_each_list(&mut |candidates| {
                conflicts.extend(conflict::among(candidates, &patterns));
                candidates.sort_by_key(Candidate::precedence);
            });
        }
        if conflicts.is_empty() {
            return Ok(Self { hosts });
        }
        conflicts.sort_by_key(|conflict| (conflict.second, conflict.first));
        Err(conflicts)
    }

    /// Finds the route of a request. Takes no memory but for `Allow`, for more than four parameters, and for encoded text
    /// in a query that a pattern asks about.
    pub fn find(&self, lookup: &Lookup<'_>) -> Found {
        if !lookup.path.starts_with('/') || u32::try_from(lookup.path.len()).is_err() {
            return Found::NotFound;
        }
        let mut other_method = false;
        for tree in self.hosts.matching(lookup.host) {
            let found = tree.walk(lookup.path, |candidates, captures| {
                let chosen = candidate::choose(candidates, lookup, &mut other_method)?;
                Some(Found::Route {
                    route: chosen.route,
                    params: Params::new(&chosen.names, captures),
                })
            });
            if let Some(found) = found {
                return found;
            }
        }
        if other_method {
            self.allowed(lookup)
        } else {
            Found::NotFound
        }
    }

    /// The methods of all patterns that match but for the method. A second walk, so that the first need not keep them.
    #[cold]
    fn allowed(&self, lookup: &Lookup<'_>) -> Found {
        let mut methods = BTreeSet::new();
        for tree in self.hosts.matching(lookup.host) {
            let _: Option<()> = tree.walk(lookup.path, |candidates, _| {
                let matching = candidates.iter().filter(|candidate| candidate.fields_match(lookup));
                for method in matching.flat_map(|candidate| &candidate.methods) {
                    methods.insert(method.as_str().to_owned());
                    if method == Method::GET {
                        methods.insert(Method::HEAD.as_str().to_owned());
                    }
                }
                None
            });
        }
        if methods.is_empty() {
            return Found::NotFound;
        }
        Found::MethodNotAllowed {
            allow: methods.into_iter().collect::<Vec<_>>().join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{PatternParts, ValueMatch};

    fn router(patterns: &[&str]) -> Router {
        let patterns: Vec<Pattern> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        Router::build(patterns.iter().enumerate()).unwrap()
    }

    /// `"GET a.b/c?d"`, `"GET /c"`
    fn lookup(router: &Router, request: &str, headers: &HeaderMap) -> (Found, String) {
        let (method, target) = request.split_once(' ').unwrap();
        let (host, path) = target.split_at(target.find('/').unwrap());
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        (
            router.find(&Lookup {
                method: &method,
                host,
                path,
                query,
                headers,
            }),
            path.to_owned(),
        )
    }

    /// `"0 id=42"`, `"405 GET, HEAD"`, `"404"`
    fn found(router: &Router, request: &str) -> String {
        let (found, path) = lookup(router, request, &HeaderMap::new());
        match found {
            Found::Route { route, params } => params.iter(&path).fold(route.to_string(), |text, (name, value)| {
                format!("{text} {name}={value}")
            }),
            Found::MethodNotAllowed { allow } => format!("405 {allow}"),
            Found::NotFound => "404".to_owned(),
        }
    }

    #[test]
    fn a_literal_comes_before_a_parameter_before_a_rest() {
        let router = router(&[
            "/{rest...}",
            "/a/{x}",
            "/a/b",
            "/a/v{n}",
            "/a/v1{n}",
            "/a/{n}.js",
            "/a/v{n}.js",
        ]);
        for (request, expected) in [
            ("GET /a/b", "2"),
            ("GET /a/c", "1 x=c"),
            ("GET /a/v2", "3 n=2"),
            ("GET /a/v12", "4 n=2"),
            ("GET /a/v12.js", "4 n=2.js"),
            ("GET /a/v2.js", "6 n=2"),
            ("GET /a/w.js", "5 n=w"),
            ("GET /a/v", "1 x=v"),
            ("GET /a/b/c", "0 rest=a/b/c"),
            ("GET /a/", "0 rest=a/"),
            ("GET /", "0 rest="),
        ] {
            assert_eq!(found(&router, request), expected, "{request}");
        }
    }

    #[test]
    fn the_walk_comes_back_from_where_nothing_matches() {
        let router = router(&["/a/{x}/c", "/a/b/d", "/{y}/{z...}", "/{p}/{q}/{r}/{s}/{t}/e"]);
        for (request, expected) in [
            ("GET /a/b/c", "0 x=b"),
            ("GET /a/b/d", "1"),
            ("GET /a/b/e", "2 y=a z=b/e"),
            ("GET /a/b/c/d/f/e", "3 p=a q=b r=c s=d t=f"),
        ] {
            assert_eq!(found(&router, request), expected, "{request}");
        }
    }

    #[test]
    fn a_rest_matches_no_segment_too() {
        let router = router(&["/files/{rest...}", "/exact", "/exact/{rest...}"]);
        for (request, expected) in [
            ("GET /files", "0 rest="),
            ("GET /files/", "0 rest="),
            ("GET /files/a//b/", "0 rest=a//b/"),
            ("GET /filesystem", "404"),
            ("GET /exact", "1"),
            ("GET /exact/", "2 rest="),
        ] {
            assert_eq!(found(&router, request), expected, "{request}");
        }
    }

    #[test]
    fn a_slash_at_the_end_counts_and_a_parameter_is_not_empty() {
        let router = router(&["/a", "/b/", "/c/{x}", "/c/{x}/"]);
        for (request, expected) in [
            ("GET /a", "0"),
            ("GET /a/", "404"),
            ("GET /b", "404"),
            ("GET /b/", "1"),
            ("GET /c/", "404"),
            ("GET /c/1", "2 x=1"),
            ("GET /c/1/", "3 x=1"),
            ("GET /c//", "404"),
        ] {
            assert_eq!(found(&router, request), expected, "{request}");
        }
    }

    #[test]
    fn an_exact_host_comes_before_a_wildcard_before_none() {
        let router = router(&["/{r...}", "*.b/{r...}", "*.a.b/{r...}", "x.a.b/{r...}", "/only"]);
        for (request, expected) in [
            ("GET x.a.b/", "3 r="),
            ("GET y.a.b/", "2 r="),
            ("GET z.y.a.b/", "2 r="),
            ("GET a.b/", "1 r="),
            ("GET b/", "0 r="),
            ("GET .b/", "0 r="),
            ("GET /", "0 r="),
            ("GET x.a.b/only", "3 r=only"),
        ] {
            assert_eq!(found(&router, request), expected, "{request}");
        }
    }

    #[test]
    fn a_host_that_does_not_match_falls_through() {
        let router = router(&["a.b/x", "*.b/y", "PUT a.b/z", "/{any}"]);
        for (request, expected) in [
            ("GET a.b/x", "0"),
            ("GET a.b/y", "1"),
            ("PUT a.b/z", "2"),
            ("GET a.b/z", "3 any=z"),
            ("GET c/x", "3 any=x"),
        ] {
            assert_eq!(found(&router, request), expected, "{request}");
        }
    }

    #[test]
    fn named_methods_come_before_any_and_get_answers_head() {
        let router = router(&[
            "/a",
            "GET /a",
            "HEAD /b",
            "GET /b",
            "GET /c/d",
            "HEAD /c/{x}",
            "POST /e",
            "/e",
        ]);
        for (request, expected) in [
            ("GET /a", "1"),
            ("HEAD /a", "1"),
            ("PUT /a", "0"),
            ("HEAD /b", "2"),
            ("GET /b", "3"),
            ("HEAD /c/d", "4"),
            ("HEAD /c/e", "5 x=e"),
            ("POST /e", "6"),
            ("HEAD /e", "7"),
        ] {
            assert_eq!(found(&router, request), expected, "{request}");
        }
    }

    #[test]
    fn another_method_is_told_what_is_allowed_wherever_it_is() {
        let router = router(&[
            "GET /a/b",
            "POST /a/{x}",
            "PATCH h/a/{rest...}",
            "PURGE other/a/b",
            "GET,HEAD /b",
        ]);
        for (request, expected) in [
            ("DELETE /a/b", "405 GET, HEAD, POST"),
            ("DELETE h/a/b", "405 GET, HEAD, PATCH, POST"),
            ("OPTIONS /a/c", "405 POST"),
            ("PUT /b", "405 GET, HEAD"),
            ("DELETE /c", "404"),
        ] {
            assert_eq!(found(&router, request), expected, "{request}");
        }
    }

    #[test]
    fn headers_and_query_decide_and_fall_through() {
        let field = |name: &str, value| vec![(name.to_owned(), value)];
        let exact = |value: &str| ValueMatch::Exact(value.to_owned());
        let parts = PatternParts {
            path: "/a".to_owned(),
            ..PatternParts::default()
        };
        let patterns = [
            PatternParts { ..parts.clone() },
            PatternParts {
                headers: field("X-Tenant", exact("a")),
                ..parts.clone()
            },
            PatternParts {
                headers: field("x-tenant", exact("b")),
                host: Some("h".to_owned()),
                ..parts.clone()
            },
            PatternParts {
                query: field("v", ValueMatch::Prefix("2".to_owned())),
                ..parts.clone()
            },
            PatternParts {
                headers: field("x-tenant", exact("c")),
                methods: vec!["PUT".to_owned()],
                path: "/b".to_owned(),
                ..parts.clone()
            },
        ];
        let patterns: Vec<Pattern> = patterns
            .into_iter()
            .map(|parts| Pattern::from_parts(parts).unwrap())
            .collect();
        let router = Router::build(patterns.iter().enumerate()).unwrap();
        let route = |request: &str, tenants: &[&str]| {
            let headers = tenants.iter().map(|tenant| {
                (
                    http::header::HeaderName::from_static("x-tenant"),
                    tenant.parse().unwrap(),
                )
            });
            match lookup(&router, request, &headers.collect()).0 {
                Found::Route { route, .. } => Ok(route),
                other => Err(other),
            }
        };
        assert_eq!(route("GET /a", &[]), Ok(0));
        assert_eq!(route("GET /a", &["a"]), Ok(1));
        assert_eq!(route("GET /a", &["b", "a"]), Ok(0), "the first value counts");
        assert_eq!(route("GET h/a", &["b"]), Ok(2));
        assert_eq!(route("GET h/a", &["a"]), Ok(1));
        assert_eq!(route("GET h/a?x&v=2%30", &[]), Ok(3));
        assert_eq!(route("GET /a?v=2", &["a"]), Ok(1), "headers come before the query");
        assert_eq!(
            route("GET /b", &["c"]),
            Err(Found::MethodNotAllowed {
                allow: "PUT".to_owned()
            })
        );
        assert_eq!(route("GET /b", &["d"]), Err(Found::NotFound));
    }

    #[test]
    fn what_is_no_path_matches_nothing() {
        let router = router(&["/{rest...}"]);
        let (method, headers) = (Method::OPTIONS, HeaderMap::new());
        for path in ["*", ""] {
            let lookup = Lookup {
                method: &method,
                host: "",
                path,
                query: None,
                headers: &headers,
            };
            assert_eq!(router.find(&lookup), Found::NotFound);
        }
    }
}
