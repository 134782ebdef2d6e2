//! Rows of numbers: how features, scores and embeddings travel between capabilities.

/// A dense matrix of `f32`, row after row. Invariant: `data.len() == rows * cols`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    data: Vec<f32>,
}

impl Matrix {
    /// A matrix from its values, row after row; `None` if there are not `rows * cols` of them.
    #[must_use]
    pub fn new(rows: usize, cols: usize, data: Vec<f32>) -> Option<Self> {
        (rows.checked_mul(cols) == Some(data.len())).then_some(Self { rows, cols, data })
    }

    /// How many rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// How many numbers a row has.
    #[must_use]
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// All values, row after row.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Row `index`; empty past the end.
    #[must_use]
    pub fn row(&self, index: usize) -> &[f32] {
        index
            .checked_mul(self.cols)
            .and_then(|start| self.data.get(start..start.checked_add(self.cols)?))
            .unwrap_or_default()
    }

    /// The rows, first to last.
    pub fn iter_rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        (0..self.rows).map(|index| self.row(index))
    }

    /// A new matrix of the rows at `indexes`, in that order; indexes past the end are left out.
    #[must_use]
    pub fn select_rows(&self, indexes: &[usize]) -> Self {
        let mut data = Vec::with_capacity(indexes.len().saturating_mul(self.cols));
        let mut rows = 0;
        for &index in indexes.iter().filter(|&&index| index < self.rows) {
            data.extend_from_slice(self.row(index));
            rows += 1;
        }
        Self { rows, cols: self.cols, data }
    }

    /// The first place, as (row, column), that holds NaN or an infinity.
    #[must_use]
    pub fn first_non_finite(&self) -> Option<(usize, usize)> {
        let index = self.data.iter().position(|value| !value.is_finite())?;
        Some((index / self.cols.max(1), index % self.cols.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_its_values_and_tells_where_one_is_no_number() {
        let values = vec![0.0, 1.0, 2.0, 3.0, 4.0, f32::NAN];
        let matrix = Matrix::new(2, 3, values.clone()).unwrap();
        assert_eq!(matrix.data()[..5], values[..5]);
        assert_eq!(matrix.first_non_finite(), Some((1, 2)));
        assert_eq!(matrix.select_rows(&[0, 7]).first_non_finite(), None);
        assert_eq!(
            matrix.select_rows(&[2, 0]).rows(),
            1,
            "the first past the end is left out, too"
        );
        assert_eq!(
            Matrix::new(3, 1, vec![0.0, f32::INFINITY, 0.0]).unwrap().first_non_finite(),
            Some((1, 0))
        );
    }
}
