//! What a store promises: each promise once, tested against every backend.

use crate::samples::*;
use gleaner::domain::digest::Digest;
use gleaner::domain::ids::*;
use gleaner::domain::job::{CRASHES_MAX, JobKind, JobStatus, NewJob};
use gleaner::domain::time::Timestamp;
use gleaner::store::{Commit, LeaseRequest, Outcome, Recorded, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Names each promise as a test of a backend; `$open` gives a pair of what must stay alive and a new, empty store.
macro_rules! store_conformance {
    ($backend:ident, $open:expr) => {
        store_conformance!(@each $backend, $open,
            appended_events_are_read_back_in_order,
            a_log_is_read_in_pages,
            whole_cycles_are_read_one_after_the_other,
            reading_past_the_end_gives_nothing,
            the_head_counts_events_and_names_the_last_hash,
            runs_are_listed_with_their_last_cycle,
            an_unexpected_revision_is_a_conflict_that_names_both,
            a_conflict_writes_nothing_at_all,
            a_late_result_writes_nothing_at_all,
            events_settling_and_new_jobs_are_one_step,
            several_logs_are_appended_in_one_step,
            the_chain_links_every_record_and_the_cycles_of_a_run,
            a_closed_cycle_takes_no_more_events,
            a_large_event_comes_back_whole,
            names_that_are_too_long_are_refused,
            concurrent_writers_get_positions_without_gaps,
            concurrent_writers_of_one_log_never_both_win,
            jobs_are_leased_by_priority_then_age,
            a_delayed_job_waits_for_its_time,
            a_kind_is_leased_up_to_its_limit,
            kinds_that_are_not_asked_for_are_not_given,
            an_unfinished_key_is_enqueued_once,
            a_finished_key_may_be_enqueued_again,
            a_result_under_an_older_token_is_refused,
            a_settled_job_cannot_be_settled_again,
            a_renewed_lease_is_kept,
            an_expired_lease_is_given_again_with_a_newer_token,
            a_late_holder_may_still_answer_while_nobody_else_was_given_the_job,
            a_step_that_always_crashes_is_given_up,
            a_failed_job_is_tried_again_after_its_wait,
            a_released_job_counts_neither_as_failure_nor_as_crash,
            a_dead_job_is_kept_listed_and_retried,
            only_dead_jobs_are_retried,
            a_removed_job_is_gone_and_its_holder_is_refused,
            a_cancelled_run_loses_its_jobs_and_leases,
            what_a_cancelling_commit_enqueues_stays,
            a_paused_run_is_held_back_until_it_is_released,
            a_lease_given_before_the_pause_goes_on_to_its_end,
            a_commit_leases_the_next_job_in_the_same_step,
            a_commit_may_lease_the_very_job_it_enqueued,
            next_due_is_the_first_delay_or_lease_to_end,
            jobs_are_listed_by_run_cycle_and_id,
            a_long_cause_of_failure_is_cut,
            only_changes_cost_a_barrier,
        );
    };
    (@each $backend:ident, $open:expr, $($promise:ident),* $(,)?) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $promise() {
                    let (_keep, store) = $open;
                    super::$promise(std::sync::Arc::new(store)).await;
                }
            )*
        }
    };
}

store_conformance!(memory, ((), gleaner::store::memory::MemoryStore::new()));
store_conformance!(sled, crate::sled_store::temporary());

type Shared = Arc<dyn Store>;

async fn appended_events_are_read_back_in_order(store: Shared) {
    let new: Vec<_> = (0..).zip(every_event()).map(|(id, event)| with(id, event)).collect();
    let committed = store.commit(appending(cycle(1, 1), 0, new.clone())).await.unwrap();
    let read = store.read(cycle(1, 1), Revision(0), 100).await.unwrap();
    assert_eq!(read, committed.events);
    assert_eq!(read.len(), new.len());
    for (index, (record, new)) in (0..).zip(read.iter().zip(&new)) {
        assert_eq!(record.event, new.event);
        assert_eq!(
            (record.id, record.recorded, record.causation),
            (new.id, new.recorded, new.causation)
        );
        assert_eq!((&record.actor, record.workflow), (&new.actor, new.workflow));
        assert_eq!((record.revision, record.position), (Revision(index), Position(index + 1)));
        assert_eq!((record.cycle, record.version), (cycle(1, 1), 1));
    }
}

