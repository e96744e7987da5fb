//! One host's paths, segment by segment.

use std::ops::Range;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::candidate::Candidate;
use super::segment::Segment;

/// A place in the tree: what begins with the segments that lead here.
#[derive(Debug, Default)]
pub(super) struct Tree {
    literals: FxHashMap<Box<str>, Tree>,
    /// Parameters with text around them: the longer text before comes first, then the longer text after.
    around: Vec<Around>,
    parameter: Option<Box<Tree>>,
    /// Patterns that end in `{rest...}` here.
    rest: Vec<Candidate>,
    /// Patterns that end here.
    end: Vec<Candidate>,
}

#[derive(Debug)]
struct Around {
    before: Box<str>,
    after: Box<str>,
    tree: Tree,
}

/// Where the parameters on the way to a place were found, from left to right.
pub(super) type Captures = SmallVec<[Range<u32>; 4]>;

impl Tree {
    /// The candidates of all patterns with this path, whatever their parameters are called.
    pub(super) fn candidates_mut(&mut self, segments: &[Segment]) -> &mut Vec<Candidate> {
        let mut tree = self;
        for segment in segments {
            tree = match segment {
                Segment::Literal(text) => tree.literals.entry(text.as_str().into()).or_default(),
                Segment::Parameter { before, after, .. } if before.is_empty() && after.is_empty() => {
                    tree.parameter.get_or_insert_default()
                }
                Segment::Parameter { before, after, .. } => tree.around_mut(before, after),
                Segment::Rest(_) => return &mut tree.rest,
            };
        }
        &mut tree.end
    }

    fn around_mut(&mut self, before: &str, after: &str) -> &mut Self {
        // Of two that may match the same segment, one has the longer text on some side; ties are broken by the text itself.
        let key = |before: &str, after: &str| {
            std::cmp::Reverse((
                before.len(),
                after.len(),
                Box::<str>::from(before),
                Box::<str>::from(after),
            ))
        };
        let wanted = key(before, after);
        let index = self
            .around
            .binary_search_by_key(&wanted, |around| key(&around.before, &around.after));
        let index = index.unwrap_or_else(|index| {
            let around = Around {
                before: before.into(),
                after: after.into(),
                tree: Self::default(),
            };
            self.around.insert(index, around);
            index
        });
        &mut self.around[index].tree
    }

    /// Calls `visit` with each list of candidates that the path leads to, the most specific first, until it answers.
    pub(super) fn walk<B>(&self, path: &str, mut visit: impl FnMut(&[Candidate], &Captures) -> Option<B>) -> Option<B> {
        let mut walk = Walk {
            path,
            captures: Captures::new(),
            visit: &mut visit,
        };
        walk.descend(self, 0)
    }

    /// Every list of candidates in the tree.
    pub(super) fn for_each_list(&mut self, visit: &mut impl FnMut(&mut Vec<Candidate>)) {
        visit(&mut self.end);
        visit(&mut self.rest);
        let around = self.around.iter_mut().map(|around| &mut around.tree);
        for tree in self
            .literals
            .values_mut()
            .chain(around)
            .chain(self.parameter.as_deref_mut())
        {
            tree.for_each_list(visit);
        }
    }
}

struct Walk<'p, 'v, V> {
    path: &'p str,
    captures: Captures,
    visit: &'v mut V,
}

impl<B, V: FnMut(&[Candidate], &Captures) -> Option<B>> Walk<'_, '_, V> {
    /// `at` is where the `/` before the next segment is, or the end of the path. As deep as the tree, not as the path.
    fn descend(&mut self, tree: &Tree, at: usize) -> Option<B> {
        let bytes = self.path.as_bytes();
        let after_slash = bytes
            .get(at..)
            .and_then(|rest| rest.split_first())
            .map(|(_, after)| after);
        let Some(after_slash) = after_slash else {
            if let Some(found) = self.visit(&tree.end) {
                return Some(found);
            }
            return self.visit_rest(tree, at);
        };
        let start = at + 1;
        let end = memchr::memchr(b'/', after_slash).map_or(bytes.len(), |length| start + length);
        let segment = self.path.get(start..end).unwrap_or_default();

        if let Some(child) = tree.literals.get(segment)
            && let Some(found) = self.descend(child, end)
        {
            return Some(found);
        }
        for around in &tree.around {
            let (before, after) = (around.before.len(), around.after.len());
            if segment.len() > before + after
                && segment.starts_with(&*around.before)
                && segment.ends_with(&*around.after)
                && let Some(found) = self.capture(&around.tree, start + before..end - after, end)
            {
                return Some(found);
            }
        }
        if let Some(child) = &tree.parameter
            && !segment.is_empty()
            && let Some(found) = self.capture(child, start..end, end)
        {
            return Some(found);
        }
        self.visit_rest(tree, start)
    }

    fn capture(&mut self, tree: &Tree, range: Range<usize>, end: usize) -> Option<B> {
        self.captures.push(place(range));
        let found = self.descend(tree, end);
        self.captures.pop();
        found
    }

    fn visit_rest(&mut self, tree: &Tree, start: usize) -> Option<B> {
        if tree.rest.is_empty() {
            return None;
        }
        self.captures.push(place(start..self.path.len()));
        let found = self.visit(&tree.rest);
        self.captures.pop();
        found
    }

    fn visit(&mut self, candidates: &[Candidate]) -> Option<B> {
        if candidates.is_empty() {
            None
        } else {
            (self.visit)(candidates, &self.captures)
        }
    }
}

/// A path that is longer than this type counts is turned away before the walk.
fn place(range: Range<usize>) -> Range<u32> {
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    narrow(range.start)..narrow(range.end)
}
