//! A parsed document and a way around in it.

use std::fmt;

use bytes::Bytes;

use super::parse::{self, Limits, Malformed};
use super::path::Step;
use super::text::Text;

/// A JSON document: its bytes, and where each value in them is.
///
/// ```text
/// {"price":1.10000000000000000001}   keeps every digit, and is written as it was read
/// ```
#[derive(Clone)]
pub(crate) struct Document {
    pub(super) source: Bytes,
    pub(super) nodes: Vec<Node>,
    /// Whether there is no space between the tokens, so that any value may be copied as it stands.
    pub(super) compact: bool,
}

/// One value, or the name of a member, which stands before the member's value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) tag: Tag,
    /// The first byte: of a text the first one after the quote.
    pub(super) start: u32,
    /// How many bytes, without a text's quotes.
    pub(super) len: u32,
    /// The node after this one and all that is inside it.
    pub(super) next: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Null,
    False,
    True,
    Number,
    Text,
    /// A text with a backslash in it.
    Escaped,
    Array,
    Object,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// For what is not JSON as RFC 8259 has it, for a member named twice, and for more than the limits allow.
    pub(crate) fn parse(source: Bytes, limits: &Limits) -> Result<Self, Malformed> {
        parse::parse(source, limits)
    }

    /// The document itself, as a value.
    pub(crate) fn root(&self) -> Value<'_> {
        Value { document: self, at: 0 }
    }

    /// How many bytes it was read from.
    pub(crate) fn size(&self) -> usize {
        self.source.len()
    }

    pub(super) fn bytes(&self, node: Node) -> &[u8] {
        let end = node.start as usize + node.len as usize;
        self.source.get(node.start as usize..end).unwrap_or_default()
    }
}

/// One value of a document.
#[derive(Clone, Copy)]
pub(crate) struct Value<'d> {
    document: &'d Document,
    at: u32,
}

/// What a value is.
#[derive(Clone, Copy)]
pub(crate) enum Kind<'d> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Every digit as written.
    Number(&'d [u8]),
    /// A text.
    Text(Text<'d>),
    /// The elements, in order.
    Array(Elements<'d>),
    /// The members, in order.
    Object(Members<'d>),
}

impl<'d> Value<'d> {
    fn node(self) -> Node {
        const NULL: Node = Node {
            tag: Tag::Null,
            start: 0,
            len: 0,
            next: u32::MAX,
        };
        self.document.nodes.get(self.at as usize).copied().unwrap_or(NULL)
    }

    /// What it is.
    pub(crate) fn kind(self) -> Kind<'d> {
        let node = self.node();
        let inside = Elements {
            document: self.document,
            at: self.at + 1,
            end: node.next,
        };
        match node.tag {
            Tag::Null => Kind::Null,
            Tag::False => Kind::Bool(false),
            Tag::True => Kind::Bool(true),
            Tag::Number => Kind::Number(self.document.bytes(node)),
            Tag::Text | Tag::Escaped => Kind::Text(self.text(node)),
            Tag::Array => Kind::Array(inside),
            Tag::Object => Kind::Object(Members(inside)),
        }
    }

    fn text(self, node: Node) -> Text<'d> {
        Text {
            raw: self.document.bytes(node),
            escaped: node.tag == Tag::Escaped,
        }
    }

    /// The member of that name, if it is an object with one.
    pub(crate) fn get(self, name: &str) -> Option<Value<'d>> {
        let Kind::Object(mut members) = self.kind() else {
            return None;
        };
        members.find_map(|(own, value)| own.is(name).then_some(value))
    }

    /// The element at that place, counted from 0, if it is an array with as many.
    pub(crate) fn element(self, place: usize) -> Option<Value<'d>> {
        let Kind::Array(mut elements) = self.kind() else {
            return None;
        };
        elements.nth(place)
    }

    /// What is found by going along `steps`. There is nothing at `[]`.
    pub(crate) fn at(self, steps: &[Step]) -> Option<Value<'d>> {
        steps.iter().try_fold(self, |value, step| match step {
            Step::Member(name) => value.get(name),
            Step::Element(place) => value.element(*place),
            Step::Every => None,
        })
    }

    /// Whether it is `null`.
    pub(crate) fn is_null(self) -> bool {
        self.node().tag == Tag::Null
    }

    /// Whether it is an object.
    pub(crate) fn is_object(self) -> bool {
        self.node().tag == Tag::Object
    }

    /// Whether it is an array.
    pub(crate) fn is_array(self) -> bool {
        self.node().tag == Tag::Array
    }

    /// Appends it without any space between its tokens.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let node = self.node();
        match node.tag {
            Tag::Text | Tag::Escaped => self.text(node).write(out),
            Tag::Array | Tag::Object if !self.document.compact => match self.kind() {
                Kind::Array(elements) => {
                    out.push(b'[');
                    for (place, element) in elements.enumerate() {
                        if place > 0 {
                            out.push(b',');
                        }
                        element.write(out);
                    }
                    out.push(b']');
                }
                Kind::Object(members) => {
                    out.push(b'{');
                    for (place, (name, value)) in members.enumerate() {
                        if place > 0 {
                            out.push(b',');
                        }
                        name.write(out);
                        out.push(b':');
                        value.write(out);
                    }
                    out.push(b'}');
                }
                _ => {}
            },
            _ => out.extend_from_slice(self.document.bytes(node)),
        }
    }
}

/// The elements of an array.
#[derive(Clone, Copy)]
pub(crate) struct Elements<'d> {
    document: &'d Document,
    at: u32,
    end: u32,
}

impl<'d> Iterator for Elements<'d> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Value<'d>> {
        let value = Value {
            document: self.document,
            at: self.at,
        };
        (self.at < self.end).then(|| {
            self.at = value.node().next;
            value
        })
    }
}

/// The members of an object.
#[derive(Clone, Copy)]
pub(crate) struct Members<'d>(Elements<'d>);

impl<'d> Iterator for Members<'d> {
    type Item = (Text<'d>, Value<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.0.next()?;
        Some((name.text(name.node()), self.0.next()?))
    }
}

/// As it would be written into an answer.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

/// As text: two documents are equal when they say the same in the same words.
impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        self.root().write(&mut own);
        other.root().write(&mut others);
        own == others
    }
}
