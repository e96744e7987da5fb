//! Version 0.1 of the interface: generated bindings, and what they mean in terms of an `Exchange`.

#![allow(unreachable_pub, missing_docs, reason = "generated code re-exports what it is given")]

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::pipeline::edit::{self, Refused, Side};
use crate::wasm::instance::HostState;

wasmtime::component::bindgen!({
    path: "../wit/v0.1",
    world: "plugin",
    imports: {
        "portcullis:filter/jwt.[method]verifier.verify": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "portcullis:filter/rate-limit.limiter": crate::wasm::capabilities::rate_limit::OpenLimiter,
        "portcullis:filter/jwt.verifier": crate::wasm::capabilities::jwt::OpenVerifier,
    },
});

pub(crate) use self::exports::portcullis::filter::filter as guest;
pub(crate) use self::portcullis::filter as host;
use self::portcullis::filter::http::{EditError, Field};

type Edited = wasmtime::Result<Result<(), EditError>>;

impl From<Refused> for EditError {
    fn from(refused: Refused) -> EditError {
        match refused {
            Refused::InvalidName => EditError::InvalidName,
            Refused::InvalidValue => EditError::InvalidValue,
            Refused::Protected => EditError::Protected,
            Refused::TooLarge => EditError::TooLarge,
            Refused::TooLate => EditError::TooLate,
        }
    }
}

fn edited(result: Result<(), Refused>) -> Edited {
    Ok(result.map_err(EditError::from))
}

fn first(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    headers.get(name).map(|value| value.as_bytes().to_vec())
}

fn every(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    headers
        .get_all(name)
        .iter()
        .map(|value| value.as_bytes().to_vec())
        .collect()
}

fn fields(headers: &HeaderMap) -> Vec<Field> {
    let field = |(name, value): (&HeaderName, &HeaderValue)| Field {
        name: name.as_str().to_owned(),
        value: value.as_bytes().to_vec(),
    };
    headers.iter().map(field).collect()
}

impl host::http::Host for HostState {}

impl host::request::Host for HostState {
    fn id(&mut self) -> wasmtime::Result<String> {
        Ok(self.request()?.id().to_string())
    }

    fn method(&mut self) -> wasmtime::Result<String> {
        Ok(self.request()?.method.as_str().to_owned())
    }

    fn scheme(&mut self) -> wasmtime::Result<String> {
        Ok(self.request()?.scheme.as_str().to_owned())
    }

    fn authority(&mut self) -> wasmtime::Result<String> {
        Ok(self.request()?.authority().to_owned())
    }

    fn path(&mut self) -> wasmtime::Result<String> {
        Ok(self.request()?.target.path().to_owned())
    }

    fn query(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.request()?.target.query().map(str::to_owned))
    }

    fn set_path(&mut self, path: String) -> Edited {
        edited(self.unsent()?.and_then(|request| edit::set_path(request, &path)))
    }

    fn set_query(&mut self, query: Option<String>) -> Edited {
        edited(
            self.unsent()?
                .and_then(|request| edit::set_query(request, query.as_deref())),
        )
    }

    fn route(&mut self) -> wasmtime::Result<String> {
        Ok(self.request()?.route.name.to_string())
    }

    fn path_parameter(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.request()?.path_parameter(&name))
    }

    fn client_address(&mut self) -> wasmtime::Result<String> {
        Ok(self.request()?.client_text())
    }

    fn client_certificate(&mut self) -> wasmtime::Result<Option<host::request::Certificate>> {
        let shown = self.request()?.client_certificate.as_deref();
        Ok(shown.map(|shown| host::request::Certificate {
            subject: shown.subject.clone(),
            issuer: shown.issuer.clone(),
            serial: shown.serial.clone(),
            fingerprint: shown.fingerprint.clone(),
            dns_names: shown.dns_names.clone(),
            uris: shown.uris.clone(),
            emails: shown.emails.clone(),
            addresses: shown.addresses.clone(),
        }))
    }

    fn header(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(first(&self.request()?.headers, &name))
    }

    fn header_values(&mut self, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(every(&self.request()?.headers, &name))
    }

    fn headers(&mut self) -> wasmtime::Result<Vec<Field>> {
        Ok(fields(&self.request()?.headers))
    }

    fn set_header(&mut self, name: String, value: Vec<u8>) -> Edited {
        edited(
            self.unsent()?
                .and_then(|request| edit::set_header(request, Side::Request, &name, value)),
        )
    }

    fn append_header(&mut self, name: String, value: Vec<u8>) -> Edited {
        edited(
            self.unsent()?
                .and_then(|request| edit::append_header(request, Side::Request, &name, value)),
        )
    }

    fn remove_header(&mut self, name: String) -> Edited {
        edited(
            self.unsent()?
                .and_then(|request| edit::remove_header(request, Side::Request, &name)),
        )
    }

    fn set_response_header(&mut self, name: String, value: Vec<u8>) -> Edited {
        edited(
            self.unsent()?
                .and_then(|request| edit::set_response_header(request, &name, value)),
        )
    }

    fn append_response_header(&mut self, name: String, value: Vec<u8>) -> Edited {
        edited(
            self.unsent()?
                .and_then(|request| edit::append_response_header(request, &name, value)),
        )
    }

    fn remove_response_header(&mut self, name: String) -> Edited {
        edited(
            self.unsent()?
                .and_then(|request| edit::remove_response_header(request, &name)),
        )
    }

    fn note(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.request()?.note(&name).map(str::to_owned))
    }

    fn set_note(&mut self, name: String, value: String) -> Edited {
        edited(edit::set_note(self.request()?, name, value))
    }
}

