//! Quantiles of the normal and of Student's distribution, with the same bits on every machine.
//!
//! Knows no samples: what an interval is made of stands in [`super::interval`].

/// The standard normal quantile: the `z` below which a share `p` of the distribution lies. `-inf` at 0, `+inf` at 1,
/// NaN outside [0, 1]. Accurate to about 1 part in 10^16.
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

/// The standard normal distribution function: the share below `z`. Through the complementary error function, so that
/// far tails keep their digits.
pub(super) fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// The quantile of Student's t with `freedom` degrees: exact for 1 and 2, from 3 on within half a percent at two-sided
/// confidences up to 0.99, and better the more there are.
///
/// M. Abramowitz and I. A. Stegun (1964), Handbook of Mathematical Functions, 26.7.5.
#[expect(clippy::cast_precision_loss, reason = "a count of samples")]
pub(super) fn student_quantile(p: f64, freedom: usize) -> f64 {
    let (z, v) = (normal_quantile(p), freedom as f64);
    let center = 2.0 * p - 1.0;
    match freedom {
        0 => z.signum() * f64::INFINITY,
        1 => libm::tan(std::f64::consts::FRAC_PI_2 * center),
        2 => center * (2.0 / (1.0 - center * center)).sqrt(),
        _ => {
            let z2 = z * z;
            let one = (z2 + 1.0) / 4.0;
            let two = ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0;
            let three = (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0;
            let four =
                ((((79.0 * z2 + 776.0) * z2 + 1482.0) * z2 - 1920.0) * z2 - 945.0) / 92_160.0;
            z * (1.0 + (one + (two + (three + four / v) / v) / v) / v)
        }
    }
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

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
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
            near(normal_cdf(z) / p, 1.0, 1e-11);
        }
        assert!(normal_quantile(1.0).is_infinite() && normal_quantile(0.0).is_infinite());
        assert!(normal_quantile(1.1).is_nan() && normal_quantile(f64::NAN).is_nan());
    }

    /// The usual table of Student's t.
    #[test]
    fn student_quantiles_match_tables() {
        for (freedom, at_975, at_995) in [
            (1, 12.706, 63.657),
            (2, 4.303, 9.925),
            (3, 3.182, 5.841),
            (4, 2.776, 4.604),
            (5, 2.571, 4.032),
            (10, 2.228, 3.169),
            (30, 2.042, 2.750),
            (1000, 1.962, 2.581),
        ] {
            near(student_quantile(0.975, freedom) / at_975, 1.0, 2e-3);
            near(student_quantile(0.025, freedom) / at_975, -1.0, 2e-3);
            near(student_quantile(0.995, freedom) / at_995, 1.0, 2e-2);
        }
    }
}
