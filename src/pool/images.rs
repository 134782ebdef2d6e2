//! Pools from a folder of images: PNG and JPEG files, each a sample, decoded when it is asked for.
//!
//! A sample's id is its path below the folder; its label is the first folder on that path, where there is one. Files are
//! opened and decoded once when the pool is loaded, so that a broken one is found before anybody is asked to label it; only
//! ids and digests stay in memory. An image is brought to `pool.size` (see `resize`), its values to 0 to 1, and then to
//! `(value * scale - mean) / std`.

use super::PoolError;
use super::folder::{self, Entry};
use super::ids::Ids;
use super::labels::{ClassList, Labels};
use super::picture::{self, Picture};
use super::shown::Shown;
use super::source::{Raw, Skipped, Source, cut};
use crate::domain::definition::{ImageChannels, ImageLayout, PoolSpec};
use crate::domain::digest::Digest;
use crate::domain::ids::SampleId;
use crate::domain::rows::{Rows, RowsError};
use crate::domain::table::Table;
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A larger file is not read.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How an image becomes numbers.
#[derive(Debug, Clone)]
struct Recipe {
    height: usize,
    width: usize,
    channels: usize,
    layout: ImageLayout,
    scale: f64,
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Recipe {
    fn new(spec: &PoolSpec, folder: &Path) -> Result<Self, PoolError> {
        let [height, width] = spec.size.ok_or_else(|| {
            PoolError::bad(folder.display(), "`pool.size` is missing; for example size = [32, 32]")
        })?;
        let channels = match spec.channels {
            ImageChannels::Grey => 1,
            ImageChannels::Colour => 3,
        };
        let of_each = |values: &[f64], default: f64| match *values {
            [] => vec![default; channels],
            [one] => vec![one; channels],
            _ => values.to_vec(),
        };
        let (mean, std) = (of_each(&spec.mean, 0.0), of_each(&spec.std, 1.0));
        if mean.len() != channels || std.len() != channels || std.iter().any(|std| std.abs() <= 0.0)
        {
            return Err(PoolError::bad(
                folder.display(),
                format!(
                    "`pool.mean` and `pool.std` need one number, or {channels}; and std must not be 0"
                ),
            ));
        }
        Ok(Self { height, width, channels, layout: spec.layout, scale: spec.scale, mean, std })
    }

    fn shape(&self) -> Vec<usize> {
        match self.layout {
            ImageLayout::Chw => vec![self.channels, self.height, self.width],
            ImageLayout::Hwc => vec![self.height, self.width, self.channels],
        }
    }

    /// The numbers of an image, appended to `values`.
    fn cook(&self, picture: &Picture, values: &mut Vec<f32>) {
        let resized = picture.resized(self.height, self.width);
        let number = |value: f32, channel: usize| {
            let mean = self.mean.get(channel).copied().unwrap_or(0.0);
            let std = self.std.get(channel).copied().unwrap_or(1.0);
            #[expect(clippy::cast_possible_truncation, reason = "features have 32 bits")]
            let number = ((f64::from(value) / 255.0 * self.scale - mean) / std) as f32;
            // A scale beyond all reason must not make infinities.
            number.clamp(f32::MIN, f32::MAX)
        };
        match self.layout {
            ImageLayout::Hwc => {
                let pixels = resized.chunks_exact(self.channels);
                values.extend(pixels.flat_map(|pixel| {
                    pixel.iter().enumerate().map(|(channel, &value)| number(value, channel))
                }));
            }
            ImageLayout::Chw => {
                for channel in 0..self.channels {
                    let plane = resized.iter().skip(channel).step_by(self.channels);
                    values.extend(plane.map(|&value| number(value, channel)));
                }
            }
        }
    }
}

/// The images of a folder.
struct Images {
    folder: PathBuf,
    names: Vec<SampleId>,
    digests: Vec<Digest>,
    recipe: Recipe,
}

impl Images {
    /// The image of a row as it is in its file, which must be the one that was opened.
    fn picture(&self, row: usize) -> Result<Picture, RowsError> {
        let name = self.names.get(row).map_or("", SampleId::as_str);
        let path = self.folder.join(name);
        let failed = |reason: String| RowsError {
            what: path.display().to_string(),
            first: row,
            end: row + 1,
            reason,
        };
        let bytes = bytes(&path).map_err(failed)?;
        if self.digests.get(row) != Some(&Digest::of(&bytes)) {
            return Err(failed("it is another image than when the pool was opened".to_owned()));
        }
        picture::decode(&bytes, self.recipe.channels).map_err(failed)
    }
}

impl Rows for Images {
    fn rows(&self) -> usize {
        self.names.len()
    }

