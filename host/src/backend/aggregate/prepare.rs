//! From settings to what can be run, with everything that is wrong with them in one go.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, Method, header};

use crate::backend::aggregate::failure::Statuses;
use crate::backend::aggregate::fields;
use crate::backend::aggregate::graph::Graph;
use crate::backend::aggregate::json::{Limits, quoted};
use crate::backend::aggregate::merge::{Into, Layout, Merge};
use crate::backend::aggregate::misread::Misread;
use crate::backend::aggregate::settings::{CallSettings, Known, OnError, Settings, SettingsError};
use crate::backend::aggregate::shape::{Place, Shape};
use crate::backend::aggregate::template::{BodyTemplate, FieldTemplate, Insert, Piece, Scope, Source, Target};
use crate::config::suggest::{any_of, did_you_mean};

/// A route's calls, ready to be run.
#[derive(Debug)]
pub struct Aggregate {
    pub(crate) calls: Vec<Call>,
    pub(crate) graph: Graph,
    /// The name of the member that tells of failures, ready to stand between quotes.
    pub(crate) errors: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) total: usize,
    /// Fields of the client's request that decide what is called.
    pub(crate) varies: Vec<HeaderName>,
    /// Whether what tells one client from all others does: its address, or its credentials.
    pub(crate) by_client: bool,
}

pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) fields: Vec<(HeaderName, FieldTemplate)>,
    pub(crate) pass: Vec<HeaderName>,
    pub(crate) body: Option<BodyTemplate>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) foreach: Option<Foreach>,
    pub(crate) shape: Shape,
    /// The names of its place, ready to stand between quotes; `None` where the answer does not have it.
    pub(crate) into: Option<Vec<String>>,
    pub(crate) layout: Layout,
    /// The layout of what is there in place of its body.
    pub(crate) fallback: Layout,
    pub(crate) merge: Option<Merge>,
    pub(crate) required: bool,
    pub(crate) on_error: OnError,
    pub(crate) success: Statuses,
    pub(crate) pass_status: Statuses,
    /// Whether another call refers to its body.
    pub(crate) referred: bool,
    /// Whether what it sends says who the client is.
    pub(crate) authorized: bool,
}

// By hand, because fields, body and default may hold secrets.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(crate) struct Foreach {
    pub(crate) over: Insert,
    pub(crate) items: usize,
    pub(crate) at_once: usize,
}

impl Aggregate {
    /// The upstream of each call.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &str> {
        self.calls.iter().map(|call| call.target.upstream())
    }

    /// A call's own time.
    pub(crate) fn timeout(&self, call: usize) -> Option<Duration> {
        self.calls.get(call)?.timeout
    }

    /// Prepares a route's calls.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn new(settings: &Settings, known: &Known<'_>) -> Result<Self, Vec<SettingsError>> {
        let mut errors = Vec::new();
        let names: Vec<&str> = settings.calls.iter().map(|call| call.name.as_str()).collect();
        let many: Vec<bool> = settings.calls.iter().map(|call| call.foreach.is_some()).collect();
        if names.is_empty() {
            errors.push(about_all(
                "call",
                "an aggregate without calls",
                "write for example `[route.aggregate.call.user]`",
            ));
        }
        let calls: Vec<Option<Call>> = settings
            .calls
            .iter()
            .map(|call| {
                let scope = Scope {
                    calls: &names,
                    many: &many,
                    parameters: known.parameters,
                    item: call.foreach.is_some(),
                };
                Reader {
                    call,
                    scope,
                    known,
                    errors: &mut errors,
                }
                .read(settings.allow_unsafe)
            })
            .collect();
        let Some(mut calls) = calls
            .into_iter()
            .collect::<Option<Vec<Call>>>()
            .filter(|_| errors.is_empty())
        else {
            return Err(errors);
        };
        let sources: Vec<Vec<Source>> = calls.iter().map(Call::sources).collect();
        let needs = sources
            .iter()
            .map(|sources| sources.iter().filter_map(Source::call).collect());
        let graph = match Graph::new(needs.collect()) {
            Ok(graph) => Some(graph),
            Err(cycle) => {
                let message = format!("calls wait for each other: {}", cycle.told(&names));
                let call = cycle
                    .calls
                    .first()
                    .and_then(|call| names.get(*call))
                    .map(|name| (*name).to_owned());
                let misread = Misread::new(0..0, message).help("take one of these references out".to_owned());
                errors.push(SettingsError {
                    call,
                    key: String::new(),
                    misread,
                });
                None
            }
        };
        overlaps(&calls, settings.errors.as_deref(), &mut errors);
        let Some(graph) = graph.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        whole_answer(&mut calls, settings);
        let all = || sources.iter().flatten();
        for source in all() {
            if let Source::Body(call, _) = source
                && let Some(call) = calls.get_mut(*call)
            {
                call.referred = true;
            }
        }
        let mut varies: Vec<HeaderName> = Vec::new();
        for source in all() {
            if let Source::Header(name) = source
                && !varies.contains(name)
            {
                varies.push(name.clone());
            }
        }
        Ok(Self {
            by_client: all().any(names_client),
            calls,
            graph,
            errors: settings.errors.as_deref().map(quoted),
            limits: settings.limits,
            total: settings.total,
            varies,
        })
    }

    /// The name of a call, for logs.
    pub(crate) fn name(&self, call: usize) -> &str {
        self.calls.get(call).map_or("", |call| &call.name)
    }
}

