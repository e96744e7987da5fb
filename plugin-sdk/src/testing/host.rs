//! The stand-in for the gateway: what the SDK's own types call natively.

use std::collections::BTreeMap;

use super::fields::{self, Fields, ROOM};
use super::path;
use crate::{ClientCertificate, EditError};

pub(crate) use super::limiter::Limiter;
pub(crate) use super::lines::log;
pub(crate) use super::tokens::Verifier;

/// Notes at most.
const MOST_NOTES: usize = 128;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    path: String,
    query: Option<String>,
    pub(super) scheme: String,
    pub(super) authority: String,
    pub(super) client_address: String,
    pub(super) client_certificate: Option<ClientCertificate>,
    pub(super) route: String,
    pub(super) path_parameters: BTreeMap<String, String>,
    pub(super) notes: BTreeMap<String, String>,
    pub(super) fields: Fields,
    /// What becomes of the response to come.
    pub(super) later: Vec<Later>,
    /// Whether the request has been sent: from then on it takes notes alone.
    pub(super) sent: bool,
}

/// An edit of the response to come.
#[derive(Clone, Debug)]
pub(crate) enum Later {
    Set(String, Vec<u8>),
    Append(String, Vec<u8>),
    Remove(String),
}

impl Request {
    pub(super) fn new(method: &str, path: String, query: Option<String>) -> Self {
        Request {
            method: method.to_owned(),
            path,
            query,
            scheme: "http".to_owned(),
            authority: "example.com".to_owned(),
            client_address: "127.0.0.1".to_owned(),
            client_certificate: None,
            route: "test".to_owned(),
            path_parameters: BTreeMap::new(),
            notes: BTreeMap::new(),
            fields: Fields::default(),
            later: Vec::new(),
            sent: false,
        }
    }

    fn unsent(&mut self) -> Result<&mut Self, EditError> {
        if self.sent { Err(EditError::TooLate) } else { Ok(self) }
    }

    pub(crate) fn id(&self) -> String {
        "00000000000000000000000000000001".to_owned()
    }

    pub(crate) fn method(&self) -> String {
        self.method.clone()
    }

    pub(crate) fn scheme(&self) -> String {
        self.scheme.clone()
    }

    pub(crate) fn authority(&self) -> String {
        self.authority.clone()
    }

    pub(crate) fn path(&self) -> String {
        self.path.clone()
    }

    pub(crate) fn query(&self) -> Option<String> {
        self.query.clone()
    }

    pub(crate) fn set_path(&mut self, path: &str) -> Result<(), EditError> {
        self.unsent()?.path = path::normalised(path).ok_or(EditError::InvalidValue)?;
        Ok(())
    }

    pub(crate) fn set_query(&mut self, query: Option<&str>) -> Result<(), EditError> {
        if query.is_some_and(|query| {
            query
                .bytes()
                .any(|byte| !byte.is_ascii_graphic() || b"#<>".contains(&byte))
        }) {
            return Err(EditError::InvalidValue);
        }
        self.unsent()?.query = query.map(str::to_owned);
        Ok(())
    }

    pub(crate) fn route(&self) -> String {
        self.route.clone()
    }

    pub(crate) fn path_parameter(&self, name: &str) -> Option<String> {
        self.path_parameters.get(name).cloned()
    }

    pub(crate) fn client_address(&self) -> String {
        self.client_address.clone()
    }

    pub(crate) fn client_certificate(&self) -> Option<ClientCertificate> {
        self.client_certificate.clone()
    }

