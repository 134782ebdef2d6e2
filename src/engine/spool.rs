//! Rows that are written once, front to back, and read in pieces afterwards: in memory while they are few, in a temporary
//! file beside the artifacts when they are many. So a model's answers for a pool need not fit in memory.

use crate::domain::matrix::Matrix;
use crate::domain::rows::{Rows, RowsError};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes up to which rows stay in memory.
const MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows under construction, and afterwards their reader.
pub(super) struct Spool {
    cols: usize,
    rows: usize,
    memory: Vec<f32>,
    file: Option<File>,
    limit: usize,
}

impl Spool {
    /// Rows of this width.
    pub(super) const fn new(cols: usize) -> Self {
        Self { cols, rows: 0, memory: Vec::new(), file: None, limit: MEMORY_BYTES_MAX }
    }

    /// Adds rows at the end. `folder` is where the file would lie.
    pub(super) fn push(&mut self, rows: &Matrix, folder: &Path) -> io::Result<()> {
        if rows.rows() > 0 && rows.cols() != self.cols {
            let what = format!("rows of {} numbers after rows of {}", rows.cols(), self.cols);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.rows += rows.rows();
        match &mut self.file {
            Some(file) => return write(file, rows.data()),
            None => self.memory.extend_from_slice(rows.data()),
        }
        if self.memory.len() * size_of::<f32>() > self.limit {
            // Without a name: whatever ends the process, nothing is left behind.
            let mut file = tempfile::tempfile_in(folder)?;
            write(&mut file, &std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        Ok(())
    }
}

fn write(file: &mut File, values: &[f32]) -> io::Result<()> {
    for piece in values.chunks(64 * 1024) {
        let bytes: Vec<u8> = piece.iter().flat_map(|value| value.to_ne_bytes()).collect();
        file.write_all(&bytes)?;
    }
    Ok(())
}

impl Rows for Spool {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        let end = range.end.min(self.rows);
        let first = range.start.min(end);
        let Some(file) = &self.file else {
            let values = self.memory.get(first * self.cols..end * self.cols);
            return Ok(Cow::Borrowed(values.unwrap_or_default()));
        };
        let mut bytes = vec![0; (end - first) * self.cols * size_of::<f32>()];
        file.read_exact_at(&mut bytes, (first * self.cols * size_of::<f32>()) as u64).map_err(
            |error| RowsError {
                what: "a model's answers".to_owned(),
                first,
                end,
                reason: error.to_string(),
            },
        )?;
        Ok(Cow::Owned(bytes.as_chunks().0.iter().copied().map(f32::from_ne_bytes).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_the_same_from_memory_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let values: Vec<f32> = (0..600_u16).map(f32::from).collect();
        for limit in [usize::MAX, 100, 0] {
            let mut spool = Spool { limit, ..Spool::new(3) };
            for piece in values.chunks(150) {
                let rows = Matrix::new(50, 3, piece.to_vec()).unwrap();
                spool.push(&rows, folder.path()).unwrap();
            }
            assert_eq!((spool.rows(), spool.cols()), (200, 3));
            assert_eq!(spool.file.is_some(), limit < usize::MAX);
            assert_eq!(&*spool.read(49..52).unwrap(), &values[147..156]);
            assert_eq!(&*spool.read(199..900).unwrap(), &values[597..]);
            assert!(spool.push(&Matrix::new(1, 2, vec![0.0; 2]).unwrap(), folder.path()).is_err());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
