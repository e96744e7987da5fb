//! Weights as other systems write them, in the range of ours.

/// The largest weight of a target.
const MOST: f64 = 1_000.0;

/// Weights of 1 to 1,000 in the proportion of these shares. A share of 0 gets next to nothing where others have more, as
/// RFC 2782 has it, and as much as all others where they have none either.
pub(super) fn weights(shares: &[f64]) -> Vec<u32> {
    let largest = shares.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return vec![1; shares.len()];
    }
    let fits = |share: &f64| (1.0..=MOST).contains(share) && share.fract() == 0.0;
    let scale = if shares.iter().all(fits) { 1.0 } else { MOST / largest };
    // In range by then.
    let weight = |share: &f64| (share * scale).round().clamp(1.0, MOST) as u32;
    shares.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::weights;

    #[test]
    fn proportions_stay_and_zeros_count_next_to_nothing() {
        assert_eq!(weights(&[1.0, 2.0, 1000.0]), [1, 2, 1000]);
        assert_eq!(weights(&[65535.0, 32767.5]), [1000, 500]);
        assert_eq!(weights(&[10.0, 0.0]), [1000, 1]);
        assert_eq!(weights(&[0.0, 0.0]), [1, 1]);
        assert_eq!(weights(&[0.5, 1.0]), [500, 1000]);
        assert_eq!(weights(&[]), [0; 0]);
    }
}
