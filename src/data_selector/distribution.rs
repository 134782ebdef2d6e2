//! Rows of probabilities, many at a time: each must be a distribution, and most measures ask only for its two best.
//!
//! Rows of few classes are read in blocks of [`LANES`], one row to a lane, so that the compiler works on whole vectors;
//! wider rows are read one by one, one class to a lane. The highest and the second highest value are exact in `f32`, in
//! whatever order they are found, so a score has the same bits either way. Whether a row is a distribution is decided by
//! a sum in `f32` first, with half the tolerance: rounding cannot make up the other half for so few classes, so that only
//! a row in doubt is added up again, exactly.

use super::{SelectorError, View};
use crate::domain::ids::SampleId;

/// How far from 1 the sum of a row may be: probabilities travel as `f32`.
const SUM_TOLERANCE: f64 = 1e-3;
/// What the fast check tolerates. All values then lie within it of [0, 1], their magnitudes sum to less than 2.1, and the
/// error of the sum of [`FAST_MAX`] of them is below 1024 * 2^-24 * 2.1 = 0.00013.
const FAST_TOLERANCE: f32 = 5e-4;
/// Rows of more classes are always added up exactly.
const FAST_MAX: usize = 1024;
/// Rows of a block, or classes of a wide row: two or four vectors.
const LANES: usize = 8;

/// What was seen in each lane.
struct Seen {
    first: [f32; LANES],
    second: [f32; LANES],
    low: [f32; LANES],
    sum: [f32; LANES],
}

impl Seen {
    const fn nothing() -> Self {
        Self { first: [0.0; LANES], second: [0.0; LANES], low: [0.0; LANES], sum: [0.0; LANES] }
    }

    /// One more value in each lane. Comparisons rather than `f32::max`, which would look for NaN: the sum finds it.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a lane is below LANES")]
    fn see(&mut self, values: &[f32; LANES]) {
        for lane in 0..LANES {
            let value = values[lane];
            let lower = if value < self.first[lane] { value } else { self.first[lane] };
            self.second[lane] = if lower > self.second[lane] { lower } else { self.second[lane] };
            self.first[lane] = if value > self.first[lane] { value } else { self.first[lane] };
            self.low[lane] = if value < self.low[lane] { value } else { self.low[lane] };
            self.sum[lane] += value;
        }
    }

    /// Whether each lane surely held a distribution. NaN and infinities make the sum fail.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a lane is below LANES")]
    fn are_distributions(&self) -> bool {
        let mut sure = true;
        for lane in 0..LANES {
            sure &= (self.sum[lane] - 1.0).abs() <= FAST_TOLERANCE;
            sure &= self.low[lane] >= -FAST_TOLERANCE;
            sure &= self.first[lane] <= 1.0 + FAST_TOLERANCE;
        }
        sure
    }

    /// All lanes in one: first, second, low, sum.
    fn together(&self) -> (f32, f32, f32, f32) {
        let (mut first, mut second) = (0.0_f32, 0.0_f32);
        for &value in self.first.iter().chain(&self.second) {
            if value > first {
                (first, second) = (value, first);
            } else if value > second {
                second = value;
            }
        }
        let low = self.low.iter().fold(0.0_f32, |low, &x| if x < low { x } else { low });
        (first, second, low, self.sum.iter().sum())
    }
}

/// A score of the highest and the second highest probability (0 where there is one class) of each row. The rows belong to
/// the candidates from `start` on.
///
/// # Errors
/// [`SelectorError::NotAProbability`] or [`SelectorError::NotADistribution`] of the first row that is none.
pub(super) fn score_best_two(
    view: &View<'_>,
    start: usize,
    classes: usize,
    values: &[f32],
    score: impl Fn(f64, f64) -> f64 + Copy,
) -> Result<Vec<f64>, SelectorError> {
    let rows = Rows { view, start, values };
    match classes {
        1 => rows.narrow::<1>(score),
        2 => rows.narrow::<2>(score),
        3 => rows.narrow::<3>(score),
        4 => rows.narrow::<4>(score),
        5 => rows.narrow::<5>(score),
        6 => rows.narrow::<6>(score),
        7 => rows.narrow::<7>(score),
        8 => rows.narrow::<8>(score),
        9 => rows.narrow::<9>(score),
        10 => rows.narrow::<10>(score),
        11 => rows.narrow::<11>(score),
        12 => rows.narrow::<12>(score),
        13 => rows.narrow::<13>(score),
        14 => rows.narrow::<14>(score),
        15 => rows.narrow::<15>(score),
        16 => rows.narrow::<16>(score),
        _ => rows.wide(classes, score),
    }
}

struct Rows<'a> {
    view: &'a View<'a>,
    start: usize,
    values: &'a [f32],
}

