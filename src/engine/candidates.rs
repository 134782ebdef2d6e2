//! The samples that may be picked, by the names that their pool gives them.

use crate::data_selector::SampleIds;
use crate::domain::chance::Chance;
use crate::domain::ids::SampleId;
use crate::domain::rows::Runs;
use crate::domain::state::Known;
use crate::pool::Pool;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Some rows of a pool by their ids, in the pool's order.
pub(super) struct Candidates<'a> {
    pool: &'a Pool,
    rows: Runs,
}

impl<'a> Candidates<'a> {
    /// The candidates that `pool` has beside those with a label.
    pub(super) fn new(pool: &'a Pool, labels: &BTreeMap<SampleId, Known>) -> Self {
        Self { pool, rows: pool.candidates(labels.keys()) }
    }

    /// Everything that may be trained on, labelled or not.
    #[cfg(feature = "sql")]
    pub(super) fn and_labelled(pool: &'a Pool) -> Self {
        Self { pool, rows: pool.split().train.clone() }
    }

    /// Nothing.
    #[cfg(feature = "sql")]
    pub(super) fn none(pool: &'a Pool) -> Self {
        Self { pool, rows: Runs::default() }
    }

    /// The pool's rows of them.
    pub(super) const fn rows(&self) -> &Runs {
        &self.rows
    }
}

/// At most `most` of `rows`, in order; which, `chance` says by their ids.
pub(super) fn drawn(
    pool: &Pool,
    chance: &Chance<'_>,
    rows: impl Iterator<Item = usize>,
    most: usize,
) -> Vec<usize> {
    let mut drawn: Vec<(u64, usize)> = rows.map(|row| (chance.draw(&pool.id(row)), row)).collect();
    if drawn.len() > most {
        drawn.select_nth_unstable(most);
        drawn.truncate(most);
    }
    let mut rows: Vec<usize> = drawn.into_iter().map(|(_, row)| row).collect();
    rows.sort_unstable();
    rows
}

impl SampleIds for Candidates<'_> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn get(&self, index: usize) -> Cow<'_, str> {
        self.rows.get(index).map_or(Cow::Borrowed(""), |row| self.pool.id(row))
    }

    fn find(&self, id: &str) -> Option<usize> {
        self.rows.place_of(self.pool.index_of(&SampleId::from(id))?)
    }

    /// The pool's order is that of its ids; of generated ones, by their numbers.
    fn first_out_of_order(&self) -> Option<usize> {
        None
    }
}
