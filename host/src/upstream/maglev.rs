//! Consistent hashing.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// Which place a key belongs to: a table that each place fills in an order of its own, one entry after the other in turns
/// (D. Eisenbud and others, "Maglev: A Fast and Reliable Software Network Load Balancer", 2016). A look-up is one read;
/// shares follow the weights to within a hundredth; and when a place comes or goes, few keys move that need not.
#[derive(Debug)]
pub(super) struct Maglev {
    table: Vec<u32>,
    places: u32,
    fingerprint: u64,
}

/// The tables of an upstream that are in use, so that threads share them: each takes a millisecond to make.
#[derive(Debug, Default)]
pub(super) struct Tables(Mutex<Vec<Weak<Maglev>>>);

impl Tables {
    /// The table for places of these names and weights.
    pub(super) fn of(&self, places: &[(&str, u32)]) -> Arc<Maglev> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = fingerprint(places);
        tables.retain(|table| table.strong_count() > 0);
        let mut known = tables.iter().filter_map(Weak::upgrade);
        known.find(|table| table.fingerprint == wanted).unwrap_or_else(|| {
            let table = Arc::new(Maglev::new(places));
            tables.push(Arc::downgrade(&table));
            table
        })
    }
}

fn fingerprint(places: &[(&str, u32)]) -> u64 {
    let mut hash = Xxh3::new();
    for (name, weight) in places {
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(&weight.to_le_bytes());
    }
    hash.digest()
}

/// The size of a table. A prime, so that each place's order comes by every entry; and mostly the same one, since a table of
/// another size would send nearly every key elsewhere.
const SIZE: usize = 65_537;
/// The same for so many places that they would have few entries each.
const LARGE: usize = 655_373;
/// How many these are.
const MANY: usize = 6_500;

/// Looks at a second, third, .. entry for a key whose place cannot be had, before all places are gone through.
const TURNS: u64 = 16;

