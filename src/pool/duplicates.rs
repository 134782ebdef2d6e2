//! Samples with the same bytes: found by a hash, made sure by comparing, and represented by one of them.

use super::PoolError;
use super::source::Source;
use crate::domain::rows::RowsError;

/// Each row that is a copy, with the row that stands for it; ascending. A row that stands for others is not in the list.
#[derive(Debug, Default)]
pub(super) struct Copies(Vec<(u32, u32)>);

impl Copies {
    /// The copies among rows whose contents have these `hashes`; the lowest row of equal ones stands for them. Takes 16
    /// bytes a row on the way, and keeps 8 for each copy.
    pub(super) fn find(
        file: &str,
        hashes: Vec<u64>,
        features: &dyn Source,
    ) -> Result<Self, PoolError> {
        let too_many = || PoolError::bad(file, "more than 4,294,967,295 samples; split the pool");
        let rows = u32::try_from(hashes.len()).map_err(|_| too_many())?;
        let mut by_hash: Vec<(u64, u32)> = hashes.into_iter().zip(0..rows).collect();
        by_hash.sort_unstable();
        let mut copies = Vec::new();
        for alike in by_hash.chunk_by(|(a, _), (b, _)| a == b).filter(|alike| alike.len() > 1) {
            // One, unless different contents have one hash.
            let mut originals: Vec<u32> = Vec::new();
            for &(_, row) in alike {
                let mut original = None;
                for &candidate in &originals {
                    if same(features, row, candidate)? {
                        original = Some(candidate);
                        break;
                    }
                }
                match original {
                    Some(original) => copies.push((row, original)),
                    None => originals.push(row),
                }
            }
        }
        copies.sort_unstable();
        Ok(Self(copies))
    }

    /// The same, where of equal rows the one of the lowest rank stands for them; of equal ranks, the lowest.
    pub(super) fn ranked(&self, rank: impl Fn(usize) -> u8) -> Self {
        let mut by_original: Vec<(u32, u32)> = self.0.iter().map(|&(row, of)| (of, row)).collect();
        by_original.sort_unstable();
        let mut copies = Vec::with_capacity(self.0.len());
        for group in by_original.chunk_by(|(a, _), (b, _)| a == b) {
            let rows =
                || group.iter().take(1).map(|&(of, _)| of).chain(group.iter().map(|&(_, row)| row));
            let best = rows().min_by_key(|&row| (rank(row as usize), row));
            copies.extend(rows().filter(|row| Some(*row) != best).zip(best.into_iter().cycle()));
        }
        copies.sort_unstable();
        Self(copies)
    }

    /// The row that stands for `row`, where that is another.
    pub(super) fn original(&self, row: usize) -> Option<usize> {
        let row = u32::try_from(row).ok()?;
        let place = self.0.binary_search_by_key(&row, |&(copy, _)| copy).ok()?;
        self.0.get(place).map(|&(_, original)| original as usize)
    }

    /// The rows for which others stand, ascending.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|&(row, _)| row as usize)
    }
}

fn same(features: &dyn Source, a: u32, b: u32) -> Result<bool, RowsError> {
    let (a, b) = (a as usize, b as usize);
    if let (Some(a), Some(b)) = (features.content(a), features.content(b)) {
        return Ok(a == b);
    }
    let (a, b) = (features.read(a..a + 1)?, features.read(b..b + 1)?);
    Ok(a.iter().map(|value| value.to_bits()).eq(b.iter().map(|value| value.to_bits())))
}
