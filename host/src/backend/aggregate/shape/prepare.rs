//! From the paths of a configuration to one tree of rules.

use crate::backend::aggregate::json::{Path, Step, quoted};
use crate::backend::aggregate::misread::Misread;

/// What to take from a body, as it is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShapeSettings {
    /// The part of the body to take in its place: `data.user`.
    pub(crate) target: Option<String>,
    /// What to keep; everything, if there is none.
    pub(crate) allow: Option<Vec<String>>,
    /// What to leave out.
    pub(crate) deny: Vec<String>,
    /// What to call by another name: a path, and the new name of its last member.
    pub(crate) rename: Vec<(String, String)>,
}

/// Which of the settings is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `target`
    Target,
    /// `allow`, and which of them.
    Allow(usize),
    /// `deny`, and which of them.
    Deny(usize),
    /// `rename`, and which of them.
    Rename(usize),
}

/// What is wrong with a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShapeError {
    /// The setting.
    pub(crate) place: Place,
    /// What is wrong with it.
    pub(crate) misread: Misread,
}

/// What to take from a body, ready to use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    pub(super) target: Vec<Step>,
    pub(crate) rule: Rule,
}

/// What to take from one value.
#[derive(Debug, Clone, Default)]
pub(crate) enum Rule {
    /// All of it.
    #[default]
    All,
    /// Nothing.
    Nothing,
    /// Some of it.
    Some(Box<Selection>),
}

/// What to take from a value of which not all is.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) members: Vec<Member>,
    /// For every element, if it is an array.
    pub(super) elements: Option<Rule>,
    /// Whether what has no rule is taken as it is.
    pub(super) others: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(super) name: String,
    /// What it is called in the answer, ready to stand between quotes.
    pub(crate) quoted: String,
    /// What it is called in the answer.
    pub(crate) called: String,
    renamed: bool,
    pub(crate) rule: Rule,
}

impl Shape {
    /// Prepares a shape.
    ///
    /// # Errors
    /// For paths that cannot be read, that have no effect, or that contradict each other.
    pub(crate) fn prepare(settings: &ShapeSettings) -> Result<Self, Vec<ShapeError>> {
        let mut errors = Vec::new();
        let mut read = |place: Place, text: &str| {
            let path = Path::parse(text).and_then(|path| fits(place, text, path));
            path.map_err(|misread| errors.push(ShapeError { place, misread })).ok()
        };
        let target = settings.target.as_ref().and_then(|text| read(Place::Target, text));
        let allow = settings.allow.as_ref().map(|allow| {
            let paths = allow.iter().enumerate();
            paths
                .filter_map(|(place, text)| read(Place::Allow(place), text))
                .collect::<Vec<_>>()
        });
        let deny: Vec<_> = settings
            .deny
            .iter()
            .enumerate()
            .map(|(at, text)| read(Place::Deny(at), text))
            .collect();
        let renames = settings.rename.iter().enumerate();
        let rename: Vec<_> = renames.map(|(at, (text, _))| read(Place::Rename(at), text)).collect();
        let mut rule = match &allow {
            None => Rule::All,
            Some(_) => Rule::Some(Box::new(Selection::new(false))),
        };
        for path in allow.iter().flatten() {
            allow_one(&mut rule, path.steps());
        }
        let mut refuse = |place, text: &str, message: String, help: Option<String>| {
            let misread = Misread::new(0..text.len(), message).help(help);
            errors.push(ShapeError { place, misread });
        };
        for (at, (path, text)) in deny.iter().zip(&settings.deny).enumerate() {
            let Some(path) = path else { continue };
            if !change(&mut rule, path.steps(), &mut |rule| *rule = Rule::Nothing) {
                let message = format!("`{text}` is not there to be denied");
                refuse(
                    Place::Deny(at),
                    text,
                    message,
                    Some("`allow` does not keep it; leave it out here".to_owned()),
                );
            }
        }
        for (at, (path, (text, name))) in rename.iter().zip(&settings.rename).enumerate() {
            let Some(path) = path else { continue };
            if let Err(why) = rename_one(&mut rule, path.steps(), name) {
                refuse(Place::Rename(at), text, why, None);
            }
        }
        if errors.is_empty() {
            let target = target.map_or_else(Vec::new, |path| path.steps().to_vec());
            Ok(Self { target, rule })
        } else {
            Err(errors)
        }
    }
}

/// Whether a path is one that a setting may have.
fn fits(place: Place, text: &str, path: Path) -> Result<Path, Misread> {
    let has = |wanted: fn(&Step) -> bool| path.steps().iter().any(wanted);
    let whole = 0..text.len();
    match place {
        Place::Target if has(|step| *step == Step::Every) => {
            let help = "write `[0]` for one element".to_owned();
            Err(Misread::new(whole, "`target` is one part of a body").help(help))
        }
        Place::Target => Ok(path),
        _ if has(|step| matches!(step, Step::Element(_))) => {
            let help = "write `[]` for every element; `target` takes one".to_owned();
            Err(Misread::new(whole, "one element cannot be chosen here").help(help))
        }
        Place::Rename(_) if !matches!(path.steps().last(), Some(Step::Member(_))) => {
            Err(Misread::new(whole, "only a member has a name"))
        }
        _ => Ok(path),
    }
}

impl Selection {
    fn new(others: bool) -> Self {
        Self {
            members: Vec::new(),
            elements: None,
            others,
        }
    }

    /// Whether it takes members of an object only, and only those that it names.
    pub(crate) fn is_closed(&self) -> bool {
        !self.others && self.elements.is_none()
    }

