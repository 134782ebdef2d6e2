//! Rows of numbers that need not fit in memory: what a strategy reads its candidates through.

use super::matrix::Matrix;
use std::borrow::Cow;
use std::ops::Range;

/// A matrix of `f32` that is read in pieces: in memory, or in a file.
pub trait Rows: Sync {
    /// How many rows there are.
    fn rows(&self) -> usize;

    /// How many numbers a row has.
    fn cols(&self) -> usize;

    /// The rows of `range`, one after the other: borrowed where they lie in memory. A range past the end is cut there.
    ///
    /// # Errors
    /// [`RowsError`] if a file cannot be read.
    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError>;
}

/// Rows that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not read the rows {first} to {end} of {what}: {reason}")]
pub struct RowsError {
    /// Of what, for example a file.
    pub what: String,
    /// The first row asked for.
    pub first: usize,
    /// The row after the last.
    pub end: usize,
    /// Why not.
    pub reason: String,
}

impl Rows for Matrix {
    fn rows(&self) -> usize {
        Self::rows(self)
    }

    fn cols(&self) -> usize {
        Self::cols(self)
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        let end = range.end.min(Self::rows(self));
        let first = range.start.min(end);
        let values = self.data().get(first * Self::cols(self)..end * Self::cols(self));
        Ok(Cow::Borrowed(values.unwrap_or_default()))
    }
}

impl<T: Rows + ?Sized> Rows for &T {
    fn rows(&self) -> usize {
        (**self).rows()
    }

    fn cols(&self) -> usize {
        (**self).cols()
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        (**self).read(range)
    }
}

impl<T: Rows + ?Sized> Rows for Box<T> {
    fn rows(&self) -> usize {
        (**self).rows()
    }

    fn cols(&self) -> usize {
        (**self).cols()
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        (**self).read(range)
    }
}

/// Some of the rows of another source, in ascending order.
pub struct Subset<'a> {
    source: &'a dyn Rows,
    kept: Cow<'a, Runs>,
}

impl<'a> Subset<'a> {
    /// The rows of `source` that `kept` names.
    #[must_use]
    pub fn new(source: &'a dyn Rows, kept: &'a Runs) -> Self {
        Self { source, kept: Cow::Borrowed(kept) }
    }

    /// As [`Subset::new`], with runs of its own.
    #[must_use]
    pub fn owning(source: &'a dyn Rows, kept: Runs) -> Self {
        Self { source, kept: Cow::Owned(kept) }
    }
}

impl Rows for Subset<'_> {
    fn rows(&self) -> usize {
        self.kept.len()
    }

    fn cols(&self) -> usize {
        self.source.cols()
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        let mut pieces = self.kept.slice(range);
        let Some(first) = pieces.next() else { return Ok(Cow::Borrowed(&[])) };
        let head = self.source.read(first)?;
        let Some(second) = pieces.next() else { return Ok(head) };
        let mut all = head.into_owned();
        for piece in std::iter::once(second).chain(pieces) {
            all.extend_from_slice(&self.source.read(piece)?);
        }
        Ok(Cow::Owned(all))
    }
}

/// An ascending list of numbers, kept as runs: small where it has few gaps, however long it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Runs {
    /// Each run, and how many numbers stand before it.
    runs: Vec<(Range<usize>, usize)>,
    len: usize,
}

impl Runs {
    /// All of `0..len` but `without`, which is ascending.
    #[must_use]
    pub fn all_but(len: usize, without: impl IntoIterator<Item = usize>) -> Self {
        let mut runs = Self::default();
        let mut next = 0;
        for gap in without.into_iter().filter(|&gap| gap < len) {
            runs.push(next..gap);
            next = gap + 1;
        }
        runs.push(next..len);
        runs
    }

    /// Appends a run; runs are given in ascending order. An empty one changes nothing.
    pub fn push(&mut self, run: Range<usize>) {
        if run.is_empty() {
            return;
        }
        let len = run.len();
        match self.runs.last_mut() {
            Some((last, _)) if last.end == run.start => last.end = run.end,
            _ => self.runs.push((run, self.len)),
        }
        self.len += len;
    }

    /// How many numbers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number at `place`, from 0.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<usize> {
        let run = self.runs.partition_point(|&(_, before)| before <= place).checked_sub(1)?;
        let (range, before) = self.runs.get(run)?;
        let number = range.start + (place - before);
        range.contains(&number).then_some(number)
    }

    /// The place of a number, where it is one of these; the inverse of [`Runs::get`].
    #[must_use]
    pub fn place_of(&self, number: usize) -> Option<usize> {
        let run = self.runs.partition_point(|(run, _)| run.end <= number);
        let (range, before) = self.runs.get(run)?;
        range.contains(&number).then(|| before + (number - range.start))
    }

    /// The numbers at the places of `range`, as runs.
    pub fn slice(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let from = self.runs.partition_point(|&(_, before)| before <= range.start).max(1) - 1;
        let runs = self.runs.get(from..).unwrap_or_default();
        runs.iter().take_while(move |&&(_, before)| before < range.end).filter_map(
            move |(run, before)| {
                let first = run.start + range.start.saturating_sub(*before);
                let end = run.end.min(run.start + (range.end - before));
                (first < end).then_some(first..end)
            },
        )
    }

    /// Every number.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.runs.iter().flat_map(|(run, _)| run.clone())
    }
}

impl FromIterator<usize> for Runs {
    /// The numbers must ascend.
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let mut runs = Self::default();
        numbers.into_iter().for_each(|number| runs.push(number..number + 1));
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeSet;

    quickcheck! {
        /// Runs are the list they were made of, whichever piece is asked for.
        fn runs_are_the_list_they_were_made_of(numbers: BTreeSet<u8>, first: u8, len: u8) -> bool {
            let list: Vec<usize> = numbers.iter().map(|&n| usize::from(n)).collect();
            let runs: Runs = list.iter().copied().collect();
            let (first, end) = (usize::from(first), usize::from(first) + usize::from(len));
            let piece: Vec<usize> = runs.slice(first..end).flatten().collect();
            let gaps = (0..256).filter(|n| !list.contains(n));
            piece == list[first.min(list.len())..end.min(list.len())]
                && runs.iter().collect::<Vec<_>>() == list
                && (0..300).all(|place| runs.get(place) == list.get(place).copied())
                && (0..300).all(|n| runs.place_of(n) == list.iter().position(|&m| m == n))
                && Runs::all_but(256, gaps) == runs
        }
    }

    #[test]
    fn a_subset_reads_its_own_rows() {
        let matrix = Matrix::new(5, 2, (0..10_u8).map(f32::from).collect()).unwrap();
        let kept: Runs = [0, 1, 4].into_iter().collect();
        let subset = Subset::new(&matrix, &kept);
        assert_eq!((subset.rows(), subset.cols()), (3, 2));
        assert_eq!(&*subset.read(1..9).unwrap(), [2.0, 3.0, 8.0, 9.0]);
        assert!(matches!(subset.read(0..2).unwrap(), Cow::Borrowed([0.0, 1.0, 2.0, 3.0])));
        assert!(subset.read(3..4).unwrap().is_empty());
    }
}
