//! Pools from `.npy` files: a matrix as NumPy saves it, read where it lies.
//!
//! Each row is a sample; further axes are the shape of one. Nothing but the header is kept in memory: rows are read, and
//! their numbers made `f32`, when they are asked for. Every number is looked at once, when the pool is opened. Format:
//! `numpy.lib.format`, versions 1.0 to 3.0, C order.

use super::PoolError;
use super::ids::Ids;
use super::labels::{ClassList, Labels};
use super::source::{Raw, Skipped, Source, Steady, cut, open, pieces, rows_of, scaled};
use super::targets::{self, Targets};
use crate::domain::definition::PoolSpec;
use crate::domain::rows::{Rows, RowsError, Runs};
use crate::domain::table::Table;
use crate::domain::task::Task;
use std::borrow::Cow;
use std::io::{BufRead as _, BufReader, Read};
use std::ops::Range;
use std::path::Path;

/// A longer header is no matrix of numbers.
const HEADER_MAX: u64 = 64 * 1024;

/// A longer line is no label.
const LINE_MAX: u64 = 4096;

/// The type of a file's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float(usize),
    Signed(usize),
    Unsigned(usize),
}

impl Kind {
    const fn size(self) -> usize {
        match self {
            Self::Float(size) | Self::Signed(size) | Self::Unsigned(size) => size,
        }
    }

    /// The number that `bytes`, the least significant first, mean.
    fn number(self, bytes: &[u8]) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "features are rounded to 32 bits anyway")]
        match (self, bytes) {
            (Self::Float(_), [a, b]) => half(u16::from_le_bytes([*a, *b])),
            (Self::Float(_), [a, b, c, d]) => f64::from(f32::from_le_bytes([*a, *b, *c, *d])),
            (Self::Float(_), _) => {
                bytes.try_into().map_or(f64::NAN, |bytes: [u8; 8]| f64::from_le_bytes(bytes))
            }
            (Self::Signed(_) | Self::Unsigned(_), _) => self.whole(bytes) as f64,
        }
    }

    /// The whole number that `bytes` mean.
    fn whole(self, bytes: &[u8]) -> i128 {
        let negative =
            self == Self::Signed(bytes.len()) && bytes.last().is_some_and(|top| top & 0x80 != 0);
        let mut number = [if negative { 0xff } else { 0 }; 16];
        number.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        i128::from_le_bytes(number)
    }
}

/// A number of 16 bits (IEEE 754 binary16): every one is exact in 64.
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction / f64::from(1_u32 << 24),
        31 if fraction > 0.0 => f64::NAN,
        31 => sign * f64::INFINITY,
        _ => sign * (1.0 + fraction / 1024.0) * f64::from(1_u32 << exponent) / 32768.0,
    }
}

/// Which of the file's rows are the rows.
#[derive(Debug)]
enum Kept {
    All,
    Some(Runs),
    Order(Vec<usize>),
}

/// A matrix in a file.
#[derive(Debug)]
pub(super) struct Npy {
    file: Steady,
    start: u64,
    kind: Kind,
    big_endian: bool,
    /// The rows of the file.
    pub(super) rows: usize,
    /// The axes of a row.
    pub(super) shape: Vec<usize>,
    cols: usize,
    scale: f64,
    kept: Kept,
}

