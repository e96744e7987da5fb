//! The same shapes, told slowly: every value of a body is asked what all paths say of it.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;
use crate::backend::aggregate::json::{Document, Limits, Path, Step};

fn parse(text: &str) -> Vec<Step> {
    Path::parse(text).unwrap().steps().to_vec()
}

struct Oracle {
    allow: Option<Vec<Vec<Step>>>,
    deny: Vec<Vec<Step>>,
    rename: Vec<(Vec<Step>, String)>,
}

impl Oracle {
    fn starts(path: &[Step], with: &[Step]) -> bool {
        path.len() >= with.len() && path[..with.len()] == *with
    }

    /// What becomes of the value at `path`.
    fn shaped(&self, path: &[Step], value: &Value) -> Result<Option<Value>, ()> {
        if self.deny.iter().any(|deny| deny == path) {
            return Ok(None);
        }
        let allowed = match &self.allow {
            None => true,
            Some(allow) => allow.iter().any(|allow| Self::starts(path, allow)),
        };
        // The paths that go on from here.
        let on = |member: bool| {
            self.allow.iter().flatten().any(|allow| {
                Self::starts(allow, path)
                    && allow.len() > path.len()
                    && matches!(allow[path.len()], Step::Member(_)) == member
            })
        };
        Ok(match value {
            Value::Object(members) if allowed || on(true) || path.is_empty() && !on(false) => {
                let mut made = Map::new();
                for (name, value) in members {
                    let mut inside = path.to_vec();
                    inside.push(Step::Member(name.clone()));
                    let Some(value) = self.shaped(&inside, value)? else {
                        continue;
                    };
                    let renamed = self.rename.iter().find(|(path, _)| *path == inside);
                    let name = renamed.map_or(name, |(_, name)| name);
                    if made.insert(name.clone(), value).is_some() {
                        return Err(());
                    }
                }
                Some(Value::Object(made))
            }
            Value::Array(elements) if allowed || on(false) => {
                let mut inside = path.to_vec();
                inside.push(Step::Every);
                let shaped = elements.iter().map(|element| self.shaped(&inside, element));
                Some(Value::Array(
                    shaped.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect(),
                ))
            }
            Value::Object(_) | Value::Array(_) => None,
            leaf => allowed.then(|| leaf.clone()),
        })
    }
}

/// Documents of few names, so that paths meet them.
fn any_body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        (0..9i64).prop_map(Value::from),
        "[xy]".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[abcd]", inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_path() -> impl Strategy<Value = String> {
    "[abc](\\.[abc]|\\[\\]){0,3}"
}

fn shaped(settings: &ShapeSettings, body: &Value) -> Option<Result<Option<String>, Clash>> {
    let shape = Shape::prepare(settings).ok()?;
    let document = Document::parse(Bytes::from(body.to_string()), &Limits::default()).unwrap();
    Some(shape.apply(document.root()).map(|tree| {
        tree.map(|tree| {
            let mut out = Vec::new();
            tree.write(&mut out);
            String::from_utf8(out).unwrap()
        })
    }))
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn bodies_are_shaped() {
    let body = serde_json::json!({
        "id": 1, "name": "A", "address": {"city": "C", "zip": 2},
        "items": [{"price": 1, "note": "n"}, {"note": "n"}, 3, [], null],
    });
    for (target, allow, deny, rename, wanted) in [
        (
            None,
            Some(vec!["id", "address.city"]),
            vec![],
            vec![],
            Some(r#"{"id":1,"address":{"city":"C"}}"#),
        ),
        (
            None,
            Some(vec!["items[].price"]),
            vec![],
            vec![],
            Some(r#"{"items":[{"price":1},{}]}"#),
        ),
        (
            None,
            Some(vec!["name.first", "items.price"]),
            vec![],
            vec![],
            Some("{}"),
        ),
        (None, Some(vec![]), vec![], vec![], Some("{}")),
        (
            None,
            Some(vec!["address", "address.city"]),
            vec!["address.zip"],
            vec![],
            Some(r#"{"address":{"city":"C"}}"#),
        ),
        (
            None,
            None,
            vec!["items", "address.city"],
            vec![],
            Some(r#"{"id":1,"name":"A","address":{"zip":2}}"#),
        ),
        (
            Some("items"),
            None,
            vec![],
            vec![],
            Some(r#"[{"price":1,"note":"n"},{"note":"n"},3,[],null]"#),
        ),
        (
            Some("items[0]"),
            Some(vec!["price"]),
            vec![],
            vec![("price", "cost")],
            Some(r#"{"cost":1}"#),
        ),
        (Some("address"), None, vec![], vec![("zip", "city")], None),
        (
            Some("address"),
            None,
            vec!["city"],
            vec![("zip", "city")],
            Some(r#"{"city":2}"#),
        ),
        (Some("nowhere"), None, vec![], vec![], Some("nothing")),
    ] {
        let settings = ShapeSettings {
            target: target.map(str::to_owned),
            allow: allow.map(|allow| texts(&allow)),
            deny: texts(&deny),
            rename: rename
                .into_iter()
                .map(|(path, name)| (path.to_owned(), name.to_owned()))
                .collect(),
        };
        let result = shaped(&settings, &body).expect("a shape");
        let result = result.map(|shaped| shaped.unwrap_or_else(|| "nothing".to_owned())).ok();
        assert_eq!(result.as_deref(), wanted, "{settings:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn shapes_do_what_the_oracle_says(
        body in any_body(),
        allow in prop::option::of(prop::collection::vec(any_path(), 1..4)),
        deny in prop::collection::vec(any_path(), 0..2),
        rename in prop::collection::vec((any_path(), "[abcde]"), 0..2),
    ) {
        let settings = ShapeSettings { target: None, allow, deny, rename };
        let paths = |texts: &[String]| texts.iter().map(|text| parse(text)).collect::<Vec<_>>();
        let oracle = Oracle {
            allow: settings.allow.as_deref().map(paths),
            deny: paths(&settings.deny),
            rename: settings.rename.iter().map(|(path, name)| (parse(path), name.clone())).collect(),
        };
        if let Some(result) = shaped(&settings, &body) {
            let expected = oracle.shaped(&[], &body);
            match (result, expected) {
                (Ok(own), Ok(expected)) => prop_assert_eq!(own, expected.map(|value| value.to_string()), "{:?}", settings),
                (Err(_), Err(())) => {}
                (own, expected) => prop_assert!(false, "{:?}: {:?}, expected {:?}", settings, own, expected),
            }
        }
    }
}
