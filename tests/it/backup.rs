//! Copies of a state directory: made while runs go on, whole or not kept at all, and as good as the original.

use crate::kill::{gleaner, run, status};
use crate::support::{sled, small, workflows};
use crate::verify::{folder, records, verdict, written};
use gleaner::control::backup::restore;
use gleaner::control::{BackedUp, ControlError, Request, Response, handle};
use gleaner::domain::time::Timestamp;
use gleaner::engine::Engine;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

async fn backed_up(engine: &Engine, to: &Path) -> Result<BackedUp, ControlError> {
    match handle(engine, Request::BackUp { to: to.to_path_buf() }).await? {
        Response::BackedUp(done) => Ok(done),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_goes_on_from_a_backup_that_was_made_while_it_ran() {
    let set = ["stop.max_cycles=6", "stop.kpi=false", "trainer.epochs=20"];
    let file = workflows().join("digits.toml");
    let folder = tempfile::tempdir().unwrap();
    let [smooth, state, backup] =
        ["smooth", "state", "backup"].map(|name| folder.path().join(name));
    assert!(run(&smooth, &file, &set).status().unwrap().success());
    let expected = status(&smooth).unwrap();

    let mut child = run(&state, &file, &set).spawn().unwrap();
    while status(&state).is_none_or(|found| found["cycle"].as_u64() < Some(2)) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before a backup was made");
    }
    let mut command = gleaner(&state, &["--json", "backup", backup.to_str().unwrap()]);
    let made = command.stdout(Stdio::piped()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(made["events"].as_u64() > Some(5), "{made}");
    drop(child.kill());
    assert_eq!(child.wait().unwrap().signal(), Some(9), "the run ended before it was killed");

    std::fs::remove_dir_all(&state).unwrap();
    assert!(gleaner(&state, &["restore", backup.to_str().unwrap()]).status().unwrap().success());
    assert!(gleaner(&state, &["verify"]).status().unwrap().success());
    assert_ne!(status(&state).unwrap()["state"], "ended");
    assert!(gleaner(&state, &["resume"]).status().unwrap().success());
    let found = status(&state).unwrap();
    assert_eq!(found["state"], "ended");
    assert_eq!(found["semantic_digest"], expected["semantic_digest"]);
    // The backup is a state directory itself, and still what it was.
    assert!(gleaner(&backup, &["verify"]).status().unwrap().success());
    assert_eq!(names(folder.path()), ["backup", "smooth", "state"]);
}

#[tokio::test]
async fn a_backup_has_the_queue_and_what_was_paused() {
    let folder = tempfile::tempdir().unwrap();
    let [state, backup, restored] =
        ["state", "backup", "restored"].map(|name| folder.path().join(name));
    let (store, artifacts) = sled(&state);
    let engine = Engine::builder(Arc::clone(&store), artifacts).build();
    let run = engine.start(small(), &workflows()).await.unwrap();
    engine.pause(run).await.unwrap();
    let done = backed_up(&engine, &backup).await.unwrap();
    assert_eq!((done.path.as_path(), done.runs), (backup.as_path(), 1));
    restore(&backup, &restored).await.unwrap();
    let (copy, _) = sled(&restored);
    let mut queued = store.jobs().await.unwrap();
    for job in &mut queued {
        job.not_before = Timestamp(0); // what waits need not wait for a clock that was set anew
    }
    assert_eq!(copy.jobs().await.unwrap(), queued);
    assert_eq!(queued.len(), 1);
    assert_eq!(copy.paused().await.unwrap(), [run]);
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_the_damage_named() {
    let (state, place) = (folder(), folder());
    let records = records(state.path()).await;
    written(state.path(), &records).await;
    let target = place.path().join("restored");
    let done = restore(state.path(), &target).await.unwrap();
    assert_eq!(done.events, records.len() as u64);
    assert_eq!(verdict(&target), Ok(()));
    std::fs::remove_dir_all(&target).unwrap();

    let refused = async |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let sound = std::fs::read(path).unwrap();
        let mut bytes = sound.clone();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
        let error = restore(state.path(), &target).await.unwrap_err();
        std::fs::write(path, sound).unwrap();
        assert!(matches!(error, ControlError::NotWhole { .. }), "{error}");
        assert!(names(place.path()).is_empty(), "something was kept: {:?}", names(place.path()));
        error.to_string()
    };
    let model = records.iter().rev().find_map(|record| record.event.artifacts().pop()).unwrap();
    let (folder, file) = (&model.to_string()[..2], &model.to_string()[2..]);
    let artifact = state.path().join("artifacts").join(folder).join(file);
    let said = refused(&artifact, &|bytes| bytes[9] ^= 1).await;
    assert!(said.contains(&model.to_string()) && said.contains("gleaner repair"), "{said}");
    let log = state.path().join("log/db");
    let id = records[3].id.0;
    let said = refused(&log, &|bytes| {
        let at = bytes.windows(16).position(|window| window == id.as_bytes()).unwrap();
        bytes[at] ^= 1;
    })
    .await;
    assert!(said.contains(&state.path().display().to_string()), "{said}");
    restore(state.path(), &target).await.unwrap();
}

#[tokio::test]
async fn nothing_that_is_there_is_written_over_and_a_copy_that_is_not_whole_is_not_kept() {
    let (state, place) = (folder(), folder());
    let records = records(state.path()).await;
    written(state.path(), &records).await;
    let file = place.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    for occupied in [place.path(), file.as_path(), state.path()] {
        let error = restore(state.path(), occupied).await.unwrap_err();
        assert!(matches!(error, ControlError::Occupied { .. }), "{error}");
    }
    let missing = records.iter().rev().find_map(|record| record.event.artifacts().pop()).unwrap();
    let (store, artifacts) = sled(state.path());
    std::fs::remove_file(artifacts.path(&missing)).unwrap();
    let engine = Engine::builder(store, artifacts).build();
    let error = backed_up(&engine, &place.path().join("backup")).await.unwrap_err();
    assert!(error.to_string().contains(&missing.to_string()), "{error}");
    assert_eq!(names(place.path()), ["file"]);
}
