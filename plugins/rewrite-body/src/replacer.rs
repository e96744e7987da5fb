//! Replacing in a stream: of what has arrived, only the beginning of a possible match is held back.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use portcullis_sdk::{Failure, SettingsError};
use schemars::JsonSchema;
use serde::Deserialize;

/// A text, and what stands in its place.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replacement {
    /// The text to find: letter for letter, upper and lower case apart.
    #[schemars(length(min = 1))]
    find: String,
    /// The text in its place.
    replace: String,
}

/// All replacements of one direction.
pub(crate) struct Replacements {
    finder: AhoCorasick,
    pub(crate) list: Vec<Replacement>,
}

impl Replacements {
    pub(crate) fn new(setting: &str, list: Vec<Replacement>) -> Result<Self, SettingsError> {
        let mut seen = BTreeSet::new();
        for Replacement { find, .. } in &list {
            if find.is_empty() {
                return Err(format!("`{setting}`: `find` is empty").into());
            }
            if !seen.insert(find) {
                return Err(format!("`{setting}`: `{find}` is to be found twice").into());
            }
        }
        // Of the matches that begin first, the longest.
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(list.iter().map(|replacement| &replacement.find))
            .map_err(|error| format!("`{setting}`: {error}"))?;
        Ok(Replacements { finder, list })
    }

    /// The first place, from `from` on, where a match may begin that the end of `text` cuts off.
    fn undecided(&self, text: &[u8], from: usize) -> usize {
        // A match that is cut off begins in the last bytes, one fewer than the longest has.
        let tail = from.max((text.len() + 1).saturating_sub(self.finder.max_pattern_len()));
        let begins = |find: &str, rest: &[u8]| find.len() > rest.len() && find.as_bytes().starts_with(rest);
        let cut_off = |rest| self.list.iter().any(|Replacement { find, .. }| begins(find, rest));
        let place = (tail..text.len()).find(|&at| text.get(at..).is_some_and(cut_off));
        place.unwrap_or(text.len())
    }
    /// Rewrites what there is, up to where nothing is decided yet, and says where that is. Once the stream has ended,
    /// all is decided.
    pub(crate) fn rewrite(&self, text: &[u8], ended: bool) -> Result<(Vec<u8>, usize), Failure> {
        let undecided = |from: usize| if ended { text.len() } else { self.undecided(text, from) };
        let mut output = Vec::with_capacity(text.len());
        let (mut done, mut decided) = (0, undecided(0));
        for found in self.finder.find_iter(text) {
            // Before `decided` no match is cut off, so this is the first, and the longest that begins there.
            if found.start() >= decided {
                break;
            }
            let replacement = self.list.get(found.pattern().as_usize());
            output.extend_from_slice(text.get(done..found.start()).unwrap_or_default());
            output.extend_from_slice(replacement.map(|found| found.replace.as_bytes()).unwrap_or_default());
            done = found.end();
            if done > decided {
                decided = undecided(done);
            }
        }
        output.extend_from_slice(text.get(done..decided).unwrap_or_default());
        Ok((output, decided))
    }
}
