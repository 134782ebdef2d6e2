//! Points in space, and the squared distances between them: always the same bits, whoever asks and in which order.

use super::{SelectorError, View};
use crate::domain::ids::SampleId;
use std::borrow::Cow;

/// Points whose distances to one point are worked out together.
pub(super) const LANES: usize = 32;

/// The embeddings of all candidates, row after row, and their width; each of length 1 for `cosine`, so that the squared
/// Euclidean distance is `2 - 2 cos`.
pub(super) fn candidates<'v>(
    view: &'v View<'_>,
    output: &str,
    cosine: bool,
) -> Result<(Cow<'v, [f32]>, usize), SelectorError> {
    let (values, cols) = view.matrix(output)?;
    if !cosine {
        return Ok((values, cols));
    }
    Ok((Cow::Owned(unit(&values, cols, output, |index| view.sample(index))?), cols))
}

/// The same of the labelled samples; empty where there are none.
pub(super) fn labelled<'v>(
    view: &'v View<'_>,
    output: &str,
    cosine: bool,
) -> Result<Cow<'v, [f32]>, SelectorError> {
    let matrix = view.labelled(output)?;
    let sample = |index: usize| SampleId::from(format!("(labelled, number {index})"));
    if let Some((row, column)) = matrix.first_non_finite() {
        let value = matrix.row(row).get(column).copied().unwrap_or(f32::NAN);
        return Err(SelectorError::NotFinite {
            output: output.to_owned(),
            sample: sample(row),
            value,
        });
    }
    if !cosine {
        return Ok(Cow::Borrowed(matrix.data()));
    }
    Ok(Cow::Owned(unit(matrix.data(), matrix.cols(), output, sample)?))
}

fn unit(
    values: &[f32],
    cols: usize,
    output: &str,
    sample: impl Fn(usize) -> SampleId,
) -> Result<Vec<f32>, SelectorError> {
    let mut all = Vec::with_capacity(values.len());
    for (index, row) in values.chunks_exact(cols.max(1)).enumerate() {
        let length = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if length <= 0.0 {
            return Err(SelectorError::ZeroVector {
                output: output.to_owned(),
                sample: sample(index),
            });
        }
        #[expect(clippy::cast_possible_truncation, reason = "a coordinate of a unit vector")]
        all.extend(row.iter().map(|&x| (f64::from(x) / length) as f32));
    }
    Ok(all)
}

/// Points laid out by column, [`LANES`] of them side by side, so that one instruction serves several.
pub(super) struct Columns {
    rows: usize,
    cols: usize,
    data: Vec<f32>,
}

impl Columns {
    pub(super) fn new<'r>(points: impl Iterator<Item = &'r [f32]>, cols: usize) -> Self {
        let mut columns = Self { rows: 0, cols, data: Vec::new() };
        for row in points {
            let lane = columns.rows % LANES;
            if lane == 0 {
                columns.data.resize(columns.data.len() + cols * LANES, 0.0);
            }
            let start = columns.data.len() - cols * LANES + lane;
            let places = columns.data.iter_mut().skip(start).step_by(LANES);
            places.zip(row).for_each(|(place, &x)| *place = x);
            columns.rows += 1;
        }
        columns
    }

    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// The points, [`LANES`] at a time: of each block its first column, its second, ...
    pub(super) fn blocks(&self) -> std::slice::ChunksExact<'_, f32> {
        self.data.chunks_exact((self.cols * LANES).max(1))
    }

    /// The squared distances of a point to each, [`LANES`] at a time: `sum (x - y)^2`, column after column. The lanes past
    /// the last point hold the distance to the origin.
    pub(super) fn distances(&self, point: &[f32]) -> impl Iterator<Item = [f32; LANES]> {
        self.blocks().map(move |block| squared(block, point))
    }

    /// The squared distance of a point to each.
    pub(super) fn each(&self, point: &[f32]) -> impl Iterator<Item = f32> {
        self.distances(point).flatten().take(self.rows)
    }
}

/// The squared distances of a point to those of a block.
#[inline(always)]
pub(super) fn squared(block: &[f32], point: &[f32]) -> [f32; LANES] {
    let mut sums = [0.0_f32; LANES];
    for (x, lanes) in point.iter().zip(block.as_chunks::<LANES>().0) {
        for (sum, y) in sums.iter_mut().zip(lanes) {
            let difference = x - y;
            *sum += difference * difference;
        }
    }
    sums
}

/// Up to `most` of `0..len`, evenly spread.
pub(super) fn spread(len: usize, most: usize) -> impl Iterator<Item = usize> {
    let taken = len.min(most);
    (0..taken).map(move |place| place * len / taken.max(1))
}
