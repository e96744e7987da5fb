//! One more part of an answer.

use thiserror::Error;

use super::layout::Layout;
use crate::backend::aggregate::tree::Tree;

/// What a call does where another one has written already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Objects are joined, member by member; of anything else the later call's stays.
    Deep,
    /// Its array goes to the end of the array that is there; anything else cannot be joined.
    Append,
    /// What is there goes.
    Overwrite,
}

/// Two calls have written one place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("another call has written `{}` already", path.join("."))]
pub(crate) struct Collision {
    /// The way to the place.
    pub(crate) path: Vec<String>,
}

/// Puts a part where its layout says. The answer stays as it was if that cannot be.
///
/// # Errors
/// If another part has written there already, and `merge` does not say how to join them.
pub(crate) fn join<'d>(
    answer: &mut Tree<'d>,
    mut part: Tree<'d>,
    layout: &Layout,
    merge: Option<Merge>,
) -> Result<(), Collision> {
    let mut path = Vec::new();
    if collides(answer, &mut part, layout, merge, &mut path) {
        return Err(Collision { path });
    }
    write(answer, part, layout, merge);
    Ok(())
}

/// Whether a part that goes to `place` is looked into: then its members have places of their own.
fn is_divided(part: &Tree<'_>, layout: &Layout) -> bool {
    *layout != Layout::Unit && part.is_object()
}

fn collides<'d>(
    place: &mut Tree<'d>,
    part: &mut Tree<'d>,
    layout: &Layout,
    merge: Option<Merge>,
    path: &mut Vec<String>,
) -> bool {
    if !is_divided(part, layout) {
        return match merge {
            None => true,
            Some(Merge::Append) => !(place.is_array() && part.is_array()),
            Some(Merge::Deep | Merge::Overwrite) => false,
        };
    }
    let Some(inside) = part.members().filter(|members| !members.is_empty()) else {
        return false;
    };
    let Some(there) = place.members() else {
        return !matches!(merge, Some(Merge::Deep | Merge::Overwrite));
    };
    if merge.is_none() && !there.open {
        return true;
    }
    for at in 0..inside.len() {
        let Some((name, _)) = inside.iter().nth(at) else { break };
        let name = *name;
        let Some(inner) = there.place(name).and_then(|at| there.at(at)) else {
            continue;
        };
        path.push(name.decoded().into_owned());
        let layout = layout.member(|own| name.is(own));
        if inside
            .at(at)
            .is_some_and(|part| collides(inner, part, layout, merge, path))
        {
            return true;
        }
        path.pop();
    }
    false
}

fn write<'d>(place: &mut Tree<'d>, mut part: Tree<'d>, layout: &Layout, merge: Option<Merge>) {
    if !is_divided(&part, layout) {
        return match merge {
            Some(Merge::Deep) => deep(place, part),
            Some(Merge::Append) => append(place, part),
            Some(Merge::Overwrite) | None => *place = part,
        };
    }
    let Some(there) = place.members() else {
        // Something that is no object is in the way of an object, and may be replaced.
        open(&mut part, layout);
        *place = part;
        return;
    };
    for (name, mut inner) in members_of(part) {
        let layout = layout.member(|own| name.is(own));
        match there.place(name).and_then(|at| there.at(at)) {
            Some(place) => write(place, inner, layout, merge),
            None => {
                open(&mut inner, layout);
                there.push(name, inner);
            }
        }
    }
}

/// Marks the objects that are only there for what is inside of them.
fn open(part: &mut Tree<'_>, layout: &Layout) {
    if !is_divided(part, layout) {
        return;
    }
    if let Some(members) = part.members() {
        members.open = true;
        for at in 0..members.len() {
            let inner = members
                .iter()
                .nth(at)
                .map(|(name, _)| layout.member(|own| name.is(own)));
            if let (Some(tree), Some(layout)) = (members.at(at), inner) {
                open(tree, layout);
            }
        }
    }
}

fn members_of<'d>(mut tree: Tree<'d>) -> Vec<(crate::backend::aggregate::json::Text<'d>, Tree<'d>)> {
    tree.members();
    match tree {
        Tree::Object(members) => members.into_list(),
        _ => Vec::new(),
    }
}

fn deep<'d>(place: &mut Tree<'d>, part: Tree<'d>) {
    if !(place.is_object() && part.is_object()) {
        *place = part;
        return;
    }
    let Some(there) = place.members() else { return };
    for (name, inner) in members_of(part) {
        match there.place(name).and_then(|at| there.at(at)) {
            Some(place) => deep(place, inner),
            None => there.push(name, inner),
        }
    }
}