impl host::response::Host for HostState {
    fn status(&mut self) -> wasmtime::Result<u16> {
        Ok(self.answered()?.response.status.as_u16())
    }

    fn set_status(&mut self, status: u16) -> Edited {
        edited(edit::set_status(self.answered()?, status))
    }

    fn header(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(first(&self.answered()?.response.headers, &name))
    }

    fn header_values(&mut self, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(every(&self.answered()?.response.headers, &name))
    }

    fn headers(&mut self) -> wasmtime::Result<Vec<Field>> {
        Ok(fields(&self.answered()?.response.headers))
    }

    fn set_header(&mut self, name: String, value: Vec<u8>) -> Edited {
        edited(edit::set_header(self.answered()?, Side::Response, &name, value))
    }

    fn append_header(&mut self, name: String, value: Vec<u8>) -> Edited {
        edited(edit::append_header(self.answered()?, Side::Response, &name, value))
    }

    fn remove_header(&mut self, name: String) -> Edited {
        edited(edit::remove_header(self.answered()?, Side::Response, &name))
    }
}

/// A filter's reply as the gateway will send it, or why it cannot be sent.
pub(crate) fn reply(reply: guest::Reply) -> Result<crate::pipeline::Reply, String> {
    let status = edit::reply_status(reply.status).ok_or_else(|| format!("reply with status {}", reply.status))?;
    if reply.headers.len() > edit::MAX_FIELDS {
        return Err(format!("reply with {} header fields", reply.headers.len()));
    }
    if reply.headers.iter().map(|field| field.value.len()).sum::<usize>() > edit::LONGEST_VALUE {
        return Err(format!(
            "reply with more than {} bytes of header fields",
            edit::LONGEST_VALUE
        ));
    }
    let mut headers = HeaderMap::with_capacity(reply.headers.len());
    for field in reply.headers {
        let (name, value) = edit::field(&field.name, field.value)
            .map_err(|refused| format!("reply with header {:?}: {refused}", cut(&field.name)))?;
        headers.append(name, value);
    }
    Ok(crate::pipeline::Reply {
        status,
        headers,
        body: reply.body.into(),
    })
}

/// The start of a text that a plugin chose, for a message.
fn cut(text: &str) -> &str {
    let end = text.char_indices().map(|(at, _)| at).nth(64).unwrap_or(text.len());
    &text[..end]
}

/// The phases that a manifest names.
pub(crate) fn phases(phases: guest::Phases) -> crate::pipeline::Phases {
    use crate::pipeline::Phase;
    let named: SmallVec<[Phase; 5]> = [
        (guest::Phases::REQUEST, Phase::Request),
        (guest::Phases::REQUEST_BODY, Phase::RequestBody),
        (guest::Phases::RESPONSE, Phase::Response),
        (guest::Phases::RESPONSE_BODY, Phase::ResponseBody),
        (guest::Phases::COMPLETE, Phase::Complete),
    ]
    .into_iter()
    .filter_map(|(flag, phase)| phases.contains(flag).then_some(phase))
    .collect();
    crate::pipeline::Phases::of(&named)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_reply_with_a_malformed_header_is_refused_with_its_name() {
        let bad = guest::Reply {
            status: 200,
            headers: vec![Field {
                name: "x y".into(),
                value: vec![],
            }],
            body: vec![],
        };

        let refused = reply(bad).err().unwrap_or_default();

        assert!(refused.contains("x y"), "{refused}");
    }

    #[test]
    fn a_reply_cannot_have_an_interim_status() {
        assert!(
            reply(guest::Reply {
                status: 100,
                headers: vec![],
                body: vec![]
            })
            .is_err()
        );
        assert_eq!(edit::reply_status(204), Some(StatusCode::NO_CONTENT));
    }
}
