//! What a backbone said about samples, kept in a file, so that an unchanged one is never run twice.
//!
//! One file per model: a header, then records of one length: the sample's digest, its row, and a checksum of both. A
//! record that is torn or damaged counts as missing, and costs a run of the model; a wrong row never comes back. Rows stay
//! in the file; in memory is where each sample's record is, about 100 bytes a sample.
//!
//! Several may have a cache open at once, in this process or in others: whoever appends locks the file meanwhile, and
//! takes note first of what others have appended. Nothing is synced: what a power cut takes is missing.

use crate::domain::digest::Digest;
use crate::domain::matrix::Matrix;
use crate::domain::rows::{Rows, RowsError};
use std::borrow::{Borrow, Cow};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"gleanem1";
/// Magic, width, model, checksum.
const HEADER: usize = 8 + 8 + 32 + 4;
/// A record's bytes beside its row: the digest and the checksum.
const FRAME: usize = 32 + 4;
/// Bytes of a row at most: a length that a file claims must not decide how much memory is taken.
const ROW_MAX: usize = 1 << 28;
/// Bytes that are read at once where records follow each other.
const PIECE: usize = 1 << 20;

/// A cache of one model's embeddings.
pub struct EmbeddingCache {
    path: PathBuf,
    file: File,
    width: usize,
    /// Where each sample's record is, counted in records.
    places: HashMap<Digest, u64>,
    /// How many records are known of, damaged ones included.
    records: u64,
}

impl EmbeddingCache {
    /// Opens the cache of `model` in `folder`, or begins one, for embeddings of `width` numbers. Reads and checks all of
    /// it. A file with a damaged header or another width is begun anew.
    ///
    /// # Errors
    /// Whatever the file system fails with.
    pub fn open(folder: &Path, model: Digest, width: usize) -> io::Result<Self> {
        if width == 0 || width > ROW_MAX / 4 {
            return Err(io::Error::new(ErrorKind::InvalidInput, "rows of this width are not kept"));
        }
        std::fs::create_dir_all(folder)?;
        let path = folder.join(model.to_string());
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut cache = Self { path, file, width, places: HashMap::new(), records: 0 };
        cache.file.lock()?;
        let opened = cache.begin_or_index(&header(model, width));
        cache.file.unlock()?;
        opened.map(|()| cache)
    }

    /// The width of the embeddings that are kept for `model` in `folder`, if any are.
    #[must_use]
    pub fn width(folder: &Path, model: Digest) -> Option<usize> {
        let mut found = [0; HEADER];
        let file = File::open(folder.join(model.to_string())).ok()?;
        file.read_exact_at(&mut found, 0).ok()?;
        let width = found.get(MAGIC.len()..)?.first_chunk::<8>()?;
        let width = usize::try_from(u64::from_le_bytes(*width)).ok()?;
        (found.as_slice() == header(model, width)).then_some(width)
    }

    /// The cache's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn begin_or_index(&mut self, header: &[u8]) -> io::Result<()> {
        let mut found = vec![0; HEADER];
        match self.file.read_exact_at(&mut found, 0) {
            Ok(()) if found == header => return self.index(),
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
        self.file.set_len(0)?;
        self.file.write_all_at(header, 0)
    }

