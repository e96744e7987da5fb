//! Bearer tokens: where a request carries one, and how it is refused (RFC 6750).
//!
//! ```
//! use portcullis_sdk::bearer::{self, Place};
//! use portcullis_sdk::{Failure, HeaderName, Outcome, Request};
//!
//! fn on_request(place: &Place, request: &mut Request) -> Result<Outcome, Failure> {
//!     match place.find(request) {
//!         Ok(Some(token)) if token.as_str() == "open sesame" => token.take_out(request)?,
//!         Ok(Some(_)) => return Ok(bearer::invalid_token("it is not known").into()),
//!         Ok(None) => return Ok(bearer::missing().into()),
//!         Err(ambiguous) => return Ok(ambiguous.into()),
//!     }
//!     Ok(Outcome::Continue)
//! }
//! # use portcullis_sdk::testing::Exchange;
//! # use portcullis_sdk::{EditError, Filter, NoSettings, SettingsError};
//! # struct Sesame(Place);
//! # impl Filter for Sesame {
//! #     type Settings = NoSettings;
//! #     fn new(_: NoSettings) -> Result<Self, SettingsError> { Err("a test makes it".into()) }
//! #     fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> { on_request(&self.0, request) }
//! # }
//! # let filter = Sesame(Place::new(HeaderName::new("authorization")?, None));
//! # let ran = Exchange::get("/").header("authorization", "Bearer open sesame").run(&filter);
//! # assert!(ran.replied().is_none() && ran.request().header("authorization").is_none());
//! # assert_eq!(Exchange::get("/").run(&filter).replied().unwrap().status(), 401);
//! # Ok::<(), EditError>(())
//! ```

use std::fmt;

use crate::{EditError, HeaderName, Reply, Request};

/// Where a request may carry its token: in a header field, and perhaps in a cookie.
///
/// ```
/// use portcullis_sdk::bearer::Place;
/// use portcullis_sdk::{EditError, HeaderName};
///
/// let place = Place::new(HeaderName::new("authorization")?, Some("session".into()));
/// # Ok::<(), EditError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    header: HeaderName,
    cookie: Option<String>,
}

impl Place {
    /// A field, and a cookie that may carry the token instead.
    ///
    /// In `authorization` the token follows the word `Bearer`; in any other field it may do without that word.
    pub fn new(header: HeaderName, cookie: Option<String>) -> Self {
        Place { header, cookie }
    }

    /// The request's one token, if it has one.
    ///
    /// # Errors
    /// The [reply](invalid_request) to a request with more than one token, or with one that is not text: this filter
    /// and the backend could pick different ones. One in the field and one in the cookie are two as well (RFC 6750
    /// section 2).
    pub fn find(&self, request: &Request) -> Result<Option<Token<'_>>, Reply> {
        let fields = request.header_values(&self.header);
        let mut found = Vec::new();
        for field in &fields {
            let value = field.as_bytes();
            match field.credentials("Bearer") {
                Some(token) => found.push((token.to_vec(), Part::Header(&self.header))),
                // Another scheme, such as `Basic`, is no token.
                None if self.header == "authorization" || value.contains(&b' ') || value.is_empty() => {}
                None => found.push((value.to_vec(), Part::Header(&self.header))),
            }
        }
        // The backend may read another value of the field than the one with the token.
        if !found.is_empty() && fields.len() > 1 {
            return Err(invalid_request());
        }
        if let Some(cookie) = &self.cookie {
            let values = request.cookie_values(cookie).into_iter();
            let tokens = values.filter(|value| !value.is_empty());
            found.extend(tokens.map(|token| (token, Part::Cookie(cookie))));
        }
        match (found.pop(), found.pop()) {
            (None, _) => Ok(None),
            (Some((token, part)), None) => {
                let text = String::from_utf8(token).map_err(|_| invalid_request())?;
                Ok(Some(Token { text, part }))
            }
            (Some(_), Some(_)) => Err(invalid_request()),
        }
    }
}

/// A request's token, and where it was found. `Debug` shows `…`.
///
/// ```
/// use portcullis_sdk::bearer::Token;
/// use portcullis_sdk::{EditError, Request};
///
/// fn hand_on(token: &Token, request: &mut Request) -> Result<(), EditError> {
///     token.take_out(request)?;
///     request.set_header("x-session", token.as_str())
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token<'place> {
    text: String,
    part: Part<'place>,
}

