//! Workflow files: TOML in, a checked [`Definition`] out, or every problem at once, each with its line.
//!
//! Only the file is judged here. Whether the pool exists and what it holds is found out when it is loaded.
//!
//! | question | file |
//! |---|---|
//! | which keys are there, and what are their types, ranges and defaults? | `workflow/keys.rs` |
//! | which values contradict each other? | `workflow/rules.rs` |
//! | how is a value read, and how does an error look? | `workflow/reader.rs` |
//! | how does TOML become values with lines, and where do `--set` overrides go? | `workflow/source.rs` |
//! | how is a workflow that a run keeps written as text again? | `workflow/text.rs` |

mod keys;
mod reader;
mod rules;
mod source;
mod text;

use crate::domain::definition::Definition;
use reader::Reader;
use std::fmt;
use std::io::Read;
use std::path::Path;

/// A longer file is no workflow.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// More problems than this are counted, not listed.
const PROBLEMS_MAX: usize = 100;

/// Overrides: a dotted key (`selector.strategy`) and a TOML value; what is no TOML (`random`, `30s`) is a string. The
/// last one for a key wins.
pub type Overrides = [(String, String)];

/// Reads a workflow file, with `overrides` in place of what it says.
///
/// # Errors
/// [`WorkflowError`]: the file cannot be read, or every problem in it.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Definition, WorkflowError> {
    let file = path.display().to_string();
    let refuse = |message: String| WorkflowError {
        file: file.clone(),
        problems: vec![Problem { line: None, message }],
        more: 0,
    };
    let bytes =
        read(path).map_err(|error| refuse(format!("could not read the workflow: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse(format!(
            "larger than {FILE_BYTES_MAX} bytes; that is no workflow file"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(valid);
        let line = before.filter(|&&byte| byte == b'\n').count().saturating_add(1);
        let message = "not UTF-8; save the file as UTF-8".to_owned();
        let problems = vec![Problem { line: Some(line), message }];
        WorkflowError { file: file.clone(), problems, more: 0 }
    })?;
    parse(&text, &file, overrides)
}

/// Reads a workflow from its text; `file` is for errors.
///
/// # Errors
/// [`WorkflowError`]: every problem.
pub fn parse(text: &str, file: &str, overrides: &Overrides) -> Result<Definition, WorkflowError> {
    let mut problems = Vec::new();
    let definition = source::tree(text, overrides, &mut problems).map(|tree| {
        let mut reader = Reader::new(&tree, &mut problems);
        let definition = keys::definition(&mut reader);
        rules::check(&definition, &mut reader);
        definition
    });
    match definition {
        Some(definition) if problems.is_empty() => Ok(definition),
        _ => {
            problems.sort_by_key(|problem| (problem.line.is_none(), problem.line));
            let more = problems.len().saturating_sub(PROBLEMS_MAX);
            problems.truncate(PROBLEMS_MAX);
            Err(WorkflowError { file: file.to_owned(), problems, more })
        }
    }
}

/// A workflow that was read before, with `overrides` in place of what it says; `name` is for errors, which have no lines.
/// What nobody overrides stays as it was, also where a file would take another default now.
///
/// # Errors
/// [`WorkflowError`]: every problem that the overrides make.
pub fn changed(
    definition: &Definition,
    name: &str,
    overrides: &Overrides,
) -> Result<Definition, WorkflowError> {
    if overrides.is_empty() {
        return Ok(definition.clone());
    }
    parse(&text::text(definition), name, overrides).map_err(|mut error| {
        error.problems.iter_mut().for_each(|problem| problem.line = None);
        error
    })
}

/// At most one byte more than a workflow may have. Pipes and devices, which may never end, are refused.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Everything that is wrong with a workflow. Displays as one line per problem: `file:line: message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct WorkflowError {
    /// The file.
    pub file: String,
    /// What is wrong, by line; what has no line comes last. Never empty.
    pub problems: Vec<Problem>,
    /// How many problems more there are than are listed.
    pub more: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line in the file, from 1; `None` for what is missing, and for overrides.
    pub line: Option<usize>,
    /// What is wrong, and the way out.
    pub message: String,
}

impl fmt::Display for WorkflowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { line, message }) in self.problems.iter().enumerate() {
            let end_of_last = if index == 0 { "" } else { "\n" };
            match line {
                Some(line) => write!(f, "{end_of_last}{}:{line}: {message}", self.file)?,
                None => write!(f, "{end_of_last}{}: {message}", self.file)?,
            }
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more problems", self.file),
        }
    }
}

#[cfg(test)]
#[path = "workflow/tests.rs"]
mod tests;