    /// Takes note of every record that is not known of, and cuts a torn one off the end. Under the lock.
    fn index(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.offset(self.records)))?;
        let mut reader = BufReader::with_capacity(PIECE, &self.file);
        let mut record = vec![0; self.record()];
        loop {
            match reader.read_exact(&mut record) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            if let Some((sample, _)) = checked(&record) {
                self.places.insert(sample, self.records);
            }
            self.records += 1;
        }
        self.file.set_len(self.offset(self.records))
    }

    const fn record(&self) -> usize {
        FRAME + 4 * self.width
    }

    const fn offset(&self, place: u64) -> u64 {
        HEADER as u64 + place * self.record() as u64
    }

    /// The places in `samples` of those that are not kept.
    #[must_use]
    pub fn missing(&self, samples: &[Digest]) -> Vec<usize> {
        let lost = samples.iter().enumerate().filter(|(_, key)| !self.places.contains_key(key));
        lost.map(|(place, _)| place).collect()
    }

    /// Keeps a row for each sample; one that is kept already is left as it is.
    ///
    /// # Errors
    /// If there is not one row of the cache's width per sample, and whatever the file system fails with; nothing is kept
    /// then.
    pub fn append(&mut self, samples: &[Digest], rows: &Matrix) -> io::Result<()> {
        if rows.rows() != samples.len() || (rows.cols() != self.width && rows.rows() > 0) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the rows do not fit the cache"));
        }
        self.file.lock()?;
        let kept = self.index().and_then(|()| self.write(samples, rows));
        self.file.unlock()?;
        kept
    }

    fn write(&mut self, samples: &[Digest], rows: &Matrix) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut added = HashMap::new();
        let mut next = self.records;
        for (sample, row) in samples.iter().zip(rows.iter_rows()) {
            if self.places.contains_key(sample) || added.contains_key(sample) {
                continue;
            }
            let first = bytes.len();
            bytes.extend_from_slice(sample.as_bytes());
            bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
            let sum = crc32fast::hash(bytes.get(first..).unwrap_or_default());
            bytes.extend_from_slice(&sum.to_le_bytes());
            added.insert(*sample, next);
            next += 1;
        }
        let end = self.offset(self.records);
        self.file.seek(SeekFrom::Start(end))?;
        if let Err(error) = self.file.write_all(&bytes) {
            // Room for others. If this fails, too, the checksum tells what is no record.
            let _ = self.file.set_len(end);
            return Err(error);
        }
        self.places.extend(added);
        self.records = next;
        Ok(())
    }

    /// The rows of `samples`, in their order, to be read from the file piece by piece.
    ///
    /// # Errors
    /// [`RowsError`] if one is [missing](Self::missing).
    pub fn rows(&self, samples: &[Digest]) -> Result<Cached<&Self>, RowsError> {
        Ok(Cached { places: self.places(samples)?, cache: self })
    }

    /// As [`EmbeddingCache::rows`], for whoever needs nothing else of the cache.
    ///
    /// # Errors
    /// As [`EmbeddingCache::rows`].
    pub fn into_rows(self, samples: &[Digest]) -> Result<Cached<Self>, RowsError> {
        Ok(Cached { places: self.places(samples)?, cache: self })
    }

    fn places(&self, samples: &[Digest]) -> Result<Vec<u64>, RowsError> {
        let places: Option<Vec<u64>> =
            samples.iter().map(|sample| self.places.get(sample).copied()).collect();
        places.ok_or_else(|| {
            self.unreadable(0..samples.len(), "the model has not run on all of these samples")
        })
    }

    fn unreadable(&self, rows: Range<usize>, reason: impl ToString) -> RowsError {
        let what = self.path.display().to_string();
        RowsError { what, first: rows.start, end: rows.end, reason: reason.to_string() }
    }
}

/// Rows in a cache's file. Each is checked again when it is read.
pub struct Cached<C> {
    cache: C,
    places: Vec<u64>,
}

impl<C: Borrow<EmbeddingCache> + Sync> Rows for Cached<C> {
    fn rows(&self) -> usize {
        self.places.len()
    }

    fn cols(&self) -> usize {
        self.cache.borrow().width
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        let cache: &EmbeddingCache = self.cache.borrow();
        let (end, record) = (range.end.min(self.places.len()), cache.record());
        let first = range.start.min(end);
        let places = self.places.get(first..end).unwrap_or_default();
        let mut values = Vec::with_capacity(places.len() * cache.width);
        let mut bytes = Vec::new();
        let fails = |reason: String| cache.unreadable(first..end, reason);
        // Samples that were appended one after the other are read with one call.
        for run in places.chunk_by(|a, b| a + 1 == *b) {
            for run in run.chunks((PIECE / record).max(1)) {
                bytes.resize(run.len() * record, 0);
                let offset = cache.offset(run.first().copied().unwrap_or(0));
                let read = cache.file.read_exact_at(&mut bytes, offset);
                read.map_err(|error| fails(error.to_string()))?;
                for record in bytes.chunks_exact(record) {
                    let (_, row) = checked(record)
                        .ok_or_else(|| fails("a record was damaged since it was opened".into()))?;
                    let numbers = row.as_chunks::<4>().0.iter();
                    values.extend(numbers.map(|bytes| f32::from_le_bytes(*bytes)));
                }
            }
        }
        Ok(Cow::Owned(values))
    }
}

