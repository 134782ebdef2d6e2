//! How far two judges say the same of the same samples, beyond what chance alone would give.

use std::collections::BTreeMap;

/// Cohen's kappa of two series of classes: `(observed - expected) / (1 - expected)` agreement; 1 where they always
/// agree, 0 where they agree as often as chance would have it. `None` where it has no meaning: nothing to compare,
/// series of different lengths, or one and the same class throughout.
///
/// J. Cohen (1960), "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20,
/// 37-46.
///
/// Between what two successive models say of a fixed set of unlabelled samples it tells when more labels stop changing
/// anything: M. Bloodgood and K. Vijay-Shanker (2009), "A method for stopping active learning based on stabilizing
/// predictions and the need for user-adjustable stopping", CoNLL, who stop when the mean of the last three is at least
/// 0.99.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
pub fn kappa(first: &[u32], second: &[u32]) -> Option<f64> {
    if first.len() != second.len() || first.is_empty() {
        return None;
    }
    let n = first.len() as f64;
    let mut classes: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    let mut agreed = 0.0;
    for (&a, &b) in first.iter().zip(second) {
        classes.entry(a).or_default().0 += 1.0;
        classes.entry(b).or_default().1 += 1.0;
        agreed += f64::from(u8::from(a == b));
    }
    // All in whole numbers of pairs, so that perfect agreement is exactly 1.
    let expected: f64 = classes.values().map(|(a, b)| a * b).sum();
    let all = n * n;
    (expected < all).then(|| (agreed * n - expected) / (all - expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    /// Two judges of 50 proposals: 20 both yes, 15 both no, 5 and 10 mixed; kappa 0.4 (the usual textbook example).
    #[test]
    fn kappa_matches_a_known_table() {
        let table = [(1, 1, 20), (1, 0, 5), (0, 1, 10), (0, 0, 15)];
        let pairs = table.iter().flat_map(|&(a, b, times)| std::iter::repeat_n((a, b), times));
        let (first, second): (Vec<u32>, Vec<u32>) = pairs.unzip();
        assert!((kappa(&first, &second).unwrap() - 0.4).abs() < 1e-12);
    }

    #[test]
    fn where_agreement_has_no_meaning_there_is_no_kappa() {
        assert_eq!(kappa(&[], &[]), None);
        assert_eq!(kappa(&[1], &[1, 2]), None);
        assert_eq!(kappa(&[7, 7], &[7, 7]), None);
        assert_eq!(kappa(&[7, 7], &[7, 8]), Some(0.0), "one judge who never differs tells nothing");
        assert_eq!(kappa(&[0, 1], &[1, 0]), Some(-1.0));
    }

    quickcheck! {
        fn kappa_is_one_for_equals_and_the_same_both_ways(pairs: Vec<(u8, u8)>) -> bool {
            let (first, second): (Vec<u32>, Vec<u32>) =
                pairs.iter().map(|(a, b)| (u32::from(a % 3), u32::from(b % 3))).unzip();
            let several = first.iter().any(|class| *class != first[0]);
            kappa(&first, &first) == several.then_some(1.0)
                && kappa(&first, &second) == kappa(&second, &first)
                && kappa(&first, &second).is_none_or(|kappa| (-1.0..=1.0).contains(&kappa))
        }
    }
}
