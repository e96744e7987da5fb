//! The request that is asked about.

use std::borrow::Cow;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::router::{Lookup, PathError, PathRules, normalise};
use crate::server::host::host_name;

/// A path, or a whole URL, in its parts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    /// Whether it asks for TLS; none for a path alone.
    pub(super) secure: Option<bool>,
    /// As given, with its port; none for a path alone.
    authority: Option<HeaderValue>,
    /// As given, not normalised.
    path: String,
    query: Option<String>,
}

/// A request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// In lower case, without a port.
    pub(super) host: String,
    /// As given; none where the host is not known.
    pub(super) authority: Option<HeaderValue>,
    pub(super) query: Option<String>,
    path: String,
    headers: HeaderMap,
}

/// Reads a method; `get` is taken for `GET`.
pub(super) fn method(text: &str) -> Result<Method, String> {
    Method::from_bytes(text.to_ascii_uppercase().as_bytes())
        .map_err(|_| "not a method: write for example GET".to_owned())
}

/// Reads `name: value`.
pub(super) fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write for example 'x-tenant: acme'")?;
    let name =
        HeaderName::try_from(name.trim()).map_err(|_| format!("`{}` is not the name of a field", name.trim()))?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| "the value holds a control character")?;
    Ok((name, value))
}

impl Target {
    /// Reads `/users/7?page=2` or `https://example.com/users/7`. A fragment is left out, as it is never sent. The path may be
    /// malformed: that is for the gateway to judge.
    pub(super) fn parse(text: &str) -> Result<Target, String> {
        let text = text.split('#').next().unwrap_or_default();
        let (secure, authority, rest) = match text.split_once("://") {
            _ if text.starts_with('/') => (None, None, text),
            Some((scheme, after)) => {
                let secure = ["https", "wss"].iter().any(|one| one.eq_ignore_ascii_case(scheme));
                let (authority, rest) = after.split_at(after.find(['/', '?']).unwrap_or(after.len()));
                let host = authority.rsplit('@').next().unwrap_or_default();
                let host = HeaderValue::from_str(host).ok().filter(|host| !host.is_empty());
                (Some(secure), Some(host.ok_or("it names no host")?), rest)
            }
            None => {
                return Err("write a path such as /users/7 or a URL such as https://example.com/users/7".to_owned());
            }
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        Ok(Target {
            secure,
            authority,
            path: path.to_owned(),
            query,
        })
    }
}

impl Asked {
    /// The host is that of the URL, or else that of a `host` field.
    pub(super) fn new(method: Method, target: Target, fields: Vec<(HeaderName, HeaderValue)>) -> Asked {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        let authority = target.authority.or_else(|| headers.get(HOST).cloned());
        if let Some(authority) = &authority {
            headers.insert(HOST, authority.clone());
        }
        let host = authority
            .as_ref()
            .map(|host| host_name(host).into_owned())
            .unwrap_or_default();
        Asked {
            method,
            host,
            authority,
            query: target.query,
            path: target.path,
            headers,
        }
    }

    /// The path in its normal form.
    pub(super) fn normalised(&self, rules: &PathRules) -> Result<Cow<'_, str>, PathError> {
        normalise(&self.path, rules)
    }

    /// What the router is asked; `path` is in its normal form.
    pub(super) fn lookup<'a>(&'a self, path: &'a str) -> Lookup<'a> {
        Lookup {
            method: &self.method,
            host: &self.host,
            path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }

    /// Path and query as given.
    pub(super) fn requested(&self) -> String {
        self.with_query(if self.path.is_empty() { "/" } else { &self.path })
    }

    /// A path with the request's query.
    pub(super) fn with_query(&self, path: &str) -> String {
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_or_a_url() {
        let parts = |text: &str| {
            let target = Target::parse(text)?;
            let authority = target
                .authority
                .map(|host| host.to_str().unwrap_or_default().to_owned());
            Ok::<_, String>((
                authority.unwrap_or_default(),
                target.path,
                target.query.unwrap_or_default(),
            ))
        };
        for (text, authority, path, query) in [
            ("/a?b=c#d", "", "/a", "b=c"),
            ("//a", "", "//a", ""),
            ("http://a.b:80/c", "a.b:80", "/c", ""),
            ("https://u:p@a.b?x://y", "a.b", "", "x://y"),
            ("/go?to=http://a", "", "/go", "to=http://a"),
        ] {
            assert_eq!(
                parts(text),
                Ok((authority.to_owned(), path.to_owned(), query.to_owned())),
                "{text}"
            );
        }
        for text in ["", "users", "a.b/c", "http:///c"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_field_names_the_host_of_a_path() {
        let fields = vec![header("Host:  Shop.example:8080 ").unwrap()];
        let asked = Asked::new(Method::GET, Target::parse("/").unwrap(), fields);
        assert_eq!(asked.host, "shop.example");
    }

    #[test]
    fn a_malformed_header_is_refused() {
        assert!(header("x-tenant").is_err());
        assert!(header("x tenant: a").is_err());
    }
}
