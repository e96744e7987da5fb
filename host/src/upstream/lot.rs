//! A lottery by weight.

/// Draws places at random, each as often as its weight says.
#[derive(Debug)]
pub(super) struct Lot {
    /// Of each place: its weight and those of all before it.
    up_to: Vec<u64>,
}

/// Draws before it is assumed that few places are open, and these are looked for.
const DRAWS: usize = 4;

impl Lot {
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Lot {
        let sum = weights.scan(0, |sum: &mut u64, weight| {
            *sum += u64::from(weight);
            Some(*sum)
        });
        Lot { up_to: sum.collect() }
    }

    /// A place that is open; none when none is.
    pub(super) fn draw(&self, is_open: impl Fn(usize) -> bool) -> Option<usize> {
        let sum = *self.up_to.last().filter(|sum| **sum > 0)?;
        for _ in 0..DRAWS {
            let drawn = fastrand::u64(0..sum);
            let place = self.up_to.partition_point(|up_to| *up_to <= drawn);
            if is_open(place) {
                return Some(place);
            }
        }
        self.draw_among_few(is_open)
    }

    fn draw_among_few(&self, is_open: impl Fn(usize) -> bool) -> Option<usize> {
        let weight = |place: usize| {
            let before = place.checked_sub(1).map_or(0, |before| self.up_to[before]);
            self.up_to[place] - before
        };
        let open = || (0..self.up_to.len()).filter(|place| is_open(*place));
        let sum: u64 = open().map(weight).sum();
        let mut left = if sum == 0 { return None } else { fastrand::u64(0..sum) };
        for place in open() {
            match left.checked_sub(weight(place)) {
                Some(rest) => left = rest,
                None => return Some(place),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_drawn_as_often_as_their_weights_say_be_they_all_open_or_not() {
        let lot = Lot::new([1, 0, 2, 7].into_iter());
        let mut counts = [0; 4];
        for _ in 0..10_000 {
            counts[lot.draw(|_| true).unwrap()] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!(
            (850..1_150).contains(&counts[0]) && (6_800..7_200).contains(&counts[3]),
            "{counts:?}"
        );

        let open = |place| place == 0 || place == 2;
        let first = (0..9_000).filter(|_| lot.draw(open) == Some(0)).count();
        assert!((2_750..3_250).contains(&first), "{first}");
        assert_eq!(lot.draw(|place| place == 1), None);
        assert_eq!(Lot::new([].into_iter()).draw(|_| true), None);
    }
}
