//! What a backbone said about samples, kept in a file, so that an unchanged one is never run twice.
//!
//! One file per model: a header, then records of one length: the sample's digest, its row, and a checksum of both. A
//! record that is torn or damaged counts as missing, and costs a run of the model. One process at a time may open a cache.

use crate::domain::digest::Digest;
use crate::domain::matrix::Matrix;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"gleanem1";
/// Magic, width, model, checksum.
const HEADER: usize = 8 + 8 + 32 + 4;
/// A record's bytes beside its row: the digest and the checksum.
const FRAME: usize = 32 + 4;
/// Bytes of a row at most: a length that a file claims must not decide how much memory is taken.
const ROW_MAX: usize = 1 << 28;

/// A cache of one model's embeddings.
pub struct EmbeddingCache {
    path: PathBuf,
    file: File,
    width: usize,
    /// Where each sample's record is, counted in records.
    places: HashMap<Digest, u64>,
    /// How many records there are, damaged ones included.
    records: u64,
}

impl EmbeddingCache {
    /// Opens the cache of `model` in `folder`, or begins one, for embeddings of `width` numbers. Reads and checks all of
    /// it. A file of another model or width is begun anew.
    ///
    /// # Errors
    /// Whatever the file system fails with.
    pub fn open(folder: &Path, model: Digest, width: usize) -> io::Result<Self> {
        if width == 0 || width > ROW_MAX / 4 {
            return Err(io::Error::new(ErrorKind::InvalidInput, "rows of this width are not kept"));
        }
        std::fs::create_dir_all(folder)?;
        let path = folder.join("embeddings");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut cache = Self { path, file, width, places: HashMap::new(), records: 0 };
        let header = header(model, width);
        let mut found = vec![0; HEADER];
        match cache.file.read_exact(&mut found) {
            Ok(()) if found == header => cache.index()?,
            Ok(()) => cache.begin(&header)?,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => cache.begin(&header)?,
            Err(error) => return Err(error),
        }
        Ok(cache)
    }

    /// The cache's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn begin(&mut self, header: &[u8]) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(header)
    }

    /// Reads every record, and cuts a torn one off the end.
    fn index(&mut self) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
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
    /// If there is not one row of the cache's width per sample, and whatever writing fails with; nothing is kept then.
    pub fn append(&mut self, samples: &[Digest], rows: &Matrix) -> io::Result<()> {
        if rows.rows() != samples.len() || (rows.cols() != self.width && rows.rows() > 0) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the rows do not fit the cache"));
        }
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
            // What was written of it would be read as records at the wrong places.
            let _ = self.file.set_len(end);
            return Err(error);
        }
        self.places.extend(added);
        self.records = next;
        Ok(())
    }

    /// The rows of `samples`, in their order.
    ///
    /// # Errors
    /// If one is missing or was damaged since the cache was opened, and whatever reading fails with.
    pub fn rows(&self, samples: &[Digest]) -> io::Result<Matrix> {
        let mut file = &self.file;
        let mut values = Vec::with_capacity(samples.len().saturating_mul(self.width));
        let mut reader = BufReader::with_capacity(1 << 20, &mut file);
        let mut at = 0;
        reader.seek(SeekFrom::Start(at))?;
        let mut record = vec![0; self.record()];
        for sample in samples {
            let lost = || {
                let what = format!("sample {sample} is not in {}", self.path.display());
                io::Error::new(ErrorKind::InvalidData, what)
            };
            let offset = self.offset(*self.places.get(sample).ok_or_else(lost)?);
            if offset != at {
                reader.seek(SeekFrom::Start(offset))?;
            }
            reader.read_exact(&mut record)?;
            at = offset + record.len() as u64;
            let (found, row) = checked(&record).ok_or_else(lost)?;
            if found != *sample {
                return Err(lost());
            }
            values.extend(row.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
        Ok(Matrix::new(samples.len(), self.width, values).unwrap_or_default())
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

    #[test]
    fn what_was_kept_comes_back_and_what_was_torn_or_damaged_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let model = Digest::of(b"model");
        let samples: Vec<Digest> = (0..5_u8).map(|n| Digest::of(&[n])).collect();
        let rows = Matrix::new(5, 2, (0..10_u8).map(f32::from).collect()).unwrap();
        let mut cache = EmbeddingCache::open(folder.path(), model, 2).unwrap();
        assert_eq!(cache.missing(&samples), [0, 1, 2, 3, 4]);
        cache.append(&samples, &rows).unwrap();
        cache.append(&samples, &rows).unwrap();
        let path = cache.path().to_owned();
        drop(cache);
        let cache = EmbeddingCache::open(folder.path(), model, 2).unwrap();
        let order = [samples[4], samples[0], samples[1]];
        assert_eq!(cache.rows(&order).unwrap().data(), [8.0, 9.0, 0.0, 1.0, 2.0, 3.0]);
        drop(cache);

        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER + 44 + 33] ^= 1; // the second record's row
        bytes.truncate(bytes.len() - 3);
        std::fs::write(&path, bytes).unwrap();
        let mut cache = EmbeddingCache::open(folder.path(), model, 2).unwrap();
        assert_eq!(cache.missing(&samples), [1, 4]);
        assert!(cache.rows(&samples).is_err());
        cache.append(&samples, &rows).unwrap();
        assert_eq!(cache.rows(&samples).unwrap(), rows);
        drop(cache);

        let other = EmbeddingCache::open(folder.path(), Digest::of(b"other"), 2).unwrap();
        assert_eq!(other.missing(&samples).len(), 5);
    }
}