async fn a_log_is_read_in_pages(store: Shared) {
    let new: Vec<_> = (0..2500).map(event).collect();
    store.commit(appending(cycle(1, 1), 0, new)).await.unwrap();
    store.commit(appending(cycle(1, 2), 0, vec![event(9000)])).await.unwrap();
    let whole = store.read(cycle(1, 1), Revision(0), usize::MAX).await.unwrap();
    assert_eq!(whole.len(), 2500);
    for (from, limit) in [(0, 1), (1, 1), (2, 998), (999, 3), (1000, 1000), (2499, 10), (0, 1000)] {
        let page = store.read(cycle(1, 1), Revision(from as u64), limit).await.unwrap();
        assert_eq!(page, whole[from..(from + limit).min(2500)], "{from} {limit}");
    }
}

async fn whole_cycles_are_read_one_after_the_other(store: Shared) {
    for (run, number, events) in [(1, 1, 3), (2, 1, 5), (1, 2, 4), (1, 3, 2)] {
        let new: Vec<_> = (0..events).map(event).collect();
        store.commit(appending(cycle(run, number), 0, new)).await.unwrap();
    }
    let run = cycle(1, 1).run;
    let mut expected = Vec::new();
    for number in 1..=3 {
        expected.extend(store.read(cycle(1, number), Revision(0), 99).await.unwrap());
    }
    for (from, limit) in [(1, 1), (1, 4), (1, 99), (2, 3), (2, 6), (3, 9), (4, 9)] {
        let before: usize = [3, 4, 2].into_iter().take(from as usize - 1).sum();
        let walked = walk(&store, run, CycleNumber(from), limit).await;
        let end = expected.len().min(before + limit);
        assert_eq!(walked, expected[before..end], "{from} {limit}");
    }
}

/// The events of a run from a cycle on, up to so many.
async fn walk(store: &Shared, run: RunId, from: CycleNumber, limit: usize) -> Vec<Recorded> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let here = Arc::clone(&seen);
    let visit = move |recorded| {
        let mut seen = here.lock().unwrap();
        seen.push(recorded);
        seen.len() < limit
    };
    store.walk(run, from, Box::new(visit)).await.unwrap();
    std::mem::take(&mut *seen.lock().unwrap())
}

async fn reading_past_the_end_gives_nothing(store: Shared) {
    assert_eq!(store.read(cycle(1, 1), Revision(0), 10).await.unwrap(), []);
    store.commit(appending(cycle(1, 1), 0, vec![event(1)])).await.unwrap();
    for (from, limit) in [(1, 10), (99, 10), (u64::MAX, 10), (0, 0)] {
        assert_eq!(store.read(cycle(1, 1), Revision(from), limit).await.unwrap(), [], "{from}");
    }
    assert_eq!(store.read(cycle(2, 1), Revision(0), 10).await.unwrap(), []);
}

async fn the_head_counts_events_and_names_the_last_hash(store: Shared) {
    assert_eq!(store.head(cycle(1, 1)).await.unwrap(), None);
    let committed =
        store.commit(appending(cycle(1, 1), 0, vec![event(1), event(2)])).await.unwrap();
    let head = store.head(cycle(1, 1)).await.unwrap().unwrap();
    assert_eq!((head.next, head.hash), (Revision(2), committed.events[1].hash));
}

async fn runs_are_listed_with_their_last_cycle(store: Shared) {
    for (run, number) in [(2, 1), (1, 1), (1, 2), (3, 1), (1, 3)] {
        store.commit(appending(cycle(run, number), 0, vec![event(1)])).await.unwrap();
    }
    let expected = [(1, 3), (2, 1), (3, 1)].map(|(id, last)| (run(id), CycleNumber(last)));
    assert_eq!(store.runs().await.unwrap(), expected);
}

async fn an_unexpected_revision_is_a_conflict_that_names_both(store: Shared) {
    store.commit(appending(cycle(1, 1), 0, vec![event(1), event(2)])).await.unwrap();
    for wrong in [0, 1, 3] {
        let error = store.commit(appending(cycle(1, 1), wrong, vec![event(3)])).await.unwrap_err();
        assert!(error.is_retryable());
        let StoreError::Conflict { cycle: which, expected, actual } = error else {
            panic!("{error}")
        };
        assert_eq!((which, expected, actual), (cycle(1, 1), Revision(wrong), Revision(2)));
    }
}