impl Npy {
    /// Opens a file and makes sure that all of it is there.
    pub(super) fn open(path: &Path, scale: f64) -> Result<Self, PoolError> {
        let file = Steady::open(path)?;
        let bad = |what: String| PoolError::bad(path.display(), what);
        let not_npy = || bad("not an .npy file; save it with `numpy.save`".to_owned());
        let mut reader = BufReader::new(file.reader());
        let mut magic = [0; 8];
        reader.read_exact(&mut magic).map_err(|_| not_npy())?;
        let [0x93, b'N', b'U', b'M', b'P', b'Y', version, _] = magic else { return Err(not_npy()) };
        let mut length = [0; 4];
        let wide = if version == 1 { 2 } else { 4 };
        let (digits, _) = length.split_at_mut(wide);
        reader.read_exact(digits).map_err(|_| not_npy())?;
        let length = u64::from(u32::from_le_bytes(length));
        if !(1..=3).contains(&version) || length > HEADER_MAX {
            return Err(bad(format!(
                "format version {version} with a header of {length} bytes; versions 1 to 3 with at most {HEADER_MAX} are read"
            )));
        }
        let mut header = Vec::new();
        reader
            .take(length)
            .read_to_end(&mut header)
            .map_err(|source| PoolError::read(path, source))?;
        let header = String::from_utf8_lossy(&header);
        let descr = field(&header, "descr").ok_or_else(not_npy)?;
        let (big_endian, kind) = kind(descr).ok_or_else(|| {
            bad(format!(
                "its numbers are of type {}, which is not read; save it with `.astype(\"float32\")`",
                super::shortened(descr)
            ))
        })?;
        if field(&header, "fortran_order") != Some("False") {
            return Err(bad(
                "its numbers lie column by column; save it with `numpy.ascontiguousarray`"
                    .to_owned(),
            ));
        }
        let axes = field(&header, "shape").and_then(axes).ok_or_else(not_npy)?;
        let Some((&rows, shape)) = axes.split_first() else {
            return Err(
                bad("a single number; a matrix with a row a sample is expected".to_owned()),
            );
        };
        let cols = super::product(shape);
        let start = 8 + wide as u64 + length;
        let expected = cols
            .and_then(|cols| u64::try_from(rows.checked_mul(cols)?.checked_mul(kind.size())?).ok())
            .and_then(|bytes| bytes.checked_add(start));
        if expected != Some(file.length) {
            let found = file.length;
            let expected =
                expected.map_or_else(|| "more than there can be".to_owned(), |n| n.to_string());
            return Err(bad(format!(
                "{found} bytes, but a matrix of {axes:?} takes {expected}; was it copied whole?"
            )));
        }
        let (shape, cols) = (shape.to_vec(), cols.unwrap_or_default());
        Ok(Self { file, start, kind, big_endian, rows, shape, cols, scale, kept: Kept::All })
    }

    /// The bytes of rows of the file, each number with its least significant byte first.
    fn bytes(&self, rows: Range<usize>) -> Result<Vec<u8>, RowsError> {
        let width = self.cols * self.kind.size();
        let mut bytes = vec![0; rows.len() * width];
        self.file
            .read_at(&mut bytes, self.start + (rows.start * width) as u64)
            .map_err(|error| self.file.failed(rows, error))?;
        if self.big_endian {
            bytes.chunks_exact_mut(self.kind.size()).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }

    /// The numbers of rows of the file; those that are not finite stay so.
    fn numbers(&self, rows: Range<usize>, into: &mut Vec<f32>) -> Result<(), RowsError> {
        let bytes = self.bytes(rows)?;
        let numbers = bytes.chunks_exact(self.kind.size()).map(|bytes| self.kind.number(bytes));
        into.extend(numbers.map(|number| scaled(number, self.scale).unwrap_or(f32::NAN)));
        Ok(())
    }

    /// Looks at every row of the file; `bad` is given the number of a row and what is wrong with it.
    pub(super) fn inspect(
        &self,
        check: impl Fn(&[f32]) -> Option<String>,
        mut bad: impl FnMut(usize, String) -> Result<(), PoolError>,
    ) -> Result<(), PoolError> {
        let mut values = Vec::new();
        for piece in pieces(self.rows, self.cols) {
            values.clear();
            self.numbers(piece.clone(), &mut values)?;
            for (row, numbers) in piece.clone().zip(rows_of(&values, piece.len(), self.cols)) {
                if let Some(what) = check(numbers) {
                    bad(row, what)?;
                }
            }
        }
        Ok(())
    }

    /// The rows are these rows of the file from now on.
    pub(super) fn keep(&mut self, rows: Runs) {
        self.kept = if rows.len() == self.rows { Kept::All } else { Kept::Some(rows) };
    }
}

impl Rows for Npy {
    fn rows(&self) -> usize {
        match &self.kept {
            Kept::All => self.rows,
            Kept::Some(rows) => rows.len(),
            Kept::Order(rows) => rows.len(),
        }
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        let range = cut(range, Rows::rows(self));
        let mut values = Vec::with_capacity(range.len() * self.cols);
        match &self.kept {
            Kept::All => self.numbers(range, &mut values)?,
            Kept::Some(rows) => {
                rows.slice(range).try_for_each(|run| self.numbers(run, &mut values))?;
            }
            Kept::Order(rows) => {
                for &row in rows.get(range).unwrap_or_default() {
                    self.numbers(row..row + 1, &mut values)?;
                }
            }
        }
        Ok(Cow::Owned(values))
    }
}

impl Source for Npy {
    fn reorder(&mut self, order: &[usize]) {
        self.kept = Kept::Order(order.to_vec());
    }
}

/// The text of a header's entry: `{'descr': '<f4', 'fortran_order': False, 'shape': (10, 3), }`.
fn field<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    let (_, rest) = header.split_once(&format!("'{name}':"))?;
    let rest = rest.trim_start();
    let end = match rest.chars().next()? {
        '(' => rest.find(')')? + 1,
        '[' => rest.rfind(']')? + 1,
        _ => rest.find([',', '}'])?,
    };
    rest.get(..end).map(str::trim)
}

