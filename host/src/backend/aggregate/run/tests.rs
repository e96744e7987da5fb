// Long because each rule of calls, their failures and their order has a test here, over one made-up set of services.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use futures_util::stream;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::{Full, StreamBody};
use proptest::prelude::*;

use super::*;
use crate::backend::aggregate::failure::FailsWith;
use crate::backend::aggregate::json::{Document, Limits};
use crate::backend::aggregate::merge::{Into, Merge};
use crate::backend::aggregate::settings::{CallSettings, ForeachSettings, Known, OnError, Settings, SettingsError};

type Fields = Vec<(&'static str, &'static str)>;

/// After how long, and what.
type Ready = (u64, u16, Fields, String);

/// Services that answer after a while, by target.
#[derive(Default)]
struct Fake {
    answers: HashMap<String, Ready>,
    seen: RefCell<Vec<(String, HeaderMap, Bytes)>>,
    ended: Cell<usize>,
    now: Cell<usize>,
    most: Cell<usize>,
}

impl Fake {
    fn with(mut self, target: &str, after: u64, body: &str) -> Self {
        self.answers
            .insert(target.to_owned(), (after, 200, Vec::new(), body.to_owned()));
        self
    }

    fn status(mut self, target: &str, after: u64, status: u16) -> Self {
        self.answers
            .insert(target.to_owned(), (after, status, Vec::new(), "{}".to_owned()));
        self
    }

    fn fields(mut self, target: &str, fields: &[(&'static str, &'static str)], body: &str) -> Self {
        self.answers
            .insert(target.to_owned(), (0, 200, fields.to_vec(), body.to_owned()));
        self
    }
}

impl Caller for Fake {
    type Body = Full<Bytes>;

    async fn call(&self, request: Outgoing<'_>) -> Result<Response<Full<Bytes>>, CallError> {
        self.seen
            .borrow_mut()
            .push((request.target.clone(), request.headers, request.body));
        let Some((after, status, fields, body)) = self.answers.get(&request.target) else {
            return Err(CallError::Unreachable);
        };
        self.now.set(self.now.get() + 1);
        self.most.set(self.most.get().max(self.now.get()));
        tokio::time::sleep(Duration::from_millis(*after)).await;
        self.now.set(self.now.get() - 1);
        self.ended.set(self.ended.get() + 1);
        let mut response = Response::new(Full::new(Bytes::from(body.clone())));
        *response.status_mut() = StatusCode::from_u16(*status).unwrap();
        for (name, value) in fields {
            response
                .headers_mut()
                .append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Ok(response)
    }
}

const KNOWN: Known<'static> = Known {
    upstreams: &["s"],
    parameters: &["id"],
    rules: crate::backend::aggregate::template::PathRules {
        allow_encoded_slash: false,
        allow_encoded_backslash: false,
    },
};

fn settings(calls: Vec<CallSettings>) -> Settings {
    Settings {
        calls,
        total: 1 << 20,
        ..Settings::default()
    }
}

fn aggregate(calls: Vec<CallSettings>) -> Aggregate {
    Aggregate::new(&settings(calls), &KNOWN).unwrap()
}

fn json(text: &str) -> Document {
    Document::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).expect(text)
}

fn call(name: &str, target: &str, into: &str) -> CallSettings {
    let into = match into {
        "" => Into::Root,
        path => Into::At(path.split('.').map(str::to_owned).collect()),
    };
    CallSettings {
        into,
        ..CallSettings::get(name, target)
    }
}

fn optional(call: CallSettings, on_error: OnError) -> CallSettings {
    CallSettings {
        required: false,
        on_error,
        ..call
    }
}

fn foreach(call: CallSettings, over: &str, items: usize, at_once: usize) -> CallSettings {
    let foreach = ForeachSettings {
        over: over.to_owned(),
        items,
        at_once,
    };
    CallSettings {
        foreach: Some(foreach),
        ..call
    }
}

