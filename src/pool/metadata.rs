//! What a pool knows of its samples beside features: columns for queries, and what an annotation costs.

use super::PoolError;
use crate::domain::definition::PoolSpec;
use crate::domain::table::{Column, Table};

/// Columns as texts, row by row, while a file is read.
pub(super) struct Extras {
    names: Vec<String>,
    columns: Vec<Vec<Option<Box<str>>>>,
    rows: usize,
    seconds: Option<Vec<f32>>,
}

impl Extras {
    pub(super) fn new(spec: &PoolSpec) -> Self {
        Self {
            names: spec.metadata.clone(),
            columns: vec![Vec::new(); spec.metadata.len()],
            rows: 0,
            seconds: spec.seconds_column.as_ref().map(|_| Vec::new()),
        }
    }

    /// Takes in a row: its cells in the order of `pool.metadata`, and its seconds.
    pub(super) fn push(
        &mut self,
        cells: impl IntoIterator<Item = Option<Box<str>>>,
        seconds: Option<f32>,
    ) {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell);
        }
        self.rows += 1;
        if let (Some(all), Some(seconds)) = (&mut self.seconds, seconds) {
            all.push(seconds);
        }
    }

    /// The rows in another order, each column with the narrowest type that fits all of it.
    pub(super) fn finish(self, order: Option<&[usize]>) -> (Table, Option<Vec<f32>>) {
        let columns = self.names.into_iter().zip(self.columns).map(|(name, cells)| {
            let cells = match order {
                Some(order) => order.iter().map(|&row| cells.get(row).cloned().flatten()).collect(),
                None => cells,
            };
            (name, typed(cells))
        });
        let columns = columns.collect();
        let seconds = match (self.seconds, order) {
            (Some(seconds), Some(order)) => {
                Some(order.iter().filter_map(|&row| seconds.get(row).copied()).collect())
            }
            (seconds, _) => seconds,
        };
        (Table { rows: self.rows, columns }, seconds)
    }
}

fn typed(cells: Vec<Option<Box<str>>>) -> Column {
    let known = || cells.iter().flatten();
    if known().all(|cell| cell.parse::<i64>().is_ok()) && known().next().is_some() {
        return Column::Whole(cells.iter().map(|cell| cell.as_ref()?.parse().ok()).collect());
    }
    let number = |cell: &str| cell.parse::<f64>().ok().filter(|number| number.is_finite());
    if known().all(|cell| number(cell).is_some()) && known().next().is_some() {
        return Column::Number(cells.iter().map(|cell| number(cell.as_ref()?)).collect());
    }
    Column::Text(cells)
}

/// A cell of metadata; an empty one is none.
pub(super) fn cell(text: &str) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

/// The seconds that a cell says.
pub(super) fn seconds(text: &str, place: impl FnOnce() -> String) -> Result<f32, PoolError> {
    text.parse::<f32>().ok().filter(|seconds| seconds.is_finite() && *seconds > 0.0).ok_or_else(|| {
        let value = super::shortened(text);
        PoolError::bad(
            place(),
            format!("{value:?} in `pool.seconds_column` is not a number of seconds above 0; correct it, or remove the row"),
        )
    })
}