impl Rows<'_> {
    fn narrow<const K: usize>(
        &self,
        score: impl Fn(f64, f64) -> f64,
    ) -> Result<Vec<f64>, SelectorError> {
        let (rows, _) = self.values.as_chunks::<K>();
        let mut scores = vec![0.0; rows.len()];
        let (blocks, rest) = rows.as_chunks::<LANES>();
        let (block_scores, rest_scores) = scores.as_chunks_mut::<LANES>();
        for (number, (block, scores)) in blocks.iter().zip(block_scores).enumerate() {
            let mut seen = Seen::nothing();
            for class in 0..K {
                #[expect(clippy::indexing_slicing, reason = "class < K")]
                seen.see(&block.each_ref().map(|row| row[class]));
            }
            if !seen.are_distributions() {
                for (place, row) in block.iter().enumerate() {
                    self.check(number * LANES + place, row)?;
                }
            }
            for ((scores, &first), &second) in scores.iter_mut().zip(&seen.first).zip(&seen.second)
            {
                *scores = score(first.into(), second.into());
            }
        }
        for (number, (row, to)) in (blocks.len() * LANES..).zip(rest.iter().zip(rest_scores)) {
            self.check(number, row)?;
            let (first, second) = best_two(row);
            *to = score(first.into(), second.into());
        }
        Ok(scores)
    }

    fn wide(
        &self,
        classes: usize,
        score: impl Fn(f64, f64) -> f64,
    ) -> Result<Vec<f64>, SelectorError> {
        let rows = self.values.chunks_exact(classes.max(1)).enumerate();
        rows.map(|(number, row)| {
            let mut seen = Seen::nothing();
            let (lanes, rest) = row.as_chunks::<LANES>();
            lanes.iter().for_each(|lanes| seen.see(lanes));
            let mut last = [0.0; LANES];
            last.iter_mut().zip(rest).for_each(|(last, &value)| *last = value);
            seen.see(&last);
            let (first, second, low, sum) = seen.together();
            let sure = (sum - 1.0).abs() <= FAST_TOLERANCE
                && low >= -FAST_TOLERANCE
                && first <= 1.0 + FAST_TOLERANCE
                && classes <= FAST_MAX;
            if !sure {
                self.check(number, row)?;
            }
            Ok(score(first.into(), second.into()))
        })
        .collect()
    }

    #[cold]
    fn check(&self, number: usize, row: &[f32]) -> Result<(), SelectorError> {
        check(|| self.view.sample(self.start + number), row)
    }
}

fn best_two(row: &[f32]) -> (f32, f32) {
    row.iter().fold((0.0, 0.0), |(first, second), &p| {
        if p > first { (p, first) } else { (first, if p > second { p } else { second }) }
    })
}

/// A row must be a distribution.
///
/// # Errors
/// [`SelectorError::NotAProbability`], [`SelectorError::NotADistribution`].
pub(super) fn check(sample: impl Fn() -> SampleId, row: &[f32]) -> Result<(), SelectorError> {
    check_each(&sample, row)?;
    let sum: f64 = row.iter().copied().map(f64::from).sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(SelectorError::NotADistribution { sample: sample(), sum });
    }
    Ok(())
}

/// Each number must be a probability, whatever their sum.
///
/// # Errors
/// [`SelectorError::NotAProbability`].
pub(super) fn check_each(sample: impl Fn() -> SampleId, row: &[f32]) -> Result<(), SelectorError> {
    let tolerated = -SUM_TOLERANCE..=1.0 + SUM_TOLERANCE;
    let bad = row.iter().position(|&p| !tolerated.contains(&f64::from(p)));
    match bad.and_then(|class| Some((class, row.get(class)?))) {
        Some((class, &value)) => {
            Err(SelectorError::NotAProbability { sample: sample(), class, value })
        }
        None => Ok(()),
    }
}

/// `-p ln p` in nats; 0 for `p <= 0`. The logarithm is libm's, the same on every machine.
pub(super) fn surprise(p: f64) -> f64 {
    if p > 0.0 { -(p * libm::log(p)) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{ids, view};
    use super::*;
    use quickcheck::quickcheck;

    fn slow(row: &[f32]) -> (f64, f64) {
        let mut all: Vec<f64> = row.iter().map(|&p| f64::from(p)).chain([0.0, 0.0]).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        (all[0], all[1])
    }

    quickcheck! {
        /// Every width, any number of rows: the two best are those of a sorted row, and what is no distribution is found.
        fn the_two_best_are_those_of_a_sorted_row(bytes: Vec<u8>, width: u8, broken: u8) -> bool {
            let classes = usize::from(width % 40) + 1;
            let n = 21;
            let mut values = vec![];
            for row in 0..n {
                let of = |class: usize| {
                    f32::from(bytes.get((row * 7 + class) % bytes.len().max(1)).map_or(1, |b| b % 9)) + 0.1
                };
                let sum: f32 = (0..classes).map(of).sum();
                values.extend((0..classes).map(|class| of(class) / sum));
            }
            let ids = ids(n);
            let view = view(&ids);
            let found = |values: &[f32]| score_best_two(&view, 0, classes, values, |a, b| a * 3.0 - b);
            let expected: Vec<f64> =
                values.chunks(classes).map(|row| { let (a, b) = slow(row); a * 3.0 - b }).collect();
            let right = found(&values) == Ok(expected);
            let place = usize::from(broken) % values.len();
            let refused = |wrong: f32| {
                let mut values = values.clone();
                values[place] = wrong;
                let row = place / classes;
                let expected = check(|| ids[row].clone(), &values[row * classes..][..classes]);
                match (expected, found(&values)) {
                    (Err(a), Err(b)) => a.to_string() == b.to_string(),
                    (Ok(()), Ok(_)) => true,
                    _ => false,
                }
            };
            right && [f32::NAN, f32::INFINITY, -f32::INFINITY, -0.002, -0.0008, 1.5].into_iter().all(refused)
        }
    }
}
