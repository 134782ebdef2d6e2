//! `gleaner key` and `gleaner checkpoint`: what a store is now, signed, to be kept elsewhere; whether it still is; and proofs
//! for those who have a checkpoint and not the store.

use super::error::CliError;
use super::output::{Output, Style};
use super::verify::{Copied, NOT_SOUND, copy, find};
use super::{CheckpointAction, Cli, KeyAction};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::key::{KeyName, SignerKey, VerifierKey, file};
use crate::audit::merkle::{TreeHead, consistency_proof, inclusion_proof};
use crate::audit::note::Note;
use crate::audit::proof::{Claim, Proof};
use crate::audit::replay::Point;
use crate::audit::tree;
use crate::domain::digest::Digest;
use crate::domain::ids::CycleId;
use crate::store::EventLog;
use crate::store::sled::SledStore;
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
            let Copied { store, .. } = &copy(cli)?;
            let note = sign(cli, &tree::records(store).await?, &key, None)?;
            output.line(note.to_string().trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
        CheckpointAction::Prove { event, checkpoint, since, run } => {
            let Copied { store, .. } = &copy(cli)?;
            let proof = match since {
                Some(since) => grew(store, since, checkpoint).await?,
                None => included(store, run.as_deref(), *event, checkpoint).await?,
            };
            output.line(proof.to_string().trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
        CheckpointAction::Check { proof, key, event, since } => {
            let found = convinces(proof, key, *event, since.as_deref())?;
            tell(output, found)
        }
        CheckpointAction::Verify { file, key } => {
            let Copied { store, .. } = &copy(cli)?;
            tell(output, compare(store, file, key).await?)
        }
    }
}

/// Says what holds, or why it does not.
fn tell(output: &Output, found: Result<String, String>) -> Result<ExitCode, CliError> {
    let holds = found.is_ok();
    let (Ok(text) | Err(text)) = found;
    if output.json {
        output.json(&json!({ "holds": holds, "found": text }))?;
    } else {
        output.line(&output.style(if holds { Style::Green } else { Style::Red }, &text))?;
    }
    Ok(if holds { ExitCode::SUCCESS } else { NOT_SOUND.into() })
}

/// The checkpoint of a store that has these records, signed; `line` is one more that is signed with it.
pub(super) fn sign(
    cli: &Cli,
    records: &[Digest],
    key: &SignerKey,
    line: Option<String>,
) -> Result<Note, CliError> {
    let head = tree::head(records, records.len() as u64).filter(|head| head.size > 0);
    let head = head.ok_or_else(|| CliError::NoState { path: cli.state.clone() })?;
    let checkpoint = Checkpoint::new(key.verifier().name().as_str(), head).map_err(refused)?;
    let checkpoint = match line {
        Some(line) => checkpoint.with(line).map_err(refused)?,
        None => checkpoint,
    };
    let mut note = checkpoint.to_note().map_err(refused)?;
    note.sign(key).map_err(refused)?;
    Ok(note)
}

/// Reads a checkpoint, which is not believed yet.
pub(super) fn unbelieved(file: &Path) -> Result<(Note, TreeHead), CliError> {
    let wrong = |error: &dyn std::fmt::Display| {
        CliError::Refused(format!("{} is no checkpoint: {error}", file.display()))
    };
    let note = Note::parse(&read(file)?).map_err(|error| wrong(&error))?;
    let checkpoint: Checkpoint = note.text().parse().map_err(|error| wrong(&error))?;
    Ok((note, *checkpoint.tree()))
}

/// The records of the store that a checkpoint speaks of.
async fn records_of(
    store: &dyn EventLog,
    head: &TreeHead,
    file: &Path,
) -> Result<Vec<Digest>, CliError> {
    let mut records = tree::records(store).await?;
    if tree::head(&records, head.size) != Some(*head) {
        let (file, size) = (file.display(), head.size);
        let why =
            format!("this store does not begin with the {size} events of the checkpoint {file}");
        return Err(CliError::Refused(why));
    }
    records.truncate(usize::try_from(head.size).unwrap_or(usize::MAX));
    Ok(records)
}

/// The proof that a store only grew from one checkpoint to another.
async fn grew(store: &dyn EventLog, since: &Path, file: &Path) -> Result<Proof, CliError> {
    let ((_, old), (checkpoint, new)) = (unbelieved(since)?, unbelieved(file)?);
    let records = records_of(store, &new, file).await?;
    if tree::head(&records, old.size) != Some(old) {
        let (since, file) = (since.display(), file.display());
        let why = format!("{file} does not continue {since}: it has fewer events, or others");
        return Err(CliError::Refused(why));
    }
    let hashes = consistency_proof(old.size, new.size, |index| tree::leaf_at(&records, index));
    Ok(Proof { claim: Claim::GrewFrom(old.size), hashes: hashes.map_err(refused)?, checkpoint })
}

/// The proof that an event is among those of a checkpoint.
async fn included(
    store: &SledStore,
    run: Option<&str>,
    event: Option<Point>,
    file: &Path,
) -> Result<Proof, CliError> {
    let run = find(store, run).await?;
    let place = event.and_then(|Point { cycle, revision }| Some((cycle, revision?)));
    let (cycle, revision) = place.ok_or_else(|| {
        CliError::Refused("a proof is of one event: name it as CYCLE:REVISION".to_owned())
    })?;
    let found = store.read(CycleId { run, cycle }, revision, 1).await?;
    let record = found
        .first()
        .map(|recorded| recorded.hash)
        .ok_or_else(|| CliError::Refused(format!("run {run} has no event {cycle}:{revision}")))?;
    let (checkpoint, head) = unbelieved(file)?;
    let records = records_of(store, &head, file).await?;
    let index = (0..).zip(&records).find_map(|(index, hash)| (*hash == record).then_some(index));
    let index = index.ok_or_else(|| {
        let (file, size) = (file.display(), head.size);
        CliError::Refused(format!(
            "event {cycle}:{revision} came after the {size} events of {file}"
        ))
    })?;
    let hashes = inclusion_proof(index, head.size, |index| tree::leaf_at(&records, index));
    Ok(Proof { claim: Claim::Included(index), hashes: hashes.map_err(refused)?, checkpoint })
}

/// Whether a proof proves what is asked, in words either way.
fn convinces(
    file: &Path,
    key: &str,
    event: Option<Digest>,
    since: Option<&Path>,
) -> Result<Result<String, String>, CliError> {
    let known = [key.parse::<VerifierKey>().map_err(refused)?];
    let [verifier] = &known;
    let origin = verifier.name().as_str();
    let text = String::from_utf8(read(file)?).unwrap_or_default();
    let proof: Proof = match text.parse() {
        Ok(proof) => proof,
        Err(error) => return Ok(Err(format!("no proof: {error}"))),
    };
    if let Some(since) = since {
        let old = match Checkpoint::open(&read(since)?, origin, &known) {
            Ok(old) => *old.tree(),
            Err(error) => return Ok(Err(format!("not to be believed: {error}"))),
        };
        let grown = proof.continues(&old, origin, &known).map_err(|error| error.to_string());
        return Ok(grown.map(|now| {
            format!("{origin}: the {} events from then are the first of {} now", old.size, now.size)
        }));
    }
    let event = event.unwrap_or(Digest::ZERO);
    let found = proof.includes(event, origin, &known).map_err(|error| error.to_string());
    Ok(found.map(|(index, head)| {
        format!("{origin}: the event is the one at {index}, from 0, of {}", head.size)
    }))
}

/// Whether a store continues what a checkpoint says of it, in words either way.
async fn compare(
    store: &dyn EventLog,
    file: &Path,
    key: &str,
) -> Result<Result<String, String>, CliError> {
    let key: VerifierKey = key.parse().map_err(refused)?;
    let bytes = read(file)?;
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

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    let cannot = |error| CliError::Refused(format!("cannot read {}: {error}", file.display()));
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(BYTES_MAX).read_to_end(&mut bytes))
        .map_err(cannot)?;
    Ok(bytes)
}

pub(super) fn refused(error: impl std::fmt::Display) -> CliError {
    CliError::Refused(error.to_string())
}