    fn cols(&self) -> usize {
        self.recipe.height * self.recipe.width * self.recipe.channels
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        let range = cut(range, self.names.len());
        let one = |row: usize| {
            let picture = self.picture(row)?;
            let mut values = Vec::with_capacity(Rows::cols(self));
            self.recipe.cook(&picture, &mut values);
            Ok(values)
        };
        let rows: Vec<Vec<f32>> =
            range.into_par_iter().map(one).collect::<Result<_, RowsError>>()?;
        Ok(Cow::Owned(rows.concat()))
    }
}

impl Source for Images {
    /// They are in the order of ids from the beginning.
    fn reorder(&mut self, _order: &[usize]) {}

    fn content(&self, row: usize) -> Option<Digest> {
        self.digests.get(row).copied()
    }

    fn shown(&self, row: usize) -> Result<Option<Shown>, RowsError> {
        self.picture(row)?.small().map(Some)
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = super::source::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}

fn is_image(entry: &Entry) -> bool {
    let ending = entry.path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ["png", "jpg", "jpeg"].iter().any(|known| known.eq_ignore_ascii_case(ending))
}

pub(super) fn read(spec: &PoolSpec, path: &Path) -> Result<Raw, PoolError> {
    let recipe = Recipe::new(spec, path)?;
    if !path.is_dir() {
        let source = match std::fs::metadata(path) {
            Ok(_) => std::io::Error::other("not a folder"),
            Err(error) => error,
        };
        return Err(PoolError::read(path, source));
    }
    let mut skipped = Skipped::default();
    let mut entries = Vec::new();
    for entry in folder::walk(path) {
        match entry {
            Ok(entry) if is_image(&entry) => entries.push(entry),
            Ok(entry) => {
                skipped.note(|| format!("{}: not named .png, .jpg or .jpeg", entry.path.display()))
            }
            Err((at, error)) => {
                skipped.or_fail(spec, || PoolError::bad(at.display(), error.to_string()))?;
            }
        }
    }
    let decoded: Vec<Result<Digest, String>> = entries
        .par_iter()
        .map(|entry| {
            let bytes = bytes(&entry.path)?;
            picture::decode(&bytes, recipe.channels)?;
            Ok(Digest::of(&bytes))
        })
        .collect();
    let mut classes = ClassList::new(&spec.classes);
    let (mut labels, mut names, mut digests) = (Labels::default(), vec![], vec![]);
    for (entry, digest) in entries.iter().zip(decoded) {
        let place = || (entry.path.display().to_string(), 0);
        let read = digest
            .map_err(|what| {
                let what = format!(
                    "{what}; replace the file, remove it, or set `pool.broken` to \"skip\""
                );
                PoolError::bad(entry.path.display(), what)
            })
            .and_then(|digest| {
                let label = entry.name.split_once('/').map(|(folder, _)| folder);
                let index = label.map(|label| classes.index_of(label, "of folders", &place));
                Ok((digest, index.transpose()?))
            });
        match read {
            Ok((digest, label)) => {
                digests.push(digest);
                labels.push(label);
                names.push(SampleId::from(entry.name.as_str()));
            }
            Err(error) => skipped.or_fail(spec, || error)?,
        }
    }
    if names.is_empty() {
        return Err(PoolError::bad(
            path.display(),
            "no image in it; PNG and JPEG files are read, also in folders below",
        ));
    }
    let classes = classes.finish(&mut labels);
    let (shape, rows) = (recipe.shape(), names.len());
    let order = (0..entries.len()).filter(|row| {
        entries
            .get(*row)
            .is_some_and(|entry| names.binary_search(&entry.name.as_str().into()).is_ok())
    });
    let order = (rows < entries.len()).then(|| order.collect());
    Ok(Raw {
        ids: Ids::Listed(names.clone()),
        rows_in_file: entries.len(),
        features: Box::new(Images { folder: path.to_path_buf(), names, digests, recipe }),
        shape,
        labels,
        classes,
        metadata: Table { rows, columns: vec![] },
        seconds: None,
        order,
        skipped,
    })
}
