//! From what the calls have come to, to the answer. Always in the order of configuration.

use std::cell::OnceCell;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::backend::aggregate::cache_control::{Part, combine};
use crate::backend::aggregate::failure::{Failed, Failure};
use crate::backend::aggregate::json::{Text, write_text};
use crate::backend::aggregate::merge::{Layout, join};
use crate::backend::aggregate::prepare::{Aggregate, Call};
use crate::backend::aggregate::settings::OnError;
use crate::backend::aggregate::template::{Answered, Request};
use crate::backend::aggregate::tree::{Members, Tree};

/// Says whether every call was answered.
pub(crate) const COMPLETE: HeaderName = HeaderName::from_static("x-portcullis-complete");

/// The answer to a client; its status is 200.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `Content-Type`, `Cache-Control`, `Vary` and [`COMPLETE`].
    pub(crate) headers: HeaderMap,
    /// JSON.
    pub(crate) body: Bytes,
    /// Whether every call was answered.
    pub(crate) complete: bool,
    /// The calls that were not, for logs and metrics.
    pub(crate) failures: Vec<(usize, Failure)>,
}

pub(crate) fn assemble(
    aggregate: &Aggregate,
    request: &Request<'_>,
    answers: &[OnceCell<Answered>],
    now: SystemTime,
) -> Result<Answer, Failed> {
    let mut tree: Option<Tree<'_>> = None;
    let mut failures: Vec<(usize, Failure)> = Vec::new();
    for (place, (call, answered)) in aggregate.calls.iter().zip(answers).enumerate() {
        let Some(answered) = answered.get() else { continue };
        if let Some(failure) = first_failure(answered) {
            failures.push((place, failure.clone()));
        }
        let added = match &answered.failure {
            Some(_) => instead(call).map_or(Ok(()), |part| add(&mut tree, call, part, &call.fallback)),
            None => shaped(call, answered).and_then(|part| match part {
                Some(part) => add(&mut tree, call, part, &call.layout),
                None => Ok(()),
            }),
        };
        let Err(failure) = added else { continue };
        if call.required {
            return Err(Failed {
                call: Some(place),
                failure,
            });
        }
        if first_failure(answered).is_none() {
            failures.push((place, failure));
        }
        // What is there in its place is left out where even that cannot be.
        if let Some(part) = instead(call).filter(|_| answered.failure.is_none()) {
            let _ = add(&mut tree, call, part, &call.fallback);
        }
    }
    let mut body = Vec::with_capacity(answers.iter().filter_map(OnceCell::get).map(size).sum::<usize>() + 64);
    let mut tree = tree.unwrap_or_else(|| Tree::Object(Members::opened()));
    let told = aggregate.errors.as_deref().filter(|_| !failures.is_empty());
    match told {
        Some(name) => {
            tree.write(&mut body);
            // The answer is an object wherever failures are told.
            body.pop();
            if tree.members().is_some_and(|members| !members.is_empty()) {
                body.push(b',');
            }
            Text::prepared(name).write(&mut body);
            body.push(b':');
            tell(aggregate, &failures, &mut body);
            body.push(b'}');
        }
        None => tree.write(&mut body),
    }
    let complete = failures.is_empty();
    let parts = aggregate.calls.iter().zip(answers).flat_map(|(call, answered)| {
        let heads = answered
            .get()
            .map(|answered| answered.heads.as_slice())
            .unwrap_or_default();
        heads.iter().map(|headers| Part {
            headers,
            safe: call.method.is_safe(),
            authorized: call.authorized,
        })
    });
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        COMPLETE,
        HeaderValue::from_static(if complete { "true" } else { "false" }),
    );
    let by = (aggregate.varies.as_slice(), aggregate.by_client);
    combine(parts, complete && request.method.is_safe(), by, now, &mut headers);
    Ok(Answer {
        headers,
        body: body.into(),
        complete,
        failures,
    })
}

fn size(answered: &Answered) -> usize {
    let own = answered.body.as_ref().map_or(0, |body| body.size());
    let items = answered.items.iter().flatten().flatten().flatten();
    own + items.map(|item| item.size() + 1).sum::<usize>()
}

fn first_failure(answered: &Answered) -> Option<&Failure> {
    let mut items = answered.items.iter().flatten();
    answered
        .failure
        .as_ref()
        .or_else(|| items.find_map(|item| item.as_ref().err()))
}

/// What a call's `on_error` puts in the place of a body.
fn instead(call: &Call) -> Option<Tree<'_>> {
    match &call.on_error {
        OnError::Omit => None,
        OnError::Null => Some(Tree::Null),
        OnError::Default(default) => Some(Tree::Value(default.root())),
    }
}

/// What goes into the answer of what a call was answered.
fn shaped<'d>(call: &'d Call, answered: &'d Answered) -> Result<Option<Tree<'d>>, Failure> {
    let clash = |clash: crate::backend::aggregate::shape::Clash| Failure::Clash(clash.name);
    let Some(items) = &answered.items else {
        return match &answered.body {
            Some(body) => call.shape.apply(body.root()).map_err(clash),
            None => Ok(None),
        };
    };
    let mut made = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Ok(Some(body)) => made.extend(call.shape.apply(body.root()).map_err(clash)?),
            Ok(None) => made.push(Tree::Null),
            Err(_) => made.extend(instead(call)),
        }
    }
    Ok(Some(Tree::Array(made)))
}

fn add<'d>(tree: &mut Option<Tree<'d>>, call: &'d Call, part: Tree<'d>, layout: &Layout) -> Result<(), Failure> {
    let Some(into) = &call.into else { return Ok(()) };
    if *layout == Layout::Unit && into.is_empty() {
        *tree = Some(part);
        return Ok(());
    }
    if into.is_empty() && !part.is_object() {
        return Err(Failure::NotAnObject);
    }
    let around = |inner, name: &'d String| Tree::Object(Members::one(Text::prepared(name), inner));
    let part = into.iter().rev().fold(part, around);
    let tree = tree.get_or_insert_with(|| Tree::Object(Members::opened()));
    join(tree, part, layout, call.merge).map_err(|collision| Failure::Collision(collision.path.join(".")))
}

/// Which calls have failed, and why in one word; a status only where the client may see it.
fn tell(aggregate: &Aggregate, failures: &[(usize, Failure)], out: &mut Vec<u8>) {
    out.push(b'[');
    for (place, (call, failure)) in failures.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"call\":");
        write_text(out, aggregate.name(*call));
        out.extend_from_slice(b",\"reason\":");
        write_text(out, failure.word());
        if let Failure::Status { status, passed: true } = failure {
            out.extend_from_slice(b",\"status\":");
            out.extend_from_slice(status.as_str().as_bytes());
        }
        out.push(b'}');
    }
    out.push(b']');
}
