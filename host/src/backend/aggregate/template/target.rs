//! Where a call goes: `users:/users/${path.id}?limit=${query.limit}`.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::piece::{Filled, Insert, Missing, Piece, fill_text};
use super::reference::{Scope, Source};
use super::values::{Unfilled, Unfit, Values};
use crate::backend::aggregate::misread::Misread;

/// The longest target that is sent: what servers take at least (RFC 9112, section 3) and hardly more.
const LONGEST: usize = 8000;

/// All but what RFC 3986, section 2.3 calls unreserved. So a value is one segment of a path, or one value in a query,
/// whatever is in it.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What values may have in them although servers disagree about it: the gateway's own rules for paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PathRules {
    /// `/` in a value becomes `%2F`, instead of failing the call.
    pub(crate) allow_encoded_slash: bool,
    /// `\` in a value becomes `%5C`, instead of failing the call.
    pub(crate) allow_encoded_backslash: bool,
}

/// An upstream, and a path and query with references in them.
///
/// Values are percent-encoded, and cannot make another segment, parameter or dot segment than the template has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    written: String,
    upstream: String,
    path: Vec<Part>,
    query: Vec<Parameter>,
    rules: PathRules,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Any number of segments, with their slashes.
    Literal(String),
    /// One segment with a reference in it.
    Segment(Vec<Piece>),
    /// A parameter that is several segments.
    Segments(Insert),
}

/// What stands between two `&`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    /// With its `=`, if it is only text.
    name: String,
    /// All after the name. If that is nothing but references that may be left out, the parameter may be.
    value: Vec<Piece>,
}

impl Target {
    /// Reads a target.
    ///
    /// # Errors
    /// For what is not a target, for references to what is not there, and for text that cannot stand in a URL.
    pub(crate) fn parse(text: &str, scope: &Scope<'_>, rules: PathRules) -> Result<Self, Misread> {
        let example = || "write for example `users:/users/${path.id}`".to_owned();
        let (upstream, rest) = match text.split_once(':') {
            Some((upstream, rest)) if !upstream.is_empty() && !upstream.contains(['/', '$']) => (upstream, rest),
            _ => return Err(Misread::new(0..text.len(), "a target is `UPSTREAM:/PATH`").help(example())),
        };
        let from = upstream.len() + 1;
        if !rest.starts_with('/') || rest.starts_with("//") {
            return Err(Misread::new(from..text.len(), "a path begins with one `/`").help(example()));
        }
        // Read as a whole first: a reference may have `/`, `?` and `&` in it.
        let pieces = Piece::parse(rest, scope).map_err(|error| error.moved(from))?;
        literals(rest, &pieces).map_err(|error| error.moved(from))?;
        let mut split = Split::default();
        split.pieces(pieces);
        let (path, query) = split.finish();
        for piece in path.iter().flatten() {
            if let Piece::Insert(insert) = piece
                && insert.missing == Missing::LeftOut
            {
                let help = format!(
                    "give it a default: `${{{} ?? ..}}`",
                    insert.written.trim_end_matches('?')
                );
                let place = insert.at.start + from..insert.at.end + from;
                return Err(Misread::new(place, "a part of a path cannot be left out").help(help));
            }
        }
        if let Some(insert) = query
            .iter()
            .flatten()
            .filter_map(Piece::insert)
            .find(|insert| insert.segments)
        {
            let place = insert.at.start + from..insert.at.end + from;
            return Err(Misread::new(place, "a query has no segments").help("leave out `...`".to_owned()));
        }
        let path = parts(path, rest).map_err(|error| error.moved(from))?;
        Ok(Self {
            written: text.to_owned(),
            upstream: upstream.to_owned(),
            path,
            query: query.into_iter().map(parameter).collect(),
            rules,
        })
    }

    /// The name of the upstream.
    pub(crate) fn upstream(&self) -> &str {
        &self.upstream
    }

