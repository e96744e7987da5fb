//! From a request to its route: method, host, path, headers and query in, the number of a route out. Pure, no I/O, and
//! nothing of the rest of the gateway.
//!
//! ```
//! use http::{HeaderMap, Method};
//! use portcullis::router::{Found, Lookup, Pattern, Router};
//!
//! let user = Pattern::parse("GET example.com/users/{id}")?;
//! let files = Pattern::parse("/files/{rest...}")?;
//! let router = Router::build([(0, &user), (1, &files)].into_iter()).expect("no two of them tie");
//!
//! let lookup = Lookup {
//!     method: &Method::GET,
//!     host: "example.com",
//!     path: "/users/42",
//!     query: None,
//!     headers: &HeaderMap::new(),
//! };
//! let Found::Route { route, params } = router.find(&lookup) else { panic!("a route matches") };
//! assert_eq!((route, params.get("id", lookup.path)), (0, Some("42")));
//! # Ok::<(), portcullis::router::PatternError>(())
//! ```
//!
//! # How a route is found
//! Each host has a tree with one level for each segment of the path:
//!
//! ```text
//!  example.com ─┐           ┌─ "users" ─┬─ "me"   ── GET
//! *.example.com ├─ tree ────┤           └─ {id}   ── GET · POST · (any method)
//!  (any host) ──┘           ├─ "files" ── {rest...} ── GET with x-tenant · GET
//!                           └─ v{n}    ── ...
//! ```
//!
//! A node asks its children in order of precedence, and comes back to try the next where one leads nowhere; no node is
//! visited twice. What hangs at the end of a path is told apart by method, then by headers and query. So a lookup costs
//! one hash for each segment, however many routes there are.
//!
//! # Which route wins
//! The most specific one. These rules are applied in order; the first that tells two matching patterns apart decides:
//! 1. **Host**: an exact host, then a wildcard host (the longest first), then no host. A host's own routes come first
//!    whatever their paths, so that what `admin.example.com/{rest...}` guards cannot be uncovered by a `/health`
//!    for every host. A request that none of a host's routes match falls through to the next host in this order.
//! 2. **Path**, segment by segment from the left: a literal, then a parameter with text around it (the longer text before
//!    it, then the longer text after it), then `{name}`, then `{rest...}`.
//! 3. **Method**: a pattern that names methods, then one that names none. For `HEAD`, a pattern that names `HEAD` comes
//!    before one that names `GET`, which answers `HEAD` too (RFC 9110, section 9.3.2).
//! 4. **Headers**: more of them before fewer.
//! 5. **Query**: more of them before fewer.
//!
//! Two patterns that no rule tells apart, and that one request could match, are a [`Conflict`], found by
//! [`Router::build`]. A path that is matched with other methods only is [`Found::MethodNotAllowed`].
//!
//! Paths are matched in their normal form: see [`normalise`].

mod find;
mod params;
mod path;
mod pattern;
mod template;
mod value_match;

mod hosts;
mod tree;

mod candidate;
mod conflict;
mod host_pattern;
mod query;
mod segment;

#[cfg(test)]
mod oracle;

pub use conflict::Conflict;
pub use find::{Found, Lookup, Router};
pub use params::Params;
pub use path::{PathError, PathRules, normalise};
pub use pattern::{Part, Pattern, PatternError, PatternParts};
pub(crate) use query::first_value as query_value;
pub use template::{Template, TemplateError};
pub use value_match::ValueMatch;