/// Where only one call writes the answer, its body is the answer, whatever it is.
fn whole_answer(calls: &mut [Call], settings: &Settings) {
    let mut writing = calls.iter_mut().filter(|call| !call.layout.is_nothing());
    if let (Some(only), None, None) = (writing.next(), writing.next(), &settings.errors)
        && only.layout == Layout::Each
        && matches!(only.on_error, OnError::Omit)
    {
        only.layout = Layout::Unit;
    }
}

fn about_all(key: &str, message: &str, help: &str) -> SettingsError {
    SettingsError {
        call: None,
        key: key.to_owned(),
        misread: Misread::new(0..0, message).help(help.to_owned()),
    }
}

/// Reports two calls that write one place, and a call that writes where failures are told.
fn overlaps(calls: &[Call], told: Option<&str>, errors: &mut Vec<SettingsError>) {
    let layouts = |call: &Call| {
        let falls_back = !call.required && !matches!(call.on_error, OnError::Omit);
        let fallback = falls_back.then(|| call.fallback.clone());
        [Some(call.layout.clone()), fallback]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    };
    for (place, call) in calls.iter().enumerate() {
        let mut report = |key: &str, message: String, help: String| {
            let misread = Misread::new(0..0, message).help(help);
            errors.push(SettingsError {
                call: Some(call.name.clone()),
                key: key.to_owned(),
                misread,
            });
        };
        let own = layouts(call);
        let told = told.map(|name| Layout::Members(vec![(name.to_owned(), Layout::Unit)]));
        if let Some(path) = told.and_then(|told| own.iter().find_map(|own| own.overlap(&told))) {
            let message = format!("`{}` is where failures are told", path.join("."));
            report(
                "into",
                message,
                "choose another `into`, or another name for `errors`".to_owned(),
            );
        }
        if call.merge.is_some() {
            continue;
        }
        for earlier in calls.get(..place).unwrap_or_default() {
            let others = layouts(earlier);
            let both = own
                .iter()
                .find_map(|own| others.iter().find_map(|other| own.overlap(other)));
            if let Some(path) = both {
                let message = format!("`{}` and `{}` both write `{}`", earlier.name, call.name, path.join("."));
                let help = format!(
                    "write `merge = \"deep\"`, `\"append\"` or `\"overwrite\"` in `{}`",
                    call.name
                );
                report("into", message, format!("{help}, or choose another `into`"));
                break;
            }
        }
    }
}

/// Whether a value is one client's own.
fn names_client(source: &Source) -> bool {
    match source {
        Source::Client => true,
        Source::Header(name) => says_who(name),
        _ => false,
    }
}

