//! Whether a store is whole: what is, is told to be, and no changed byte passes.

use crate::support::{finish, sled, workflow, workflows};
use gleaner::artifacts::Artifacts;
use gleaner::audit::checkpoint::Checkpoint;
use gleaner::audit::key::SignerKey;
use gleaner::audit::tree;
use gleaner::audit::verify::{Verification, verify};
use gleaner::domain::digest::Digest;
use gleaner::domain::event::Event;
use gleaner::domain::ids::{CycleNumber, Revision};
use gleaner::engine::Engine;
use gleaner::store::memory::MemoryStore;
use gleaner::store::sled::{SledOptions, SledStore};
use gleaner::store::{Append, Commit, NewEvent, Recorded, Store, StoreError, read_run};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A folder in memory where there is one: thousands of openings sync nothing to a disk.
pub(crate) fn folder() -> TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.unwrap()
}

/// The log of a small run, and its artifacts in `state`.
pub(crate) async fn records(state: &Path) -> Vec<Recorded> {
    let set = [
        ("stop.max_cycles", "2"),
        ("stop.kpi", "false"),
        ("selector.seed_per_class", "1"),
        ("selector.batch", "5"),
        ("selector.keep", "scores"),
        ("trainer.epochs", "2"),
        ("trainer.checkpoints", "1"),
    ];
    let artifacts = Artifacts::open(state.join("artifacts")).unwrap();
    let store = Arc::new(MemoryStore::default());
    let engine = Engine::builder(Arc::clone(&store) as Arc<dyn Store>, artifacts).build();
    let run = engine.start(workflow("digits-softmax.toml", &set), &workflows()).await.unwrap();
    assert!(finish(&engine, run).await.failed.is_none());
    read_run(&*store, run).await.unwrap()
}

/// Writes the log anew into a store on disk, in one commit: each of its bytes is there once.
pub(crate) async fn written(state: &Path, records: &[Recorded]) {
    let (store, _) = sled(state);
    let mut appends: Vec<Append> = Vec::new();
    for recorded in records {
        let Recorded { id, recorded: at, causation, actor, workflow, event, cycle, .. } =
            recorded.clone();
        let event = NewEvent { id, recorded: at, causation, actor, workflow, event };
        match appends.last_mut().filter(|append| append.cycle == cycle) {
            Some(append) => append.events.push(event),
            None => appends.push(Append { cycle, expected: Revision(0), events: vec![event] }),
        }
    }
    store.commit(Commit { appends, ..Commit::default() }).await.unwrap();
}

fn verified(state: &Path) -> Result<Verification, StoreError> {
    let scratch = folder();
    let (store, _lock) = SledStore::open_copy(state, scratch.path(), SledOptions::default())?;
    verify(&store, store.artifacts(), None)
}

