//! The trait that a filter implements, and the phases it may take part in.

use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{BodyOutcome, Failure, Outcome, Request, Response, SettingsError};

/// A filter: what a plugin does with the exchanges of the routes it stands on.
///
/// One filter is made from its settings when the gateway loads it, and then serves one call at a time for as long as
/// its instance lives. The gateway keeps several instances and gives each call to whichever is free: what one phase
/// must tell a later one goes into the exchange's [notes](Request::set_note), never into the filter.
///
/// ```
/// use portcullis_sdk::testing::{self, Exchange};
/// use portcullis_sdk::{Failure, Filter, NoSettings, Outcome, Reply, Request, SettingsError};
///
/// struct RefuseTrace;
///
/// impl Filter for RefuseTrace {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings) -> Result<Self, SettingsError> {
///         Ok(RefuseTrace)
///     }
///
///     fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
///         match request.method().as_str() {
///             "TRACE" => Ok(Reply::text(405, "no tracing here").into()),
///             _ => Ok(Outcome::Continue),
///         }
///     }
/// }
///
/// let filter: RefuseTrace = testing::filter(serde_json::json!({}))?;
/// assert_eq!(Exchange::new("TRACE", "/").run(&filter).response().status(), 405);
/// assert!(Exchange::get("/").run(&filter).replied().is_none());
/// # Ok::<(), SettingsError>(())
/// ```
///
/// # When a phase fails
/// An `Err` fails the filter for this exchange only: every edit of that call is undone, the text goes to the gateway's
/// log, and the client gets a 500 without it, or the filter is skipped where the operator wrote `on_failure = "skip"`.
/// A panic does the same, and costs the gateway a fresh instance besides.
pub trait Filter: Sized + 'static {
    /// The settings that the operator writes for this filter; [`NoSettings`](crate::NoSettings) where there are none.
    ///
    /// Their JSON Schema is what `portcullis check` holds the configuration against, so the doc comments of its fields
    /// are what an operator reads.
    type Settings: DeserializeOwned + JsonSchema;

    /// The phases this filter takes part in. A phase that is not listed is never called and costs nothing.
    const PHASES: &'static [Phase] = &[Phase::Request];

    /// Makes the filter, once in each instance and before any traffic.
    ///
    /// Compile patterns, parse templates and open limiters and verifiers here: what is wrong is then shown to the
    /// operator as a configuration error, and no request pays for it.
    ///
    /// # Errors
    /// What is wrong with the settings, in the operator's words.
    fn new(settings: Self::Settings) -> Result<Self, SettingsError>;

    /// The request's head has been read and its route found; nothing has been sent to the backend.
    ///
    /// # Errors
    /// See [When a phase fails](Filter#when-a-phase-fails).
    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        let _ = request;
        Ok(Outcome::Continue)
    }

    /// The request's whole body, for a request whose `on_request` gave [`Outcome::BufferBody`].
    ///
    /// # Errors
    /// See [When a phase fails](Filter#when-a-phase-fails).
    fn on_request_body(&self, request: &mut Request, body: Vec<u8>) -> Result<BodyOutcome, Failure> {
        let _ = (request, body);
        Ok(BodyOutcome::Continue)
    }

    /// The response's head has been read; nothing has been sent to the client.
    ///
    /// Filters are called in reverse order, the one nearest to the backend first, and only those whose `on_request` let
    /// this exchange pass.
    ///
    /// # Errors
    /// See [When a phase fails](Filter#when-a-phase-fails).
    fn on_response(&self, request: &mut Request, response: &mut Response) -> Result<Outcome, Failure> {
        let _ = (request, response);
        Ok(Outcome::Continue)
    }

    /// The response's whole body, for a response whose `on_response` gave [`Outcome::BufferBody`].
    ///
    /// # Errors
    /// See [When a phase fails](Filter#when-a-phase-fails).
    fn on_response_body(
        &self,
        request: &mut Request,
        response: &mut Response,
        body: Vec<u8>,
    ) -> Result<BodyOutcome, Failure> {
        let _ = (request, response, body);
        Ok(BodyOutcome::Continue)
    }

    /// The exchange has ended and the client has all of it. Nothing can be changed any more.
    fn on_complete(&self, request: &Request, summary: &Summary) {
        let _ = (request, summary);
    }
}

/// One call that the gateway makes on a filter while an exchange passes.
///
/// ```
/// use portcullis_sdk::Phase;
///
/// const PHASES: &[Phase] = &[Phase::Request, Phase::Response];
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// [`Filter::on_request`]
    Request,
    /// [`Filter::on_request_body`]; transforming a body does not need it
    RequestBody,
    /// [`Filter::on_response`]
    Response,
    /// [`Filter::on_response_body`]; transforming a body does not need it
    ResponseBody,
    /// [`Filter::on_complete`]
    Complete,
}

/// What became of an exchange.
///
/// ```
/// use portcullis_sdk::testing::{self, Exchange};
/// use portcullis_sdk::{Filter, NoSettings, Phase, Request, SettingsError, Summary, log};
///
/// struct Watch;
///
/// impl Filter for Watch {
///     type Settings = NoSettings;
///
///     const PHASES: &'static [Phase] = &[Phase::Complete];
///
///     fn new(_: NoSettings) -> Result<Self, SettingsError> {
///         Ok(Watch)
///     }
///
///     fn on_complete(&self, request: &Request, summary: &Summary) {
///         if summary.status >= 500 {
///             log::warn(format!("{}: {}, {}", request.path(), summary.status, summary.outcome));
///         }
///     }
/// }
///
/// Exchange::get("/orders").response(502).run(&Watch);
/// assert_eq!(testing::logged()[0].1, "/orders: 502, ok");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The status sent to the client.
    pub status: u16,
    /// From the request's first byte to the response's last.
    pub duration: Duration,
    /// Bytes of request body read from the client.
    pub request_bytes: u64,
    /// Bytes of response body sent to the client.
    pub response_bytes: u64,
    /// How it ended, one word of the access log's closed list: `ok`, `replied`, `upstream-timeout`, ...
    pub outcome: String,
}