async fn a_conflict_writes_nothing_at_all(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let leased = lease(&*store, 1).await.unwrap();
    store.commit(appending(cycle(1, 1), 0, vec![event(1)])).await.unwrap();
    let commit = Commit {
        appends: vec![
            append(cycle(2, 1), 0, vec![event(2)]),
            append(cycle(1, 1), 0, vec![event(3)]),
        ],
        enqueue: vec![job(2)],
        lease: Some(request(seconds(2))),
        ..settling(&leased, Outcome::Finished)
    };
    let error = store.commit(commit).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(store.head(cycle(2, 1)).await.unwrap(), None);
    assert_eq!(store.jobs().await.unwrap(), std::slice::from_ref(&leased));
    // The next position shows that none was used up.
    let committed = store.commit(appending(cycle(3, 1), 0, vec![event(4)])).await.unwrap();
    assert_eq!(committed.events[0].position, Position(2));
    store.commit(settling(&leased, Outcome::Finished)).await.unwrap();
}

async fn a_late_result_writes_nothing_at_all(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let first = lease(&*store, 1).await.unwrap();
    let second = lease(&*store, 100).await.unwrap();
    let late = Commit {
        appends: vec![append(cycle(1, 1), 0, vec![event(1)])],
        enqueue: vec![job(2)],
        ..settling(&first, Outcome::Finished)
    };
    let error = store.commit(late).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(store.head(cycle(1, 1)).await.unwrap(), None);
    assert_eq!(store.jobs().await.unwrap(), [second]);
}

async fn events_settling_and_new_jobs_are_one_step(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let leased = lease(&*store, 1).await.unwrap();
    let before = store.barriers();
    let commit = Commit {
        appends: vec![append(cycle(1, 1), 0, vec![event(1), event(2)])],
        enqueue: vec![job(2)],
        ..settling(&leased, Outcome::Finished)
    };
    let committed = store.commit(commit).await.unwrap();
    assert_eq!(store.barriers(), before + 1);
    assert_eq!(committed.events.len(), 2);
    let jobs: Vec<JobId> = store.jobs().await.unwrap().iter().map(|job| job.id).collect();
    assert_eq!(jobs, [job_id(2)]);
}

async fn several_logs_are_appended_in_one_step(store: Shared) {
    store.commit(appending(cycle(1, 1), 0, vec![event(1)])).await.unwrap();
    // The end of one cycle and the start of the next belong together.
    let commit = Commit {
        appends: vec![
            append(cycle(1, 1), 1, vec![event(2)]),
            append(cycle(1, 1), 2, vec![event(3)]),
            append(cycle(1, 2), 0, vec![event(4)]),
        ],
        ..Commit::default()
    };
    let events = store.commit(commit).await.unwrap().events;
    let positions: Vec<u64> = events.iter().map(|record| record.position.0).collect();
    assert_eq!(positions, [2, 3, 4]);
    assert_eq!(events[2].previous, events[1].hash);
    assert_eq!(store.read(cycle(1, 2), Revision(0), 10).await.unwrap(), events[2..]);
}

async fn the_chain_links_every_record_and_the_cycles_of_a_run(store: Shared) {
    for (run, number) in [(1, 1), (2, 1), (1, 2), (1, 3)] {
        let new = vec![event(1), event(2), event(3)];
        store.commit(appending(cycle(run, number), 0, new)).await.unwrap();
    }
    let mut previous = Digest::ZERO;
    for number in 1..=3 {
        for record in store.read(cycle(1, number), Revision(0), 10).await.unwrap() {
            assert_eq!(record.previous, previous);
            previous = record.hash;
        }
    }
    let other = store.read(cycle(2, 1), Revision(0), 1).await.unwrap();
    assert_eq!(other[0].previous, Digest::ZERO);
}

async fn a_closed_cycle_takes_no_more_events(store: Shared) {
    store.commit(appending(cycle(1, 1), 0, vec![event(1)])).await.unwrap();
    store.commit(appending(cycle(1, 2), 0, vec![event(2)])).await.unwrap();
    let error = store.commit(appending(cycle(1, 1), 1, vec![event(3)])).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed { .. }), "{error}");
    assert_eq!(store.read(cycle(1, 2), Revision(0), 9).await.unwrap().len(), 1);
}