/// Whether it passes, and what is said where it does not.
pub(crate) fn verdict(state: &Path) -> Result<(), String> {
    match verified(state) {
        Ok(found) if found.is_sound() => Ok(()),
        Ok(found) => {
            let findings = found.runs.iter().flat_map(|run| &run.findings);
            Err(findings.map(|finding| finding.what.clone()).collect::<Vec<_>>().join("; "))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Every file below a folder with its bytes.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[tokio::test]
async fn what_is_whole_is_told_to_be_and_not_touched() {
    let state = folder();
    let records = records(state.path()).await;
    written(state.path(), &records).await;
    let before = files(state.path());
    let found = verified(state.path()).unwrap();
    assert!(found.is_sound(), "{:?}", found.runs);
    assert_eq!(found.events, records.len() as u64);
    assert_eq!(found.runs[0].trusted.unwrap().hash, records.last().unwrap().hash);
    assert!(found.artifacts >= 5, "workflow, pool, scores and models: {}", found.artifacts);
    assert!(files(state.path()) == before, "verifying wrote to the state directory");
    // While somebody works with it, it is not looked at.
    let (store, _) = sled(state.path());
    assert!(matches!(verified(state.path()), Err(StoreError::Locked { .. })));
    drop(store);
}

#[tokio::test]
async fn no_changed_byte_of_a_record_passes() {
    let state = folder();
    let records = records(state.path()).await;
    written(state.path(), &records).await;
    let path = state.path().join("log/db");
    let log = std::fs::read(&path).unwrap();
    let place = |bytes: &[u8]| {
        let mut found = log.windows(bytes.len()).enumerate().filter(|(_, window)| *window == bytes);
        let (first, _) = found.next().unwrap();
        assert!(found.next().is_none(), "it is there twice");
        first
    };
    // Each record from its id on, up to the next one's; of the last of a chunk the head alone, which is longer than that.
    let mut places: Vec<usize> =
        records.iter().map(|recorded| place(recorded.id.0.as_bytes())).collect();
    places.sort_unstable();
    let end = |(first, next): (usize, usize)| if next - first < 4_096 { next } else { first + 100 };
    let nexts = places.iter().skip(1).copied().chain([usize::MAX]);
    let spans: Vec<_> = places.iter().copied().zip(nexts).map(|span| span.0..end(span)).collect();
    assert!(spans.iter().map(ExactSizeIterator::len).sum::<usize>() > 4_000, "{spans:?}");
    let mut changed = log.clone();
    for at in spans.into_iter().flatten() {
        changed[at] ^= 1 << (at % 8);
        std::fs::write(&path, &changed).unwrap();
        let said = verdict(state.path());
        assert!(said.is_err(), "byte {at} was changed, and nobody noticed");
        changed[at] = log[at];
    }
    std::fs::write(&path, &log).unwrap();
    verdict(state.path()).unwrap();
}

#[tokio::test]
async fn no_changed_byte_of_an_artifact_passes_and_none_may_be_missing() {
    let state = folder();
    let records = records(state.path()).await;
    written(state.path(), &records).await;
    let scratch = folder();
    // Opened once for all bytes: what is changed is no part of the log.
    let (store, lock) =
        SledStore::open_copy(state.path(), scratch.path(), SledOptions::default()).unwrap();
    let artifacts = files(&state.path().join("artifacts"));
    assert!(artifacts.len() >= 5, "workflow, pool, scores and models: {}", artifacts.len());
    for (path, bytes) in &artifacts {
        let digest = Digest::of(bytes).to_string();
        let file = File::options().write(true).open(path).unwrap();
        for (at, &byte) in bytes.iter().enumerate() {
            file.write_all_at(&[byte ^ 1 << (at % 8)], at as u64).unwrap();
            let found = verify(&store, store.artifacts(), None);
            let named = match &found {
                // One that holds an event is needed to read the log.
                Err(error) => error.to_string().contains(&digest),
                Ok(found) => {
                    let findings = || found.runs.iter().flat_map(|run| &run.findings);
                    findings().any(|finding| finding.what.contains(&digest))
                }
            };
            assert!(named, "byte {at} of {digest} was changed: {found:?}");
            file.write_all_at(&[byte], at as u64).unwrap();
        }
    }
    assert!(verify(&store, store.artifacts(), None).unwrap().is_sound());
    drop((store, lock));
    for (path, bytes) in artifacts {
        // Nor does it where the store is opened with it.
        for at in (0..bytes.len()).step_by(bytes.len() / 3 + 1) {
            let mut changed = bytes.clone();
            changed[at] ^= 16;
            std::fs::write(&path, changed).unwrap();
            let said = verdict(state.path()).unwrap_err();
            assert!(said.contains("another file") || said.contains("digest"), "{said}");
        }
        std::fs::remove_file(&path).unwrap();
        let said = verdict(state.path()).unwrap_err();
        assert!(said.contains("missing"), "{said}");
        std::fs::write(&path, bytes).unwrap();
    }
    verdict(state.path()).unwrap();
    // The file that other processes read is held against the log, too.
    let current = files(&state.path().join("models")).into_keys().next().unwrap();
    std::fs::remove_file(&current).unwrap();
    assert!(verdict(state.path()).unwrap_err().contains("should be the production model"));
    std::fs::write(&current, b"tampered").unwrap();
    assert!(verdict(state.path()).unwrap_err().contains("is not the production model"));
}

#[tokio::test]
async fn a_log_that_was_cut_is_told_as_long_as_the_mark_beside_it_stands() {
    let state = folder();
    let records = records(state.path()).await;
    written(state.path(), &records[..8]).await;
    let shorter = files(&state.path().join("log"));
    let fresh = folder();
    for (path, bytes) in files(state.path()) {
        let below = path.strip_prefix(state.path()).unwrap();
        if below.starts_with("artifacts") || below.starts_with("models") {
            let to = fresh.path().join(below);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, bytes).unwrap();
        }
    }
    written(fresh.path(), &records).await;
    // The shorter log takes the longer one's place.
    std::fs::remove_dir_all(fresh.path().join("log")).unwrap();
    for (path, bytes) in shorter {
        let to =
            fresh.path().join("log").join(path.strip_prefix(state.path().join("log")).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
    let said = verdict(fresh.path()).unwrap_err();
    assert!(said.contains("acknowledged") || said.contains("ends"), "{said}");
    let mark = fresh.path().join("acknowledged");
    std::fs::remove_file(&mark).unwrap();
    assert!(verdict(fresh.path()).unwrap_err().contains("acknowledged is missing"));
    // Whoever sets the mark back, too, is found out by a checkpoint that was kept elsewhere only.
    std::fs::copy(state.path().join("acknowledged"), &mark).unwrap();
    verdict(fresh.path()).unwrap();
    let key = SignerKey::generate("a.test/runs".parse().unwrap()).unwrap();
    let whole: Vec<_> = records.iter().map(|recorded| recorded.hash).collect();
    let head = tree::head(&whole, whole.len() as u64).unwrap();
    let mut note = Checkpoint::new("a.test/runs", head).unwrap().to_note().unwrap();
    note.sign(&key).unwrap();
    let kept = note.to_string();
    let known = [key.verifier().clone()];
    let kept = Checkpoint::open(kept.as_bytes(), "a.test/runs", &known).unwrap();
    let scratch = folder();
    let (cut, _lock) =
        SledStore::open_copy(fresh.path(), scratch.path(), SledOptions::default()).unwrap();
    let left = tree::records(&cut).await.unwrap();
    assert_eq!(left, whole[..8]);
    assert_eq!(
        tree::head(&left, kept.tree().size),
        None,
        "fewer events than the checkpoint speaks of"
    );
    assert_eq!(tree::head(&whole, kept.tree().size).as_ref(), Some(kept.tree()));
    let mut rewritten = whole;
    rewritten[3] = rewritten[4];
    assert_ne!(tree::head(&rewritten, kept.tree().size).as_ref(), Some(kept.tree()));
}

/// What is left of a log is whole wherever it is cut; only who kept a checkpoint elsewhere knows better.
#[tokio::test]
async fn a_log_that_was_cut_at_any_record_is_told_by_a_checkpoint() {
    let state = folder();
    let records = records(state.path()).await;
    let whole: Vec<Digest> = records.iter().map(|recorded| recorded.hash).collect();
    let kept = tree::head(&whole, whole.len() as u64).unwrap();
    for length in 1..records.len() {
        let cut = folder();
        written(cut.path(), &records[..length]).await;
        let (store, _) = sled(cut.path());
        let left = tree::records(&*store).await.unwrap();
        assert_eq!(left, whole[..length]);
        assert_eq!(tree::head(&left, kept.size), None, "cut after {length} events");
        let artifacts = Artifacts::as_they_are(state.path().join("artifacts"));
        let found = verify(&*store, &artifacts, None).unwrap();
        let of_log = found.runs[0].findings.iter().filter(|finding| finding.revision.is_some());
        assert_eq!(of_log.count(), 0, "{found:?}");
    }
}

#[tokio::test]
async fn a_record_that_is_sound_and_does_not_hold_is_named_with_what_is_still_trusted() {
    let state = folder();
    let mut records = records(state.path()).await;
    let picked = records.iter().position(|recorded| {
        recorded.cycle.cycle == CycleNumber(2) && matches!(recorded.event, Event::BatchSelected(_))
    });
    let picked = picked.unwrap();
    // A pick that is no sample of the pool, in an event that is written, hashed and chained as any other.
    if let Event::BatchSelected(batch) = &mut records[picked].event {
        batch.picks[0].sample = "somebody-else".into();
    }
    records.truncate(picked + 1);
    written(state.path(), &records).await;
    let found = verified(state.path()).unwrap();
    let [run] = &found.runs[..] else { panic!("{found:?}") };
    let [finding] = &run.findings[..] else { panic!("{run:?}") };
    assert!(finding.what.contains("somebody-else"), "{finding:?}");
    assert_eq!(
        (finding.cycle, finding.revision),
        (Some(CycleNumber(2)), Some(records[picked].revision))
    );
    assert_eq!(run.events, picked as u64);
    assert_eq!(run.trusted.unwrap().hash, records[picked - 1].hash);
}
