//! What is wrong with a text in a configuration, and where in it.

use std::fmt;
use std::ops::Range;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misread {
    /// Bytes of the text.
    pub(crate) at: Range<usize>,
    /// In one line, without a full stop.
    pub(crate) message: String,
    /// What would be right, where that is known.
    pub(crate) help: Option<String>,
}

impl Misread {
    pub(crate) fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into().or(self.help);
        self
    }

    /// The same, where the text it speaks of begins at `by` of another.
    pub(crate) fn moved(mut self, by: usize) -> Self {
        self.at = self.at.start + by..self.at.end + by;
        self
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Misread {}
