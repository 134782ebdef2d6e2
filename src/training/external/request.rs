//! What the program reads: checked, and written in pieces, so that the samples need not fit in memory.

use super::{ExternalError, ExternalRequest, ExternalSet, VERSION};
use crate::domain::npy;
use crate::domain::task::Task;
use serde_json::{Map, json};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Numbers that are in memory at a time, about: 4 MiB.
const PIECE: usize = 1 << 20;
/// What the copy of the production model is called.
const PREVIOUS: &str = "previous.onnx";

/// Both splits, by name.
fn splits<'a>(request: &ExternalRequest<'a>) -> [(&'static str, ExternalSet<'a>); 2] {
    [("train", request.train), ("validation", request.validation)]
}

/// Finds out what can be found out before anything is written.
pub(super) fn check(request: &ExternalRequest<'_>) -> Result<(), ExternalError> {
    let (classes, least) = (request.classes.len(), request.task.least_classes());
    if classes < least {
        return Err(ExternalError::Classes { classes, least });
    }
    if request.train.inputs.rows() == 0 {
        return Err(ExternalError::NoSamples);
    }
    let width = request.shape.iter().fold(1, |product: usize, side| product.saturating_mul(*side));
    let label_width = request.task.label_width(classes, request.shape);
    for (what, set) in splits(request) {
        let (rows, ids, labels) = (set.inputs.rows(), set.ids.len(), set.labels.rows());
        if rows != ids || rows != labels {
            return Err(ExternalError::Samples { what, rows, ids, labels });
        }
        for (part, found, expected) in
            [("inputs", set.inputs.cols(), width), ("labels", set.labels.cols(), label_width)]
        {
            if rows > 0 && found != expected {
                return Err(ExternalError::Width { what, part, found, expected });
            }
        }
        for (row, values) in set.labels.iter_rows().enumerate() {
            if let Some(&value) = values.iter().find(|value| !is_label(request, **value)) {
                let expected = expected_label(request);
                return Err(ExternalError::Label { what, row, value, expected });
            }
        }
    }
    Ok(())
}

/// Whether labels of this task are indexes of classes.
const fn is_indexed(task: Task) -> bool {
    match task {
        Task::Classification | Task::Segmentation => true,
        Task::MultiLabel | Task::Regression => false,
    }
}

fn is_label(request: &ExternalRequest<'_>, value: f32) -> bool {
    match request.task {
        Task::Classification | Task::Segmentation => {
            index(value).is_some_and(|index| index < request.classes.len() as u64)
        }
        Task::MultiLabel => index(value).is_some_and(|index| index < 2),
        Task::Regression => value.is_finite(),
    }
}

fn expected_label(request: &ExternalRequest<'_>) -> String {
    match request.task {
        Task::Classification | Task::Segmentation => {
            format!("the index of one of {} classes", request.classes.len())
        }
        Task::MultiLabel => "0 or 1".to_owned(),
        Task::Regression => "a finite number".to_owned(),
    }
}

/// A whole number of at least 0.
fn index(value: f32) -> Option<u64> {
    /// Up to here each whole number has an `f32` of its own.
    const EXACT: f32 = 16_777_216.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked: it is whole and below 2^24"
    )]
    ((0.0..=EXACT).contains(&value) && value.fract() <= 0.0).then_some(value as u64)
}

