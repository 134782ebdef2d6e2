//! What only a store on a disk promises: what survives, what is noticed, and what is refused.

use crate::samples::*;
use gleaner::domain::ids::*;
use gleaner::domain::job::{JobStatus, NewJob};
use gleaner::faults::{Fault, Faults};
use gleaner::store::codec::VALUE_MAX;
use gleaner::store::sled::repair::{Repair, repair};
use gleaner::store::sled::{SledOptions, SledStore};
use gleaner::store::{Commit, EventLog, JobQueue, Outcome, Store, StoreError};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A store in a new directory, which lives as long as the first of the pair.
pub(crate) fn temporary() -> (TempDir, SledStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    (folder, store)
}

pub(crate) fn open(path: &Path) -> Result<SledStore, StoreError> {
    // A small cache, because many stores are open at once here.
    SledStore::open(path, SledOptions { cache_bytes: 1 << 20, ..SledOptions::default() })
}

/// Events in two cycles, one of them large, and jobs in every state.
async fn fill(store: &SledStore) {
    for revision in 0..20 {
        let new = if revision == 7 { with(7, annotated(500)) } else { event(revision) };
        let commit = appending(cycle(1, 1), u64::try_from(revision).unwrap(), vec![new]);
        store.commit(commit).await.unwrap();
    }
    store.commit(appending(cycle(1, 2), 0, vec![event(1), event(2)])).await.unwrap();
    let keyed = NewJob { dedupe: Some("key".into()), ..job(3) };
    let other = NewJob { cycle: cycle(2, 1), priority: -1, ..job(4) };
    enqueue(store, vec![job(1), job(2), keyed, other]).await;
    let dead = lease(store, 0).await.unwrap();
    store.commit(settling(&dead, Outcome::Dead { error: "broken".into() })).await.unwrap();
    store.set_paused(run(2), true).await.unwrap();
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let (folder, store) = temporary();
    fill(&store).await;
    let leased = lease(&store, 0).await.unwrap();
    store.commit(settling(&leased, Outcome::Released)).await.unwrap();
    let (events, next) = (
        store.read(cycle(1, 1), Revision(0), 100).await.unwrap(),
        store.read(cycle(1, 2), Revision(0), 100).await.unwrap(),
    );
    let (jobs, heads) = (store.jobs().await.unwrap(), store.head(cycle(1, 1)).await.unwrap());
    drop(store);

    let store = open(folder.path()).unwrap();
    assert_eq!(store.read(cycle(1, 1), Revision(0), 100).await.unwrap(), events);
    assert_eq!(store.read(cycle(1, 2), Revision(0), 100).await.unwrap(), next);
    assert_eq!(store.jobs().await.unwrap(), jobs);
    assert_eq!(store.head(cycle(1, 1)).await.unwrap(), heads);
    assert_eq!(store.paused().await.unwrap(), [run(2)]);
    assert_eq!(store.runs().await.unwrap(), [(run(1), CycleNumber(2))]);
    // Positions, order, keys and tokens go on where they were.
    let committed = store.commit(appending(cycle(1, 2), 2, vec![event(3)])).await.unwrap();
    assert_eq!(committed.events[0].position, Position(23));
    assert_eq!(committed.events[0].previous, next[1].hash);
    enqueue(&store, vec![NewJob { dedupe: Some("key".into()), ..job(5) }]).await;
    assert_eq!(store.jobs().await.unwrap().len(), 4);
    let again = lease(&store, 0).await.unwrap();
    assert_eq!(again.id, job_id(2));
    assert!(token(&again) > token(&leased));
}

#[tokio::test]
async fn leases_of_a_dead_process_are_given_back_at_once() {
    let (folder, store) = temporary();
    assert_eq!(store.epoch(), Epoch(1));
    enqueue(&store, vec![job(1)]).await;
    let first = lease(&store, 0).await.unwrap();
    store.renew(first.id, token(&first), seconds(1_000_000)).await.unwrap();
    drop(store);
    let store = open(folder.path()).unwrap();
    assert_eq!(store.epoch(), Epoch(2));
    let jobs = store.jobs().await.unwrap();
    assert_eq!((jobs[0].crashes, &jobs[0].status), (1, &JobStatus::Ready));
    let second = lease(&store, 0).await.unwrap();
    assert!(token(&second) > token(&first));
    let error = store.commit(settling(&first, Outcome::Finished)).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
}

