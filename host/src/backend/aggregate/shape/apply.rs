//! One pass over a body.

use thiserror::Error;

use super::prepare::{Rule, Selection, Shape};
use crate::backend::aggregate::json::{Kind, Text, Value};
use crate::backend::aggregate::tree::{Members, Tree};

/// A member was renamed to what another one is called.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("two members would be called `{name}`")]
pub(crate) struct Clash {
    /// The name.
    pub(crate) name: String,
}

impl Shape {
    /// What goes into the answer; `None` where nothing does.
    ///
    /// # Errors
    /// If a member of the body has the name that another one is renamed to.
    pub(crate) fn apply<'d>(&'d self, body: Value<'d>) -> Result<Option<Tree<'d>>, Clash> {
        match body.at(&self.target) {
            Some(value) => apply(&self.rule, value),
            None => Ok(None),
        }
    }
}

fn apply<'d>(rule: &'d Rule, value: Value<'d>) -> Result<Option<Tree<'d>>, Clash> {
    let some = match rule {
        Rule::All => return Ok(Some(Tree::Value(value))),
        Rule::Nothing => return Ok(None),
        Rule::Some(some) => some,
    };
    let as_it_is = || Ok(some.others.then_some(Tree::Value(value)));
    match value.kind() {
        Kind::Object(_) if some.members.is_empty() && (some.others || some.elements.is_some()) => as_it_is(),
        Kind::Object(members) => object(some, members).map(Some),
        Kind::Array(elements) => match &some.elements {
            None => as_it_is(),
            Some(rule) => {
                let mut made = Vec::with_capacity(elements.count());
                for element in elements {
                    made.extend(apply(rule, element)?);
                }
                Ok(Some(Tree::Array(made)))
            }
        },
        _ => as_it_is(),
    }
}

fn object<'d>(some: &'d Selection, members: crate::backend::aggregate::json::Members<'d>) -> Result<Tree<'d>, Clash> {
    let room = if some.others {
        members.count()
    } else {
        some.members.len()
    };
    let mut made = Members::with_capacity(room);
    for (name, value) in members {
        let rule = some.members.iter().find(|member| name.is(&member.name));
        let (called, shaped) = match rule {
            None if some.others => (name, Some(Tree::Value(value))),
            None => continue,
            Some(member) if member.called == member.name => (name, apply(&member.rule, value)?),
            Some(member) => (Text::prepared(&member.quoted), apply(&member.rule, value)?),
        };
        let Some(shaped) = shaped else { continue };
        // Only a new name can be another member's. (Two rules never have one, and the body itself names none twice.)
        let may_clash = some.others && some.members.iter().any(|member| called.is(&member.called));
        if may_clash && made.place(called).is_some() {
            let name = called.decoded().into_owned();
            return Err(Clash { name });
        }
        made.push(called, shaped);
    }
    Ok(Tree::Object(made))
}
