//! Measures of a model: values in, numbers out, each with its source.
//!
//! Knows neither models nor samples, only predictions and labels. It does not decide whether a number is good enough:
//! that is [`crate::domain::kpi`].

mod answers;

pub use answers::meaning;

use crate::domain::kpi::Interval;
use crate::domain::matrix::Matrix;

/// The index of the highest value, the lowest index where several are equal; `None` where nothing can be compared (no
/// values, or NaN only). NaN never wins.
#[must_use]
pub fn argmax(row: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (index, &value) in (0..).zip(row) {
        if !value.is_nan() && best.is_none_or(|(_, highest)| value > highest) {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index)
}

/// How many predictions are right, and of how many labels. A label without a prediction counts as missed.
#[must_use]
pub fn accuracy(predicted: &[u32], labels: &[u32]) -> (u64, u64) {
    let correct = predicted.iter().zip(labels).filter(|(guess, label)| guess == label).count();
    (correct as u64, labels.len() as u64)
}

/// `part / whole`; 0 where there is no whole.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The probabilities of each row of logits: `exp(x_i) / sum_j exp(x_j)`, computed in `f64` after the row's highest
/// logit is taken off, so that large logits do not overflow. A row that holds NaN or `+inf` gives a row of NaN: look
/// with [`Matrix::first_non_finite`] before you trust it.
#[must_use]
pub fn softmax(logits: &Matrix) -> Matrix {
    let mut data = Vec::with_capacity(logits.data().len());
    let mut powers = Vec::with_capacity(logits.cols());
    for row in logits.iter_rows() {
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        powers.clear();
        powers.extend(row.iter().map(|&x| libm::exp(f64::from(x) - f64::from(highest))));
        let sum: f64 = powers.iter().sum();
        #[expect(clippy::cast_possible_truncation, reason = "a probability fits an f32")]
        data.extend(powers.iter().map(|power| (power / sum) as f32));
    }
    Matrix::new(logits.rows(), logits.cols(), data).unwrap_or_default()
}

/// The mean of `-ln p(label)` in nats; probabilities below 1e-15 count as 1e-15, so that one confident mistake does not
/// make the mean infinite. 0 without labels. A label outside the columns, or a missing row, counts as 1e-15 too.
#[must_use]
pub fn log_loss(probabilities: &Matrix, labels: &[u32]) -> f64 {
    if labels.is_empty() {
        return 0.0;
    }
    let sum: f64 = labels
        .iter()
        .enumerate()
        .map(|(row, &label)| {
            let column = usize::try_from(label).unwrap_or(usize::MAX);
            let p = probabilities.row(row).get(column).copied().unwrap_or(0.0);
            // Not `max`, which would turn NaN into a number.
            let p = if p < 1e-15 { 1e-15 } else { f64::from(p) };
            -libm::log(p)
        })
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let n = labels.len() as f64;
    sum / n
}

/// The Wilson score interval of a share, for example of an accuracy: `correct` of `n`, at a two-sided `confidence` in
/// (0, 1). Without samples it is [0, 1]: nothing is known.
///
/// E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference", Journal of the American
/// Statistical Association 22, 209-212. Unlike the normal approximation it stays within [0, 1] and does not shrink to a
/// point where all or none are correct.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
pub fn wilson(correct: u64, n: u64, confidence: f64) -> Interval {
    let z = normal_quantile(0.5 + confidence / 2.0);
    if n == 0 || !z.is_finite() {
        return Interval { low: 0.0, high: 1.0 };
    }
    let (correct, count) = (correct.min(n), n as f64);
    let share = correct as f64 / count;
    let z2 = z * z;
    let center = (share + z2 / (2.0 * count)) / (1.0 + z2 / count);
    let spread = share * (1.0 - share) / count + z2 / (4.0 * count * count);
    let half = z / (1.0 + z2 / count) * spread.sqrt();
    // Both ends are exact where all or none are correct; rounding would leave them a hair off.
    Interval {
        low: if correct == 0 { 0.0 } else { (center - half).max(0.0) },
        high: if correct == n { 1.0 } else { (center + half).min(1.0) },
    }
}

/// The standard normal quantile: the `z` below which a share `p` of the distribution lies. `-inf` at 0, `+inf` at 1, NaN
/// outside [0, 1]. Accurate to about 1 part in 10^16.
///
/// M. J. Wichura (1988), "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37,
/// 477-484, routine PPND16.
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * polynomial(&CENTER.0, r) / polynomial(&CENTER.1, r);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    if tail <= 0.0 {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let r = (-libm::log(tail)).sqrt();
    let z = if r <= 5.0 {
        polynomial(&NEAR.0, r - 1.6) / polynomial(&NEAR.1, r - 1.6)
    } else {
        polynomial(&FAR.0, r - 5.0) / polynomial(&FAR.1, r - 5.0)
    };
    if q < 0.0 { -z } else { z }
}

/// `c0 + c1 x + c2 x^2 + ...` (Horner).
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// Numerator and denominator of a rational approximation, the constant term first.
type Rational = ([f64; 8], [f64; 8]);

#[expect(clippy::excessive_precision, reason = "digits as published")]
const CENTER: Rational = (
    [
        3.387_132_872_796_366_608,
        1.331_416_678_917_843_774_5e2,
        1.971_590_950_306_551_442_7e3,
        1.373_169_376_550_946_112_5e4,
        4.592_195_393_154_987_145_7e4,
        6.726_577_092_700_870_085_3e4,
        3.343_057_558_358_812_810_5e4,
        2.509_080_928_730_122_672_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091_125_2e1,
        6.871_870_074_920_579_083e2,
        5.394_196_021_424_751_107_7e3,
        2.121_379_430_158_659_586_7e4,
        3.930_789_580_009_271_061e4,
        2.872_908_573_572_194_267_4e4,
        5.226_495_278_852_854_561e3,
    ],
);

#[expect(clippy::excessive_precision, reason = "digits as published")]
const NEAR: Rational = (
    [
        1.423_437_110_749_683_577_34,
        4.630_337_846_156_545_295_9,
        5.769_497_221_460_691_405_5,
        3.647_848_324_763_204_605_04,
        1.270_458_252_452_368_382_58,
        2.417_807_251_774_506_117_7e-1,
        2.272_384_498_926_918_458_33e-2,
        7.745_450_142_783_414_076_4e-4,
    ],
    [
        1.0,
        2.053_191_626_637_758_821_87,
        1.676_384_830_183_803_849_4,
        6.897_673_349_851_000_045_5e-1,
        1.481_039_764_274_800_745_9e-1,
        1.519_866_656_361_645_719_66e-2,
        5.475_938_084_995_344_946e-4,
        1.050_750_071_644_416_843_24e-9,
    ],
);

#[expect(clippy::excessive_precision, reason = "digits as published")]
const FAR: Rational = (
    [
        6.657_904_643_501_103_777_2,
        5.463_784_911_164_114_369_9,
        1.784_826_539_917_291_335_8,
        2.965_605_718_285_048_912_3e-1,
        2.653_218_952_657_612_309_3e-2,
        1.242_660_947_388_078_438_6e-3,
        2.711_555_568_743_487_578_15e-5,
        2.010_334_399_292_288_132_65e-7,
    ],
    [
        1.0,
        5.998_322_065_558_879_376_9e-1,
        1.369_298_809_227_358_053_1e-1,
        1.487_536_129_085_061_485_25e-2,
        7.868_691_311_456_132_591e-4,
        1.846_318_317_510_054_681_8e-5,
        1.421_511_758_316_445_888_7e-7,
        2.044_263_103_389_939_785_64e-15,
    ],
);

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    #[test]
    fn the_highest_value_wins_and_the_first_of_equals() {
        assert_eq!(argmax(&[0.1, 0.7, 0.2]), Some(1));
        assert_eq!(argmax(&[0.4, 0.4, 0.2]), Some(0));
        assert_eq!(argmax(&[f32::NAN, -1.0, f32::NEG_INFINITY]), Some(1));
        assert_eq!(argmax(&[]), None);
        assert_eq!(argmax(&[f32::NAN]), None);
    }

    #[test]
    fn a_label_without_a_prediction_is_missed() {
        assert_eq!(accuracy(&[1, 2, 3], &[1, 2, 0]), (2, 3));
        assert_eq!(accuracy(&[1], &[1, 1]), (1, 2));
        assert_eq!(accuracy(&[], &[]), (0, 0));
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let logits = Matrix::new(2, 2, vec![1000.0, 1000.0, 0.0, 1.0]).expect("2 x 2");
        let found = softmax(&logits);
        assert_eq!(found.row(0), [0.5, 0.5]);
        near(f64::from(found.row(1)[1]), 0.731_058_578_630_004_9, 1e-7);
        let broken = softmax(&Matrix::new(1, 2, vec![f32::NAN, 0.0]).expect("1 x 2"));
        assert!(broken.first_non_finite().is_some());
    }

    #[test]
    fn log_loss_is_the_mean_surprise_in_nats() {
        let p = Matrix::new(2, 2, vec![0.5, 0.5, 0.75, 0.25]).expect("2 x 2");
        near(log_loss(&p, &[0, 1]), (2_f64.ln() + 4_f64.ln()) / 2.0, 1e-12);
        near(log_loss(&p, &[]), 0.0, 0.0);
        let sure = Matrix::new(1, 2, vec![1.0, 0.0]).expect("1 x 2");
        near(log_loss(&sure, &[1]), 34.538_776_394_910_684, 1e-9);
    }

    /// Values from tables: the usual critical values, and tails down to 1e-20.
    #[test]
    fn normal_quantiles_match_tables() {
        for (p, z) in [
            (0.5, 0.0),
            (0.75, 0.674_489_750_196_081_7),
            (0.9, 1.281_551_565_544_600_4),
            (0.95, 1.644_853_626_951_472_2),
            (0.975, 1.959_963_984_540_054),
            (0.995, 2.575_829_303_548_900_4),
            (0.000_1, -3.719_016_485_455_68),
            (1e-10, -6.361_340_902_404_056),
            (1e-20, -9.262_340_089_798_408),
        ] {
            near(normal_quantile(p), z, 1e-13);
        }
        assert!(normal_quantile(1.0).is_infinite() && normal_quantile(0.0).is_infinite());
        assert!(normal_quantile(1.1).is_nan() && normal_quantile(f64::NAN).is_nan());
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