async fn run_in(aggregate: &Aggregate, fake: &Fake, time: u64) -> Result<Answer, Failed> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("accept-language", "de"),
        ("authorization", "x"),
        ("x-a", "1"),
        ("x-hop", "1"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let request = Request {
        method: &Method::GET,
        parameters: &[("id", "7")],
        query: Some("q=1"),
        headers: &headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let deadline = (Instant::now() + Duration::from_millis(time)).into_std();
    aggregate.run(&request, fake, deadline, SystemTime::UNIX_EPOCH).await
}

async fn answered(aggregate: &Aggregate, fake: &Fake) -> String {
    let answer = run_in(aggregate, fake, 1000).await.expect("an answer");
    let complete = if answer.complete { "" } else { " partial" };
    assert_eq!(
        answer.headers[crate::backend::aggregate::answer::COMPLETE],
        if answer.complete { "true" } else { "false" }
    );
    format!("{}{complete}", str::from_utf8(&answer.body).unwrap())
}

async fn failed(aggregate: &Aggregate, fake: &Fake) -> (Option<usize>, FailsWith, &'static str) {
    let failed = run_in(aggregate, fake, 1000).await.expect_err("a failure");
    (failed.call, failed.failure.fails_with(), failed.failure.word())
}

#[tokio::test(start_paused = true)]
async fn the_example_of_the_semantics() {
    let mut user = call("user", "s:/users/${path.id}", "");
    user.shape.allow = Some(["id", "name", "address.city"].map(str::to_owned).to_vec());
    let orders = call("orders", "s:/orders?user=${call.user.body.id}", "history.orders");
    let aggregate = aggregate(vec![user, optional(orders, OnError::Default(json("[]")))]);
    let fake = Fake::default().with(
        "/users/7",
        5,
        r#"{"id": 700.10, "name": "A", "age": 3, "address": {"city": "C", "zip": 1}}"#,
    );
    let whole = fake.with("/orders?user=700.10", 5, r#"[{"total": 1.00}]"#);
    assert_eq!(
        answered(&aggregate, &whole).await,
        r#"{"id":700.10,"name":"A","address":{"city":"C"},"history":{"orders":[{"total":1.00}]}}"#
    );
    let partial = whole.status("/orders?user=700.10", 5, 500);
    assert_eq!(
        answered(&aggregate, &partial).await,
        r#"{"id":700.10,"name":"A","address":{"city":"C"},"history":{"orders":[]}} partial"#
    );
    assert_eq!(
        aggregate.explain(),
        "1  user    GET s:/users/${path.id}\n2  orders  GET s:/orders?user=${call.user.body.id}  after user; optional, else its default\n"
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_depend_runs_at_once() {
    let aggregate = aggregate(vec![
        call("a", "s:/a", "a"),
        call("b", "s:/b", "b"),
        call("c", "s:/c/${call.a.body.x}/${call.b.status}", "c"),
    ]);
    let fake = Fake::default()
        .with("/a", 100, r#"{"x":1}"#)
        .with("/b", 80, "2")
        .with("/c/1/200", 50, "3");
    let start = Instant::now();
    assert_eq!(answered(&aggregate, &fake).await, r#"{"a":{"x":1},"b":2,"c":3}"#);
    assert_eq!(start.elapsed().as_millis(), 150);
    assert_eq!(fake.most.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_required_failure_ends_the_rest() {
    let mut a = call("a", "s:/a", "a");
    a.pass_status.add("404").unwrap();
    let aggregate = aggregate(vec![a, call("b", "s:/b", "b")]);
    let slow = Fake::default().status("/a", 10, 500).with("/b", 900, "1");
    let start = Instant::now();
    assert_eq!(
        failed(&aggregate, &slow).await,
        (Some(0), FailsWith::BadGateway, "status")
    );
    assert_eq!((start.elapsed().as_millis(), slow.ended.get()), (10, 1));
    let not_found = Fake::default().status("/a", 10, 404).with("/b", 900, "1");
    assert_eq!(
        failed(&aggregate, &not_found).await.1,
        FailsWith::Passed(StatusCode::NOT_FOUND)
    );
    let late = Fake::default().with("/a", 10, "1").with("/b", 2000, "1");
    assert_eq!(
        failed(&aggregate, &late).await,
        (Some(1), FailsWith::GatewayTimeout, "timeout")
    );
    let gone = Fake::default().with("/a", 10, "1");
    assert_eq!(
        failed(&aggregate, &gone).await,
        (Some(1), FailsWith::BadGateway, "unavailable")
    );
    for body in ["{", "", "NaN", "\"\\ud800\""] {
        let odd = Fake::default().with("/a", 0, "1").with("/b", 0, body);
        match body {
            "" => assert_eq!(answered(&aggregate, &odd).await, r#"{"a":1}"#),
            _ => assert_eq!(
                failed(&aggregate, &odd).await,
                (Some(1), FailsWith::BadGateway, "malformed")
            ),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_what_is_optional_is_left_out() {
    let mut own = optional(call("own", "s:/own", "own"), OnError::Null);
    own.timeout = Some(Duration::from_millis(20));
    let aggregate = aggregate(vec![
        call("a", "s:/a", "a"),
        optional(call("b", "s:/b", "b"), OnError::Omit),
        optional(call("c", "s:/c/${call.b.body.x}", "c"), OnError::Null),
        own,
    ]);
    let fake = Fake::default()
        .with("/a", 1, "1")
        .with("/b", 5000, "1")
        .with("/own", 30, "1");
    let start = Instant::now();
    assert_eq!(
        answered(&aggregate, &fake).await,
        r#"{"a":1,"c":null,"own":null} partial"#
    );
    assert_eq!(start.elapsed().as_millis(), 1000);
    let answer = run_in(&aggregate, &fake, 0).await.unwrap_err();
    assert_eq!(answer.failure.fails_with(), FailsWith::GatewayTimeout);
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_when_asked_for() {
    let mut shown = optional(call("shown", "s:/404", "shown"), OnError::Omit);
    shown.pass_status.add("4xx").unwrap();
    let mut settings = settings(vec![
        optional(call("b", "s:/500", "b"), OnError::Default(json(r#"{"x": 1.0}"#))),
        shown,
        optional(call("d", "s:/d?x=${call.b.body.x}", "d"), OnError::Omit),
    ]);
    settings.errors = Some("errors".to_owned());
    let aggregate = Aggregate::new(&settings, &KNOWN).unwrap();
    let fake = Fake::default()
        .status("/500", 0, 500)
        .status("/404", 9, 404)
        .with("/d?x=1.0", 0, "true");
    assert_eq!(
        answered(&aggregate, &fake).await,
        r#"{"b":{"x":1.0},"d":true,"errors":[{"call":"b","reason":"status"},{"call":"shown","reason":"status","status":404}]} partial"#
    );
    let none = Fake::default();
    assert!(
        answered(&aggregate, &none)
            .await
            .ends_with(r#"{"call":"d","reason":"unavailable"}]} partial"#)
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_reference_is_its_owners_fault() {
    let clients = aggregate(vec![call("a", "s:/a?x=${query.no}", "a")]);
    assert_eq!(
        failed(&clients, &Fake::default()).await,
        (Some(0), FailsWith::BadRequest, "missing-input")
    );
    let services = aggregate(vec![call("a", "s:/a", "a"), call("b", "s:/b?x=${call.a.body.no}", "b")]);
    let fake = Fake::default().with("/a", 0, "{}");
    assert_eq!(
        failed(&services, &fake).await,
        (Some(1), FailsWith::BadGateway, "missing-input")
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_for_each_item() {
    let list = |required: bool, on_error, items| {
        let each = foreach(call("each", "s:/i/${item.id}", "items"), "call.list.body", items, 2);
        let list = CallSettings {
            into: Into::Nowhere,
            ..call("list", "s:/list", "")
        };
        let last = call("last", "s:/last/${call.each.body[1].n ?? none}", "last");
        aggregate(vec![
            list,
            CallSettings {
                required,
                on_error,
                ..each
            },
            last,
        ])
    };
    let fake = |two: u16| {
        let fake = Fake::default().with("/list", 0, r#"[{"id":1},{"id":2},{"id":3}]"#);
        let fake = fake
            .with("/i/1", 30, r#"{"n": 1}"#)
            .with("/i/2", 5, r#"{"n": 2.0}"#)
            .with("/i/3", 1, r#"{"n": 3}"#);
        let fake = if two == 200 { fake } else { fake.status("/i/2", 5, two) };
        ["none", "2.0", "3"]
            .iter()
            .fold(fake, |fake, n| fake.with(&format!("/last/{n}"), 0, "0"))
    };
    let whole = fake(200);
    let all = list(true, OnError::Omit, 3);
    assert_eq!(
        answered(&all, &whole).await,
        r#"{"items":[{"n":1},{"n":2.0},{"n":3}],"last":0}"#
    );
    assert_eq!(whole.most.get(), 2);
    assert_eq!(failed(&all, &fake(500)).await.0, Some(1));
    let two = list(true, OnError::Omit, 2);
    assert_eq!(
        failed(&two, &whole).await,
        (Some(1), FailsWith::BadGateway, "too-large")
    );
    for (on_error, wanted) in [
        (OnError::Omit, r#"[{"n":1},{"n":3}]"#),
        (OnError::Null, r#"[{"n":1},null,{"n":3}]"#),
        (OnError::Default(json("{}")), r#"[{"n":1},{},{"n":3}]"#),
    ] {
        let some = list(false, on_error, 3);
        assert_eq!(
            answered(&some, &fake(500)).await,
            format!("{{\"items\":{wanted},\"last\":0}} partial")
        );
    }
    let no_list = Fake::default().with("/list", 0, "{}").with("/last/none", 0, "0");
    assert_eq!(
        failed(&all, &no_list).await,
        (Some(1), FailsWith::BadGateway, "malformed")
    );
    let empty = Fake::default().with("/list", 0, "[]").with("/last/none", 0, "0");
    assert_eq!(answered(&all, &empty).await, r#"{"items":[],"last":0}"#);
}

#[tokio::test(start_paused = true)]
async fn sizes_are_capped_one_by_one_and_together() {
    let long = format!("\"{}\"", "x".repeat(98));
    let fake = Fake::default().with("/a", 0, &long).with("/b", 0, &long);
    let with = |bytes, total| {
        let calls = vec![call("a", "s:/a", "a"), optional(call("b", "s:/b", "b"), OnError::Omit)];
        let limits = Limits {
            bytes,
            ..Limits::default()
        };
        Aggregate::new(
            &Settings {
                total,
                limits,
                ..settings(calls)
            },
            &KNOWN,
        )
        .unwrap()
    };
    assert!(run_in(&with(100, 200), &fake, 9).await.is_ok());
    assert_eq!(
        failed(&with(99, 200), &fake).await,
        (Some(0), FailsWith::BadGateway, "too-large")
    );
    assert_eq!(
        failed(&with(100, 199), &fake).await,
        (None, FailsWith::BadGateway, "too-large")
    );
}

/// Bodies in many pieces, one of which may be an error.
struct InPieces(Vec<Result<&'static str, &'static str>>);

impl Caller for InPieces {
    type Body = StreamBody<stream::Iter<std::vec::IntoIter<Result<http_body::Frame<Bytes>, &'static str>>>>;

    async fn call(&self, _: Outgoing<'_>) -> Result<Response<Self::Body>, CallError> {
        let frames = self
            .0
            .iter()
            .map(|piece| piece.map(|text| http_body::Frame::data(Bytes::from_static(text.as_bytes()))));
        Ok(Response::new(StreamBody::new(stream::iter(frames.collect::<Vec<_>>()))))
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_come_in_pieces_and_are_never_half_a_body() {
    let aggregate = aggregate(vec![call("a", "s:/a", "a")]);
    let headers = HeaderMap::new();
    let request = Request {
        method: &Method::GET,
        parameters: &[],
        query: None,
        headers: &headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let deadline = (Instant::now() + Duration::from_secs(1)).into_std();
    let run = async |pieces| {
        aggregate
            .run(&request, &InPieces(pieces), deadline, SystemTime::UNIX_EPOCH)
            .await
    };
    let whole = run(vec![Ok("[1"), Ok(",2"), Ok(",3]")]).await.unwrap();
    assert_eq!(whole.body, r#"{"a":[1,2,3]}"#);
    assert_eq!(
        run(vec![Ok("[1]"), Err("reset")]).await.unwrap_err().failure,
        Failure::Broken
    );
}

#[tokio::test(start_paused = true)]
async fn only_listed_fields_are_passed() {
    let mut post = call("a", "s:/a", "a");
    post.method = Method::POST;
    post.pass.push(HeaderName::from_static("x-a"));
    post.fields = vec![
        (HeaderName::from_static("x-id"), "id-${path.id}".to_owned()),
        (HeaderName::from_static("x-no"), "${query.no?}".to_owned()),
    ];
    post.body = Some(json(r#"{"id":"${path.id}"}"#));
    let aggregate = Aggregate::new(
        &Settings {
            allow_unsafe: true,
            ..settings(vec![post])
        },
        &KNOWN,
    )
    .unwrap();
    let fake = Fake::default().with("/a", 0, "1");
    answered(&aggregate, &fake).await;
    let (_, headers, body) = fake.seen.borrow()[0].clone();
    let mut sent: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    sent.sort_unstable();
    assert_eq!(
        sent,
        [
            "accept-encoding: identity",
            "accept-language: de",
            "accept: application/json",
            "content-type: application/json",
            "x-a: 1",
            "x-id: id-7"
        ]
    );
    assert_eq!(body, r#"{"id":"7"}"#);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_kept_is_what_all_parts_allow() {
    let aggregate = aggregate(vec![
        call("a", "s:/a?x=${header.x-a}", "a"),
        optional(call("b", "s:/b", "b"), OnError::Omit),
    ]);
    let fake = Fake::default().fields(
        "/a?x=1",
        &[("cache-control", "max-age=60"), ("vary", "accept-language")],
        "1",
    );
    let partial = run_in(&aggregate, &fake, 9).await.unwrap();
    assert_eq!(partial.headers["cache-control"], "no-store");
    let fake = fake.fields("/b", &[("cache-control", "max-age=40"), ("age", "10")], "1");
    let whole = run_in(&aggregate, &fake, 9).await.unwrap();
    assert_eq!(
        (&whole.headers["cache-control"], &whole.headers["vary"]),
        (
            &HeaderValue::from_static("max-age=30"),
            &HeaderValue::from_static("accept-language, x-a")
        )
    );
}

#[tokio::test(start_paused = true)]
async fn collisions_that_only_a_body_shows_fail_the_later_call() {
    let required = aggregate(vec![call("a", "s:/a", ""), call("b", "s:/b", "")]);
    let fake = Fake::default()
        .with("/a", 50, r#"{"x":1}"#)
        .with("/b", 0, r#"{"y":2,"x":2}"#);
    assert_eq!(
        failed(&required, &fake).await,
        (Some(1), FailsWith::BadGateway, "malformed")
    );
    let left_out = aggregate(vec![
        call("a", "s:/a", ""),
        optional(call("b", "s:/b", ""), OnError::Default(json(r#"{"z":0}"#))),
    ]);
    assert_eq!(answered(&left_out, &fake).await, r#"{"x":1,"z":0} partial"#);
    let list = Fake::default().with("/a", 0, "[1]").with("/b", 0, "{}");
    assert_eq!(
        failed(&required, &list).await,
        (Some(0), FailsWith::BadGateway, "malformed")
    );
    let only = aggregate(vec![call("a", "s:/a", "")]);
    assert_eq!(answered(&only, &list).await, "[1]");
}

#[tokio::test(start_paused = true)]
async fn the_deepest_documents_are_joined() {
    let deep = |inside: &str| {
        format!(
            "{}{inside}{}",
            "{ \"a\":".repeat(Limits::DEEPEST),
            "}".repeat(Limits::DEEPEST)
        )
    };
    let limits = Limits {
        depth: Limits::DEEPEST,
        ..Limits::default()
    };
    let merged = CallSettings {
        merge: Some(Merge::Deep),
        ..call("b", "s:/b", "x")
    };
    let settings = Settings {
        limits,
        ..settings(vec![call("a", "s:/a", "x"), merged])
    };
    let aggregate = Aggregate::new(&settings, &KNOWN).unwrap();
    let fake = Fake::default().with("/a", 0, &deep("1")).with("/b", 0, &deep("2"));
    assert_eq!(
        answered(&aggregate, &fake).await,
        format!("{{\"x\":{}}}", deep("2").replace(' ', ""))
    );
}

#[tokio::test(start_paused = true)]
async fn what_names_the_client_makes_an_answer_private() {
    for (target, wanted) in [
        ("s:/1?x=${header.authorization}", "private, max-age=9"),
        ("s:/1?x=${client.ip}", "private, max-age=9"),
        ("s:/1?x=${header.x-a}", "max-age=9"),
    ] {
        let aggregate = aggregate(vec![call("a", target, "a")]);
        let fields = [("cache-control", "max-age=9")];
        let fake = ["x", "127.0.0.1", "1"].iter().fold(Fake::default(), |fake, x| {
            fake.fields(&format!("/1?x={x}"), &fields, "1")
        });
        let answer = run_in(&aggregate, &fake, 9).await.unwrap();
        assert_eq!(answer.headers["cache-control"], wanted, "{target}");
    }
}

fn errors(settings: &Settings) -> Vec<String> {
    let told = |error: SettingsError| {
        let (call, key) = (error.call.unwrap_or_default(), error.key);
        format!("{call}.{key}@{:?}: {}", error.misread.at, error.misread.message)
    };
    Aggregate::new(settings, &KNOWN)
        .expect_err("errors")
        .into_iter()
        .map(told)
        .collect()
}

#[test]
fn settings_are_refused_with_all_that_is_wrong() {
    let mut post = call("post", "t:/x", "x");
    post.method = Method::POST;
    let mut get = call("get", "s:/${path.no}/${call.pst.status}", "y");
    get.body = Some(json("{}"));
    get.pass = vec![http::header::TE, http::header::RANGE];
    get.on_error = OnError::Null;
    let each = foreach(call("each", "s:/${item.id}", ""), "path.id", 0, 1);
    assert_eq!(
        errors(&settings(vec![post, get, each])),
        [
            "post.post@0..0: `POST` may change something, and calls are made whenever the route is asked",
            "post.post@0..1: unknown upstream `t`",
            "get.get@10..12: unknown path parameter `no`",
            "get.pass_headers@0..0: `te` cannot be sent: it belongs to one connection",
            "get.pass_headers@0..0: `range` cannot be sent: the gateway sets it itself",
            "get.body@0..0: a body means nothing to `GET`",
            "get.on_error@0..0: without a required call there is no answer",
            "each.into@0..0: a list has no members to be the answer's",
            "each.foreach@0..0: no item could ever be called for",
            "each.foreach@0..7: not a list in another call's body",
        ]
    );
    assert_eq!(
        errors(&settings(Vec::new())),
        [".call@0..0: an aggregate without calls"]
    );
}

#[test]
fn cycles_and_overlaps_are_errors_of_the_configuration() {
    let one = call("a", "s:/${call.b.body}", "x");
    let other = call("b", "s:/${call.c.body}", "y");
    let third = call("c", "s:/${call.a.status}", "x");
    assert_eq!(
        errors(&settings(vec![one, other, third])),
        [
            "a.@0..0: calls wait for each other: a -> b -> c -> a",
            "c.into@0..0: `a` and `c` both write `x`",
        ]
    );
    let into = |merge| {
        vec![
            call("a", "s:/a", "x"),
            CallSettings {
                merge,
                ..call("b", "s:/b", "x.y")
            },
        ]
    };
    assert_eq!(
        errors(&settings(into(None))),
        ["b.into@0..0: `a` and `b` both write `x.y`"]
    );
    assert!(Aggregate::new(&settings(into(Some(Merge::Deep))), &KNOWN).is_ok());
    let told = Settings {
        errors: Some("x".into()),
        ..settings(into(Some(Merge::Deep)))
    };
    assert_eq!(errors(&told).len(), 2);
    let fallback = optional(call("b", "s:/b", ""), OnError::Default(json(r#"{"x":1}"#)));
    assert_eq!(
        errors(&settings(vec![call("a", "s:/a", "x"), fallback])),
        ["b.into@0..0: `a` and `b` both write `x`"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever arrives when, the answer has the same bytes.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        bodies in prop::collection::vec(prop_oneof![
            3 => prop::collection::vec(("[abc]", prop_oneof![Just("1"), Just("2.50"), Just("[3]"), Just("{\"d\":4e1}")]), 0..3)
                .prop_map(|members| {
                    let members: std::collections::BTreeMap<_, _> = members.into_iter().collect();
                    let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            1 => Just("not json".to_owned()),
        ], 6),
        merges in prop::collection::vec(prop_oneof![Just(None), Just(Some(Merge::Deep)), Just(Some(Merge::Append)), Just(Some(Merge::Overwrite))], 6),
        delays in prop::collection::vec(prop::collection::vec(0u64..100, 6), 3),
    ) {
        let targets = ["s:/0", "s:/1", "s:/2?x=${call.c0.body.a[0]?}", "s:/3", "s:/4?x=${call.c2.status ?? 0}", "s:/5"];
        let calls = targets.iter().enumerate().map(|(at, target)| CallSettings {
            merge: merges[at],
            ..optional(call(&format!("c{at}"), target, ""), if at % 2 == 0 { OnError::Omit } else { OnError::Default(json(&format!("{{\"e{at}\":5}}"))) })
        });
        let mut settings = settings(calls.collect());
        settings.errors = Some("errors".to_owned());
        let aggregate = Aggregate::new(&settings, &KNOWN).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let answers: Vec<String> = delays.iter().map(|delays| runtime.block_on(async {
            let mut fake = Fake::default();
            for (at, delay) in delays.iter().enumerate() {
                for query in ["", "?x=3", "?x=200", "?x=0"] {
                    fake = fake.with(&format!("/{at}{query}"), *delay, &bodies[at]);
                }
            }
            answered(&aggregate, &fake).await
        })).collect();
        prop_assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", answers);
        let body = answers[0].trim_end_matches(" partial");
        prop_assert!(Document::parse(Bytes::copy_from_slice(body.as_bytes()), &Limits::default()).is_ok(), "{}", body);
    }
}
