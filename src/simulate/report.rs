//! The files of a comparison: every measurement, the summary, the picture twice.

use super::summary::Summary;
use super::{Curve, SimulateError, chart, plan, raster, svg};
use std::io;
use std::path::{Path, PathBuf};

/// A folder for results, known to be writable.
#[derive(Debug, Clone)]
pub struct Out {
    folder: PathBuf,
}

impl Out {
    /// Makes the folder if it is missing. Asked for before any work is done.
    ///
    /// # Errors
    /// [`SimulateError::Out`] if nothing can be written there.
    pub fn open(folder: &Path) -> Result<Self, SimulateError> {
        plan::probe(folder)
            .map_err(|source| SimulateError::Out { path: folder.to_owned(), source })?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes `results.csv`, `summary.json`, `curves.svg` and `curves.png`, in place of earlier ones; answers their paths.
    ///
    /// # Errors
    /// [`SimulateError::Out`] for the first file that could not be written.
    pub fn write(
        &self,
        summary: &Summary,
        curves: &[Curve],
    ) -> Result<Vec<PathBuf>, SimulateError> {
        let picture = chart::draw(summary);
        let json = serde_json::to_vec_pretty(summary).map_err(io::Error::from);
        let png = raster::write(&picture).map_err(io::Error::other);
        let files = [
            ("results.csv", results(summary, curves)),
            ("summary.json", json),
            ("curves.svg", Ok(svg::write(&picture).into_bytes())),
            ("curves.png", png),
        ];
        let write = |(name, bytes): (&str, io::Result<Vec<u8>>)| {
            let path = self.folder.join(name);
            match bytes.and_then(|bytes| std::fs::write(&path, bytes)) {
                Ok(()) => Ok(path),
                Err(source) => Err(SimulateError::Out { path, source }),
            }
        };
        files.into_iter().map(write).collect()
    }
}

/// One line for each measurement.
fn results(summary: &Summary, curves: &[Curve]) -> io::Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let metric = summary.metric.to_string();
    csv.write_record(["strategy", "seed", "labels", metric.as_str()])?;
    for curve in curves {
        let strategy =
            summary.strategies.get(curve.strategy).map_or("", |one| one.strategy.as_str());
        for point in &curve.points {
            let numbers =
                [curve.seed.to_string(), point.labels.to_string(), point.value.to_string()];
            csv.write_record(std::iter::once(strategy).chain(numbers.iter().map(String::as_str)))?;
        }
    }
    csv.into_inner().map_err(|error| io::Error::other(error.to_string()))
}
