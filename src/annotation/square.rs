//! A square of numbers, classes by classes: what was confused with what.

use super::error::QualityError;

/// The most numbers in one table: a gigabyte of them.
const CELLS_MAX: usize = 1 << 27;

/// Numbers for each pair of classes, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Square {
    classes: usize,
    cells: Vec<f64>,
}

impl Square {
    /// The square of `classes` by `classes` that `cell` says, by row and column.
    pub(super) fn of(classes: usize, cell: impl Fn(usize, usize) -> f64) -> Self {
        let cell = &cell;
        let cells = (0..classes).flat_map(|row| (0..classes).map(move |column| cell(row, column)));
        Self { classes, cells: cells.collect() }
    }

    /// How many classes there are.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// The number in `row` and `column`; 0 outside.
    #[must_use]
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.row(row).get(column).copied().unwrap_or(0.0)
    }

    /// All of a row; empty outside.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f64] {
        self.rows().nth(row).unwrap_or_default()
    }

    /// The rows, first to last.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.cells.chunks_exact(self.classes.max(1))
    }

    /// The sum of the numbers where row and column are the same class.
    #[must_use]
    pub fn trace(&self) -> f64 {
        self.cells.iter().step_by(self.classes.saturating_add(1)).sum()
    }
}

/// The room for `rows` of `of`, each of `width` numbers.
///
/// # Errors
/// [`QualityError::TooLarge`] where that is more than a gigabyte.
pub(super) fn room(
    of: &'static str,
    rows: usize,
    width: usize,
    classes: usize,
) -> Result<usize, QualityError> {
    rows.checked_mul(width).filter(|&cells| cells <= CELLS_MAX).ok_or(QualityError::TooLarge {
        of,
        rows,
        classes,
        limit: CELLS_MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_is_read_by_row_and_column() {
        let square =
            Square::of(2, |row, column| if row == column { 0.25 } else { row.max(1) as f64 });
        assert_eq!(square.rows().collect::<Vec<_>>(), [[0.25, 1.0], [1.0, 0.25]]);
        assert_eq!((square.at(1, 0), square.at(2, 0), square.trace()), (1.0, 0.0, 0.5));
    }

    #[test]
    fn a_table_larger_than_memory_is_refused_before_it_is_made() {
        assert_eq!(room("samples", 10, 3, 3), Ok(30));
        for rows in [1 << 26, usize::MAX] {
            let error = room("samples", rows, 3, 3).unwrap_err();
            assert_eq!(
                error,
                QualityError::TooLarge { of: "samples", rows, classes: 3, limit: CELLS_MAX }
            );
        }
    }
}
