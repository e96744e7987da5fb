//! What requests are counted by.

use std::borrow::Cow;
use std::net::IpAddr;

use portcullis_sdk::{HeaderName, Request};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// What requests are counted by, as written and as understood: `jwt:sub`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Key {
    written: String,
    part: Part,
}

/// The part of an exchange that a key is.
#[derive(Clone, Debug)]
enum Part {
    /// The client's address; of IPv6 the first 64 bits, since one household has all that begin with them.
    ClientAddress,
    /// The note of the same name as the key, left by `api-key` or `jwt-auth`.
    Note,
    /// The first value of a field.
    Header(HeaderName),
    /// A parameter of the route's path.
    PathParameter(String),
    /// The route's name: all its clients together.
    Route,
    /// Nothing: everything that this limit sees, together.
    Everything,
}

impl Key {
    pub(crate) fn client_ip() -> Self {
        Key {
            written: "client-ip".into(),
            part: Part::ClientAddress,
        }
    }

    pub(crate) fn global() -> Self {
        Key {
            written: "global".into(),
            part: Part::Everything,
        }
    }

    /// The bytes that this request is counted by, or none where it has not got the part, or has it empty.
    pub(crate) fn of(&self, request: &Request) -> Option<Vec<u8>> {
        let value = match &self.part {
            Part::ClientAddress => network(&request.client_address()),
            Part::Note => request.note(&self.written)?.into_bytes(),
            Part::Header(name) => request.header(name)?.into_bytes(),
            Part::PathParameter(name) => request.path_parameter(name)?.into_bytes(),
            Part::Route => request.route().into_bytes(),
            Part::Everything => b"*".to_vec(),
        };
        // The key as written stands first, so that a claim `10.0.0.1` is never taken for that address.
        (!value.is_empty()).then(|| [self.written.as_bytes(), b"\0", &value].concat())
    }
}

fn network(address: &str) -> Vec<u8> {
    match address.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.octets().to_vec(),
        Ok(IpAddr::V6(address)) => address.octets().into_iter().take(8).collect(),
        Err(_) => address.as_bytes().to_vec(),
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let part = match written.split_once(':') {
            None if written == "client-ip" => Part::ClientAddress,
            None if written == "api-key" => Part::Note,
            None if written == "route" => Part::Route,
            None if written == "global" => Part::Everything,
            Some(("jwt", claim)) if !claim.is_empty() => Part::Note,
            Some(("path", name)) if !name.is_empty() => Part::PathParameter(name.into()),
            Some(("header", name)) => {
                Part::Header(HeaderName::new(name).map_err(|_| format!("`{name}` is no header field name"))?)
            }
            _ => {
                return Err(format!(
                    "`{written}` is no key: there are client-ip, api-key, jwt:NAME, header:NAME, path:NAME, route, \
                     global"
                ));
            }
        };
        Ok(Key { written, part })
    }
}

impl JsonSchema for Key {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(client-ip|api-key|route|global|(jwt|header|path):.+)$" })
    }
}
