//! What the program left: nothing of it is believed before it was looked at.

use super::{
    CHECKPOINTS_MAX, ExternalCheckpoint, ExternalError, MODEL_BYTES_MAX, ResultProblem, VERSION,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

/// The name of the result.
const RESULT: &str = "result.json";
/// The most bytes of `result.json`: a thousand checkpoints with 16 KiB of metrics each.
const RESULT_BYTES_MAX: u64 = 16 << 20;

/// A checkpoint as it is listed.
#[derive(Deserialize)]
struct Listed {
    file: String,
    step: u64,
    #[serde(default)]
    metrics: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Answer {
    checkpoints: Vec<Listed>,
}

/// The checkpoints that `result.json` lists, each read into memory. `last` is what the program said last.
pub(super) fn read(folder: &Path, last: &str) -> Result<Vec<ExternalCheckpoint>, ExternalError> {
    checkpoints(folder).map_err(|problem| ExternalError::Result { problem, last: last.to_owned() })
}

fn checkpoints(folder: &Path) -> Result<Vec<ExternalCheckpoint>, ResultProblem> {
    let root = folder.canonicalize().map_err(|error| unreadable(".", &error))?;
    let path = inside(&root, RESULT).map_err(|problem| {
        let is_absent = matches!(problem, ResultProblem::NoFile { .. });
        if is_absent { ResultProblem::Absent } else { problem }
    })?;
    let bytes = content(&path, RESULT, 0, RESULT_BYTES_MAX)?;
    let listed = listed(&bytes)?;
    let (mut seen, mut total) = (BTreeSet::new(), 0);
    let mut read = Vec::with_capacity(listed.len());
    for Listed { file, step, metrics } in listed {
        let claimed = claims(&file, metrics)?;
        let path = inside(&root, &file)?;
        if seen.contains(&path) {
            return Err(ResultProblem::Twice { file });
        }
        let onnx = content(&path, &file, total, MODEL_BYTES_MAX)?;
        if onnx.is_empty() {
            return Err(ResultProblem::Empty { file });
        }
        total += onnx.len() as u64;
        seen.insert(path);
        read.push(ExternalCheckpoint { onnx, step, claimed });
    }
    Ok(read)
}

/// What `result.json` lists: at least one checkpoint.
fn listed(bytes: &[u8]) -> Result<Vec<Listed>, ResultProblem> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| ResultProblem::NoJson { reason: error.to_string() })?;
    let version = value.get("version").unwrap_or(&Value::Null);
    if version.as_u64() != Some(VERSION) {
        return Err(ResultProblem::Version { found: version.to_string() });
    }
    let Answer { checkpoints } = serde_json::from_value(value)
        .map_err(|error| ResultProblem::Schema { reason: error.to_string() })?;
    match checkpoints.len() {
        0 => Err(ResultProblem::NoCheckpoints),
        found if found > CHECKPOINTS_MAX => Err(ResultProblem::TooMany { found }),
        _ => Ok(checkpoints),
    }
}

/// The metrics, where each is a finite number.
fn claims(
    file: &str,
    metrics: BTreeMap<String, Value>,
) -> Result<BTreeMap<String, f64>, ResultProblem> {
    let claim = |(metric, value): (String, Value)| match value.as_f64().filter(|n| n.is_finite()) {
        Some(number) => Ok((metric, number)),
        None => {
            let (file, value) = (file.to_owned(), value.to_string());
            Err(ResultProblem::Metric { file, metric, value })
        }
    };
    metrics.into_iter().map(claim).collect()
}

/// Where a file of the folder really lies.
///
/// The program has ended, and so has its group: nobody swaps the file between this look and the reading.
fn inside(root: &Path, file: &str) -> Result<PathBuf, ResultProblem> {
    let named = Path::new(file);
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !named.components().all(is_plain) {
        return Err(ResultProblem::Outside { file: file.to_owned() });
    }
    let path = root.join(named).canonicalize().map_err(|error| {
        let is_absent = matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidInput
        );
        if is_absent {
            ResultProblem::NoFile { file: file.to_owned() }
        } else {
            unreadable(file, &error)
        }
    })?;
    if !path.starts_with(root) {
        return Err(ResultProblem::Outside { file: file.to_owned() });
    }
    // A pipe or a device could be read for ever.
    if path.is_file() { Ok(path) } else { Err(ResultProblem::NoFile { file: file.to_owned() }) }
}

/// The bytes of a file, where they are no more than `limit` with the `before` of other files.
fn content(path: &Path, name: &str, before: u64, limit: u64) -> Result<Vec<u8>, ResultProblem> {
    let failed = |error: std::io::Error| unreadable(name, &error);
    let file = File::open(path).map_err(failed)?;
    let bytes = before.saturating_add(file.metadata().map_err(failed)?.len());
    if bytes > limit {
        return Err(ResultProblem::TooLarge { file: name.to_owned(), bytes, limit });
    }
    let mut content = Vec::new();
    file.take(limit).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

fn unreadable(file: &str, error: &std::io::Error) -> ResultProblem {
    ResultProblem::Unreadable { file: file.to_owned(), reason: error.to_string() }
}
