//! The ids of a pool's samples: those that its file lists, or numbers that cost nothing.

use super::PoolError;
use crate::domain::ids::SampleId;
use crate::domain::rows::Runs;
use std::borrow::Cow;
use std::path::Path;

/// An id for each row.
#[derive(Debug, Clone)]
pub(super) enum Ids {
    /// As the file lists them, ascending.
    Listed(Vec<SampleId>),
    /// `stem-0042`: the file's stem, and the number of the row in the file. The width of the number is at least 4 and never
    /// depends on how many rows there are, so that a file may grow without renaming its samples.
    Generated { stem: String, numbers: Runs },
}

impl Ids {
    /// An id for each row of `path` in `numbers`.
    pub(super) fn generated(path: &Path, numbers: Runs) -> Self {
        Self::Generated { stem: stem(path), numbers }
    }

    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Listed(ids) => ids.len(),
            Self::Generated { numbers, .. } => numbers.len(),
        }
    }

    /// Empty past the end.
    pub(super) fn get(&self, row: usize) -> Cow<'_, str> {
        match self {
            Self::Listed(ids) => Cow::Borrowed(ids.get(row).map_or("", SampleId::as_str)),
            Self::Generated { stem, numbers } => numbers
                .get(row)
                .map_or(Cow::Borrowed(""), |number| Cow::Owned(generated(stem, number))),
        }
    }

    pub(super) fn index_of(&self, id: &str) -> Option<usize> {
        match self {
            Self::Listed(ids) => ids.binary_search_by(|known| known.as_str().cmp(id)).ok(),
            Self::Generated { stem, numbers } => {
                let number: usize = id.strip_prefix(stem)?.strip_prefix('-')?.parse().ok()?;
                let row = place(numbers, number)?;
                // `+42` and `00042` are numbers, too, but nobody's id.
                (*id == *generated(stem, number)).then_some(row)
            }
        }
    }
}

/// The file's name without its ending.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

fn generated(stem: &str, number: usize) -> String {
    format!("{stem}-{number:04}")
}

/// Where `number` stands in `runs`.
pub(super) fn place(runs: &Runs, number: usize) -> Option<usize> {
    // The numbers ascend, so none stands before its own value's place.
    let (mut low, mut high) = (0, runs.len().min(number.saturating_add(1)));
    while low < high {
        let middle = low + (high - low) / 2;
        match runs.get(middle)? {
            found if found < number => low = middle + 1,
            _ => high = middle,
        }
    }
    (runs.get(low) == Some(number)).then_some(low)
}

/// The rows in the order of their listed ids, which must differ; `line` tells where a row stands.
pub(super) fn order(
    file: &Path,
    ids: &[SampleId],
    line: impl Fn(usize) -> u64,
) -> Result<Vec<usize>, PoolError> {
    let mut rows: Vec<usize> = (0..ids.len()).collect();
    rows.sort_by_key(|&row| (ids.get(row), row));
    for (&first, &second) in rows.iter().zip(rows.iter().skip(1)) {
        if let (Some(a), Some(b)) = (ids.get(first), ids.get(second))
            && a == b
        {
            return Err(PoolError::DuplicateId {
                file: file.display().to_string(),
                line: line(second),
                id: a.to_string(),
                first: line(first),
            });
        }
    }
    Ok(rows)
}
