//! From each exported function to the phase of the filter.

use std::cell::{OnceCell, RefCell};
use std::marker::PhantomData;
use std::thread::LocalKey;
use std::time::Duration;

use super::bindings::exports::portcullis::filter::filter as wit;
use super::bindings::portcullis::filter::http;
use super::exchange;
use crate::{BodyOutcome, BodyTransform, Failure, Filter, Outcome, Phase, Reply, Request, Response, Summary, settings};

/// Where the one filter of this instance lives: a guest has one thread.
pub type FilterCell<F> = LocalKey<OnceCell<F>>;

/// What [`register_filter!`](crate::register_filter) says of a plugin.
pub trait Plugin: 'static {
    /// Its filter.
    type Filter: Filter;
    /// Its name.
    const NAME: &'static str;
    /// Its version.
    const VERSION: &'static str;
    /// One sentence on what it does.
    const SUMMARY: &'static str;

    /// Where its filter lives. A generic static does not exist, so the macro holds it.
    fn filter() -> &'static FilterCell<Self::Filter>;
}

/// The component that exports a plugin's filter.
pub struct Component<P>(PhantomData<P>);

impl<P: Plugin> Component<P> {
    fn with<T>(call: impl FnOnce(&P::Filter) -> Result<T, Failure>) -> Result<T, String> {
        P::filter().with(|cell| match cell.get() {
            Some(filter) => call(filter).map_err(Failure::into_text),
            None => Err("the filter was called before it was configured".to_owned()),
        })
    }
}

impl<P: Plugin> wit::Guest for Component<P> {
    type BodyTransform = Transform;

    fn describe() -> wit::Manifest {
        wit::Manifest {
            name: P::NAME.to_owned(),
            version: P::VERSION.to_owned(),
            summary: P::SUMMARY.to_owned(),
            phases: P::Filter::PHASES
                .iter()
                .fold(wit::Phases::empty(), |phases, phase| phases | flag(*phase)),
            settings_schema: settings::schema::<P::Filter>(),
        }
    }

    fn configure(settings: String) -> Result<(), String> {
        let filter = settings::configure(&settings).map_err(|error| error.to_string())?;
        P::filter()
            .with(|cell| cell.set(filter))
            .map_err(|_| "the filter is configured already".to_owned())
    }

    fn on_request() -> Result<wit::RequestFlow, String> {
        Self::with(|filter| filter.on_request(&mut request())).map(|outcome| match outcome {
            Outcome::Continue => wit::RequestFlow::Next,
            Outcome::Reply(reply) => wit::RequestFlow::Reply(reply.into()),
            Outcome::BufferBody(limit) => wit::RequestFlow::BufferBody(limit),
            Outcome::TransformBody(transform) => wit::RequestFlow::TransformBody(resource(transform)),
        })
    }

    fn on_request_body(body: Vec<u8>) -> Result<wit::BodyFlow, String> {
        Self::with(|filter| filter.on_request_body(&mut request(), body)).map(Into::into)
    }

    fn on_response() -> Result<wit::ResponseFlow, String> {
        let outcome = Self::with(|filter| filter.on_response(&mut request(), &mut response()));
        outcome.map(|outcome| match outcome {
            Outcome::Continue => wit::ResponseFlow::Next,
            Outcome::Reply(reply) => wit::ResponseFlow::Reply(reply.into()),
            Outcome::BufferBody(limit) => wit::ResponseFlow::BufferBody(limit),
            Outcome::TransformBody(transform) => wit::ResponseFlow::TransformBody(resource(transform)),
        })
    }

    fn on_response_body(body: Vec<u8>) -> Result<wit::BodyFlow, String> {
        Self::with(|filter| filter.on_response_body(&mut request(), &mut response(), body)).map(Into::into)
    }

    fn on_complete(summary: wit::Summary) {
        let summary = Summary {
            status: summary.status,
            duration: Duration::from_micros(summary.duration_us),
            request_bytes: summary.request_bytes,
            response_bytes: summary.response_bytes,
            outcome: summary.outcome,
        };
        P::filter().with(|cell| {
            if let Some(filter) = cell.get() {
                filter.on_complete(&request(), &summary);
            }
        });
    }
}

/// The exchange at hand. A filter sees it only as a reference, so it does not outlive the call.
fn request() -> Request {
    Request {
        host: exchange::Request,
    }
}

fn response() -> Response {
    Response {
        host: exchange::Response,
    }
}

/// A body's transform, as the gateway holds it.
pub struct Transform(RefCell<Box<dyn BodyTransform>>);

impl wit::GuestBodyTransform for Transform {
    fn push(&self, chunk: Vec<u8>) -> Result<Vec<u8>, String> {
        self.0.borrow_mut().push(&chunk).map_err(Failure::into_text)
    }

    fn finish(&self) -> Result<Vec<u8>, String> {
        self.0.borrow_mut().finish().map_err(Failure::into_text)
    }
}

fn resource(transform: Box<dyn BodyTransform>) -> wit::BodyTransform {
    wit::BodyTransform::new(Transform(RefCell::new(transform)))
}

fn flag(phase: Phase) -> wit::Phases {
    match phase {
        Phase::Request => wit::Phases::REQUEST,
        Phase::RequestBody => wit::Phases::REQUEST_BODY,
        Phase::Response => wit::Phases::RESPONSE,
        Phase::ResponseBody => wit::Phases::RESPONSE_BODY,
        Phase::Complete => wit::Phases::COMPLETE,
    }
}

impl From<Reply> for wit::Reply {
    fn from(reply: Reply) -> Self {
        let field = |(name, value): (String, crate::HeaderValue)| http::Field {
            name,
            value: value.into_bytes(),
        };
        wit::Reply {
            status: reply.status,
            headers: reply.headers.into_iter().map(field).collect(),
            body: reply.body,
        }
    }
}

impl From<BodyOutcome> for wit::BodyFlow {
    fn from(outcome: BodyOutcome) -> Self {
        match outcome {
            BodyOutcome::Continue => wit::BodyFlow::Next,
            BodyOutcome::Replace(body) => wit::BodyFlow::Replace(body),
            BodyOutcome::Reply(reply) => wit::BodyFlow::Reply(reply.into()),
        }
    }
}