#[tokio::test]
async fn a_second_opener_is_refused_and_told_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let holder = "process 4711 on host since 12:00: gleaner run digits.toml";
    let options = SledOptions { holder: holder.into(), ..SledOptions::default() };
    let store = SledStore::open(folder.path(), options).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(holder), "{error}");
    drop(store);
    // The line of a holder that is gone means nothing.
    assert!(fs::read_to_string(folder.path().join("lock")).unwrap().contains(holder));
    open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused_before_anything_is_touched() {
    let (folder, store) = temporary();
    drop(store);
    let before = fs::read(folder.path().join("log").join("db")).unwrap();
    fs::write(folder.path().join("format"), "3\n").unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 3, supported: 2, .. }), "{error}");
    assert_eq!(fs::read(folder.path().join("log").join("db")).unwrap(), before);
    for bytes in [b"".as_slice(), b"x", b"\xff"] {
        fs::write(folder.path().join("format"), bytes).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    fs::remove_file(folder.path().join("format")).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn an_older_format_is_refused_and_a_repair_brings_it_up_to_date() {
    let parent = tempfile::tempdir().unwrap();
    let state = parent.path().join("state");
    fill(&open(&state).unwrap()).await;
    // It had a chunk under the position of its first record, and no places for others.
    tamper(&state, |db| {
        let chunks: Vec<_> = pairs(db, b"c").map(|(_, chunk)| chunk).collect();
        assert_eq!(chunks.len(), 22 - 1, "each but the last two events was written alone");
        for key in db.scan_prefix(b"c").keys().map(Result::unwrap).collect::<Vec<_>>() {
            db.remove(key).unwrap();
        }
        for (position, chunk) in (1_u64..).zip(chunks) {
            let key = [b"c".as_slice(), &position.to_be_bytes()].concat();
            db.insert(key, chunk).unwrap();
        }
    });
    fs::write(state.join("format"), "1\n").unwrap();
    let error = open(&state).unwrap_err();
    assert!(error.to_string().contains("has format 1"), "{error}");
    let repaired = repair(&state, None, SledOptions::default()).await.unwrap();
    assert!(matches!(repaired, Repair::Rebuilt(_)));
    let store = open(&state).unwrap();
    assert_eq!(store.read(cycle(1, 1), Revision(0), 100).await.unwrap().len(), 20);
}

#[test]
fn a_directory_that_cannot_be_written_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, b"").unwrap();
    let error = open(&path.join("state")).unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("file/state"), "{error}");
}

