//! Rows of probabilities, many at a time: each must be a distribution, and most measures ask only for its two best.
//!
//! Rows of few classes are read in blocks of [`LANES`], one row to a lane, so that the compiler works on whole vectors;
//! wider rows are read one by one, one class to a lane. The highest and the second highest value are exact in `f32`, in
//! whatever order they are found, so a score has the same bits either way. Whether a row is a distribution is decided by
//! a sum in `f32` first, with half the tolerance: rounding cannot make up the other half for so few classes, so that only
//! a row in doubt is added up again, exactly.

use super::simd::{Kernel, dispatch};
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
/// Blocks that are checked together.
const GROUP: usize = 16;

/// What was seen in each lane of one block.
struct Best {
    first: [f32; LANES],
    second: [f32; LANES],
    sum: [f32; LANES],
}

/// What was seen in each lane of several blocks.
struct Doubt {
    low: [f32; LANES],
    high: [f32; LANES],
    /// How often a sum was far from 1, NaN or infinite.
    off: [u32; LANES],
}

impl Best {
    const NONE: Self = Self { first: [0.0; LANES], second: [0.0; LANES], sum: [0.0; LANES] };

    /// One more value in each lane. Comparisons rather than `f32::max`, which would look for NaN: the sum finds it.
    #[inline(always)]
    #[expect(
        clippy::indexing_slicing,
        clippy::needless_range_loop,
        reason = "a lane is below LANES, and five arrays go side by side"
    )]
    fn see(&mut self, values: &[f32; LANES], doubt: &mut Doubt) {
        for lane in 0..LANES {
            let value = values[lane];
            let lower = if value < self.first[lane] { value } else { self.first[lane] };
            self.second[lane] = if lower > self.second[lane] { lower } else { self.second[lane] };
            self.first[lane] = if value > self.first[lane] { value } else { self.first[lane] };
            doubt.low[lane] = if value < doubt.low[lane] { value } else { doubt.low[lane] };
            self.sum[lane] += value;
        }
    }

    /// All lanes in one, as those of a block of one row: in a fixed order, so that the sum is the same everywhere.
    #[inline(always)]
    fn together(&self) -> (f32, f32, f32) {
        let (first, second) = best_two(&self.first);
        let (first, second) =
            self.second.iter().fold((first, second), |best, &value| better_two(best, value));
        (first, second, self.sum.iter().sum())
    }
}

impl Doubt {
    const NONE: Self = Self { low: [0.0; LANES], high: [0.0; LANES], off: [0; LANES] };

    /// A block whose lanes are rows.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a lane is below LANES")]
    fn see(&mut self, best: &Best) {
        for lane in 0..LANES {
            let (first, sum) = (best.first[lane], best.sum[lane]);
            self.high[lane] = if first > self.high[lane] { first } else { self.high[lane] };
            let near = (sum - 1.0).abs() <= FAST_TOLERANCE;
            self.off[lane] |= u32::from(!near);
        }
    }

    /// Whether all that was seen surely were distributions.
    fn is_none(&self) -> bool {
        self.low.iter().all(|&low| low >= -FAST_TOLERANCE)
            && self.high.iter().all(|&high| high <= 1.0 + FAST_TOLERANCE)
            && self.off.iter().all(|&off| off == 0)
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
    let rows = Rows { view, start, classes, values, score };
    match classes {
        2 => dispatch(Narrow::<2, _>(rows)),
        3 => dispatch(Narrow::<3, _>(rows)),
        4 => dispatch(Narrow::<4, _>(rows)),
        5 => dispatch(Narrow::<5, _>(rows)),
        6 => dispatch(Narrow::<6, _>(rows)),
        7 => dispatch(Narrow::<7, _>(rows)),
        8 => dispatch(Narrow::<8, _>(rows)),
        9 => dispatch(Narrow::<9, _>(rows)),
        10 => dispatch(Narrow::<10, _>(rows)),
        11 => dispatch(Narrow::<11, _>(rows)),
        12 => dispatch(Narrow::<12, _>(rows)),
        _ => dispatch(rows),
    }
}

/// Rows of any width.
struct Rows<'a, S> {
    view: &'a View<'a>,
    start: usize,
    classes: usize,
    values: &'a [f32],
    score: S,
}

/// Rows of `K` classes.
struct Narrow<'a, const K: usize, S>(Rows<'a, S>);

impl<const K: usize, S: Fn(f64, f64) -> f64> Kernel for Narrow<'_, K, S> {
    type Output = Result<Vec<f64>, SelectorError>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self(all) = self;
        let (rows, _) = all.values.as_chunks::<K>();
        let mut scores = Vec::with_capacity(rows.len());
        for group in rows.chunks(LANES * GROUP) {
            let start = scores.len();
            let (blocks, rest) = group.as_chunks::<LANES>();
            let mut doubt = Doubt::NONE;
            for block in blocks {
                let mut best = Best::NONE;
                for class in 0..K {
                    #[expect(clippy::indexing_slicing, reason = "class < K")]
                    best.see(&block.each_ref().map(|row| row[class]), &mut doubt);
                }
                doubt.see(&best);
                let mut block_scores = [0.0; LANES];
                let pairs = best.first.iter().zip(&best.second);
                for (score, (&first, &second)) in block_scores.iter_mut().zip(pairs) {
                    *score = (all.score)(first.into(), second.into());
                }
                scores.extend_from_slice(&block_scores);
            }
            if !doubt.is_none() {
                all.check(start, blocks.as_flattened().as_flattened())?;
            }
            all.check(start + blocks.len() * LANES, rest.as_flattened())?;
            scores.extend(rest.iter().map(|row| {
                let (first, second) = best_two(row);
                (all.score)(first.into(), second.into())
            }));
        }
        Ok(scores)
    }
}

impl<S: Fn(f64, f64) -> f64> Kernel for Rows<'_, S> {
    type Output = Result<Vec<f64>, SelectorError>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let mut scores = Vec::with_capacity(self.values.len() / self.classes.max(1));
        for (number, row) in self.values.chunks_exact(self.classes.max(1)).enumerate() {
            let (mut best, mut doubt) = (Best::NONE, Doubt::NONE);
            let (lanes, rest) = row.as_chunks::<LANES>();
            lanes.iter().for_each(|lanes| best.see(lanes, &mut doubt));
            let mut last = [0.0; LANES];
            last.iter_mut().zip(rest).for_each(|(last, &value)| *last = value);
            best.see(&last, &mut doubt);
            let (first, second, sum) = best.together();
            let near = (sum - 1.0).abs() <= FAST_TOLERANCE;
            if !(near && first <= 1.0 + FAST_TOLERANCE && doubt.is_none() && row.len() <= FAST_MAX)
            {
                self.check(number, row)?;
            }
            scores.push((self.score)(first.into(), second.into()));
        }
        Ok(scores)
    }
}

impl<S> Rows<'_, S> {
    /// The exact check of the rows from `number` on.
    #[inline(never)]
    fn check(&self, number: usize, rows: &[f32]) -> Result<(), SelectorError> {
        for (number, row) in (number..).zip(rows.chunks(self.classes.max(1))) {
            check(|| self.view.sample(self.start + number), row)?;
        }
        Ok(())
    }
}

fn best_two(row: &[f32]) -> (f32, f32) {
    row.iter().fold((0.0, 0.0), |best, &value| better_two(best, value))
}

fn better_two((first, second): (f32, f32), value: f32) -> (f32, f32) {
    if value > first {
        (value, first)
    } else {
        (first, if value > second { value } else { second })
    }
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
