//! The edits of one header section, and the order they are made in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use portcullis_sdk::{EditError, HeaderName, HeaderValue, Request, Response, SettingsError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::template::Template;

/// Fields that the gateway alone sets: connection and framing.
const PROTECTED: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The edits of one header section, made in this order.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Fields that are removed.
    #[serde(default)]
    remove: Vec<HeaderName>,
    /// Fields that get another name; what had that name is gone. Nothing happens where there is no such field.
    #[serde(default)]
    rename: BTreeMap<HeaderName, HeaderName>,
    /// Fields that get this one value: `{ x-user = "{jwt.sub}" }`.
    #[serde(default)]
    set: BTreeMap<HeaderName, String>,
    /// Fields that get one more value.
    #[serde(default)]
    append: BTreeMap<HeaderName, String>,
}

/// The same, checked and parsed.
pub(crate) struct Edits {
    remove: Vec<HeaderName>,
    rename: Vec<(HeaderName, HeaderName)>,
    set: Vec<(HeaderName, Template)>,
    append: Vec<(HeaderName, Template)>,
}

impl Edits {
    pub(crate) fn new(written: Written) -> Result<Self, SettingsError> {
        let Written {
            remove,
            rename,
            set,
            append,
        } = written;
        let renamed = rename.iter().flat_map(|(from, to)| [from, to]);
        for name in remove.iter().chain(renamed).chain(set.keys()).chain(append.keys()) {
            if PROTECTED.contains(&name.as_ref()) {
                return Err(format!("`{name}` belongs to the connection: the gateway alone sets it").into());
            }
        }
        Ok(Edits {
            remove,
            rename: rename.into_iter().collect(),
            set: parsed(set)?,
            append: parsed(append)?,
        })
    }

    /// Makes the edits. A value whose placeholders are not there, or hold what no field can hold, is not set; what the
    /// client had sent under that name is removed all the same.
    pub(crate) fn apply<H: Head>(
        &self,
        head: &mut H,
        fill: impl for<'t> Fn(&H, &'t Template) -> Option<Cow<'t, [u8]>>,
    ) -> Result<(), EditError> {
        for name in &self.remove {
            head.remove(name)?;
        }
        for (from, to) in &self.rename {
            let values = head.values(from);
            if !values.is_empty() {
                head.remove(from)?;
                head.remove(to)?;
            }
            for value in &values {
                head.append(to, value.as_bytes())?;
            }
        }
        for (name, template) in &self.set {
            match fill(head, template).map(|value| head.set(name, &value)) {
                None | Some(Err(EditError::InvalidValue)) => head.remove(name)?,
                Some(done) => done?,
            }
        }
        for (name, template) in &self.append {
            match fill(head, template).map(|value| head.append(name, &value)) {
                None | Some(Err(EditError::InvalidValue)) => {}
                Some(done) => done?,
            }
        }
        Ok(())
    }
}

fn parsed(written: BTreeMap<HeaderName, String>) -> Result<Vec<(HeaderName, Template)>, SettingsError> {
    written
        .into_iter()
        .map(|(name, text)| match Template::parse(&text) {
            Ok(template) => Ok((name, template)),
            Err(why) => Err(format!("`{name}`: {why}").into()),
        })
        .collect()
}

/// A header section: a request's or a response's.
pub(crate) trait Head {
    fn values(&self, name: &str) -> Vec<HeaderValue>;
    fn set(&mut self, name: &str, value: &[u8]) -> Result<(), EditError>;
    fn append(&mut self, name: &str, value: &[u8]) -> Result<(), EditError>;
    fn remove(&mut self, name: &str) -> Result<(), EditError>;
}

macro_rules! head {
    ($part:ty) => {
        impl Head for $part {
            fn values(&self, name: &str) -> Vec<HeaderValue> {
                self.header_values(name)
            }

            fn set(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
                self.set_header(name, value)
            }

            fn append(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
                self.append_header(name, value)
            }

            fn remove(&mut self, name: &str) -> Result<(), EditError> {
                self.remove_header(name)
            }
        }
    };
}

head!(Request);
head!(Response);
