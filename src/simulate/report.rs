//! The files of a comparison: every measurement, the summary, the picture twice.

use super::summary::{StrategySummary, Summary};
use super::{Curve, SimulateError, plan};
use crate::chart::{self, Chart, Frame, raster, svg};
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
        let picture = chart::draw(&chart(summary), Frame::FILE);
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

/// Mean curves with bands of one standard error.
fn chart(summary: &Summary) -> Chart {
    let measured = format!("{}: {} on the test split", summary.workflow, summary.metric);
    let title = match summary.seeds.len() {
        1 => format!("{measured}, one seed"),
        seeds => format!("{measured}, mean of {seeds} seeds, bands of one standard error"),
    };
    let curve = |one: &StrategySummary| {
        let points = one.curve.iter().map(|point| {
            let (value, error) = (point.value.mean, point.value.standard_error);
            let range = error.map(|error| (value - error, value + error));
            chart::Point { labels: point.labels as f64, value, range }
        });
        chart::Curve { name: one.strategy.clone(), points: points.collect() }
    };
    Chart {
        title,
        is_share: summary.metric.most().is_some(),
        target: Some(summary.target),
        curves: summary.strategies.iter().map(curve).collect(),
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