async fn a_large_event_comes_back_whole(store: Shared) {
    let new = vec![event(1), with(2, annotated(2000)), event(3)];
    let committed = store.commit(appending(cycle(1, 1), 0, new.clone())).await.unwrap();
    let read = store.read(cycle(1, 1), Revision(0), 10).await.unwrap();
    assert_eq!(read, committed.events);
    assert_eq!(read[1].event, new[1].event);
}

async fn names_that_are_too_long_are_refused(store: Shared) {
    let long = "x".repeat(5000);
    let mut new = event(1);
    new.actor = long.as_str().into();
    let mut keyed = job(1);
    keyed.dedupe = Some(long.clone());
    let unlucky = LeaseRequest { worker: long.into(), ..request(seconds(1)) };
    let commits = [
        appending(cycle(1, 1), 0, vec![new]),
        Commit { enqueue: vec![keyed], ..Commit::default() },
        Commit { lease: Some(unlucky.clone()), ..Commit::default() },
    ];
    for commit in commits {
        let error = store.commit(commit).await.unwrap_err();
        assert!(matches!(error, StoreError::TooLong { length: 5000, .. }), "{error}");
    }
    let error = store.lease(unlucky).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLong { .. }), "{error}");
}

async fn concurrent_writers_get_positions_without_gaps(store: Shared) {
    let writers: Vec<_> = (0..16)
        .map(|run| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut positions = Vec::new();
                for revision in 0..20 {
                    let commit = appending(cycle(run, 1), revision, vec![event(1)]);
                    positions.push(store.commit(commit).await.unwrap().events[0].position.0);
                }
                assert!(positions.is_sorted());
                positions
            })
        })
        .collect();
    let mut all = Vec::new();
    for writer in writers {
        all.extend(writer.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (1..=320).collect::<Vec<u64>>());
}

async fn concurrent_writers_of_one_log_never_both_win(store: Shared) {
    let writers: Vec<_> = (0..16)
        .map(|id| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store.commit(appending(cycle(1, 1), 0, vec![event(id)])).await.is_ok()
            })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        won += usize::from(writer.await.unwrap());
    }
    assert_eq!(won, 1);
    assert_eq!(store.read(cycle(1, 1), Revision(0), 10).await.unwrap().len(), 1);
}

async fn jobs_are_leased_by_priority_then_age(store: Shared) {
    // Ids say nothing about age.
    let new = |id, kind, priority| NewJob { kind, priority, ..job(id) };
    enqueue(&*store, vec![new(9, JobKind::Train, 0), new(1, JobKind::Select, 0)]).await;
    enqueue(&*store, vec![new(5, JobKind::Gate, 3), new(4, JobKind::Select, -1)]).await;
    enqueue(&*store, vec![new(3, JobKind::SelectModel, 3)]).await;
    let mut order = Vec::new();
    while let Some(job) = lease(&*store, 1).await {
        order.push(job.id);
    }
    assert_eq!(order, [5, 3, 9, 1, 4].map(job_id));
}

async fn a_delayed_job_waits_for_its_time(store: Shared) {
    enqueue(&*store, vec![NewJob { not_before: seconds(10), ..job(1) }]).await;
    assert_eq!(lease(&*store, 9).await, None);
    assert_eq!(lease(&*store, 10).await.unwrap().id, job_id(1));
}

async fn a_kind_is_leased_up_to_its_limit(store: Shared) {
    let new = |id, kind| NewJob { kind, ..job(id) };
    let jobs = vec![
        new(1, JobKind::Train),
        new(2, JobKind::Train),
        new(3, JobKind::Train),
        new(4, JobKind::Gate),
    ];
    enqueue(&*store, jobs).await;
    let limits = BTreeMap::from([(JobKind::Train, 2), (JobKind::Gate, 2)]);
    let limited = || LeaseRequest { limits: limits.clone(), ..request(seconds(1)) };
    let mut leased = Vec::new();
    while let Some(job) = store.lease(limited()).await.unwrap() {
        leased.push(job);
    }
    let ids: Vec<JobId> = leased.iter().map(|job| job.id).collect();
    assert_eq!(ids, [1, 2, 4].map(job_id));
    store.commit(settling(&leased[0], Outcome::Finished)).await.unwrap();
    assert_eq!(store.lease(limited()).await.unwrap().unwrap().id, job_id(3));
}

