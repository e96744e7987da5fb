//! The value of a field that a call sends: `${header.x-tenant}`, `Bearer ${call.token.body.access_token}`.

use http::HeaderValue;

use super::piece::{Filled, Insert, Piece, fill_text};
use super::reference::{Scope, Source};
use super::values::{Unfilled, Unfit, Values};
use crate::backend::aggregate::misread::Misread;

/// The longest value that is sent.
const LONGEST: usize = 8192;

/// The value of a field, with references in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldTemplate {
    pieces: Vec<Piece>,
    /// The value, where there is nothing to fill in.
    fixed: Option<HeaderValue>,
}

impl FieldTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// For references to what is not there, and for text that no field may have.
    pub(crate) fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, Misread> {
        let pieces = Piece::parse(text, scope)?;
        if let Some((at, odd)) = text.char_indices().find(|(_, c)| c.is_control() && *c != '\t') {
            let message = "a control character cannot stand in a field";
            return Err(Misread::new(at..at + odd.len_utf8(), message));
        }
        if let Some(insert) = pieces.iter().filter_map(Piece::insert).find(|insert| insert.segments) {
            let help = "leave out `...`".to_owned();
            return Err(Misread::new(insert.at.clone(), "a field has no segments").help(help));
        }
        let fixed = match pieces.as_slice() {
            [] => Some(HeaderValue::from_static("")),
            [Piece::Text(text)] => HeaderValue::from_bytes(text.as_bytes()).ok(),
            _ => None,
        };
        Ok(Self { pieces, fixed })
    }

    /// What it refers to.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        let inserts = self.pieces.iter().filter_map(Piece::insert);
        inserts.map(|insert| &insert.source)
    }

    /// The value; `None` where it is nothing but references that may be left out, and all are missing.
    ///
    /// # Errors
    /// For a value that is missing, or that would end the field and begin another.
    pub(crate) fn fill<'v>(&'v self, values: &Values<'v>) -> Result<Option<HeaderValue>, Unfilled> {
        if let Some(fixed) = &self.fixed {
            return Ok(Some(fixed.clone()));
        }
        let mut out = Vec::new();
        let filled = fill_text(&self.pieces, values, |text, insert: Option<&Insert>| {
            let unfit = |why| insert.map_or(Ok(()), |insert| Err(insert.unfilled(why)));
            out.extend_from_slice(text);
            match text {
                text if HeaderValue::from_bytes(text).is_err() => unfit(Unfit::Field),
                _ if out.len() > LONGEST => unfit(Unfit::Length),
                _ => Ok(()),
            }
        })?;
        Ok(match filled {
            Filled::Text => HeaderValue::from_bytes(&out).ok(),
            Filled::Nothing => None,
        })
    }
}