impl Maglev {
    /// A table for places of these names and weights.
    pub(super) fn new(places: &[(&str, u32)]) -> Maglev {
        let size = if places.len() < MANY { SIZE } else { LARGE };
        let most = places
            .iter()
            .map(|(_, weight)| u64::from(*weight))
            .max()
            .unwrap_or(0)
            .max(1);
        let mut orders: Vec<Order> = places
            .iter()
            .map(|(name, weight)| Order::of(name, *weight, size as u64))
            .collect();
        let mut table = vec![u32::MAX; size];
        let mut left = if places.is_empty() { 0 } else { table.len() };
        while left > 0 {
            for (place, order) in (0..).zip(&mut orders) {
                // A place has its turn as often as its weight is of the heaviest one's.
                order.credit += order.weight;
                if order.credit < most {
                    continue;
                }
                order.credit -= most;
                let free = loop {
                    let entry = order.next(size as u64);
                    if table[entry] == u32::MAX {
                        break entry;
                    }
                };
                table[free] = place;
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        Maglev {
            table,
            places: u32::try_from(places.len()).unwrap_or(u32::MAX),
            fingerprint: fingerprint(places),
        }
    }

    /// The place of a key; the next of its own order where that one is not open.
    pub(super) fn find(&self, key: u64, is_open: impl Fn(usize) -> bool) -> Option<usize> {
        if self.places == 0 {
            return None;
        }
        let size = self.table.len() as u64;
        let entries = (0..TURNS).map(|turn| {
            let key = if turn == 0 {
                key
            } else {
                xxh3_64_with_seed(&key.to_le_bytes(), turn)
            };
            self.table[(key % size) as usize]
        });
        let from = self.table[(key % size) as usize];
        let others = (0..self.places).map(|step| ((u64::from(from) + u64::from(step)) % u64::from(self.places)) as u32);
        entries
            .chain(others)
            .map(|place| place as usize)
            .find(|place| is_open(*place))
    }
}

/// The order in which a place wants the entries.
struct Order {
    next: u64,
    step: u64,
    weight: u64,
    credit: u64,
}

impl Order {
    fn of(name: &str, weight: u32, size: u64) -> Order {
        Order {
            next: xxh3_64_with_seed(name.as_bytes(), 1) % size,
            step: xxh3_64_with_seed(name.as_bytes(), 2) % (size - 1) + 1,
            weight: u64::from(weight).max(1),
            credit: 0,
        }
    }

    fn next(&mut self, size: u64) -> usize {
        let entry = self.next;
        self.next = (entry + self.step) % size;
        entry as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("10.0.0.{number}:80")).collect()
    }

    fn places(names: &[String]) -> Vec<(&str, u32)> {
        names.iter().map(|name| (name.as_str(), 100)).collect()
    }

    /// The name that each of many keys belongs to.
    fn owners<'a>(places: &[(&'a str, u32)]) -> Vec<&'a str> {
        let table = Maglev::new(places);
        (0..20_000_u64)
            .map(|key| places[table.find(xxh3_64_with_seed(&key.to_le_bytes(), 0), |_| true).unwrap()].0)
            .collect()
    }

    #[test]
    fn shares_follow_the_weights() {
        let names = names(3);
        let weighted = [
            (names[0].as_str(), 100),
            (names[1].as_str(), 200),
            (names[2].as_str(), 700),
        ];
        let owners = owners(&weighted);
        for (name, weight) in weighted {
            let share = owners.iter().filter(|owner| **owner == name).count() as f64 / owners.len() as f64;
            let wanted = f64::from(weight) / 1_000.0;
            assert!((share - wanted).abs() < 0.02, "{name}: {share} instead of {wanted}");
        }
    }

    #[test]
    fn when_a_target_leaves_few_keys_move_beside_its_own() {
        for count in [3, 10, 50] {
            let names = names(count);
            let (before, after) = (owners(&places(&names)), owners(&places(&names[1..])));
            let moved = before
                .iter()
                .zip(&after)
                .filter(|(before, after)| before != after)
                .count();
            let own = before.iter().filter(|owner| **owner == names[0]).count();
            // 3 % of all keys beside those of the one that left, which must.
            assert!(
                moved >= own && moved - own <= before.len() * 3 / 100,
                "{count}: {moved} moved, {own} its own"
            );
        }
    }

    #[test]
    fn when_a_target_comes_most_keys_that_move_are_its_own() {
        let names = names(11);
        let (before, after) = (owners(&places(&names[1..])), owners(&places(&names)));
        let moved = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after)
            .count();
        assert!(moved <= before.len() * (100 / 11 + 4) / 100, "{moved}");
    }

    #[test]
    fn a_key_whose_place_is_closed_has_another_one_of_its_own() {
        let names = names(10);
        let table = Maglev::new(&places(&names));
        let mut seconds = std::collections::HashSet::new();
        for key in 0..100 {
            let first = table.find(key, |_| true).unwrap();
            let second = table.find(key, |place| place != first).unwrap();
            assert_eq!(table.find(key, |place| place != first), Some(second));
            seconds.insert(second);
            assert_eq!(table.find(key, |place| place == 7), Some(7));
        }
        assert!(seconds.len() > 3, "the load of a closed place is spread");
        assert_eq!(table.find(1, |_| false), None);
        assert_eq!(Maglev::new(&[]).find(1, |_| true), None);
    }

    #[test]
    fn threads_share_a_table_while_it_is_in_use() {
        let (tables, names) = (Tables::default(), names(3));
        let first = tables.of(&places(&names));
        assert!(Arc::ptr_eq(&first, &tables.of(&places(&names))));
        assert!(!Arc::ptr_eq(&first, &tables.of(&places(&names[1..]))));
        drop(first);
        tables.of(&places(&names[1..]));
        assert_eq!(tables.0.lock().unwrap().len(), 1);
    }
}