    /// What it refers to.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        let path = self.path.iter().flat_map(|part| match part {
            Part::Literal(_) => &[],
            Part::Segment(pieces) => pieces.as_slice(),
            Part::Segments(_) => &[],
        });
        let several = self.path.iter().filter_map(|part| match part {
            Part::Segments(insert) => Some(&insert.source),
            _ => None,
        });
        let query = self.query.iter().flat_map(|parameter| &parameter.value);
        let inserts = path.chain(query).filter_map(Piece::insert);
        inserts.map(|insert| &insert.source).chain(several)
    }

    /// Path and query for these values.
    ///
    /// # Errors
    /// For a value that is missing, or unfit to stand where it should.
    pub(crate) fn fill<'v>(&'v self, values: &Values<'v>) -> Result<String, Unfilled> {
        let mut out = String::with_capacity(self.written.len() + 32);
        for part in &self.path {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Segment(pieces) => self.segment(&mut out, pieces, values)?,
                Part::Segments(insert) => self.segments(&mut out, insert, values)?,
            }
        }
        let mut separator = '?';
        for parameter in &self.query {
            let before = out.len();
            out.push(separator);
            out.push_str(&parameter.name);
            let take = |text: &[u8], insert: Option<&Insert>| encode(&mut out, text, insert);
            match fill_text(&parameter.value, values, take)? {
                Filled::Text => separator = '&',
                Filled::Nothing => out.truncate(before),
            }
        }
        Ok(out)
    }

    /// One segment.
    fn segment<'v>(&'v self, out: &mut String, pieces: &'v [Piece], values: &Values<'v>) -> Result<(), Unfilled> {
        let start = out.len();
        fill_text(pieces, values, |text, insert| {
            if let Some(insert) = insert {
                self.fits_path(text).map_err(|why| insert.unfilled(why))?;
            }
            encode(out, text, insert)
        })?;
        match pieces.iter().find_map(Piece::insert) {
            Some(insert) if leads_elsewhere(out.get(start..).unwrap_or_default()) => {
                Err(insert.unfilled(Unfit::Segment))
            }
            _ => Ok(()),
        }
    }

    /// The segments of a parameter, each encoded as one.
    fn segments<'v>(&'v self, out: &mut String, insert: &'v Insert, values: &Values<'v>) -> Result<(), Unfilled> {
        // The gateway has found the value in the path of a request, where an encoded slash is not one between segments.
        let own = values.request.parameters.iter();
        let Source::Path(name) = &insert.source else {
            return Ok(());
        };
        let raw = own.clone().find_map(|(own, raw)| (own == name).then_some(*raw));
        let raw = match (raw, &insert.missing) {
            (Some(raw), _) => raw,
            (None, Missing::Default(default)) => default,
            (None, _) => return Err(insert.unfilled(Unfit::Missing)),
        };
        for (place, segment) in raw.split('/').enumerate() {
            if place > 0 {
                out.push('/');
            }
            let start = out.len();
            let decoded: Vec<u8> = percent_encoding::percent_decode_str(segment).collect();
            self.fits_path(&decoded).map_err(|why| insert.unfilled(why))?;
            encode(out, &decoded, Some(insert))?;
            let segment = out.get(start..).unwrap_or_default();
            // An empty one at either end is the path's own: `/files/` has a rest of nothing.
            if !segment.is_empty() && leads_elsewhere(segment) {
                return Err(insert.unfilled(Unfit::Segment));
            }
        }
        Ok(())
    }

    fn fits_path(&self, value: &[u8]) -> Result<(), Unfit> {
        let odd = |byte: &u8| match byte {
            b'/' => !self.rules.allow_encoded_slash,
            b'\\' => !self.rules.allow_encoded_backslash,
            byte => *byte == 0,
        };
        if value.iter().any(odd) {
            Err(Unfit::Slash)
        } else {
            Ok(())
        }
    }
}

/// Whether a segment would be resolved away, or is no segment at all. Some servers cut it at `;` before they look.
fn leads_elsewhere(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    let dots = name.replace("%2e", ".").replace("%2E", ".");
    matches!(dots.as_str(), "" | "." | "..")
}

fn encode(out: &mut String, text: &[u8], insert: Option<&Insert>) -> Result<(), Unfilled> {
    match insert {
        // The template's own text was found to be fit when it was read.
        None => out.push_str(str::from_utf8(text).unwrap_or_default()),
        Some(insert) => {
            if text.len() > LONGEST {
                return Err(insert.unfilled(Unfit::Length));
            }
            out.extend(percent_encode(text, ENCODED));
            if out.len() > LONGEST {
                return Err(insert.unfilled(Unfit::Length));
            }
        }
    }
    Ok(())
}