#[tokio::test]
async fn a_snapshot_that_a_crash_left_unfinished_does_no_harm() {
    let (folder, store) = temporary();
    fill(&store).await;
    drop(store);
    let unfinished = folder.path().join("log").join("snap.00000000000000FF.generating");
    fs::write(&unfinished, b"half a snapshot").unwrap();
    let store = open(folder.path()).unwrap();
    assert!(!unfinished.exists());
    assert_eq!(store.read(cycle(1, 1), Revision(0), 100).await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_delayed_job_waits_on_after_the_restart() {
    let (folder, store) = temporary();
    enqueue(&store, vec![NewJob { not_before: seconds(90), ..job(1) }]).await;
    drop(store);
    let store = open(folder.path()).unwrap();
    assert_eq!(lease(&store, 89).await, None);
    assert!(lease(&store, 90).await.is_some());
}

#[tokio::test]
async fn a_retry_does_not_wait_for_a_clock_that_was_set_back_before_the_restart() {
    let (folder, store) = temporary();
    enqueue(&store, vec![job(1)]).await;
    let leased = lease(&store, 1_000_000).await.unwrap();
    let outcome = Outcome::Retry { at: seconds(1_000_005), error: "no route to host".into() };
    store.commit(settling(&leased, outcome)).await.unwrap();
    drop(store);
    let store = open(folder.path()).unwrap();
    assert_eq!(lease(&store, 10).await.unwrap().failures, 1);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_until_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    // The first barrier is that of opening.
    let options = SledOptions {
        faults: Faults::at_named("sync the event log", 3, Fault::Failed),
        ..SledOptions::default()
    };
    let store = SledStore::open(folder.path(), options).unwrap();
    store.commit(appending(cycle(1, 1), 0, vec![event(1)])).await.unwrap();
    let error = store.commit(appending(cycle(1, 1), 1, vec![event(2)])).await.unwrap_err();
    assert!(matches!(error, StoreError::Backend { outcome_unknown: true, .. }), "{error}");
    let barriers = store.barriers();
    for error in [
        store.commit(appending(cycle(1, 1), 1, vec![event(2)])).await.unwrap_err(),
        store.lease(request(seconds(1))).await.unwrap_err(),
        store.head(cycle(1, 1)).await.unwrap_err(),
        store.read(cycle(1, 1), Revision(0), 1).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
        assert!(error.to_string().contains("Input/output error"), "{error}");
    }
    assert_eq!(store.barriers(), barriers, "a sync is never tried again");
    drop(store);
    let store = open(folder.path()).unwrap();
    let events = store.read(cycle(1, 1), Revision(0), 9).await.unwrap();
    let head = store.head(cycle(1, 1)).await.unwrap().unwrap();
    assert_eq!(head.next.0, events.len() as u64);
    assert!(!events.is_empty());
}

#[tokio::test]
async fn values_stay_within_four_kibibytes_and_larger_events_are_artifacts() {
    let (folder, store) = temporary();
    for labels in 0..100 {
        let revision = u64::try_from(labels).unwrap();
        let mut new = with(1, annotated(labels));
        new.actor = "a".repeat(256).into();
        store.commit(appending(cycle(1, 1), revision, vec![new])).await.unwrap();
    }
    let long = NewJob { dedupe: Some("k".repeat(1024)), ..job(1) };
    enqueue(&store, vec![long]).await;
    let leased = lease(&store, 0).await.unwrap();
    let outcome = Outcome::Dead { error: "e".repeat(9999) };
    store.commit(settling(&leased, outcome)).await.unwrap();
    drop(store);

    let db = open_sled(&folder.path().join("log"));
    let lengths: Vec<usize> = db.iter().map(|entry| entry.unwrap().1.len()).collect();
    assert!(lengths.iter().all(|&length| length <= VALUE_MAX), "{lengths:?}");
    assert!(lengths.iter().any(|&length| length > VALUE_MAX / 2), "the cap is not needlessly low");
    assert_eq!(fs::read_dir(folder.path().join("log").join("blobs")).unwrap().count(), 0);
    let artifacts = fs::read_dir(folder.path().join("artifacts")).unwrap().count();
    assert!(artifacts > 10, "{artifacts}");
}

#[tokio::test]
async fn a_large_event_whose_artifact_changed_or_went_is_damage() {
    let (_folder, store) = temporary();
    let large = with(1, annotated(500));
    let record = store.commit(appending(cycle(1, 1), 0, vec![large])).await.unwrap();
    let payload = gleaner::store::codec::Payload::of(&record.events[0].event).unwrap();
    let path = store.artifacts().path(&payload.digest());
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = store.read(cycle(1, 1), Revision(0), 9).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    fs::remove_file(&path).unwrap();
    let error = store.read(cycle(1, 1), Revision(0), 9).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

/// sled alone on a closed store. Its lock is let go by threads of its own, a moment after the store is dropped.
fn open_sled(path: &Path) -> sled::Db {
    loop {
        match sled::open(path) {
            Err(error) if error.to_string().contains("could not acquire lock") => {
                std::thread::yield_now();
            }
            opened => return opened.unwrap(),
        }
    }
}

/// Changes values of a closed store behind its back.
fn tamper(folder: &Path, change: impl FnOnce(&sled::Db)) {
    let db = open_sled(&folder.join("log"));
    change(&db);
    db.flush().unwrap();
}

/// The keys with a prefix, less those of places that are still empty.
fn keys(db: &sled::Db, prefix: &[u8]) -> Vec<sled::IVec> {
    pairs(db, prefix).map(|(key, _)| key).collect()
}

fn pairs(db: &sled::Db, prefix: &[u8]) -> impl Iterator<Item = (sled::IVec, sled::IVec)> {
    db.scan_prefix(prefix).map(Result::unwrap).filter(|(_, value)| !value.is_empty())
}

#[tokio::test]
async fn records_that_are_changed_lost_swapped_or_cut_are_damage() {
    type Change = fn(&sled::Db);
    let changes: [(&str, Change); 8] = [
        ("one bit", |db| {
            let key = &keys(db, b"c")[3];
            let mut value = db.get(key).unwrap().unwrap().to_vec();
            let middle = value.len() / 2;
            value[middle] ^= 4;
            db.insert(key, value).unwrap();
        }),
        ("lost from the middle", |db| drop(db.remove(&keys(db, b"c")[3]).unwrap())),
        ("emptied", |db| drop(db.insert(&keys(db, b"c")[3], &[]).unwrap())),
        ("the last one lost", |db| drop(db.remove(&keys(db, b"c")[19]).unwrap())),
        ("two swapped", |db| {
            let (a, b) = (&keys(db, b"c")[3], &keys(db, b"c")[4]);
            let (x, y) = (db.get(a).unwrap().unwrap(), db.get(b).unwrap().unwrap());
            db.insert(a, y).unwrap();
            db.insert(b, x).unwrap();
        }),
        ("cut short", |db| {
            let key = &keys(db, b"c")[3];
            let value = db.get(key).unwrap().unwrap();
            db.insert(key, &value[..value.len() - 1]).unwrap();
        }),
        ("the end of the log lost", |db| {
            drop(db.remove(keys(db, b"c").last().unwrap()).unwrap());
        }),
        ("a job changed", |db| {
            let key = &keys(db, b"j")[0];
            let mut value = db.get(key).unwrap().unwrap().to_vec();
            value[8] ^= 1;
            db.insert(key, value).unwrap();
        }),
    ];
    for (what, change) in changes {
        let (folder, store) = temporary();
        fill(&store).await;
        drop(store);
        tamper(folder.path(), change);
        let error = match open(folder.path()) {
            Ok(store) => store.read(cycle(1, 1), Revision(0), 100).await.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error}");
    }
}

#[tokio::test]
async fn places_that_are_lost_are_made_anew() {
    let (folder, store) = temporary();
    fill(&store).await;
    drop(store);
    tamper(folder.path(), |db| {
        let empty = db.scan_prefix(b"c").map(Result::unwrap).filter(|(_, value)| value.is_empty());
        let empty: Vec<_> = empty.map(|(key, _)| key).collect();
        assert!(empty.len() > 16);
        // All but one in the middle: what a power cut leaves of them is chance.
        for (number, key) in empty.iter().enumerate() {
            if number != 7 {
                db.remove(key).unwrap();
            }
        }
    });
    let store = open(folder.path()).unwrap();
    for revision in 2..300 {
        store.commit(appending(cycle(1, 2), revision, vec![event(1)])).await.unwrap();
    }
    drop(store);
    let store = open(folder.path()).unwrap();
    assert_eq!(store.read(cycle(1, 2), Revision(0), 1000).await.unwrap().len(), 300);
}

#[tokio::test]
async fn a_chunk_is_written_to_the_disk_about_once() {
    let (folder, store) = temporary();
    for number in 1..=20 {
        let events = (0..1000).map(event).collect();
        store.commit(appending(cycle(number, 1), 0, events)).await.unwrap();
    }
    drop(store);
    let file = folder.path().join("log").join("db");
    let on_disk = used(&file) as f64;
    let data: usize =
        pairs(&open_sled(&folder.path().join("log")), b"c").map(|(_, value)| value.len()).sum();
    assert!(data > 2 << 20, "{data} bytes are too few to tell");
    assert!(on_disk < 1.3 * data as f64, "{on_disk} bytes for {data}");
}

#[tokio::test]
async fn a_rewritten_cycle_no_longer_fits_the_one_after_it() {
    let (folder, store) = temporary();
    fill(&store).await;
    drop(store);
    // Another history of cycle 1, whole in itself, as long as the true one.
    let (other_folder, other) = temporary();
    for revision in 0..20 {
        let commit = appending(cycle(1, 1), revision, vec![event(999)]);
        other.commit(commit).await.unwrap();
    }
    drop(other);
    let forged: Vec<(sled::IVec, sled::IVec)> = {
        let db = open_sled(&other_folder.path().join("log"));
        pairs(&db, b"c").collect()
    };
    tamper(folder.path(), |db| {
        for (key, value) in forged {
            db.insert(key, value).unwrap();
        }
    });
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("does not continue"), "{error}");
}

#[tokio::test]
async fn a_log_replaced_by_an_older_copy_of_itself_is_damage() {
    let (folder, store) = temporary();
    store.commit(appending(cycle(1, 1), 0, vec![event(1)])).await.unwrap();
    drop(store);
    let older = copy(folder.path());
    let store = open(folder.path()).unwrap();
    store.commit(appending(cycle(1, 1), 1, vec![event(2)])).await.unwrap();
    drop(store);
    fs::remove_dir_all(folder.path().join("log")).unwrap();
    fs::rename(older.path().join("log"), folder.path().join("log")).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("2 events were acknowledged"), "{error}");
}

/// Opens a damaged copy and reads all of it: the whole, or a clear error, and never a panic.
async fn check_damaged(folder: &Path, what: &str) -> bool {
    let read = async {
        let store = open(folder)?;
        let mut count = store.read(cycle(1, 1), Revision(0), 100).await?.len();
        count += store.read(cycle(1, 2), Revision(0), 100).await?.len();
        store.jobs().await?;
        Ok::<usize, StoreError>(count)
    };
    match read.await {
        Ok(count) => {
            assert_eq!(count, 22, "{what}: an event went missing unnoticed");
            false
        }
        Err(StoreError::Damaged { .. } | StoreError::Backend { .. }) => true,
        Err(error) => panic!("{what}: {error}"),
    }
}

#[tokio::test]
async fn flipped_bits_are_damage_and_never_a_panic() {
    let (folder, store) = temporary();
    fill(&store).await;
    let live = copy(folder.path());
    drop(store);
    let db = PathBuf::from("log").join("db");
    let length = used(&live.path().join(&db));
    let mut noticed = 0;
    for trial in 0..40 {
        let damaged = copy(live.path());
        let mut bytes = fs::read(damaged.path().join(&db)).unwrap();
        let place = length * trial / 40;
        bytes[place] ^= 1 << (trial % 8);
        fs::write(damaged.path().join(&db), bytes).unwrap();
        let what = format!("bit {} of byte {place}", trial % 8);
        noticed += usize::from(check_damaged(damaged.path(), &what).await);
    }
    assert!(noticed > 10, "{noticed}");
}

#[tokio::test]
async fn a_log_that_is_cut_is_damage_and_never_a_panic() {
    let (folder, store) = temporary();
    fill(&store).await;
    let live = copy(folder.path());
    drop(store);
    let db = PathBuf::from("log").join("db");
    let length = used(&live.path().join(&db));
    for trial in 1..20 {
        let damaged = copy(live.path());
        let place = length * trial / 20;
        let file = fs::OpenOptions::new().write(true).open(damaged.path().join(&db)).unwrap();
        file.set_len(place as u64).unwrap();
        check_damaged(damaged.path(), &format!("cut at {place} of {length}")).await;
    }
}

/// How many bytes of a file there are before the zeros at its end.
fn used(path: &Path) -> usize {
    fs::read(path).unwrap().iter().rposition(|&byte| byte != 0).unwrap()
}

/// A copy of a state directory, as a backup or a crash would have it.
fn copy(folder: &Path) -> TempDir {
    fn copy_into(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                fs::create_dir_all(&target).unwrap();
                copy_into(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let target = tempfile::tempdir().unwrap();
    copy_into(folder, target.path());
    target
}

#[test]
fn a_store_works_without_a_runtime() {
    let (_folder, store) = temporary();
    let mut commit = store.commit(appending(cycle(1, 1), 0, vec![with(1, annotated(500))]));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    // Nobody wakes this thread: it looks again until the writer has answered.
    let committed = loop {
        if let std::task::Poll::Ready(answer) = commit.as_mut().poll(&mut context) {
            break answer.unwrap();
        }
        std::thread::yield_now();
    };
    let mut read = store.read(cycle(1, 1), Revision(0), 10);
    let std::task::Poll::Ready(read) = read.as_mut().poll(&mut context) else {
        panic!("without a runtime reading happens at once")
    };
    assert_eq!(read.unwrap(), committed.events);
}

#[tokio::test]
async fn dropping_the_store_waits_for_what_was_asked() {
    let (folder, store) = temporary();
    {
        let mut commit = store.commit(Commit { enqueue: vec![job(1)], ..Commit::default() });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let _asked = commit.as_mut().poll(&mut context);
    }
    drop(store);
    assert_eq!(open(folder.path()).unwrap().jobs().await.unwrap().len(), 1);
}