async fn kinds_that_are_not_asked_for_are_not_given(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let only = LeaseRequest { limits: [(JobKind::Train, 9)].into(), ..request(seconds(1)) };
    assert_eq!(store.lease(only).await.unwrap(), None);
    let none = LeaseRequest { limits: [(JobKind::Select, 0)].into(), ..request(seconds(1)) };
    assert_eq!(store.lease(none).await.unwrap(), None);
}

async fn an_unfinished_key_is_enqueued_once(store: Shared) {
    let keyed = |id| NewJob { dedupe: Some("select 1/1".into()), ..job(id) };
    enqueue(&*store, vec![keyed(1), keyed(2)]).await;
    enqueue(&*store, vec![keyed(3), job(1)]).await;
    let leased = lease(&*store, 1).await.unwrap();
    enqueue(&*store, vec![keyed(4)]).await;
    store.commit(settling(&leased, Outcome::Dead { error: "no".into() })).await.unwrap();
    enqueue(&*store, vec![keyed(5)]).await;
    let ids: Vec<JobId> = store.jobs().await.unwrap().iter().map(|job| job.id).collect();
    assert_eq!(ids, [job_id(1)]);
}

async fn a_finished_key_may_be_enqueued_again(store: Shared) {
    let keyed = |id| NewJob { dedupe: Some("select 1/1".into()), ..job(id) };
    enqueue(&*store, vec![keyed(1)]).await;
    let leased = lease(&*store, 1).await.unwrap();
    let commit = Commit { enqueue: vec![keyed(2)], ..settling(&leased, Outcome::Finished) };
    store.commit(commit).await.unwrap();
    assert_eq!(lease(&*store, 1).await.unwrap().id, job_id(2));
}

async fn a_result_under_an_older_token_is_refused(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let first = lease(&*store, 1).await.unwrap();
    store.commit(settling(&first, Outcome::Released)).await.unwrap();
    let second = lease(&*store, 2).await.unwrap();
    assert!(token(&second) > token(&first));
    for error in [
        store.commit(settling(&first, Outcome::Finished)).await.unwrap_err(),
        store.renew(first.id, token(&first), seconds(99)).await.unwrap_err(),
    ] {
        let StoreError::Fenced { job, token: late } = error else { panic!("{error}") };
        assert_eq!((job, late), (first.id, token(&first)));
    }
    store.commit(settling(&second, Outcome::Finished)).await.unwrap();
}

async fn a_settled_job_cannot_be_settled_again(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let leased = lease(&*store, 1).await.unwrap();
    store.commit(settling(&leased, Outcome::Finished)).await.unwrap();
    let error = store.commit(settling(&leased, Outcome::Finished)).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
}

async fn a_renewed_lease_is_kept(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let leased = lease(&*store, 0).await.unwrap();
    store.renew(leased.id, token(&leased), seconds(100)).await.unwrap();
    assert_eq!(lease(&*store, 99).await, None);
    assert_eq!(store.next_due().await.unwrap(), Some(seconds(100)));
    store.commit(settling(&leased, Outcome::Finished)).await.unwrap();
}

async fn an_expired_lease_is_given_again_with_a_newer_token(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let first = lease(&*store, 0).await.unwrap();
    assert_eq!(lease(&*store, 29).await, None);
    let second = lease(&*store, 30).await.unwrap();
    assert_eq!(second.id, first.id);
    assert!(token(&second) > token(&first));
    assert_eq!((second.crashes, second.failures), (1, 0));
}

async fn a_late_holder_may_still_answer_while_nobody_else_was_given_the_job(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let leased = lease(&*store, 0).await.unwrap();
    let late = Commit { now: seconds(1000), ..settling(&leased, Outcome::Finished) };
    store.commit(late).await.unwrap();
    assert_eq!(store.jobs().await.unwrap(), []);
}

async fn a_step_that_always_crashes_is_given_up(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    for crash in 0..CRASHES_MAX {
        let leased = lease(&*store, i64::from(crash) * 100).await.unwrap();
        assert_eq!(leased.crashes, crash);
    }
    assert_eq!(lease(&*store, 1_000_000).await, None);
    let jobs = store.jobs().await.unwrap();
    assert_eq!((jobs[0].crashes, &jobs[0].status), (CRASHES_MAX, &JobStatus::Dead));
    assert!(jobs[0].last_error.as_ref().unwrap().contains("100"));
}

