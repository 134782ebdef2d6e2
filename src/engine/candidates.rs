//! The samples that may be picked: the training part of the pool, less what is labelled, in the order of ids.

use crate::data_selector::SampleIds;
use crate::domain::ids::SampleId;
use crate::domain::rows::{Rows, RowsError, Runs, Subset};
use crate::domain::state::Known;
use crate::pool::Pool;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The candidates of a cycle.
pub(super) struct Candidates<'a> {
    pool: &'a Pool,
    rows: RowList,
}

/// Rows of a pool, in an order of their own. Most pools lie in the order of their ids, and then a list is a few runs.
pub(super) enum RowList {
    Ascending(Runs),
    Listed(Vec<usize>),
}

impl<'a> Candidates<'a> {
    /// The candidates that `pool` has beside those with a label.
    pub(super) fn new(pool: &'a Pool, labels: &BTreeMap<SampleId, Known>) -> Self {
        let labelled: BTreeSet<usize> = labels.keys().filter_map(|id| pool.index_of(id)).collect();
        let mut rows: Vec<usize> =
            pool.split().train.iter().copied().filter(|row| !labelled.contains(row)).collect();
        rows.sort_by(|&a, &b| pool.ids().get(a).cmp(&pool.ids().get(b)));
        Self { pool, rows: RowList::new(rows) }
    }

    /// The pool's rows of the candidates, in their order.
    pub(super) const fn rows(&self) -> &RowList {
        &self.rows
    }
}

impl SampleIds for Candidates<'_> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn get(&self, index: usize) -> Cow<'_, str> {
        let id = self.rows.get(index).and_then(|row| self.pool.ids().get(row));
        Cow::Borrowed(id.map_or("", SampleId::as_str))
    }
}

impl RowList {
    pub(super) fn new(rows: Vec<usize>) -> Self {
        if rows.is_sorted() {
            Self::Ascending(rows.into_iter().collect())
        } else {
            Self::Listed(rows)
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ascending(runs) => runs.len(),
            Self::Listed(rows) => rows.len(),
        }
    }

    pub(super) fn get(&self, place: usize) -> Option<usize> {
        match self {
            Self::Ascending(runs) => runs.get(place),
            Self::Listed(rows) => rows.get(place).copied(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    /// These rows of `source`.
    pub(super) fn of<'a>(&'a self, source: &'a dyn Rows) -> Box<dyn Rows + 'a> {
        match self {
            Self::Ascending(runs) => Box::new(Subset::new(source, runs)),
            Self::Listed(rows) => Box::new(Permuted { source, rows }),
        }
    }
}

struct Permuted<'a> {
    source: &'a dyn Rows,
    rows: &'a [usize],
}

impl Rows for Permuted<'_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn cols(&self) -> usize {
        self.source.cols()
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        let end = range.end.min(self.rows.len());
        let rows = self.rows.get(range.start.min(end)..end).unwrap_or_default();
        let mut values = Vec::with_capacity(rows.len() * self.cols());
        for &row in rows {
            values.extend_from_slice(&self.source.read(row..row + 1)?);
        }
        Ok(Cow::Owned(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::matrix::Matrix;

    #[test]
    fn rows_come_in_the_order_of_the_list() {
        let matrix = Matrix::new(4, 2, (0..8_u8).map(f32::from).collect()).unwrap();
        for (rows, expected) in [
            (vec![1, 2, 3], [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
            (vec![3, 0, 1], [6.0, 7.0, 0.0, 1.0, 2.0, 3.0]),
        ] {
            let list = RowList::new(rows.clone());
            assert_eq!(list.iter().collect::<Vec<_>>(), rows);
            assert_eq!(&*list.of(&matrix).read(0..9).unwrap(), expected);
            assert_eq!(&*list.of(&matrix).read(1..2).unwrap(), &expected[2..4]);
        }
    }
}