/// Writes all that the program may read; `request.json` comes last.
pub(super) fn write(request: &ExternalRequest<'_>, folder: &Path) -> Result<(), ExternalError> {
    let mut files = Map::new();
    for (what, set) in splits(request) {
        let [inputs, labels] = ["inputs", "labels"].map(|part| format!("{what}-{part}.npy"));
        let samples = format!("{what}-samples.csv");
        write_inputs(request, what, set, &folder.join(&inputs))?;
        write_labels(request, set, &folder.join(&labels))?;
        write_samples(set, &folder.join(&samples))?;
        let count = set.ids.len();
        let described =
            json!({ "count": count, "inputs": inputs, "labels": labels, "samples": samples });
        files.insert(what.to_owned(), described);
    }
    if let Some(previous) = request.previous {
        let copied = std::fs::copy(previous, folder.join(PREVIOUS));
        copied.map_err(|error| not_written(previous, &error))?;
    }
    let described = json!({
        "version": VERSION,
        "task": request.task,
        "classes": request.classes,
        "shape": request.shape,
        "seed": request.seed,
        "folder": folder.to_string_lossy(),
        "previous": request.previous.map(|_| PREVIOUS),
        "settings": request.command.settings,
        "limits": { "seconds": request.command.seconds, "memory_mb": request.command.memory_mb },
        "train": files.get("train"),
        "validation": files.get("validation"),
    });
    let path = folder.join("request.json");
    std::fs::write(&path, format!("{described:#}\n")).map_err(|error| not_written(&path, &error))
}

/// As the error that says so.
pub(super) fn not_written(path: &Path, error: &io::Error) -> ExternalError {
    ExternalError::Write { path: path.to_owned(), reason: error.to_string() }
}

fn write_inputs(
    request: &ExternalRequest<'_>,
    what: &'static str,
    set: ExternalSet<'_>,
    path: &Path,
) -> Result<(), ExternalError> {
    let io = |error: io::Error| not_written(path, &error);
    let (rows, cols) = (set.inputs.rows(), set.inputs.cols().max(1));
    let mut out = BufWriter::new(File::create(path).map_err(io)?);
    out.write_all(&npy::encode("<f4", &with_rows(rows, request.shape))).map_err(io)?;
    let piece = (PIECE / cols).max(1);
    for first in (0..rows).step_by(piece) {
        let values = set.inputs.read(first..first.saturating_add(piece))?;
        for (place, value) in values.iter().enumerate() {
            if !value.is_finite() {
                let (row, column) = (first + place / cols, place % cols);
                return Err(ExternalError::NonFinite { what, row, column });
            }
            out.write_all(&value.to_le_bytes()).map_err(io)?;
        }
    }
    out.flush().map_err(io)
}

fn write_labels(
    request: &ExternalRequest<'_>,
    set: ExternalSet<'_>,
    path: &Path,
) -> Result<(), ExternalError> {
    let io = |error: io::Error| not_written(path, &error);
    let sample: &[usize] = match request.task {
        Task::Classification | Task::Regression => &[],
        Task::MultiLabel => &[request.classes.len()],
        // The label of an image has its height and width.
        Task::Segmentation => {
            request.shape.get(request.shape.len().saturating_sub(2)..).unwrap_or_default()
        }
    };
    let shape = with_rows(set.labels.rows(), sample);
    let mut out = BufWriter::new(File::create(path).map_err(io)?);
    if is_indexed(request.task) {
        out.write_all(&npy::encode("<i8", &shape)).map_err(io)?;
        for value in set.labels.data() {
            out.write_all(&index(*value).unwrap_or_default().to_le_bytes()).map_err(io)?;
        }
    } else {
        out.write_all(&npy::encode("<f4", &shape)).map_err(io)?;
        for value in set.labels.data() {
            out.write_all(&value.to_le_bytes()).map_err(io)?;
        }
    }
    out.flush().map_err(io)
}

fn write_samples(set: ExternalSet<'_>, path: &Path) -> Result<(), ExternalError> {
    let mut out = csv::Writer::from_path(path).map_err(|error| not_written(path, &error.into()))?;
    let lines = set.ids.iter().enumerate();
    let lines = lines.map(|(index, id)| [index.to_string(), id.as_str().to_owned()]);
    for line in std::iter::once(["index", "id"].map(str::to_owned)).chain(lines) {
        out.write_record(line).map_err(|error| not_written(path, &error.into()))?;
    }
    out.flush().map_err(|error| not_written(path, &error))
}

fn with_rows(rows: usize, sample: &[usize]) -> Vec<usize> {
    std::iter::once(rows).chain(sample.iter().copied()).collect()
}
