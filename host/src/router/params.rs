//! What a pattern's parameters matched.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use smallvec::SmallVec;

/// The parameters of a match, as places in the path that was matched: `id` is bytes 7 to 9 of `/users/42`.
///
/// Borrows nothing, so that it may travel with an exchange; up to four parameters take no allocation. Values are as in the
/// path, still percent-encoded.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params {
    places: SmallVec<[(&'static str, Range<u32>); 4]>,
}

impl Params {
    pub(super) fn new(names: &[&'static str], ranges: &[Range<u32>]) -> Self {
        Self {
            places: names.iter().copied().zip(ranges.iter().cloned()).collect(),
        }
    }

    /// The value of one, where `path` is the path that was looked up.
    pub fn get<'p>(&self, name: &str, path: &'p str) -> Option<&'p str> {
        self.iter(path).find_map(|(own, value)| (own == name).then_some(value))
    }

    /// Names and values, from left to right in the path.
    pub fn iter<'p>(&self, path: &'p str) -> impl Iterator<Item = (&'static str, &'p str)> {
        self.places.iter().map(move |(name, place)| {
            let value = path.get(place.start as usize..place.end as usize);
            (*name, value.unwrap_or_default())
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.places.iter().map(|(name, place)| (name, place)))
            .finish()
    }
}

/// The same text for as long as the process lives, kept once however often the configuration is loaded.
///
/// A match outlives the snapshot it was found in only by its names. Counting references to those would have all threads
/// write to one counter for every request; keeping each distinct name that any configuration ever used costs a few bytes.
pub(super) fn intern(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(Box::from(name));
    names.insert(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_from_the_path() {
        let params = Params::new(&["id", "rest"], &[7..9, 10..10]);
        assert_eq!(params.get("id", "/users/42/"), Some("42"));
        assert_eq!(params.get("rest", "/users/42/"), Some(""));
        assert_eq!(params.get("name", "/users/42/"), None);
        assert_eq!(
            params.iter("/users/42/").collect::<Vec<_>>(),
            [("id", "42"), ("rest", "")]
        );
    }

    #[test]
    fn another_path_yields_no_panic() {
        assert_eq!(Params::new(&["id", "x"], &[7..9, 2..3]).get("x", "/é"), Some(""));
    }

    #[test]
    fn a_name_is_kept_once() {
        assert!(std::ptr::eq(intern("kept-once"), intern(&String::from("kept-once"))));
    }
}