/// The part of a request that carries a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part<'place> {
    Header(&'place HeaderName),
    Cookie(&'place str),
}

impl Token<'_> {
    /// The token itself.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Takes the token out of the request, so that the backend does not see it. What else the request carries stays: a
    /// field `authorization` with another scheme, beside a token in the cookie.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn take_out(&self, request: &mut Request) -> Result<(), EditError> {
        match self.part {
            Part::Header(name) => request.remove_header(name),
            Part::Cookie(name) => request.remove_cookie(name),
        }
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// 401 to a request without a token. The challenge then says no more than `Bearer`: section 3.1.
pub fn missing() -> Reply {
    let reply = Reply::problem(401, "Unauthorized", "A bearer token is needed.");
    reply.header("www-authenticate", "Bearer")
}

/// 400 to a request that carries its token in a wrong way: `invalid_request` of section 3.1.
pub fn invalid_request() -> Reply {
    let detail = "The request has more than one token, or a malformed one.";
    let reply = Reply::problem(400, "Bad Request", detail);
    reply.header("www-authenticate", r#"Bearer error="invalid_request""#)
}

/// 401 to a token that is not accepted: `invalid_token` of section 3.1. `why` is for the client: `"it has expired"`.
///
/// ```
/// let reply = portcullis_sdk::bearer::invalid_token("it has expired");
/// assert_eq!(
///     reply.header_value("www-authenticate").unwrap(),
///     r#"Bearer error="invalid_token", error_description="it has expired""#
/// );
/// ```
pub fn invalid_token(why: &str) -> Reply {
    // Section 3 allows printable ASCII without `"` and `\` in a description.
    let plain = |char: char| matches!(char, ' '..='~') && char != '"' && char != '\\';
    let description: String = why.chars().map(|char| if plain(char) { char } else { '\'' }).collect();
    let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{description}\"");
    let reply = Reply::problem(401, "Unauthorized", &format!("The token is not accepted: {why}."));
    reply.header("www-authenticate", challenge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Exchange, Ran};
    use crate::{Failure, Filter, NoSettings, Outcome, SettingsError};

    /// Notes the token that it finds.
    struct Find(Place);

    impl Filter for Find {
        type Settings = NoSettings;

        fn new(_: NoSettings) -> Result<Self, SettingsError> {
            Err("a test makes it".into())
        }

        fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
            match self.0.find(request) {
                Ok(Some(token)) => {
                    request.set_note("token", token.as_str())?;
                    token.take_out(request)?;
                    Ok(Outcome::Continue)
                }
                Ok(None) => Ok(missing().into()),
                Err(reply) => Ok(reply.into()),
            }
        }
    }

    fn run(header: &str, fields: &[(&str, &[u8])]) -> Ran {
        let place = Place::new(HeaderName::new(header).unwrap(), Some("id".into()));
        let add = |exchange: Exchange, (name, value): &(&str, &[u8])| exchange.header(name, *value);
        fields.iter().fold(Exchange::get("/"), add).run(&Find(place))
    }

    #[test]
    fn a_token_is_found_in_its_field_or_else_in_its_cookie_and_taken_out() {
        for (header, name, value) in [
            ("authorization", "authorization", &b"Bearer good"[..]),
            ("authorization", "authorization", b"bearer  good"),
            ("authorization", "cookie", b"id=good"),
            ("x-token", "x-token", b"good"),
            ("x-token", "x-token", b"Bearer good"),
        ] {
            let ran = run(header, &[(name, value)]);
            assert_eq!(ran.note("token").as_deref(), Some("good"), "{name}: {value:?}");
            assert!(ran.request().header(name).is_none());
        }
    }

    #[test]
    fn other_schemes_are_no_token_and_two_tokens_are_one_too_many() {
        let status = |header, fields: &[(&str, &[u8])]| run(header, fields).replied().unwrap().status();
        for none in [&b"Basic x"[..], b"Bearer", b"good", b""] {
            assert_eq!(status("authorization", &[("authorization", none)]), 401, "{none:?}");
        }
        for wrong in [
            &[("authorization", &b"Bearer a"[..]), ("authorization", b"Bearer b")][..],
            &[("authorization", b"Bearer a"), ("authorization", b"Basic b")],
            &[("authorization", b"Bearer \xff")],
            &[("cookie", b"id=a; id=b")],
            &[("cookie", b"id=\xff")],
            // RFC 6750 section 2: a client uses one way of carrying a token, not two.
            &[("authorization", b"Bearer a"), ("cookie", b"id=a")],
        ] {
            assert_eq!(status("authorization", wrong), 400, "{wrong:?}");
        }
    }

    #[test]
    fn only_what_was_found_is_taken_out() {
        let ran = run(
            "authorization",
            &[("authorization", b"Basic x"), ("cookie", b"id=good")],
        );
        assert_eq!(ran.note("token").as_deref(), Some("good"));
        assert_eq!(ran.request().header("authorization").unwrap(), "Basic x");
        assert!(ran.request().header("cookie").is_none());

        let ran = run(
            "authorization",
            &[("authorization", b"Bearer good"), ("cookie", b"a=1; id=")],
        );
        assert!(ran.request().header("authorization").is_none());
        assert_eq!(ran.request().header("cookie").unwrap(), "a=1; id=");
    }

    #[test]
    fn a_description_cannot_end_early() {
        let reply = invalid_token("a\"b\\c\ré");
        let challenge = reply.header_value("www-authenticate").unwrap();
        assert_eq!(
            *challenge,
            *r#"Bearer error="invalid_token", error_description="a'b'c''""#
        );
    }
}