/// Whether the first byte is the most significant, and the type.
fn kind(descr: &str) -> Option<(bool, Kind)> {
    let descr = descr.trim_matches(['\'', '"']);
    let order = descr.chars().next()?;
    let kind = match descr.get(1..)? {
        "f2" => Kind::Float(2),
        "f4" => Kind::Float(4),
        "f8" => Kind::Float(8),
        "i1" => Kind::Signed(1),
        "i2" => Kind::Signed(2),
        "i4" => Kind::Signed(4),
        "i8" => Kind::Signed(8),
        "b1" | "u1" => Kind::Unsigned(1),
        "u2" => Kind::Unsigned(2),
        "u4" => Kind::Unsigned(4),
        "u8" => Kind::Unsigned(8),
        _ => return None,
    };
    match order {
        '<' | '|' => Some((false, kind)),
        '>' => Some((true, kind)),
        _ => None,
    }
}

fn axes(tuple: &str) -> Option<Vec<usize>> {
    let inner = tuple.strip_prefix('(')?.strip_suffix(')')?;
    inner
        .split(',')
        .map(str::trim)
        .filter(|axis| !axis.is_empty())
        .map(|axis| axis.parse().ok())
        .collect()
}

pub(super) fn read(spec: &PoolSpec, folder: &Path, path: &Path) -> Result<Raw, PoolError> {
    let mut npy = Npy::open(path, spec.scale)?;
    let name = path.display().to_string();
    if npy.rows == 0 || npy.cols == 0 {
        return Err(PoolError::bad(name, "no numbers in it; at least one sample is expected"));
    }
    let mut skipped = Skipped::default();
    let mut broken = Vec::new();
    let not_finite = |numbers: &[f32]| {
        let column = numbers.iter().position(|number| !number.is_finite())?;
        Some(format!(
            "number {column} of the row is not finite, or does not fit 32 bits (after `pool.scale`); correct it, or leave the row out"
        ))
    };
    npy.inspect(not_finite, |row, what| {
        skipped
            .or_fail(spec, || PoolError::bad(format!("{name}: row {row}, counted from 0"), what))?;
        broken.push(row);
        Ok(())
    })?;
    let mut kept = Runs::all_but(npy.rows, broken);
    let mut classes = ClassList::new(&spec.classes);
    let mut labels = Labels::default();
    let mut targets = None;
    if spec.task != Task::Classification {
        let file = spec.labels.as_deref().map(|file| folder.join(file));
        let file = file.ok_or_else(|| {
            let what = format!(
                "`pool.labels` is missing: an .npy file with the labels of a {} task",
                spec.task
            );
            PoolError::bad(&name, what)
        })?;
        let (opened, good) = read_targets(spec, &npy, &file, &kept, &mut skipped)?;
        (targets, kept) = (Some(opened), good);
    } else if let Some(file) = &spec.labels {
        kept = read_labels(
            spec,
            &folder.join(file),
            npy.rows,
            &kept,
            &mut classes,
            &mut labels,
            &mut skipped,
        )?;
    }
    if kept.is_empty() {
        return Err(PoolError::bad(name, "every row is broken; at least one sample is expected"));
    }
    npy.keep(kept.clone());
    let classes = classes.finish(&mut labels);
    if let Some(mut targets) = targets {
        targets.keep(kept.clone());
        labels = Labels::Numbers(Targets::new(Box::new(targets))?);
    }
    let (shape, rows_in_file) = (npy.shape.clone(), npy.rows);
    Ok(Raw {
        ids: Ids::generated(path, kept.clone()),
        features: Box::new(npy),
        shape,
        labels,
        classes,
        metadata: Table { rows: kept.len(), columns: vec![] },
        seconds: None,
        rows_in_file,
        order: None,
        skipped,
    })
}

