//! Which bodies are rewritten, by their media type.

use portcullis_sdk::SettingsError;

/// Media types, each perhaps with a `*`: what stands before it, and what after it.
pub(crate) struct MediaTypes(Vec<(String, Option<String>)>);

impl MediaTypes {
    pub(crate) fn parse(written: &[String]) -> Result<Self, SettingsError> {
        if written.is_empty() {
            return Err("`content_types` is empty: nothing would be rewritten".into());
        }
        let types = written.iter().map(|written| {
            let lower = written.to_ascii_lowercase();
            if !lower.contains('/') || lower.contains(';') || lower.matches('*').count() > 1 {
                return Err(format!("`content_types`: `{written}` is not like `text/*` or `application/json`").into());
            }
            Ok(match lower.split_once('*') {
                Some((before, after)) => (before.to_owned(), Some(after.to_owned())),
                None => (lower, None),
            })
        });
        types.collect::<Result<_, _>>().map(MediaTypes)
    }

    /// Whether a `content-type` is one of them, whatever its parameters.
    pub(crate) fn hold(&self, content_type: &str) -> bool {
        let essence = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        self.0.iter().any(|(before, after)| match after {
            None => essence == *before,
            Some(after) => essence
                .strip_prefix(before.as_str())
                .is_some_and(|rest| !rest.is_empty() && rest.ends_with(after.as_str())),
        })
    }
}