    /// The rule for a member, made if there is none.
    fn member(&mut self, name: &str, first: Rule) -> &mut Member {
        let place = match self.members.iter().position(|member| member.name == name) {
            Some(place) => place,
            None => {
                self.members.push(Member {
                    name: name.to_owned(),
                    quoted: quoted(name),
                    called: name.to_owned(),
                    renamed: false,
                    rule: first,
                });
                self.members.len() - 1
            }
        };
        &mut self.members[place]
    }
}

fn allow_one(rule: &mut Rule, steps: &[Step]) {
    let Some((step, rest)) = steps.split_first() else {
        *rule = Rule::All;
        return;
    };
    // Under what is allowed already, everything is.
    let Rule::Some(some) = rule else { return };
    let nothing = || Rule::Some(Box::new(Selection::new(false)));
    match step {
        Step::Member(name) => allow_one(&mut some.member(name, nothing()).rule, rest),
        _ => allow_one(some.elements.get_or_insert_with(nothing), rest),
    }
}

/// Changes the rule at the end of a path; `false` if that is not kept anyway.
fn change(rule: &mut Rule, steps: &[Step], to: &mut dyn FnMut(&mut Rule)) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        to(rule);
        return true;
    };
    if let Rule::All = rule {
        *rule = Rule::Some(Box::new(Selection::new(true)));
    }
    let Rule::Some(some) = rule else { return false };
    let known = some.others || {
        match step {
            Step::Member(name) => some.members.iter().any(|member| member.name == *name),
            _ => some.elements.is_some(),
        }
    };
    known
        && match step {
            Step::Member(name) => change(&mut some.member(name, Rule::All).rule, rest, to),
            _ => change(some.elements.get_or_insert(Rule::All), rest, to),
        }
}

/// Gives a member another name.
fn rename_one(rule: &mut Rule, steps: &[Step], name: &str) -> Result<(), String> {
    let Some((Step::Member(own), parents)) = steps.split_last() else {
        return Ok(());
    };
    let mut result = Err(format!("`{own}` is not there to be renamed"));
    change(rule, parents, &mut |rule| {
        if let Rule::All = rule {
            *rule = Rule::Some(Box::new(Selection::new(true)));
        }
        let Rule::Some(some) = rule else { return };
        let known = some
            .members
            .iter()
            .any(|member| member.name == *own && !matches!(member.rule, Rule::Nothing));
        let denied = some.members.iter().any(|member| member.name == *own) && !known;
        if denied || !(known || some.others) {
            return;
        }
        let other = some
            .members
            .iter()
            .find(|member| member.name != *own && member.called == *name && !matches!(member.rule, Rule::Nothing));
        result = match other {
            Some(other) => Err(format!("`{}` would be called `{name}` too", other.name)),
            None => {
                let member = some.member(own, Rule::All);
                if member.renamed {
                    Err(format!("`{own}` is renamed twice"))
                } else {
                    member.renamed = true;
                    member.called = name.to_owned();
                    member.quoted = quoted(name);
                    Ok(())
                }
            }
        };
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(settings: ShapeSettings) -> Vec<(Place, String)> {
        let errors = Shape::prepare(&settings).expect_err("an error");
        errors
            .into_iter()
            .map(|error| (error.place, error.misread.message))
            .collect()
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn shapes_that_cannot_be_meant_are_refused_all_at_once() {
        let settings = ShapeSettings {
            target: Some("a[].b".into()),
            allow: Some(texts(&["a[0]", "b", "c."])),
            deny: texts(&["b.x", "z"]),
            rename: vec![("b[]".into(), "x".into()), ("y".into(), "x".into())],
        };
        let expected = [
            (Place::Target, "`target` is one part of a body"),
            (Place::Allow(0), "one element cannot be chosen here"),
            (Place::Allow(2), "a name is missing at the end"),
            (Place::Rename(0), "only a member has a name"),
            (Place::Deny(1), "`z` is not there to be denied"),
            (Place::Rename(1), "`y` is not there to be renamed"),
        ];
        assert_eq!(
            errors(settings),
            expected.map(|(place, message)| (place, message.to_owned()))
        );
    }

    #[test]
    fn renames_that_clash_are_refused() {
        let rename = |allow: Option<&[&str]>, deny: &[&str], renames: &[(&str, &str)]| {
            Shape::prepare(&ShapeSettings {
                target: None,
                allow: allow.map(texts),
                deny: texts(deny),
                rename: renames
                    .iter()
                    .map(|(path, name)| ((*path).to_owned(), (*name).to_owned()))
                    .collect(),
            })
            .map_err(|errors| errors[0].misread.message.clone())
        };
        assert_eq!(
            rename(Some(&["a", "b"]), &[], &[("a", "b")]).unwrap_err(),
            "`b` would be called `b` too"
        );
        assert_eq!(
            rename(None, &[], &[("a", "c"), ("b", "c")]).unwrap_err(),
            "`a` would be called `c` too"
        );
        assert_eq!(
            rename(None, &[], &[("a", "c"), ("a", "d")]).unwrap_err(),
            "`a` is renamed twice"
        );
        assert_eq!(
            rename(None, &["a"], &[("a", "c")]).unwrap_err(),
            "`a` is not there to be renamed"
        );
        assert!(rename(Some(&["a", "b"]), &[], &[("b", "c"), ("a", "b")]).is_ok());
        assert!(rename(None, &["b"], &[("a", "b")]).is_ok());
    }
}
