//! The tree over a store: its leaves are the hashes of its records, in the order in which they were committed.

use super::merkle::{Frontier, Leaf, ProofError, TreeHead};
use crate::domain::digest::Digest;
use crate::domain::ids::Position;
use crate::store::{EventLog, StoreError, fold};

/// The hashes of all records of a store, by position. 32 bytes of memory each, 72 while they are read.
///
/// # Errors
/// [`StoreError`] for a store that cannot be read, or that is damaged.
pub async fn records(log: &dyn EventLog) -> Result<Vec<Digest>, StoreError> {
    let mut records: Vec<(Position, Digest)> = Vec::new();
    for (run, _) in log.runs().await? {
        records = fold(log, run, records, |records, recorded| {
            records.push((recorded.position, recorded.hash));
            Ok::<_, StoreError>(true)
        })
        .await?;
    }
    records.sort_unstable_by_key(|(position, _)| *position);
    Ok(records.into_iter().map(|(_, hash)| hash).collect())
}

/// The size and the root of the tree over the first `size` records; `None` where there are fewer.
#[must_use]
pub fn head(records: &[Digest], size: u64) -> Option<TreeHead> {
    let mut tree = Frontier::default();
    let first = records.get(..usize::try_from(size).ok()?)?;
    first.iter().for_each(|hash| tree.append(leaf(hash)));
    Some(tree.head())
}

/// The leaf of a record.
#[must_use]
pub fn leaf(hash: &Digest) -> Leaf {
    Leaf::of(hash.as_bytes())
}

/// The leaf at a place, from 0.
///
/// # Errors
/// [`ProofError::Outside`] if there are fewer records.
pub fn leaf_at(records: &[Digest], index: u64) -> Result<Leaf, ProofError> {
    let record = usize::try_from(index).ok().and_then(|index| records.get(index));
    record.map(leaf).ok_or(ProofError::Outside { index, size: records.len() as u64 })
}
