//! Which trees serve a host.

use rustc_hash::FxHashMap;

use super::host_pattern::HostPattern;
use super::tree::Tree;

/// A tree for each host that patterns name, and one for those that name none.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: FxHashMap<Box<str>, Tree>,
    /// By what follows the `*`: `.example.com`.
    wildcard: FxHashMap<Box<str>, Tree>,
    /// Bytes of the longest of those. A client's host may be as long as it likes; no more of it than this is hashed.
    longest_wildcard: usize,
    any: Tree,
}

impl Hosts {
    pub(super) fn tree_mut(&mut self, host: &HostPattern) -> &mut Tree {
        match host {
            HostPattern::Any => &mut self.any,
            HostPattern::Exact(host) => self.exact.entry(host.as_str().into()).or_default(),
            HostPattern::Wildcard(suffix) => {
                self.longest_wildcard = self.longest_wildcard.max(suffix.len());
                self.wildcard.entry(suffix.as_str().into()).or_default()
            }
        }
    }

    pub(super) fn trees_mut(&mut self) -> impl Iterator<Item = &mut Tree> {
        self.exact
            .values_mut()
            .chain(self.wildcard.values_mut())
            .chain(std::iter::once(&mut self.any))
    }

    /// The trees for a host, the most specific first.
    pub(super) fn matching(&self, host: &str) -> impl Iterator<Item = &Tree> {
        let exact = if self.exact.is_empty() {
            None
        } else {
            self.exact.get(host)
        };
        exact
            .into_iter()
            .chain(self.wildcards(host))
            .chain(std::iter::once(&self.any))
    }

    fn wildcards(&self, host: &str) -> impl Iterator<Item = &Tree> {
        // A label stands before the suffix, so the host's first byte is never part of one.
        let first = host.len().saturating_sub(self.longest_wildcard).max(1);
        let tail = if self.wildcard.is_empty() {
            &[]
        } else {
            host.as_bytes().get(first..).unwrap_or_default()
        };
        memchr::memchr_iter(b'.', tail)
            .filter_map(move |dot| host.get(first + dot..).and_then(|suffix| self.wildcard.get(suffix)))
    }
}
