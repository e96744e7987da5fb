//! Which places of the answer a call writes.

use crate::backend::aggregate::json::{Kind, Value};
use crate::backend::aggregate::shape::{Rule, Shape};

/// Where in the answer a call's body goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Into {
    /// Its members are members of the answer.
    #[default]
    Root,
    /// It is the member at the end of these names.
    At(Vec<String>),
    /// Only other calls see it.
    Nowhere,
}

/// The places that a call writes, from the root of the answer on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    /// This place, whatever it writes there.
    Unit,
    /// Places in these members. The object around them is nobody's own.
    Members(Vec<(String, Layout)>),
    /// Every member of an object, whose names are not known yet.
    Each,
}

impl Layout {
    /// What a call writes with its body.
    pub(crate) fn of_body(into: &Into, shape: &Shape) -> Layout {
        let inner = of_rule(&shape.rule);
        match into {
            Into::Nowhere => Layout::Members(Vec::new()),
            Into::Root if inner == Layout::Unit => Layout::Each,
            Into::Root => inner,
            Into::At(names) => inside(names, inner),
        }
    }

    /// What a call writes with what is there in place of its body.
    pub(crate) fn of_default(into: &Into, shape: &Shape, default: Value<'_>) -> Layout {
        let inner = of_value(&of_rule(&shape.rule), default);
        match into {
            Into::Nowhere => Layout::Members(Vec::new()),
            Into::Root => match default.kind() {
                Kind::Object(members) if inner == Layout::Unit => Layout::Members(
                    members
                        .map(|(name, _)| (name.decoded().into_owned(), Layout::Unit))
                        .collect(),
                ),
                _ => inner,
            },
            Into::At(names) => inside(names, inner),
        }
    }

    /// A place that both write, if one is known.
    pub(crate) fn overlap(&self, other: &Layout) -> Option<Vec<String>> {
        match (self, other) {
            (Layout::Each, _) | (_, Layout::Each) => None,
            (Layout::Members(own), Layout::Members(others)) => own.iter().find_map(|(name, own)| {
                let (_, other) = others.iter().find(|(other, _)| other == name)?;
                let mut path = own.overlap(other)?;
                path.insert(0, name.clone());
                Some(path)
            }),
            (Layout::Unit, other) | (other, Layout::Unit) => other.first(),
        }
    }

    /// The way to the first place that it writes.
    fn first(&self) -> Option<Vec<String>> {
        match self {
            Layout::Members(members) => members.iter().find_map(|(name, layout)| {
                let mut path = layout.first()?;
                path.insert(0, name.clone());
                Some(path)
            }),
            _ => Some(Vec::new()),
        }
    }

    /// Whether it writes nothing.
    pub(crate) fn is_nothing(&self) -> bool {
        self.first().is_none()
    }

    /// The places inside of a member.
    pub(super) fn member(&self, is: impl Fn(&str) -> bool) -> &Layout {
        match self {
            Layout::Members(members) => members
                .iter()
                .find(|(name, _)| is(name))
                .map_or(&Layout::Unit, |(_, inner)| inner),
            _ => &Layout::Unit,
        }
    }
}

fn inside(names: &[String], inner: Layout) -> Layout {
    let around = |inner, name: &String| Layout::Members(vec![(name.clone(), inner)]);
    names.iter().rev().fold(inner, around)
}

fn of_rule(rule: &Rule) -> Layout {
    match rule {
        Rule::Some(some) if some.is_closed() => {
            let kept = some
                .members
                .iter()
                .filter(|member| !matches!(member.rule, Rule::Nothing));
            Layout::Members(
                kept.map(|member| (member.called.clone(), of_rule(&member.rule)))
                    .collect(),
            )
        }
        _ => Layout::Unit,
    }
}

fn of_value(layout: &Layout, value: Value<'_>) -> Layout {
    match (layout, value.kind()) {
        (Layout::Members(_), Kind::Object(members)) => {
            let inner = members.map(|(name, value)| {
                let inner = of_value(layout.member(|own| name.is(own)), value);
                (name.decoded().into_owned(), inner)
            });
            Layout::Members(inner.collect())
        }
        _ => Layout::Unit,
    }
}