async fn a_failed_job_is_tried_again_after_its_wait(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let leased = lease(&*store, 0).await.unwrap();
    let outcome = Outcome::Retry { at: seconds(5), error: "no route to host".into() };
    store.commit(settling(&leased, outcome)).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(seconds(5)));
    assert_eq!(lease(&*store, 4).await, None);
    let again = lease(&*store, 5).await.unwrap();
    assert_eq!((again.failures, again.crashes), (1, 0));
    assert_eq!(again.last_error.as_deref(), Some("no route to host"));
}

async fn a_released_job_counts_neither_as_failure_nor_as_crash(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let leased = lease(&*store, 0).await.unwrap();
    store.commit(settling(&leased, Outcome::Released)).await.unwrap();
    let again = lease(&*store, 0).await.unwrap();
    assert_eq!((again.failures, again.crashes), (0, 0));
}

async fn a_dead_job_is_kept_listed_and_retried(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let leased = lease(&*store, 0).await.unwrap();
    store.commit(settling(&leased, Outcome::Dead { error: "broken".into() })).await.unwrap();
    assert_eq!(lease(&*store, 1000).await, None);
    let jobs = store.jobs().await.unwrap();
    assert_eq!((jobs[0].failures, &jobs[0].status), (1, &JobStatus::Dead));
    assert_eq!(jobs[0].last_error.as_deref(), Some("broken"));
    let retried = store.retry(job_id(1), seconds(1000)).await.unwrap();
    assert_eq!((retried.failures, retried.crashes, &retried.status), (0, 0, &JobStatus::Ready));
    assert_eq!(lease(&*store, 1000).await.unwrap().id, job_id(1));
}

async fn only_dead_jobs_are_retried(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    for id in [1, 2] {
        let error = store.retry(job_id(id), seconds(0)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("there is no dead job {}", job_id(id)));
    }
}

async fn a_removed_job_is_gone_and_its_holder_is_refused(store: Shared) {
    enqueue(&*store, vec![job(1), job(2)]).await;
    let leased = lease(&*store, 0).await.unwrap();
    assert_eq!(store.remove(job_id(1)).await.unwrap(), leased);
    store.remove(job_id(2)).await.unwrap();
    assert_eq!(store.jobs().await.unwrap(), []);
    let error = store.commit(settling(&leased, Outcome::Finished)).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    let error = store.remove(job_id(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchJob { .. }), "{error}");
}

async fn a_cancelled_run_loses_its_jobs_and_leases(store: Shared) {
    let other = NewJob { cycle: cycle(2, 1), ..job(9) };
    enqueue(&*store, vec![job(1), job(2), other]).await;
    let leased = lease(&*store, 0).await.unwrap();
    store.commit(Commit { cancel_run: Some(run(1)), ..Commit::default() }).await.unwrap();
    let ids: Vec<JobId> = store.jobs().await.unwrap().iter().map(|job| job.id).collect();
    assert_eq!(ids, [job_id(9)]);
    let error = store.commit(settling(&leased, Outcome::Finished)).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    let error = store.renew(leased.id, token(&leased), seconds(99)).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
}

async fn what_a_cancelling_commit_enqueues_stays(store: Shared) {
    let keyed = |id| NewJob { dedupe: Some("key".into()), ..job(id) };
    enqueue(&*store, vec![keyed(1)]).await;
    let commit = Commit { cancel_run: Some(run(1)), enqueue: vec![keyed(2)], ..Commit::default() };
    store.commit(commit).await.unwrap();
    let ids: Vec<JobId> = store.jobs().await.unwrap().iter().map(|job| job.id).collect();
    assert_eq!(ids, [job_id(2)]);
}

async fn a_paused_run_is_held_back_until_it_is_released(store: Shared) {
    let delayed = NewJob { not_before: seconds(50), ..job(2) };
    enqueue(&*store, vec![job(1), delayed]).await;
    store.set_paused(run(1), true).await.unwrap();
    store.set_paused(run(1), true).await.unwrap();
    assert_eq!(store.paused().await.unwrap(), [run(1)]);
    enqueue(&*store, vec![job(3), NewJob { cycle: cycle(2, 1), ..job(4) }]).await;
    assert_eq!(lease(&*store, 100).await.unwrap().id, job_id(4));
    assert_eq!(lease(&*store, 100).await, None);
    store.set_paused(run(1), false).await.unwrap();
    assert_eq!(store.paused().await.unwrap(), []);
    for id in 1..=3 {
        assert_eq!(lease(&*store, 100).await.unwrap().id, job_id(id));
    }
}