/// Refuses text that is not a path and query (RFC 3986, sections 3.3 and 3.4).
fn literals(text: &str, pieces: &[Piece]) -> Result<(), Misread> {
    let inserts: Vec<_> = pieces
        .iter()
        .filter_map(Piece::insert)
        .map(|insert| insert.at.clone())
        .collect();
    for (at, char) in text.char_indices() {
        if inserts.iter().any(|place| place.contains(&at)) {
            continue;
        }
        let end = at + char.len_utf8();
        let is_octet = || {
            let digits = text.get(at + 1..at + 3).unwrap_or_default();
            digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        match char {
            '#' => {
                let help = "a fragment is never sent; write `%23` for the character itself".to_owned();
                return Err(Misread::new(at..end, "`#` in a target").help(help));
            }
            '%' if is_octet() => {}
            '%' => {
                let help = "write `%25` for the character itself".to_owned();
                return Err(Misread::new(at..end, "`%` without two hexadecimal digits").help(help));
            }
            'a'..='z'
            | 'A'..='Z'
            | '0'..='9'
            | '-'
            | '.'
            | '_'
            | '~'
            | '!'
            | '$'
            | '&'
            | '\''
            | '('
            | ')'
            | '*'
            | '+'
            | ','
            | ';'
            | '='
            | ':'
            | '@'
            | '/'
            | '?' => {}
            other => {
                let mut buffer = [0; 4];
                let encoded = percent_encode(other.encode_utf8(&mut buffer).as_bytes(), ENCODED);
                let help = format!("write `{encoded}`");
                return Err(Misread::new(at..end, format!("`{other}` cannot stand in a URL")).help(help));
            }
        }
    }
    Ok(())
}

/// The pieces of a path and query, cut at `/`, `?` and `&`.
#[derive(Default)]
struct Split {
    /// Segments; the slash before each is left out.
    path: Vec<Vec<Piece>>,
    query: Vec<Vec<Piece>>,
    in_query: bool,
}

impl Split {
    fn pieces(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            let Piece::Text(text) = piece else {
                self.push(piece);
                continue;
            };
            let mut rest = text.as_str();
            while let Some(at) = rest.find(if self.in_query { ['&', '&'] } else { ['/', '?'] }) {
                self.text(rest.get(..at).unwrap_or_default());
                let parts = match rest.as_bytes().get(at) {
                    Some(b'/') => &mut self.path,
                    _ => {
                        self.in_query = true;
                        &mut self.query
                    }
                };
                parts.push(Vec::new());
                rest = rest.get(at + 1..).unwrap_or_default();
            }
            self.text(rest);
        }
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.push(Piece::Text(text.to_owned()));
        }
    }

    fn push(&mut self, piece: Piece) {
        let parts = if self.in_query { &mut self.query } else { &mut self.path };
        if let Some(last) = parts.last_mut() {
            last.push(piece);
        }
    }

    fn finish(self) -> (Vec<Vec<Piece>>, Vec<Vec<Piece>>) {
        (self.path, self.query)
    }
}

fn parameter(mut pieces: Vec<Piece>) -> Parameter {
    let mut name = String::new();
    if let Some(Piece::Text(text)) = pieces.first_mut()
        && let Some(at) = text.find('=')
    {
        name = text.drain(..=at).collect();
        if text.is_empty() {
            pieces.remove(0);
        }
    }
    Parameter { name, value: pieces }
}

/// Segments with references, and the text between them.
fn parts(segments: Vec<Vec<Piece>>, text: &str) -> Result<Vec<Part>, Misread> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    for segment in segments {
        literal.push('/');
        match segment.as_slice() {
            [] => {}
            [Piece::Text(text_of)] => {
                if leads_elsewhere(text_of) {
                    let at = text.find(&format!("/{text_of}")).map_or(0, |at| at + 1);
                    let help = "write the path that is meant".to_owned();
                    let message = format!("`{text_of}` is not a segment of a path");
                    return Err(Misread::new(at..at + text_of.len(), message).help(help));
                }
                literal.push_str(text_of);
            }
            pieces => {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
                match pieces {
                    [Piece::Insert(insert)] if insert.segments => parts.push(Part::Segments(insert.clone())),
                    pieces => {
                        if let Some(insert) = pieces.iter().filter_map(Piece::insert).find(|insert| insert.segments) {
                            let message = "several segments stand alone between slashes";
                            return Err(Misread::new(insert.at.clone(), message));
                        }
                        parts.push(Part::Segment(segment));
                    }
                }
            }
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// As it is written.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}
