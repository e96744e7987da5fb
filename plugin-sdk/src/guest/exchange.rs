//! The exchange at hand, as the gateway has it.

use super::bindings::portcullis::filter::{http, request, response};
use crate::{ClientCertificate, EditError};

pub(crate) struct Request;

impl Request {
    pub(crate) fn id(&self) -> String {
        request::id()
    }

    pub(crate) fn method(&self) -> String {
        request::method()
    }

    pub(crate) fn scheme(&self) -> String {
        request::scheme()
    }

    pub(crate) fn authority(&self) -> String {
        request::authority()
    }

    pub(crate) fn path(&self) -> String {
        request::path()
    }

    pub(crate) fn query(&self) -> Option<String> {
        request::query()
    }

    pub(crate) fn set_path(&self, path: &str) -> Result<(), EditError> {
        request::set_path(path).map_err(EditError::from)
    }

    pub(crate) fn set_query(&self, query: Option<&str>) -> Result<(), EditError> {
        request::set_query(query).map_err(EditError::from)
    }

    pub(crate) fn route(&self) -> String {
        request::route()
    }

    pub(crate) fn path_parameter(&self, name: &str) -> Option<String> {
        request::path_parameter(name)
    }

    pub(crate) fn client_address(&self) -> String {
        request::client_address()
    }

    pub(crate) fn client_certificate(&self) -> Option<ClientCertificate> {
        let shown = request::client_certificate()?;
        Some(ClientCertificate {
            subject: shown.subject,
            issuer: shown.issuer,
            serial: shown.serial,
            fingerprint: shown.fingerprint,
            dns_names: shown.dns_names,
            uris: shown.uris,
            emails: shown.emails,
            addresses: shown.addresses,
        })
    }

    pub(crate) fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        request::set_response_header(name, value).map_err(EditError::from)
    }

    pub(crate) fn append_response_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        request::append_response_header(name, value).map_err(EditError::from)
    }

    pub(crate) fn remove_response_header(&self, name: &str) -> Result<(), EditError> {
        request::remove_response_header(name).map_err(EditError::from)
    }

    pub(crate) fn note(&self, name: &str) -> Option<String> {
        request::note(name)
    }

    pub(crate) fn set_note(&self, name: &str, value: &str) -> Result<(), EditError> {
        request::set_note(name, value).map_err(EditError::from)
    }
}

pub(crate) struct Response;

impl Response {
    pub(crate) fn status(&self) -> u16 {
        response::status()
    }

    pub(crate) fn set_status(&self, status: u16) -> Result<(), EditError> {
        response::set_status(status).map_err(EditError::from)
    }
}

/// Both interfaces have the same header functions; WIT has no word for that.
macro_rules! header_section {
    ($message:ty, $interface:ident) => {
        impl $message {
            pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
                $interface::header(name)
            }

            pub(crate) fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
                $interface::header_values(name)
            }

            pub(crate) fn headers(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
                $interface::headers()
                    .into_iter()
                    .map(|field| (field.name, field.value))
            }

            pub(crate) fn set_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
                $interface::set_header(name, value).map_err(EditError::from)
            }

            pub(crate) fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
                $interface::append_header(name, value).map_err(EditError::from)
            }

            pub(crate) fn remove_header(&self, name: &str) -> Result<(), EditError> {
                $interface::remove_header(name).map_err(EditError::from)
            }
        }
    };
}

header_section!(Request, request);
header_section!(Response, response);

impl From<http::EditError> for EditError {
    fn from(error: http::EditError) -> Self {
        match error {
            http::EditError::InvalidName => EditError::InvalidName,
            http::EditError::InvalidValue => EditError::InvalidValue,
            http::EditError::Protected => EditError::Protected,
            http::EditError::TooLarge => EditError::TooLarge,
            http::EditError::TooLate => EditError::TooLate,
        }
    }
}