async fn a_lease_given_before_the_pause_goes_on_to_its_end(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let leased = lease(&*store, 0).await.unwrap();
    store.set_paused(run(1), true).await.unwrap();
    store.renew(leased.id, token(&leased), seconds(100)).await.unwrap();
    let commit = Commit { enqueue: vec![job(2)], ..settling(&leased, Outcome::Finished) };
    store.commit(commit).await.unwrap();
    assert_eq!(lease(&*store, 1).await, None);
}

async fn a_commit_leases_the_next_job_in_the_same_step(store: Shared) {
    enqueue(&*store, vec![job(1), job(2)]).await;
    let first = lease(&*store, 0).await.unwrap();
    let before = store.barriers();
    let one = LeaseRequest { limits: [(JobKind::Select, 1)].into(), ..request(seconds(1)) };
    let commit = Commit { lease: Some(one), ..settling(&first, Outcome::Finished) };
    let second = store.commit(commit).await.unwrap().leased.unwrap();
    assert_eq!(store.barriers(), before + 1);
    assert_eq!(second.id, job_id(2));
    let commit =
        Commit { lease: Some(request(seconds(1))), ..settling(&second, Outcome::Finished) };
    assert_eq!(store.commit(commit).await.unwrap().leased, None);
}

async fn a_commit_may_lease_the_very_job_it_enqueued(store: Shared) {
    let commit = Commit {
        appends: vec![append(cycle(1, 1), 0, vec![event(1)])],
        enqueue: vec![job(1)],
        lease: Some(request(seconds(1))),
        now: seconds(1),
        ..Commit::default()
    };
    let leased = store.commit(commit).await.unwrap().leased.unwrap();
    assert_eq!((leased.id, leased.enqueued), (job_id(1), seconds(1)));
    store.commit(settling(&leased, Outcome::Finished)).await.unwrap();
}

async fn next_due_is_the_first_delay_or_lease_to_end(store: Shared) {
    assert_eq!(store.next_due().await.unwrap(), None);
    enqueue(&*store, vec![NewJob { not_before: seconds(90), ..job(1) }]).await;
    assert_eq!(store.next_due().await.unwrap(), Some(seconds(90)));
    enqueue(&*store, vec![job(2)]).await;
    lease(&*store, 10).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(seconds(40)));
    store.set_paused(run(1), true).await.unwrap();
    store.remove(job_id(2)).await.unwrap();
    // Nothing becomes ready by itself in a paused run.
    assert_eq!(store.next_due().await.unwrap(), None);
}

async fn jobs_are_listed_by_run_cycle_and_id(store: Shared) {
    let new = |id, run, number| NewJob { cycle: cycle(run, number), ..job(id) };
    enqueue(&*store, vec![new(1, 2, 1), new(4, 1, 2), new(3, 1, 1), new(2, 1, 2)]).await;
    let ids: Vec<JobId> = store.jobs().await.unwrap().iter().map(|job| job.id).collect();
    assert_eq!(ids, [3, 2, 4, 1].map(job_id));
}

async fn a_long_cause_of_failure_is_cut(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let leased = lease(&*store, 0).await.unwrap();
    let outcome = Outcome::Retry { at: Timestamp(0), error: "ü".repeat(5000) };
    store.commit(settling(&leased, outcome)).await.unwrap();
    let kept = lease(&*store, 0).await.unwrap().last_error.unwrap();
    assert_eq!(kept, "ü".repeat(512));
}

async fn only_changes_cost_a_barrier(store: Shared) {
    enqueue(&*store, vec![job(1)]).await;
    let leased = lease(&*store, 0).await.unwrap();
    let before = store.barriers();
    assert_eq!(lease(&*store, 0).await, None);
    store.renew(leased.id, token(&leased), seconds(60)).await.unwrap();
    store.set_paused(run(1), false).await.unwrap();
    store.jobs().await.unwrap();
    store.read(cycle(1, 1), Revision(0), 10).await.unwrap();
    assert!(store.commit(appending(cycle(1, 1), 7, vec![event(1)])).await.is_err());
    assert_eq!(store.barriers(), before);
}
