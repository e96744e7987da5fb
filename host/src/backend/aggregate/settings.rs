//! What a route says of its calls: as resolved from the file, not yet prepared.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, Method};

use crate::backend::aggregate::failure::Statuses;
use crate::backend::aggregate::json::{Document, Limits};
use crate::backend::aggregate::merge::{Into, Merge};
use crate::backend::aggregate::misread::Misread;
use crate::backend::aggregate::shape::ShapeSettings;
use crate::backend::aggregate::template::PathRules;

/// The calls of a route.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// In the order of the file, which is the order in which bodies are joined.
    pub(crate) calls: Vec<CallSettings>,
    /// Whether calls may have methods that change something.
    pub(crate) allow_unsafe: bool,
    /// The member of the answer that tells which calls have failed, if it is asked for.
    pub(crate) errors: Option<String>,
    /// The most that one body may be.
    pub(crate) limits: Limits,
    /// Bytes that all bodies may be together.
    pub(crate) total: usize,
}

/// One call.
#[derive(Clone)]
pub(crate) struct CallSettings {
    /// Its name, for references, logs and `errors`.
    pub(crate) name: String,
    /// Its method.
    pub(crate) method: Method,
    /// `users:/users/${path.id}`
    pub(crate) target: String,
    /// Fields that it sends, with references in their values.
    pub(crate) fields: Vec<(HeaderName, String)>,
    /// The client's fields that it sends too.
    pub(crate) pass: Vec<HeaderName>,
    /// JSON with references in its texts.
    pub(crate) body: Option<Document>,
    /// Its own time; never longer than the answer's.
    pub(crate) timeout: Option<Duration>,
    /// One call for each element of an array.
    pub(crate) foreach: Option<ForeachSettings>,
    /// What to take from its body.
    pub(crate) shape: ShapeSettings,
    /// Where in the answer that goes.
    pub(crate) into: Into,
    /// What to do where another call has written.
    pub(crate) merge: Option<Merge>,
    /// Whether there is no answer without it.
    pub(crate) required: bool,
    /// What is there in place of its body, if it is not required.
    pub(crate) on_error: OnError,
    /// Statuses that are no failure.
    pub(crate) success: Statuses,
    /// Statuses that the client gets where the call is required and fails with one.
    pub(crate) pass_status: Statuses,
}

// By hand, because fields, body and default may hold secrets.
impl fmt::Debug for CallSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallSettings")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// One call for each element of an array.
#[derive(Debug, Clone)]
pub(crate) struct ForeachSettings {
    /// A reference to the array.
    pub(crate) over: String,
    /// The most items.
    pub(crate) items: usize,
    /// How many calls at once.
    pub(crate) at_once: usize,
}

/// What is there in place of a body.
#[derive(Debug, Clone, Default)]
pub(crate) enum OnError {
    /// Nothing.
    #[default]
    Omit,
    /// `null`.
    Null,
    /// This.
    Default(Document),
}

/// What the rest of the configuration knows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    /// Names of upstreams.
    pub(crate) upstreams: &'a [&'a str],
    /// The parameters that every match of the route has.
    pub(crate) parameters: &'a [&'a str],
    /// The gateway's rules for paths.
    pub(crate) rules: PathRules,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SettingsError {
    /// The call; none where it is about all of them.
    pub(crate) call: Option<String>,
    /// The key, as in the file: `get`, `allow[1]`, `headers.x-id`, `body.user.name`.
    pub(crate) key: String,
    /// What is wrong with it; the range is within the text at the key.
    pub(crate) misread: Misread,
}

impl CallSettings {
    /// A `GET` with every default.
    pub(crate) fn get(name: &str, target: &str) -> Self {
        Self {
            name: name.to_owned(),
            method: Method::GET,
            target: target.to_owned(),
            fields: Vec::new(),
            pass: vec![http::header::ACCEPT_LANGUAGE],
            body: None,
            timeout: None,
            foreach: None,
            shape: ShapeSettings::default(),
            into: Into::Root,
            merge: None,
            required: true,
            on_error: OnError::Omit,
            success: Statuses::success(),
            pass_status: Statuses::default(),
        }
    }
}
