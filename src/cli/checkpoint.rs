//! `gleaner key` and `gleaner checkpoint`: what a store is now, signed, to be kept elsewhere; and whether it still is.

use super::error::CliError;
use super::output::{Output, Style};
use super::verify::{NOT_SOUND, copy};
use super::{CheckpointAction, Cli, KeyAction};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::key::{KeyName, SignerKey, VerifierKey, file};
use crate::audit::tree;
use crate::store::EventLog;
use serde_json::json;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

/// No checkpoint is longer.
const BYTES_MAX: u64 = 1024 * 1024;

/// Makes a key, or shows its public half.
pub(super) fn key(output: &Output, action: &KeyAction) -> Result<ExitCode, CliError> {
    let key = match action {
        KeyAction::New { name, file } => {
            let name: KeyName = name.parse().map_err(refused)?;
            let key = SignerKey::generate(name).map_err(refused)?;
            file::create(file, &key).map_err(refused)?;
            output.note(&format!("the private key is in {}; keep it", file.display()));
            key
        }
        KeyAction::Show { file } => file::read(file).map_err(refused)?,
    };
    output.line(&key.verifier().to_string())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn checkpoint(
    cli: &Cli,
    output: &Output,
    action: &CheckpointAction,
) -> Result<ExitCode, CliError> {
    match action {
        CheckpointAction::Export { key } => {
            let key = file::read(key).map_err(refused)?;
            let (_scratch, store) = copy(cli)?;
            let records = tree::records(&store).await?;
            let head = tree::head(&records, records.len() as u64);
            let head = head.filter(|head| head.size > 0);
            let head = head.ok_or_else(|| CliError::NoState { path: cli.state.clone() })?;
            let verifier = key.verifier();
            let checkpoint = Checkpoint::new(verifier.name().as_str(), head).map_err(refused)?;
            let mut note = checkpoint.to_note().map_err(refused)?;
            note.sign(&key).map_err(refused)?;
            output.line(note.to_string().trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
        CheckpointAction::Verify { file, key } => {
            let (_scratch, store) = copy(cli)?;
            let found = compare(&store, file, key).await?;
            if output.json {
                output.json(&json!({ "holds": found.is_ok(), "found": found.clone().unwrap_or_else(|why| why) }))?;
            } else {
                match &found {
                    Ok(text) => output.line(&output.style(Style::Green, text))?,
                    Err(why) => output.line(&output.style(Style::Red, why))?,
                }
            }
            Ok(if found.is_ok() { ExitCode::SUCCESS } else { NOT_SOUND.into() })
        }
    }
}

/// Whether a store continues what a checkpoint says of it, in words either way.
async fn compare(
    store: &dyn EventLog,
    file: &Path,
    key: &str,
) -> Result<Result<String, String>, CliError> {
    let key: VerifierKey = key.parse().map_err(refused)?;
    let read = |error: std::io::Error| {
        CliError::Refused(format!("cannot read the checkpoint {}: {error}", file.display()))
    };
    let mut bytes = Vec::new();
    File::open(file).and_then(|open| open.take(BYTES_MAX).read_to_end(&mut bytes)).map_err(read)?;
    let origin = key.name().as_str().to_owned();
    let checkpoint = match Checkpoint::open(&bytes, &origin, &[key]) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return Ok(Err(format!("not to be believed: {error}"))),
    };
    let then = checkpoint.tree();
    let records = tree::records(store).await?;
    let now = records.len();
    Ok(match tree::head(&records, then.size) {
        None => Err(format!(
            "cut: the checkpoint speaks of {} events, and the store has {now}",
            then.size
        )),
        Some(head) if head.root != then.root => Err(format!(
            "rewritten: the first {} events are not those of the checkpoint",
            then.size
        )),
        Some(_) => Ok(format!(
            "the store begins with the {} events of the checkpoint, and has {now}",
            then.size
        )),
    })
}

fn refused(error: impl std::fmt::Display) -> CliError {
    CliError::Refused(error.to_string())
}
