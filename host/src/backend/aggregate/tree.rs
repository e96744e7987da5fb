//! What answers are made of: parts of documents as they are, and objects and arrays put together anew.

use crate::backend::aggregate::json::{Kind, Text, Value};

/// A JSON value in the making. What is not changed stays a part of its document.
#[derive(Debug, Clone)]
pub(crate) enum Tree<'d> {
    /// As it is in its document.
    Value(Value<'d>),
    /// `null`, of no document.
    Null,
    /// An array.
    Array(Vec<Tree<'d>>),
    /// An object.
    Object(Members<'d>),
}

/// The members of an object in the making, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members<'d> {
    list: Vec<(Text<'d>, Tree<'d>)>,
    /// The places of names in `list`, once there are many: two services that answer with thousands of members each would
    /// else be joined in quadratic time.
    index: Option<std::collections::BTreeMap<Box<str>, usize>>,
    /// Whether it was made for what is inside, and so is nobody's value: others may put theirs beside it.
    pub(crate) open: bool,
}

/// From so many members on there is an index.
const MANY: usize = 24;

impl<'d> Members<'d> {
    pub(crate) fn with_capacity(members: usize) -> Self {
        Self {
            list: Vec::with_capacity(members),
            ..Self::default()
        }
    }

    /// An object that is nobody's own.
    pub(crate) fn opened() -> Self {
        Self {
            open: true,
            ..Self::default()
        }
    }

    pub(crate) fn one(name: Text<'d>, value: Tree<'d>) -> Self {
        Self {
            list: vec![(name, value)],
            ..Self::default()
        }
    }

    /// Adds a member that is known not to be there.
    pub(crate) fn push(&mut self, name: Text<'d>, value: Tree<'d>) {
        if let Some(index) = &mut self.index {
            index.insert(name.decoded().into(), self.list.len());
        }
        self.list.push((name, value));
    }

    /// Where a member is.
    pub(crate) fn place(&mut self, name: Text<'_>) -> Option<usize> {
        if self.list.len() < MANY {
            return self.list.iter().position(|(own, _)| own.same(name));
        }
        let list = &self.list;
        let index = self.index.get_or_insert_with(|| {
            let names = list.iter().enumerate();
            names.map(|(place, (name, _))| (name.decoded().into(), place)).collect()
        });
        index.get(&*name.decoded()).copied()
    }

    pub(crate) fn at(&mut self, place: usize) -> Option<&mut Tree<'d>> {
        self.list.get_mut(place).map(|(_, tree)| tree)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Text<'d>, Tree<'d>)> {
        self.list.iter()
    }

    pub(crate) fn into_list(self) -> Vec<(Text<'d>, Tree<'d>)> {
        self.list
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

impl<'d> Tree<'d> {
    pub(crate) fn is_object(&self) -> bool {
        match self {
            Tree::Value(value) => value.is_object(),
            Tree::Object(_) => true,
            _ => false,
        }
    }

    pub(crate) fn is_array(&self) -> bool {
        match self {
            Tree::Value(value) => value.is_array(),
            Tree::Array(_) => true,
            _ => false,
        }
    }

    /// The members, if it is an object; from then on they are members of no document.
    pub(crate) fn members(&mut self) -> Option<&mut Members<'d>> {
        if let Tree::Value(value) = self
            && let Kind::Object(members) = value.kind()
        {
            let mut made = Members::default();
            members.for_each(|(name, value)| made.push(name, Tree::Value(value)));
            *self = Tree::Object(made);
        }
        match self {
            Tree::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub(crate) fn elements(&mut self) -> Option<&mut Vec<Tree<'d>>> {
        if let Tree::Value(value) = self
            && let Kind::Array(elements) = value.kind()
        {
            *self = Tree::Array(elements.map(Tree::Value).collect());
        }
        match self {
            Tree::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// Appends it as JSON, without any space.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Tree::Value(value) => value.write(out),
            Tree::Null => out.extend_from_slice(b"null"),
            Tree::Array(elements) => {
                out.push(b'[');
                for (place, element) in elements.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    element.write(out);
                }
                out.push(b']');
            }
            Tree::Object(members) => {
                out.push(b'{');
                for (place, (name, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    name.write(out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}