    pub(crate) fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.unsent()?.fields.set(name, value)
    }

    pub(crate) fn append_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.unsent()?.fields.append(name, value)
    }

    pub(crate) fn remove_header(&mut self, name: &str) -> Result<(), EditError> {
        self.unsent()?.fields.remove(name)
    }

    pub(crate) fn set_response_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        fields::check(name, value)?;
        self.unsent()?.later.push(Later::Set(name.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn append_response_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        fields::check(name, value)?;
        self.unsent()?
            .later
            .push(Later::Append(name.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn remove_response_header(&mut self, name: &str) -> Result<(), EditError> {
        fields::check(name, b"")?;
        self.unsent()?.later.push(Later::Remove(name.to_owned()));
        Ok(())
    }

    pub(crate) fn note(&self, name: &str) -> Option<String> {
        self.notes.get(name).cloned()
    }

    pub(crate) fn set_note(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(EditError::InvalidName);
        }
        let another = !self.notes.contains_key(name);
        let held: usize = self.notes.iter().map(|(name, value)| name.len() + value.len()).sum();
        if held + name.len() + value.len() > ROOM || (another && self.notes.len() >= MOST_NOTES) {
            return Err(EditError::TooLarge);
        }
        self.notes.insert(name.to_owned(), value.to_owned());
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(super) status: u16,
    pub(super) fields: Fields,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn set_status(&mut self, status: u16) -> Result<(), EditError> {
        if !(200..=599).contains(&status) {
            return Err(EditError::InvalidValue);
        }
        self.status = status;
        Ok(())
    }
}

impl Response {
    pub(crate) fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.fields.set(name, value)
    }

    pub(crate) fn append_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.fields.append(name, value)
    }

    pub(crate) fn remove_header(&mut self, name: &str) -> Result<(), EditError> {
        self.fields.remove(name)
    }

    /// Makes the edits that the request phases wanted made.
    pub(super) fn make(&mut self, later: Vec<Later>) {
        for edit in later {
            // Each was checked when it was asked for.
            let _ = match edit {
                Later::Set(name, value) => self.fields.set(&name, &value),
                Later::Append(name, value) => self.fields.append(&name, &value),
                Later::Remove(name) => self.fields.remove(&name),
            };
        }
    }
}

/// Both messages are read alike.
macro_rules! header_section {
    ($message:ty) => {
        impl $message {
            pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
                self.fields.values(name).next().cloned()
            }

            pub(crate) fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
                self.fields.values(name).cloned().collect()
            }

            pub(crate) fn headers(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
                self.fields.all().into_iter()
            }
        }
    };
}

header_section!(Request);
header_section!(Response);

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::new("GET", "/".to_owned(), None)
    }

    #[test]
    fn a_query_holds_what_a_uri_allows() {
        let mut request = request();
        request.set_query(Some("a=1&b=%20/?")).unwrap();
        for wrong in ["a b", "a#b", "é", "a\r\nb", "<"] {
            assert_eq!(request.set_query(Some(wrong)), Err(EditError::InvalidValue), "{wrong}");
        }
        assert_eq!(request.query().as_deref(), Some("a=1&b=%20/?"));
        request.set_query(None).unwrap();
        assert_eq!(request.query(), None);
    }

    #[test]
    fn notes_are_bounded_and_replaced() {
        let mut request = request();
        assert_eq!(request.set_note("", "x"), Err(EditError::InvalidName));
        assert_eq!(request.set_note("a\nb", "x"), Err(EditError::InvalidName));
        assert_eq!(request.set_note("n", &"x".repeat(ROOM)), Err(EditError::TooLarge));
        for number in 0..MOST_NOTES {
            request.set_note(&number.to_string(), "1").unwrap();
        }
        assert_eq!(request.set_note("one-more", "1"), Err(EditError::TooLarge));
        request.set_note("0", "2").unwrap();
        assert_eq!(request.note("0").as_deref(), Some("2"));
    }

    #[test]
    fn a_status_is_a_final_one() {
        let mut response = Response {
            status: 200,
            fields: Fields::default(),
        };
        for wrong in [0, 100, 199, 600, 999] {
            assert_eq!(response.set_status(wrong), Err(EditError::InvalidValue));
        }
        response.set_status(599).unwrap();
        assert_eq!(response.status(), 599);
    }
}