fn header(model: Digest, width: usize) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(width as u64).to_le_bytes());
    bytes.extend_from_slice(model.as_bytes());
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// A record's sample and row, if its checksum holds.
fn checked(record: &[u8]) -> Option<(Digest, &[u8])> {
    let (body, sum) = record.split_last_chunk::<4>()?;
    let (sample, row) = body.split_first_chunk::<32>()?;
    (crc32fast::hash(body) == u32::from_le_bytes(*sum)).then(|| (Digest::from_bytes(*sample), row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn model() -> Digest {
        Digest::of(b"model")
    }

    fn samples(count: u8) -> Vec<Digest> {
        (0..count).map(|n| Digest::of(&[n])).collect()
    }

    fn rows(count: u8) -> Matrix {
        let values = (0..count).flat_map(|n| [f32::from(n), -f32::from(n)]).collect();
        Matrix::new(usize::from(count), 2, values).unwrap()
    }

    /// A cache that holds samples and was closed.
    fn filled(folder: &Path, count: u8) -> PathBuf {
        let mut cache = EmbeddingCache::open(folder, model(), 2).unwrap();
        cache.append(&samples(count), &rows(count)).unwrap();
        cache.path().to_owned()
    }

    #[test]
    fn what_was_kept_comes_back_in_the_order_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 5);
        filled(folder.path(), 5); // changes nothing
        let cache = EmbeddingCache::open(folder.path(), model(), 2).unwrap();
        assert_eq!(cache.records, 5);
        let all = samples(5);
        let order = [all[4], all[0], all[1], all[0]];
        let cached = cache.rows(&order).unwrap();
        assert_eq!((cached.rows(), cached.cols()), (4, 2));
        assert_eq!(&*cached.read(0..9).unwrap(), [4.0, -4.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0]);
        assert_eq!(&*cached.read(1..3).unwrap(), [0.0, 0.0, 1.0, -1.0]);
        let error = cache.rows(&samples(6)).err().unwrap().to_string();
        assert!(error.contains("has not run on all"), "{error}");
    }

    #[test]
    fn another_model_has_a_file_of_its_own_and_another_width_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(EmbeddingCache::width(folder.path(), model()), None);
        filled(folder.path(), 3);
        assert_eq!(EmbeddingCache::width(folder.path(), model()), Some(2));
        let other = EmbeddingCache::open(folder.path(), Digest::of(b"other"), 2).unwrap();
        assert_eq!(other.missing(&samples(3)), [0, 1, 2]);
        let same = EmbeddingCache::open(folder.path(), model(), 2).unwrap();
        assert!(same.missing(&samples(3)).is_empty());
        let wider = EmbeddingCache::open(folder.path(), model(), 3).unwrap();
        assert_eq!(wider.missing(&samples(3)), [0, 1, 2]);
    }

    #[test]
    fn two_that_append_at_once_keep_what_the_other_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let open = || EmbeddingCache::open(folder.path(), model(), 2).unwrap();
        let (mut one, mut two) = (open(), open());
        one.append(&samples(3), &rows(3)).unwrap();
        two.append(&samples(6), &rows(6)).unwrap();
        one.append(&samples(6), &rows(6)).unwrap();
        for cache in [&one, &two, &open()] {
            assert_eq!(cache.records, 6);
            let all = cache.rows(&samples(6)).unwrap();
            assert_eq!(&*all.read(0..6).unwrap(), rows(6).data());
        }
    }

    #[test]
    fn damage_after_opening_is_an_error_and_never_a_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path(), 3);
        let cache = EmbeddingCache::open(folder.path(), model(), 2).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER + 44 + 33] ^= 1; // the second record's row
        std::fs::write(&path, bytes).unwrap();
        let all = samples(3);
        let cached = cache.rows(&all).unwrap();
        assert!(cached.read(0..1).is_ok());
        let error = cached.read(0..3).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }

    quickcheck! {
        /// A cut anywhere and bits flipped anywhere cost entries, and what is left is right; appending mends it.
        fn a_torn_tail_and_flipped_bits_are_missing_entries_and_never_wrong_ones(
            cut: u16,
            flips: Vec<(u16, u8)>
        ) -> bool {
            let folder = tempfile::tempdir().unwrap();
            let path = filled(folder.path(), 7);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.truncate(usize::from(cut) % (2 * bytes.len()));
            for (at, bit) in flips.into_iter().take(3) {
                let len = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(usize::from(at) % len) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            std::fs::write(&path, bytes).unwrap();
            let mut cache = EmbeddingCache::open(folder.path(), model(), 2).unwrap();
            let all = samples(7);
            let missing = cache.missing(&all);
            let mut right = (0..7).filter(|place| !missing.contains(place)).all(|place| {
                let row = cache.rows(&all[place..=place]).unwrap();
                *row.read(0..1).unwrap() == *rows(7).row(place)
            });
            cache.append(&all, &rows(7)).unwrap();
            right &= *cache.rows(&all).unwrap().read(0..7).unwrap() == *rows(7).data();
            right
        }
    }
}
