//! The edits of one header section, and the order they are made in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use portcullis_sdk::{EditError, HeaderName, Message, SettingsError, Template};
use schemars::JsonSchema;
use serde::Deserialize;

/// The edits of one header section, made in this order.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edits {
    /// Fields that are removed.
    #[serde(default)]
    remove: Vec<HeaderName>,
    /// Fields that get another name; what had that name is gone. Nothing happens where there is no such field.
    #[serde(default)]
    rename: BTreeMap<HeaderName, HeaderName>,
    /// Fields that get this one value: `{ x-user = "{jwt.sub}" }`.
    #[serde(default)]
    set: BTreeMap<HeaderName, Template>,
    /// Fields that get one more value.
    #[serde(default)]
    append: BTreeMap<HeaderName, Template>,
}

impl Edits {
    /// Whether a filter may edit these fields. `setting` is where they are written.
    pub(crate) fn check(&self, setting: &str) -> Result<(), SettingsError> {
        let renamed = self.rename.iter().flat_map(|(from, to)| [from, to]);
        let valued = self.set.keys().chain(self.append.keys());
        let mut names = self.remove.iter().chain(renamed).chain(valued);
        names.try_for_each(|name| name.check_editable(setting))
    }

    /// Makes the edits. A value whose placeholders are not there, or hold what no field can hold, is not set; what the
    /// client had sent under that name is removed all the same.
    pub(crate) fn apply<M: Message>(
        &self,
        message: &mut M,
        fill: impl for<'t> Fn(&M, &'t Template) -> Option<Cow<'t, [u8]>>,
    ) -> Result<(), EditError> {
        for name in &self.remove {
            message.remove_header(name)?;
        }
        for (from, to) in &self.rename {
            let values = message.header_values(from);
            if !values.is_empty() {
                message.remove_header(from)?;
                message.remove_header(to)?;
            }
            for value in values {
                message.append_header(to, value)?;
            }
        }
        for (name, template) in &self.set {
            match fill(message, template).map(|value| message.set_header(name, value)) {
                None | Some(Err(EditError::InvalidValue)) => message.remove_header(name)?,
                Some(done) => done?,
            }
        }
        for (name, template) in &self.append {
            match fill(message, template).map(|value| message.append_header(name, value)) {
                None | Some(Err(EditError::InvalidValue)) => {}
                Some(done) => done?,
            }
        }
        Ok(())
    }
}
