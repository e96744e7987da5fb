//! The handles of the exchange at hand.

use std::mem::ManuallyDrop;

use super::bindings::portcullis::filter::http;
use crate::EditError;

/// The SDK's view of a request for as long as the handle is lent.
pub(super) fn lent_request(handle: &http::Request) -> crate::Request {
    // SAFETY: `from_handle` needs a handle that nobody else drops. `ManuallyDrop` makes this copy of the number one
    // that is never dropped; the generated code drops the handle itself after the call. A filter sees it only as a
    // reference, so the copy does not outlive the call either.
    let handle = ManuallyDrop::new(unsafe { http::Request::from_handle(handle.handle()) });
    crate::Request { host: Request(handle) }
}

/// The SDK's view of a response for as long as the handle is lent.
pub(super) fn lent_response(handle: &http::Response) -> crate::Response {
    // SAFETY: as in `lent_request`.
    let handle = ManuallyDrop::new(unsafe { http::Response::from_handle(handle.handle()) });
    crate::Response { host: Response(handle) }
}

pub(crate) struct Request(ManuallyDrop<http::Request>);

impl Request {
    pub(crate) fn id(&self) -> String {
        self.0.id()
    }

    pub(crate) fn method(&self) -> String {
        self.0.method()
    }

    pub(crate) fn scheme(&self) -> String {
        self.0.scheme()
    }

    pub(crate) fn authority(&self) -> String {
        self.0.authority()
    }

    pub(crate) fn path(&self) -> String {
        self.0.path()
    }

    pub(crate) fn query(&self) -> Option<String> {
        self.0.query()
    }

    pub(crate) fn set_path(&self, path: &str) -> Result<(), EditError> {
        self.0.set_path(path).map_err(EditError::from)
    }

    pub(crate) fn set_query(&self, query: Option<&str>) -> Result<(), EditError> {
        self.0.set_query(query).map_err(EditError::from)
    }

    pub(crate) fn route(&self) -> String {
        self.0.route()
    }

    pub(crate) fn path_parameter(&self, name: &str) -> Option<String> {
        self.0.path_parameter(name)
    }

    pub(crate) fn client_address(&self) -> String {
        self.0.client_address()
    }

    pub(crate) fn note(&self, name: &str) -> Option<String> {
        self.0.note(name)
    }

    pub(crate) fn set_note(&self, name: &str, value: &str) -> Result<(), EditError> {
        self.0.set_note(name, value).map_err(EditError::from)
    }
}

pub(crate) struct Response(ManuallyDrop<http::Response>);

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.0.status()
    }

    pub(crate) fn set_status(&self, status: u16) -> Result<(), EditError> {
        self.0.set_status(status).map_err(EditError::from)
    }
}

/// Both resources have the same header functions; WIT has no word for that.
macro_rules! header_section {
    ($message:ty) => {
        impl $message {
            pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
                self.0.header(name)
            }

            pub(crate) fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
                self.0.header_values(name)
            }

            pub(crate) fn headers(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
                self.0
                    .headers()
                    .into_iter()
                    .map(|field| (field.name, field.value))
            }

            pub(crate) fn set_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
                self.0.set_header(name, value).map_err(EditError::from)
            }

            pub(crate) fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
                self.0.append_header(name, value).map_err(EditError::from)
            }

            pub(crate) fn remove_header(&self, name: &str) -> Result<(), EditError> {
                self.0.remove_header(name).map_err(EditError::from)
            }
        }
    };
}

header_section!(Request);
header_section!(Response);

impl From<http::EditError> for EditError {
    fn from(error: http::EditError) -> Self {
        match error {
            http::EditError::InvalidName => EditError::InvalidName,
            http::EditError::InvalidValue => EditError::InvalidValue,
            http::EditError::Protected => EditError::Protected,
            http::EditError::TooLarge => EditError::TooLarge,
        }
    }
}
