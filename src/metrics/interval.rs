//! Intervals in closed form: of a share, of a mean of shares, of the difference of two shares on the same samples.
//!
//! Knows counts only. Intervals by resampling are [`super::bootstrap`]'s.

use super::quantile::normal_quantile;
use crate::domain::kpi::Interval;

/// The Wilson score interval of a share, for example of an accuracy: `correct` of `n`, at a two-sided `confidence` in
/// (0, 1). Without samples it is [0, 1]: nothing is known.
///
/// E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference", Journal of the American
/// Statistical Association 22, 209-212. Unlike the normal approximation it stays within [0, 1] and does not shrink to a
/// point where all or none are correct.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
pub fn wilson(correct: u64, n: u64, confidence: f64) -> Interval {
    wilson_share(correct.min(n) as f64 / n as f64, n as f64, confidence)
}

/// [`wilson`] for a share of a number of samples that need not be whole: the effective number of weighted samples.
pub(super) fn wilson_share(share: f64, n: f64, confidence: f64) -> Interval {
    let z = normal_quantile(0.5 + confidence / 2.0);
    if !share.is_finite() || n <= 0.0 || !z.is_finite() {
        return Interval { low: 0.0, high: 1.0 };
    }
    let z2 = z * z;
    let center = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let spread = share * (1.0 - share) / n + z2 / (4.0 * n * n);
    let half = z / (1.0 + z2 / n) * spread.max(0.0).sqrt();
    // Both ends are exact where all or none are correct; rounding would leave them a hair off.
    Interval {
        low: if share <= 0.0 { 0.0 } else { (center - half).max(0.0) },
        high: if share >= 1.0 { 1.0 } else { (center + half).min(1.0) },
    }
}

/// One of the shares that [`mean_of_shares`] is a mean of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// What was measured; `None` where nothing could be: it may be anything then.
    pub(super) value: Option<f64>,
    /// Its own interval.
    pub(super) interval: Interval,
}

/// The interval of the plain mean of independent shares from the intervals of each: each end of the mean is as far away
/// as the root of the summed squares of the parts' distances. A part that could not be measured is thought to be like
/// the mean, and may be anywhere in [0, 1].
///
/// G. Y. Zou and A. Donner (2008), "Construction of confidence limits about effect measures: a general approach",
/// Statistics in Medicine 27, 1693-1702 (known as MOVER).
#[expect(clippy::cast_precision_loss, reason = "a count of classes")]
pub(super) fn mean_of_shares(mean: f64, parts: &[Part]) -> Interval {
    if parts.is_empty() {
        return Interval { low: 0.0, high: 1.0 };
    }
    let distance = |end: fn(&Interval) -> f64| {
        let squares = parts.iter().map(|part| {
            let away = part.value.unwrap_or(mean) - end(&part.interval);
            away * away
        });
        squares.sum::<f64>().sqrt() / parts.len() as f64
    };
    Interval {
        low: (mean - distance(|part| part.low)).max(0.0),
        high: (mean + distance(|part| part.high)).min(1.0),
    }
}

/// The interval of the difference of two shares of the same `n` samples, where `wins` of them are right for the first
/// only and `losses` for the second only.
///
/// D. G. Bonett and R. M. Price (2012), "Adjusted Wald confidence interval for a difference of binomial proportions
/// based on paired data", Journal of Educational and Behavioral Statistics 37, 479-488: one more win, one more loss and
/// two more samples, so that it does not shrink to a point without wins and losses.
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
pub(super) fn paired_difference(wins: u64, losses: u64, n: u64, confidence: f64) -> Interval {
    let z = normal_quantile(0.5 + confidence / 2.0);
    let count = n as f64 + 2.0;
    let (won, lost) = ((wins as f64 + 1.0) / count, (losses as f64 + 1.0) / count);
    let difference = won - lost;
    let half = z * ((won + lost - difference * difference).max(0.0) / count).sqrt();
    Interval { low: (difference - half).max(-1.0), high: (difference + half).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    /// Known intervals: 81 of 263 (Newcombe 1998, Statistics in Medicine 17, table I, method 3), 0 of 20, 29 of 29.
    #[test]
    fn wilson_matches_published_intervals() {
        for (correct, n, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (29, 29, 0.8830, 1.0),
        ] {
            let found = wilson(correct, n, 0.95);
            near(found.low, low, 5e-5);
            near(found.high, high, 5e-5);
        }
        assert_eq!(wilson(0, 0, 0.95), Interval { low: 0.0, high: 1.0 });
        assert_eq!(wilson(3, 4, 1.0), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn a_class_that_was_not_seen_leaves_the_mean_open() {
        let seen = Part { value: Some(0.9), interval: Interval { low: 0.8, high: 0.95 } };
        let unseen = Part { value: None, interval: Interval { low: 0.0, high: 1.0 } };
        let alone = mean_of_shares(0.9, &[seen]);
        near(alone.low, 0.8, 1e-12);
        near(alone.high, 0.95, 1e-12);
        let both = mean_of_shares(0.9, &[seen, unseen]);
        near(both.low, 0.9 - (0.01_f64 + 0.81).sqrt() / 2.0, 1e-12);
        near(both.high, 0.9 + (0.0025_f64 + 0.01).sqrt() / 2.0, 1e-12);
        assert_eq!(mean_of_shares(0.5, &[]), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn two_models_that_never_differ_may_still_differ_a_little() {
        let found = paired_difference(0, 0, 98, 0.95);
        near(found.low, -found.high, 1e-12);
        near(found.high, 1.959_964 * (0.02_f64 / 100.0).sqrt(), 1e-6);
    }

    quickcheck! {
        fn wilson_holds_the_share_and_narrows_with_more_samples(a: u16, b: u16) -> bool {
            let (correct, n) = (u64::from(a.min(b)), u64::from(a.max(b)).max(1));
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            let share = correct as f64 / n as f64;
            let (few, many) = (wilson(correct, n, 0.95), wilson(10 * correct, 10 * n, 0.95));
            few.low <= share && share <= few.high
                && (0.0..=1.0).contains(&few.low) && (0.0..=1.0).contains(&few.high)
                && many.high - many.low < few.high - few.low
        }
    }
}