/// Labels that are numbers, and which of the rows in `kept` have none that is wrong.
fn read_targets(
    spec: &PoolSpec,
    samples: &Npy,
    path: &Path,
    kept: &Runs,
    skipped: &mut Skipped,
) -> Result<(Npy, Runs), PoolError> {
    let (task, classes) = (spec.task, spec.classes.len());
    let name = path.display().to_string();
    let targets = Npy::open(path, 1.0)?;
    let sample = if spec.shape.is_empty() { &samples.shape } else { &spec.shape };
    let width = task.label_width(classes, sample);
    if (targets.rows, targets.cols) != (samples.rows, width) {
        return Err(PoolError::bad(
            name,
            format!(
                "{} labels of {} numbers; {} of {width} are expected: one for each sample, as a {task} task with {classes} classes has them",
                targets.rows, targets.cols, samples.rows
            ),
        ));
    }
    let mut broken = Vec::new();
    targets.inspect(
        |numbers| targets::check(task, classes, numbers).err(),
        |row, what| {
            if kept.place_of(row).is_some() {
                skipped.or_fail(spec, || {
                    PoolError::bad(format!("{name}: row {row}, counted from 0"), what)
                })?;
                broken.push(row);
            }
            Ok(())
        },
    )?;
    Ok((targets, super::split::minus(kept, broken)))
}

/// The labels of the rows in `kept`; answers which of them have none that is wrong.
fn read_labels(
    spec: &PoolSpec,
    path: &Path,
    rows: usize,
    kept: &Runs,
    classes: &mut ClassList,
    labels: &mut Labels,
    skipped: &mut Skipped,
) -> Result<Runs, PoolError> {
    let name = path.display().to_string();
    let count = |found: usize| {
        PoolError::bad(
            &name,
            format!("{found} labels for {rows} samples; `pool.labels` needs one for each"),
        )
    };
    let (mut left, mut row) = (Runs::default(), 0);
    let mut take = |text: &str| -> Result<(), PoolError> {
        if kept.slice(kept_place(kept, row)).next().is_some() {
            let place = || (name.clone(), row as u64 + 1);
            let label = if text.is_empty() {
                Ok(None)
            } else {
                classes.index_of(text, "of `pool.labels`", &place).map(Some)
            };
            match label {
                Ok(label) => {
                    labels.push(label);
                    left.push(row..row + 1);
                }
                Err(error) => skipped.or_fail(spec, || error)?,
            }
        }
        row += 1;
        Ok(())
    };
    if path.extension().is_some_and(|ending| ending == "npy") {
        let npy = Npy::open(path, 1.0)?;
        if npy.cols != 1 || matches!(npy.kind, Kind::Float(_)) {
            return Err(PoolError::bad(
                &name,
                format!(
                    "a {} with {} numbers a row; `pool.labels` needs one whole number a sample",
                    if matches!(npy.kind, Kind::Float(_)) {
                        "matrix of fractions"
                    } else {
                        "matrix"
                    },
                    npy.cols
                ),
            ));
        }
        if npy.rows != rows {
            return Err(count(npy.rows));
        }
        for piece in pieces(rows, 1) {
            let bytes = npy.bytes(piece)?;
            for number in bytes.chunks_exact(npy.kind.size()) {
                take(&npy.kind.whole(number).to_string())?;
            }
        }
        return Ok(left);
    }
    let failed = |source| PoolError::read(path, source);
    let mut lines = BufReader::new(open(path).map_err(failed)?);
    let mut line = Vec::new();
    let mut found = 0_usize;
    loop {
        line.clear();
        let length = (&mut lines).take(LINE_MAX).read_until(b'\n', &mut line).map_err(failed)?;
        if length == 0 {
            break;
        }
        found += 1;
        let place = || format!("{name}:{found}");
        if length as u64 == LINE_MAX {
            return Err(PoolError::bad(
                place(),
                format!("a line of {LINE_MAX} bytes or more is no label"),
            ));
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| PoolError::bad(place(), "not UTF-8; save the file as UTF-8"))?;
        if found <= rows {
            take(text.trim())?;
        }
    }
    if found == rows { Ok(left) } else { Err(count(found)) }
}

/// Where `row` stands in `kept`, as a range of places: empty where it does not.
fn kept_place(kept: &Runs, row: usize) -> Range<usize> {
    super::ids::place(kept, row).map_or(0..0, |place| place..place + 1)
}
