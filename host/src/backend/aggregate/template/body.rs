//! The body of a call: JSON in which a text that is all one reference becomes the value itself.

use bytes::Bytes;

use super::piece::{Filled, Insert, Missing, Piece, fill_text, is_optional};
use super::reference::{Scope, Source};
use super::values::{Found, Unfilled, Unfit, Values};
use crate::backend::aggregate::json::{Document, Kind, Limits, Value, quoted, write_text};
use crate::backend::aggregate::misread::Misread;

/// A JSON body with references in its texts.
///
/// `{"user": "${call.user.body}", "note": "for ${path.id}"}` becomes `{"user":{"id":7},"note":"for 7"}`: a reference that
/// is all of a text keeps its type, others are inserted as text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BodyTemplate {
    root: Node,
}

/// What is wrong with a body, in which of its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MisreadBody {
    /// Where the text is: `user.name`; empty for the body itself.
    pub(crate) path: String,
    /// What is wrong with it.
    pub(crate) misread: Misread,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// JSON without a reference.
    Fixed(Vec<u8>),
    /// A value to come, and its default as JSON.
    Insert(Insert, Option<Vec<u8>>),
    Text(Vec<Piece>),
    Array(Vec<Node>),
    /// Names are ready to stand between quotes.
    Object(Vec<(String, Node)>),
}

impl BodyTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// For references to what is not there, with the text at fault.
    pub(crate) fn parse(document: &Document, scope: &Scope<'_>) -> Result<Self, MisreadBody> {
        let root = node(document.root(), "", scope)?;
        Ok(Self { root })
    }

    /// What it refers to.
    pub(crate) fn sources(&self) -> Vec<&Source> {
        let mut all = Vec::new();
        self.root.sources(&mut all);
        all
    }

    /// The body for these values.
    ///
    /// # Errors
    /// For a value that is missing or not text, and when the body is larger than `most`.
    pub(crate) fn fill<'v>(&'v self, values: &Values<'v>, most: usize) -> Result<Bytes, Unfilled> {
        let mut out = Vec::new();
        if !self.root.fill(values, &mut out, most)? {
            out.extend_from_slice(b"null");
        }
        Ok(out.into())
    }
}

fn node(value: Value<'_>, path: &str, scope: &Scope<'_>) -> Result<Node, MisreadBody> {
    let misread = |misread| MisreadBody {
        path: path.to_owned(),
        misread,
    };
    let inside = |step: &str| {
        if path.is_empty() {
            step.to_owned()
        } else {
            format!("{path}.{step}")
        }
    };
    let made = match value.kind() {
        Kind::Text(text) => {
            let text = text.decoded();
            let pieces = Piece::parse(&text, scope).map_err(misread)?;
            if let Some(insert) = pieces.iter().filter_map(Piece::insert).find(|insert| insert.segments) {
                let error = Misread::new(insert.at.clone(), "a body has no segments");
                return Err(misread(error.help("leave out `...`".to_owned())));
            }
            match pieces.as_slice() {
                [] | [Piece::Text(_)] => {
                    let mut out = Vec::new();
                    let text = pieces.first().map_or("", |piece| match piece {
                        Piece::Text(text) => text,
                        Piece::Insert(_) => "",
                    });
                    write_text(&mut out, text);
                    Node::Fixed(out)
                }
                [Piece::Insert(insert)] => Node::Insert(insert.clone(), default(insert)),
                _ => Node::Text(pieces),
            }
        }
        Kind::Array(elements) => {
            let elements = elements.enumerate();
            let nodes = elements.map(|(place, element)| node(element, &inside(&place.to_string()), scope));
            Node::Array(nodes.collect::<Result<_, _>>()?)
        }
        Kind::Object(members) => {
            let nodes = members.map(|(name, value)| {
                let name = name.decoded();
                Ok((quoted(&name), node(value, &inside(&name), scope)?))
            });
            Node::Object(nodes.collect::<Result<_, _>>()?)
        }
        _ => fixed(value),
    };
    Ok(match made {
        Node::Array(nodes) if nodes.iter().all(Node::is_fixed) => fixed_of(Node::Array(nodes)),
        Node::Object(nodes) if nodes.iter().all(|(_, node)| node.is_fixed()) => fixed_of(Node::Object(nodes)),
        other => other,
    })
}

fn fixed(value: Value<'_>) -> Node {
    let mut out = Vec::new();
    value.write(&mut out);
    Node::Fixed(out)
}

/// An array or object without any reference, written once and for all.
fn fixed_of(node: Node) -> Node {
    let mut out = Vec::new();
    match node {
        Node::Array(nodes) => {
            for node in nodes {
                out.push(if out.is_empty() { b'[' } else { b',' });
                node.write_fixed(&mut out);
            }
            close(&mut out, b'[', b']');
        }
        Node::Object(members) => {
            for (name, node) in members {
                out.push(if out.is_empty() { b'{' } else { b',' });
                write_name(&mut out, &name);
                node.write_fixed(&mut out);
            }
            close(&mut out, b'{', b'}');
        }
        other => return other,
    }
    Node::Fixed(out)
}

