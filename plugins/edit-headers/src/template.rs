//! Values with placeholders: `{client-address}`, `user {jwt.sub}`.

use std::borrow::Cow;

use portcullis_sdk::{HeaderName, Request};

/// A value, parsed once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Template {
    /// Without placeholders: nothing is put together for a request.
    Constant(Vec<u8>),
    /// With placeholders.
    Parts(Vec<Part>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    ClientAddress,
    RequestId,
    Route,
    PathParameter(String),
    Note(String),
    Header(HeaderName),
}

impl Template {
    /// Reads a value as it is written. `{{` and `}}` stand for one brace.
    pub(crate) fn parse(written: &str) -> Result<Self, String> {
        if written.chars().any(|char| char.is_control() && char != '\t') {
            return Err("a header field cannot hold control characters".into());
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
                return Err(format!(
                    "`{written}` has a brace without its other half: write `{{{{` for one brace"
                ));
            }
        }
        text.push_str(rest);
        if parts.is_empty() {
            return Ok(Template::Constant(text.into_bytes()));
        }
        parts.push(Part::Text(text));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Template::Parts(parts))
    }

    /// The value for a request, or none where a placeholder has none.
    pub(crate) fn fill(&self, request: &Request) -> Option<Cow<'_, [u8]>> {
        match self {
            Template::Constant(value) => Some(Cow::Borrowed(value)),
            Template::Parts(parts) => {
                let mut value = Vec::new();
                for part in parts {
                    part.write(request, &mut value)?;
                }
                Some(Cow::Owned(value))
            }
        }
    }
}

impl Part {
    fn parse(name: &str) -> Result<Self, String> {
        let named = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
        Ok(match name {
            "client-address" => Part::ClientAddress,
            "request-id" => Part::RequestId,
            "route" => Part::Route,
            _ => {
                if let Some(parameter) = named("path.") {
                    Part::PathParameter(parameter.into())
                } else if let Some(claim) = named("jwt.") {
                    Part::Note(format!("jwt:{claim}"))
                } else if let Some(note) = named("note.") {
                    Part::Note(note.into())
                } else if let Some(header) = named("header.") {
                    Part::Header(HeaderName::new(header).map_err(|_| format!("`{header}` is no header field name"))?)
                } else {
                    return Err(format!(
                        "`{{{name}}}` is no placeholder: there are client-address, request-id, route, path.NAME, \
                         jwt.NAME, note.NAME, header.NAME"
                    ));
                }
            }
        })
    }

    fn write(&self, request: &Request, value: &mut Vec<u8>) -> Option<()> {
        match self {
            Part::Text(text) => value.extend_from_slice(text.as_bytes()),
            Part::ClientAddress => value.extend(request.client_address().into_bytes()),
            // The one that the filter `request-id` settled on, or else the exchange's own.
            Part::RequestId => value.extend(request.note("request-id").unwrap_or_else(|| request.id()).into_bytes()),
            Part::Route => value.extend(request.route().into_bytes()),
            Part::PathParameter(name) => value.extend(request.path_parameter(name)?.into_bytes()),
            Part::Note(name) => value.extend(request.note(name)?.into_bytes()),
            Part::Header(name) => value.extend(request.header(name)?.into_bytes()),
        }
        Some(())
    }
}