fn append<'d>(place: &mut Tree<'d>, mut part: Tree<'d>) {
    if let (Some(there), Some(more)) = (place.elements(), part.elements()) {
        there.append(more);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::backend::aggregate::json::{Document, Limits};
    use crate::backend::aggregate::merge::Into;
    use crate::backend::aggregate::shape::{Shape, ShapeSettings};
    use crate::backend::aggregate::tree::Members;

    fn json(text: &str) -> Document {
        Document::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).expect(text)
    }

    /// A body, the places it allows, if not all, and how it is merged.
    type Part<'a> = (&'a str, Option<&'a [&'a str]>, Option<Merge>);

    /// Joins bodies in order.
    fn joined(parts: &[Part<'_>]) -> Result<String, String> {
        let documents: Vec<_> = parts.iter().map(|(text, ..)| json(text)).collect();
        let mut answer = Tree::Object(Members::opened());
        for ((_, allow, merge), document) in parts.iter().zip(&documents) {
            let allow = allow.map(|allow| allow.iter().map(|text| (*text).to_owned()).collect());
            let settings = ShapeSettings {
                allow,
                ..ShapeSettings::default()
            };
            let layout = Layout::of_body(&Into::Root, &Shape::prepare(&settings).unwrap());
            let mut before = Vec::new();
            answer.write(&mut before);
            if let Err(collision) = join(&mut answer, Tree::Value(document.root()), &layout, *merge) {
                let mut after = Vec::new();
                answer.write(&mut after);
                assert_eq!(after, before);
                return Err(collision.path.join("."));
            }
        }
        let mut out = Vec::new();
        answer.write(&mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn parts_are_joined_as_merge_says() {
        use Merge::{Append, Deep, Overwrite};
        let first = r#"{"a":{"x":1,"y":[1]},"l":[1],"s":1}"#;
        let over = |second: &str, merge| {
            let wanted = joined(&[(first, None, None), (second, None, merge)]);
            wanted.unwrap_or_else(|path| format!("collision at {path}"))
        };
        assert_eq!(over(r#"{"b":1}"#, None), r#"{"a":{"x":1,"y":[1]},"l":[1],"s":1,"b":1}"#);
        assert_eq!(over(r#"{"b":1,"s":2}"#, None), "collision at s");
        assert_eq!(over(r#"{"a":{"z":1}}"#, None), "collision at a");
        assert_eq!(
            over(r#"{"a":{"z":1,"y":2},"s":{}}"#, Some(Deep)),
            r#"{"a":{"x":1,"y":2,"z":1},"l":[1],"s":{}}"#
        );
        assert_eq!(
            over(r#"{"a":{"z":1},"l":0}"#, Some(Overwrite)),
            r#"{"a":{"z":1},"l":0,"s":1}"#
        );
        assert_eq!(
            over(r#"{"l":[2,3],"m":[4]}"#, Some(Append)),
            r#"{"a":{"x":1,"y":[1]},"l":[1,2,3],"s":1,"m":[4]}"#
        );
        assert_eq!(over(r#"{"s":[2]}"#, Some(Append)), "collision at s");
        assert_eq!(over(r#"{"\u0073":2}"#, None), "collision at s");
    }

    #[test]
    fn objects_made_for_what_is_inside_are_nobodys() {
        let a: &[&str] = &["a.x"];
        let b: &[&str] = &["a.y"];
        assert_eq!(
            joined(&[(r#"{"a":{"x":1}}"#, Some(a), None), (r#"{"a":{"y":2}}"#, Some(b), None)]).unwrap(),
            r#"{"a":{"x":1,"y":2}}"#
        );
        assert_eq!(
            joined(&[(r#"{"a":{"x":1}}"#, None, None), (r#"{"a":{"y":2}}"#, Some(b), None)]),
            Err("a".into())
        );
        assert_eq!(
            joined(&[
                (r#"{"a":1}"#, None, None),
                (r#"{"a":{"y":2}}"#, Some(b), Some(Merge::Overwrite))
            ])
            .unwrap(),
            r#"{"a":{"y":2}}"#
        );
    }

    #[test]
    fn places_that_overlap_are_known_from_the_configuration() {
        let layout = |into: &[&str], allow: Option<&[&str]>| {
            let allow = allow.map(|allow| allow.iter().map(|text| (*text).to_owned()).collect());
            let shape = Shape::prepare(&ShapeSettings {
                allow,
                ..ShapeSettings::default()
            })
            .unwrap();
            let into = match into {
                [] => Into::Root,
                names => Into::At(names.iter().map(|name| (*name).to_owned()).collect()),
            };
            Layout::of_body(&into, &shape)
        };
        let overlap = |one: &Layout, other: &Layout| {
            assert_eq!(one.overlap(other), other.overlap(one));
            one.overlap(other).map(|path| path.join("."))
        };
        let whole = layout(&["user"], None);
        assert_eq!(overlap(&whole, &whole).as_deref(), Some("user"));
        assert_eq!(
            overlap(&whole, &layout(&["user", "orders"], None)).as_deref(),
            Some("user.orders")
        );
        assert_eq!(
            overlap(&layout(&["user"], Some(&["id"])), &layout(&["user"], Some(&["name"]))),
            None
        );
        assert_eq!(
            overlap(&layout(&["user"], Some(&["id"])), &layout(&[], Some(&["user.id.x"]))).as_deref(),
            Some("user.id.x")
        );
        assert_eq!(
            overlap(&layout(&[], Some(&["l[].a"])), &layout(&["l"], None)).as_deref(),
            Some("l")
        );
        assert_eq!(overlap(&layout(&[], None), &whole), None);
        assert_eq!(overlap(&layout(&["user"], Some(&[])), &whole), None);
    }
}