/// Ends what begins with the first element, or is empty.
fn close(out: &mut Vec<u8>, open: u8, close: u8) {
    if out.is_empty() {
        out.push(open);
    }
    out.push(close);
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A default is JSON where it reads as such, else a text: `?? 10` is a number, `?? none` a text.
fn default(insert: &Insert) -> Option<Vec<u8>> {
    let Missing::Default(text) = &insert.missing else {
        return None;
    };
    let json = Document::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default());
    Some(match json {
        Ok(_) => text.trim().as_bytes().to_vec(),
        Err(_) => {
            let mut out = Vec::new();
            write_text(&mut out, text);
            out
        }
    })
}

impl Node {
    fn is_fixed(&self) -> bool {
        matches!(self, Node::Fixed(_))
    }

    fn write_fixed(&self, out: &mut Vec<u8>) {
        if let Node::Fixed(json) = self {
            out.extend_from_slice(json);
        }
    }

    fn sources<'t>(&'t self, all: &mut Vec<&'t Source>) {
        match self {
            Node::Fixed(_) => {}
            Node::Insert(insert, _) => all.push(&insert.source),
            Node::Text(pieces) => all.extend(pieces.iter().filter_map(Piece::insert).map(|insert| &insert.source)),
            Node::Array(nodes) => nodes.iter().for_each(|node| node.sources(all)),
            Node::Object(members) => members.iter().for_each(|(_, node)| node.sources(all)),
        }
    }

    /// Appends it; `false` where it is left out.
    fn fill<'v>(&'v self, values: &Values<'v>, out: &mut Vec<u8>, most: usize) -> Result<bool, Unfilled> {
        match self {
            Node::Fixed(json) => out.extend_from_slice(json),
            Node::Insert(insert, default) => {
                if !write_value(insert, default.as_deref(), values, out)? {
                    return Ok(false);
                }
                if out.len() > most {
                    return Err(insert.unfilled(Unfit::Length));
                }
            }
            Node::Text(pieces) => {
                let mut text = String::new();
                let filled = fill_text(pieces, values, |part, insert| {
                    match (str::from_utf8(part), insert) {
                        (Ok(part), _) => text.push_str(part),
                        (Err(_), Some(insert)) => return Err(insert.unfilled(Unfit::Utf8)),
                        (Err(_), None) => {}
                    }
                    match insert {
                        Some(insert) if out.len() + text.len() > most => Err(insert.unfilled(Unfit::Length)),
                        _ => Ok(()),
                    }
                })?;
                if matches!(filled, Filled::Nothing) && is_optional(pieces) {
                    return Ok(false);
                }
                write_text(out, &text);
            }
            Node::Array(nodes) => {
                out.push(b'[');
                let mut any = false;
                for node in nodes {
                    let before = out.len();
                    if any {
                        out.push(b',');
                    }
                    if node.fill(values, out, most)? {
                        any = true;
                    } else {
                        out.truncate(before);
                    }
                }
                out.push(b']');
            }
            Node::Object(members) => {
                out.push(b'{');
                let mut any = false;
                for (name, node) in members {
                    let before = out.len();
                    if any {
                        out.push(b',');
                    }
                    write_name(out, name);
                    if node.fill(values, out, most)? {
                        any = true;
                    } else {
                        out.truncate(before);
                    }
                }
                out.push(b'}');
            }
        }
        Ok(true)
    }
}

/// Appends a value with its own type: a `null` that is there stays one, unless the reference has something in its place.
fn write_value<'v>(
    insert: &'v Insert,
    default: Option<&[u8]>,
    values: &Values<'v>,
    out: &mut Vec<u8>,
) -> Result<bool, Unfilled> {
    let found = values.find(&insert.source);
    match (found, &insert.missing) {
        (Some(Found::Json(value)), Missing::Fails) => value.write(out),
        (Some(Found::Json(value)), _) if !value.is_null() => value.write(out),
        (Some(Found::Number(number)), _) => out.extend_from_slice(number.to_string().as_bytes()),
        (Some(Found::Bytes(bytes)), _) => match str::from_utf8(&bytes) {
            Ok(text) => write_text(out, text),
            Err(_) => return Err(insert.unfilled(Unfit::Utf8)),
        },
        (_, Missing::Default(_)) => out.extend_from_slice(default.unwrap_or(b"null")),
        (_, Missing::LeftOut) => return Ok(false),
        (_, Missing::Fails) => return Err(insert.unfilled(Unfit::Missing)),
    }
    Ok(true)
}