fn says_who(name: &HeaderName) -> bool {
    *name == header::AUTHORIZATION || *name == header::COOKIE
}

impl Call {
    fn sources(&self) -> Vec<Source> {
        let fields = self.fields.iter().flat_map(|(_, field)| field.sources());
        let body = self.body.iter().flat_map(BodyTemplate::sources);
        let over = self.foreach.iter().map(|foreach| &foreach.over.source);
        self.target
            .sources()
            .chain(fields)
            .chain(body)
            .chain(over)
            .cloned()
            .collect()
    }
}

/// Reads one call.
struct Reader<'a, 'e> {
    call: &'a CallSettings,
    scope: Scope<'a>,
    known: &'a Known<'a>,
    errors: &'e mut Vec<SettingsError>,
}

impl Reader<'_, '_> {
    fn wrong(&mut self, key: impl std::convert::Into<String>, misread: Misread) {
        let call = Some(self.call.name.clone());
        self.errors.push(SettingsError {
            call,
            key: key.into(),
            misread,
        });
    }

    fn good<T>(&mut self, key: &str, read: Result<T, Misread>) -> Option<T> {
        read.map_err(|misread| self.wrong(key, misread)).ok()
    }

    fn read(&mut self, allow_unsafe: bool) -> Option<Call> {
        let call = self.call;
        let key = call.method.as_str().to_ascii_lowercase();
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if call.name.is_empty() || !call.name.chars().all(is_word) {
            let help = "use letters, digits, `-` and `_`".to_owned();
            self.wrong(
                "",
                Misread::new(0..call.name.len(), format!("`{}` is no name for a call", call.name)).help(help),
            );
        }
        if !allow_unsafe && !call.method.is_safe() {
            let message = format!(
                "`{}` may change something, and calls are made whenever the route is asked",
                call.method
            );
            self.wrong(
                &key,
                Misread::new(0..0, message).help("write `allow_unsafe = true` if that is meant".to_owned()),
            );
        }
        if call.method == Method::CONNECT || call.method == Method::TRACE {
            self.wrong(&key, Misread::new(0..0, format!("`{}` cannot be called", call.method)));
        }
        let target = self.good(&key, Target::parse(&call.target, &self.scope, self.known.rules));
        if let Some(target) = &target
            && !self.known.upstreams.contains(&target.upstream())
        {
            let name = target.upstream();
            let all = self.known.upstreams;
            let help = did_you_mean(name, all.iter().copied()).or_else(|| Some(format!("known is {}", any_of(all))));
            self.wrong(
                &key,
                Misread::new(0..name.len(), format!("unknown upstream `{name}`")).help(help),
            );
        }
        let fields = call.fields.iter().map(|(name, text)| {
            let key = format!("headers.{name}");
            self.field(&key, name);
            Some((name.clone(), self.good(&key, FieldTemplate::parse(text, &self.scope))?))
        });
        let fields: Option<Vec<_>> = fields.collect();
        for name in &call.pass {
            self.field("pass_headers", name);
        }
        let body = call.body.as_ref().map(|body| BodyTemplate::parse(body, &self.scope));
        let body = match body.transpose() {
            Ok(body) => body,
            Err(error) => {
                let dot = if error.path.is_empty() { "" } else { "." };
                self.wrong(format!("body{dot}{}", error.path), error.misread);
                None
            }
        };
        if call.body.is_some() && matches!(call.method, Method::GET | Method::HEAD) {
            let message = format!("a body means nothing to `{}`", call.method);
            self.wrong(
                "body",
                Misread::new(0..0, message).help("leave it out, or choose another method".to_owned()),
            );
        }
        let foreach = self.foreach();
        let shape = match Shape::prepare(&call.shape) {
            Ok(shape) => Some(shape),
            Err(errors) => {
                for error in errors {
                    let key = match error.place {
                        Place::Target => "target".to_owned(),
                        Place::Allow(at) => format!("allow[{at}]"),
                        Place::Deny(at) => format!("deny[{at}]"),
                        Place::Rename(at) => format!("rename[{at}]"),
                    };
                    self.wrong(key, error.misread);
                }
                None
            }
        };
        self.on_error();
        let shape = shape?;
        let is_list = call.foreach.is_some();
        let whole = Shape::default();
        let layout = Layout::of_body(&call.into, if is_list { &whole } else { &shape });
        let fallback = match &call.on_error {
            OnError::Default(default) if !is_list => Layout::of_default(&call.into, &shape, default.root()),
            _ => Layout::of_body(&call.into, &whole),
        };
        Some(Call {
            name: call.name.clone(),
            method: call.method.clone(),
            target: target?,
            authorized: call.pass.iter().any(says_who) || call.fields.iter().any(|(name, _)| says_who(name)),
            fields: fields?,
            pass: call.pass.clone(),
            body,
            timeout: call.timeout,
            foreach: foreach?,
            into: match &call.into {
                Into::Nowhere => None,
                Into::Root => Some(Vec::new()),
                Into::At(names) => Some(names.iter().map(|name| quoted(name)).collect()),
            },
            layout,
            fallback,
            merge: call.merge,
            required: call.required,
            on_error: call.on_error.clone(),
            success: call.success.clone(),
            pass_status: call.pass_status.clone(),
            referred: false,
            shape,
        })
    }

