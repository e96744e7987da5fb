//! A text with placeholders for what an exchange holds.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::settings::text::{shown_as_text, text_setting};
use crate::{HeaderName, Request, SettingsError};

/// A text with placeholders, for settings: `"user={jwt.sub}"`. It is parsed once and filled for each request.
///
/// | placeholder | stands for |
/// |---|---|
/// | `{client-address}` | the client's address |
/// | `{request-id}` | the note `request-id`, which the filter of that name leaves, or else the exchange's own id |
/// | `{route}` | the route's name |
/// | `{path.NAME}` | a parameter of the route's path |
/// | `{jwt.NAME}` | the note `jwt:NAME`: a claim that the filter `jwt-auth` found |
/// | `{note.NAME}` | any other note |
/// | `{header.NAME}` | the first value of a field of the request, as it is by then |
/// | `{{` and `}}` | one brace |
///
/// ```
/// use portcullis_sdk::testing::{self, Exchange};
/// use portcullis_sdk::{Failure, Filter, Outcome, Request, SettingsError, Template};
/// # use schemars::JsonSchema;
/// # use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Settings {
///     tag: Template,
/// }
///
/// struct Tag(Template);
///
/// impl Filter for Tag {
///     type Settings = Settings;
///
///     fn new(settings: Settings) -> Result<Self, SettingsError> {
///         Ok(Tag(settings.tag))
///     }
///
///     fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
///         if let Some(tag) = self.0.fill(request) {
///             request.set_header("x-tag", tag)?;
///         }
///         Ok(Outcome::Continue)
///     }
/// }
///
/// let filter: Tag = testing::filter(serde_json::json!({ "tag": "{route} from {client-address}" }))?;
/// let ran = Exchange::get("/").route("home").client_address("192.0.2.7").run(&filter);
/// assert_eq!(ran.request().header("x-tag").unwrap(), "home from 192.0.2.7");
/// # Ok::<(), SettingsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    written: String,
    parsed: Parsed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Parsed {
    /// Without placeholders: nothing is put together for a request.
    Constant(String),
    /// With placeholders.
    Parts(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    ClientAddress,
    RequestId,
    Route,
    PathParameter(String),
    Note(String),
    Header(HeaderName),
}

impl Template {
    /// The text for a request, or none where a placeholder has nothing to stand for.
    ///
    /// Bytes, since a header field may hold more than UTF-8. Without placeholders it asks nothing of the gateway and
    /// copies nothing.
    pub fn fill(&self, request: &Request) -> Option<Cow<'_, [u8]>> {
        let parts = match &self.parsed {
            Parsed::Constant(text) => return Some(Cow::Borrowed(text.as_bytes())),
            Parsed::Parts(parts) => parts,
        };
        // Most hold one placeholder and nothing else: its value is the whole, and is not copied.
        let (first, rest) = parts.split_first()?;
        let mut filled = first.read(request)?.into_owned();
        for part in rest {
            filled.extend_from_slice(&part.read(request)?);
        }
        Some(Cow::Owned(filled))
    }
}

impl Part {
    fn read(&self, request: &Request) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Owned(match self {
            Part::Text(text) => return Some(Cow::Borrowed(text.as_bytes())),
            Part::ClientAddress => request.client_address().into_bytes(),
            Part::RequestId => request.note("request-id").unwrap_or_else(|| request.id()).into_bytes(),
            Part::Route => request.route().into_bytes(),
            Part::PathParameter(name) => request.path_parameter(name)?.into_bytes(),
            Part::Note(name) => request.note(name)?.into_bytes(),
            Part::Header(name) => request.header(name)?.into_bytes(),
        }))
    }

    fn parse(name: &str) -> Result<Self, SettingsError> {
        Ok(match name.split_once('.') {
            None if name == "client-address" => Part::ClientAddress,
            None if name == "request-id" => Part::RequestId,
            None if name == "route" => Part::Route,
            Some(("path", parameter)) if !parameter.is_empty() => Part::PathParameter(parameter.into()),
            Some(("jwt", claim)) if !claim.is_empty() => Part::Note(format!("jwt:{claim}")),
            Some(("note", note)) if !note.is_empty() => Part::Note(note.into()),
            Some(("header", header)) => match HeaderName::new(header) {
                Ok(header) => Part::Header(header),
                Err(_) => return Err(format!("`{header}` is no header field name").into()),
            },
            _ => {
                return Err(format!(
                    "`{{{name}}}` is no placeholder, there are client-address, request-id, route, path.NAME, jwt.NAME, \
                     note.NAME, header.NAME"
                )
                .into());
            }
        })
    }
}

impl FromStr for Template {
    type Err = SettingsError;

    fn from_str(written: &str) -> Result<Self, SettingsError> {
        if written.chars().any(|char| char.is_control() && char != '\t') {
            return Err("it holds control characters".into());
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = written;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            text.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                text.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                text.push('}');
                rest = after;
            } else if let Some((name, after)) = from.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::parse(name)?);
                rest = after;
            } else {
                return Err("a brace is without its other half, write `{{` or `}}` for one brace".into());
            }
        }
        text.push_str(rest);
        let written = written.to_owned();
        let parsed = if parts.is_empty() {
            Parsed::Constant(text)
        } else {
            parts.push(Part::Text(text));
            parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
            Parsed::Parts(parts)
        };
        Ok(Template { written, parsed })
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

text_setting!(Template, "template", { "type": "string" });
shown_as_text!(Template);

#[cfg(test)]
mod tests;
