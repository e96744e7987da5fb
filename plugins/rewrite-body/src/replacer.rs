//! Replacing in a stream: of what has arrived, only the beginning of a possible match is held back.

use std::collections::HashSet;
use std::rc::Rc;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use portcullis_sdk::{BodyTransform, Failure, SettingsError};
use schemars::JsonSchema;
use serde::Deserialize;

/// A text, and what stands in its place.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// The text to find: letter for letter, upper and lower case apart.
    #[schemars(length(min = 1))]
    find: String,
    /// The text in its place.
    replace: String,
}

/// All replacements of one direction, shared by the streams they run over.
pub(crate) struct Replacements {
    finder: AhoCorasick,
    list: Vec<Replacement>,
    longest: usize,
}

impl Replacements {
    /// None where the list is empty.
    pub(crate) fn new(setting: &str, list: Vec<Replacement>) -> Result<Option<Rc<Self>>, SettingsError> {
        let mut seen = HashSet::new();
        for Replacement { find, .. } in &list {
            if find.is_empty() {
                return Err(format!("`{setting}`: `find` is empty").into());
            }
            if !seen.insert(find) {
                return Err(format!("`{setting}`: `{find}` is to be found twice").into());
            }
        }
        let Some(longest) = list.iter().map(|replacement| replacement.find.len()).max() else {
            return Ok(None);
        };
        // Of the matches that begin first, the longest.
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(list.iter().map(|replacement| &replacement.find))
            .map_err(|error| format!("`{setting}`: {error}"))?;
        Ok(Some(Rc::new(Replacements { finder, list, longest })))
    }

    /// The first place, from `from` on, where a match may begin that the end of `text` cuts off.
    fn undecided(&self, text: &[u8], from: usize) -> usize {
        // A match that is cut off begins in the last `longest - 1` bytes.
        let tail = from.max((text.len() + 1).saturating_sub(self.longest));
        let cut_off = |rest: &[u8]| {
            self.list
                .iter()
                .any(|Replacement { find, .. }| find.len() > rest.len() && find.as_bytes().starts_with(rest))
        };
        (tail..text.len())
            .find(|&at| text.get(at..).is_some_and(cut_off))
            .unwrap_or(text.len())
    }
}

/// Rewrites one stream.
pub(crate) struct Replacer {
    replacements: Rc<Replacements>,
    held: Vec<u8>,
}

impl Replacer {
    pub(crate) fn new(replacements: &Rc<Replacements>) -> Self {
        Replacer {
            replacements: Rc::clone(replacements),
            held: Vec::new(),
        }
    }

    /// Rewrites what is held, up to where nothing is decided yet, and holds the rest. Once the stream has ended, all is
    /// decided.
    fn rewrite(&mut self, ended: bool) -> Vec<u8> {
        let text = std::mem::take(&mut self.held);
        let Replacements { finder, list, .. } = &*self.replacements;
        let undecided = |from: usize| {
            if ended {
                text.len()
            } else {
                self.replacements.undecided(&text, from)
            }
        };

        let mut output = Vec::with_capacity(text.len());
        let mut done = 0;
        let mut decided = undecided(done);
        while let Some(found) = finder.find(Input::new(&text).range(done..)) {
            // Before `decided` no match is cut off, so this is the first, and the longest that begins there.
            if found.start() >= decided {
                break;
            }
            output.extend(text.get(done..found.start()).unwrap_or_default());
            output.extend(
                list.get(found.pattern().as_usize())
                    .map(|replacement| replacement.replace.as_bytes())
                    .unwrap_or_default(),
            );
            done = found.end();
            if done > decided {
                decided = undecided(done);
            }
        }
        output.extend(text.get(done..decided).unwrap_or_default());
        self.held = text.get(decided..).unwrap_or_default().to_vec();
        output
    }
}

impl BodyTransform for Replacer {
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Failure> {
        self.held.extend_from_slice(chunk);
        Ok(self.rewrite(false))
    }

    fn finish(&mut self) -> Result<Vec<u8>, Failure> {
        Ok(self.rewrite(true))
    }
}

#[cfg(test)]
impl Replacer {
    /// How many bytes wait for what comes.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }
}