    fn field(&mut self, key: &str, name: &HeaderName) {
        if let Some(why) = fields::refused(name) {
            self.wrong(key, Misread::new(0..0, format!("`{name}` cannot be sent: {why}")));
        }
    }

    /// The outer `None` is an error.
    fn foreach(&mut self) -> Option<Option<Foreach>> {
        let Some(written) = &self.call.foreach else {
            return Some(None);
        };
        if self.call.into == Into::Root {
            let help = "write for example `into = \"items\"`".to_owned();
            self.wrong(
                "into",
                Misread::new(0..0, "a list has no members to be the answer's").help(help),
            );
        }
        if written.items == 0 || written.at_once == 0 {
            self.wrong("foreach", Misread::new(0..0, "no item could ever be called for"));
        }
        // `${..}` may be left out where there is nothing but a reference.
        let bare = !written.over.starts_with("${");
        let text = if bare {
            format!("${{{}}}", written.over)
        } else {
            written.over.clone()
        };
        let scope = Scope {
            item: false,
            ..self.scope
        };
        let pieces = Piece::parse(&text, &scope).map_err(|error| {
            let (shift, most) = (if bare { 2 } else { 0 }, written.over.len());
            let inside = |at: usize| at.saturating_sub(shift).min(most);
            Misread {
                at: inside(error.at.start)..inside(error.at.end),
                ..error
            }
        });
        match self.good("foreach", pieces)?.as_slice() {
            [Piece::Insert(over)] if matches!(over.source, Source::Body(..)) => Some(Some(Foreach {
                over: over.clone(),
                items: written.items,
                at_once: written.at_once,
            })),
            _ => {
                let help = "write for example `foreach = \"${call.orders.body.items}\"`".to_owned();
                let whole = 0..written.over.len();
                self.wrong(
                    "foreach",
                    Misread::new(whole, "not a list in another call's body").help(help),
                );
                None
            }
        }
    }

    fn on_error(&mut self) {
        let call = self.call;
        let is_said = !matches!(call.on_error, OnError::Omit);
        if call.required && is_said {
            let help = "write `required = false`, or leave it out".to_owned();
            self.wrong(
                "on_error",
                Misread::new(0..0, "without a required call there is no answer").help(help),
            );
        }
        let fits = match &call.on_error {
            OnError::Omit => true,
            OnError::Null => call.into != Into::Root,
            OnError::Default(default) => call.into != Into::Root || default.root().is_object(),
        };
        if !fits {
            let help = "give the call an `into`, or an object for its default".to_owned();
            self.wrong(
                "on_error",
                Misread::new(0..0, "it has no members to be the answer's").help(help),
            );
        }
    }
}
