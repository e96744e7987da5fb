//! Which call waits for which.

use std::fmt;

/// The order of calls: each may start once those it refers to have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Graph {
    /// For each call the calls it refers to, each once, in order.
    pub(crate) needs: Vec<Vec<usize>>,
    /// For each call the calls that wait for it.
    pub(crate) then: Vec<Vec<usize>>,
    /// For each call how many are in a row before it.
    pub(crate) step: Vec<usize>,
}

/// Calls that wait for each other: each names the one after it, and the last one the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cycle {
    /// Their places.
    pub(crate) calls: Vec<usize>,
}

impl Graph {
    /// Orders calls by what they refer to.
    ///
    /// # Errors
    /// If some would wait for each other for ever.
    pub(crate) fn new(mut needs: Vec<Vec<usize>>) -> Result<Self, Cycle> {
        for needed in &mut needs {
            needed.sort_unstable();
            needed.dedup();
        }
        let mut then = vec![Vec::new(); needs.len()];
        for (call, needed) in needs.iter().enumerate() {
            for need in needed {
                if let Some(then) = then.get_mut(*need) {
                    then.push(call);
                }
            }
        }
        let mut step = vec![0; needs.len()];
        let mut left: Vec<usize> = needs.iter().map(Vec::len).collect();
        let mut ready: Vec<usize> = (0..needs.len()).filter(|call| left[*call] == 0).collect();
        let mut ended = 0;
        while let Some(call) = ready.pop() {
            ended += 1;
            for next in &then[call] {
                step[*next] = step[*next].max(step[call] + 1);
                left[*next] -= 1;
                if left[*next] == 0 {
                    ready.push(*next);
                }
            }
        }
        if ended < needs.len() {
            return Err(cycle(&needs, &left));
        }
        Ok(Self { needs, then, step })
    }
}

/// A cycle, where calls have others left to wait for.
fn cycle(needs: &[Vec<usize>], left: &[usize]) -> Cycle {
    let waits = |call: &usize| left.get(*call).is_some_and(|left| *left > 0);
    let mut way: Vec<usize> = (0..needs.len()).find(waits).into_iter().collect();
    // What waits needs something that waits, so that the way leads back into itself.
    while let Some(next) = way.last().and_then(|call| needs[*call].iter().copied().find(waits)) {
        if let Some(start) = way.iter().position(|call| *call == next) {
            let mut calls = way.split_off(start);
            // The same cycle is told the same way, from its first call on.
            let first = calls
                .iter()
                .enumerate()
                .min_by_key(|(_, call)| **call)
                .map_or(0, |(place, _)| place);
            calls.rotate_left(first);
            return Cycle { calls };
        }
        way.push(next);
    }
    Cycle { calls: way }
}

impl Cycle {
    /// `a -> b -> a`
    pub(crate) fn told(&self, names: &[&str]) -> String {
        let around = self.calls.iter().chain(self.calls.first());
        let names: Vec<_> = around.filter_map(|call| names.get(*call).copied()).collect();
        names.join(" -> ")
    }
}

/// With the numbers of the calls.
impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "calls {:?} wait for each other", self.calls)
    }
}

impl std::error::Error for Cycle {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cycles_are_told_whole() {
        let names = ["a", "b", "c", "d"];
        let told = |needs| Graph::new(needs).map_err(|cycle| cycle.told(&names));
        assert_eq!(told(vec![vec![0]]), Err("a -> a".into()));
        assert_eq!(
            told(vec![vec![3], vec![2], vec![3], vec![1]]),
            Err("b -> c -> d -> b".into())
        );
        let graph = told(vec![vec![], vec![0, 0], vec![], vec![2, 1]]).unwrap();
        assert_eq!(graph.step, [0, 1, 0, 2]);
        assert_eq!(graph.then, [vec![1], vec![3], vec![3], vec![]]);
    }

    proptest! {
        #[test]
        fn a_graph_has_an_order_or_a_cycle(needs in prop::collection::vec(prop::collection::vec(0..6usize, 0..3), 6)) {
            match Graph::new(needs.clone()) {
                Ok(graph) => for (call, needed) in needs.iter().enumerate() {
                    for need in needed {
                        prop_assert!(graph.step[*need] < graph.step[call]);
                    }
                },
                Err(Cycle { calls }) => for (place, call) in calls.iter().enumerate() {
                    prop_assert!(needs[*call].contains(&calls[(place + 1) % calls.len()]));
                },
            }
        }
    }
}
