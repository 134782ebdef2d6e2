//! The worker loop: lease, perform, commit, again; and the way it stops.
//!
//! A worker that commits a result leases its next job in the same commit, so a run that goes on pays one durability barrier
//! a step. Leases are renewed while a step works, so a long training never loses its job to the clock; a process that dies
//! stops renewing, and the next opening of its store takes its leases back at once.

use super::clock::wait_until;
use super::notice::Notice;
use super::reactor::{Step, StepError};
use super::{Cause, EngineError, Inner, lock};
use crate::domain::command::Command;
use crate::domain::event::CycleFailed;
use crate::domain::ids::{FencingToken, WorkerId};
use crate::domain::job::{AfterFailure, Job, JobStatus, after_failure};
use crate::store::{Commit, LeaseRequest, Outcome, Settle, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a lease holds before the workflow's own `retry.lease` is known.
const FIRST_LEASE: Duration = Duration::from_secs(30);

pub(super) async fn run(
    inner: Arc<Inner>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), EngineError> {
    let (stop, stopping) = watch::channel(false);
    let mut workers = JoinSet::new();
    for number in 1..=inner.workers {
        let id = WorkerId::from(format!("{} worker {number}", inner.name));
        let worker = Worker { inner: Arc::clone(&inner), id, stopping: stopping.clone() };
        workers.spawn(worker.run());
    }
    tokio::pin!(shutdown);
    let mut result = Ok(());
    loop {
        tokio::select! {
            () = &mut shutdown, if !*stop.borrow() => {
                stop.send_replace(true);
                inner.interrupt(|_| true);
            }
            ended = workers.join_next() => match ended {
                None => return result,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => {
                    // The others stop as well: the store takes no more writes, or a log is wrong.
                    stop.send_replace(true);
                    inner.interrupt(|_| true);
                    if result.is_ok() {
                        result = Err(error);
                    }
                }
                Some(Err(join)) => {
                    if let Ok(panic) = join.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            },
        }
    }
}

struct Worker {
    inner: Arc<Inner>,
    id: WorkerId,
    stopping: watch::Receiver<bool>,
}

impl Worker {
    async fn run(mut self) -> Result<(), EngineError> {
        let mut carried = None;
        loop {
            if self.is_stopping() {
                if let Some(job) = carried.take() {
                    self.settle(&job, Outcome::Released).await?;
                }
                return Ok(());
            }
            let job = match carried.take() {
                Some(job) => job,
                None => match self.next_job().await? {
                    Some(job) => job,
                    None => continue,
                },
            };
            carried = self.work(job).await?;
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    fn lease_request(&self) -> LeaseRequest {
        LeaseRequest {
            worker: self.id.clone(),
            limits: self.inner.limits.clone(),
            now: self.inner.clock.steady(),
            lease: FIRST_LEASE,
        }
    }

    /// Leases a job, or waits until there may be one.
    async fn next_job(&mut self) -> Result<Option<Job>, EngineError> {
        let inner = Arc::clone(&self.inner);
        // Registered before looking, so that a job enqueued in between is not slept through.
        let woken = inner.wake.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        if let Some(job) = inner.store.lease(self.lease_request()).await? {
            return Ok(Some(job));
        }
        let due = inner.store.next_due().await?;
        tokio::select! {
            () = woken => {}
            () = wait_until(&*inner.clock, due) => {}
            _ = self.stopping.changed() => {}
        }
        Ok(None)
    }

    /// Does one job to its end; returns the next one, if it was leased along the way.
    async fn work(&self, job: Job) -> Result<Option<Job>, EngineError> {
        let inner = &self.inner;
        let live = inner.live(job.cycle.run).await?;
        let (step, rule, seen) = {
            let live = live.lock().await;
            if !live.waits_for(&job) {
                // The log went on without this job, after a `jobs cancel` and `resume` for instance.
                tracing::warn!(job = %job.id, kind = %job.kind, "dropping a job that the run no longer waits for");
                return self.settle(&job, Outcome::Finished).await;
            }
            let pool = inner.pool(&live, job.kind).await;
            let step = pool.map(|pool| Step {
                job: job.clone(),
                run: live.run.clone(),
                head: live.head,
                definition: Arc::clone(&live.definition),
                folder: Arc::clone(&live.folder),
                pool,
                artifacts: inner.artifacts.clone(),
                cache: inner.artifacts.state().join("cache").into(),
                clock: Arc::clone(&inner.clock),
                install: inner.install,
                memory: Arc::clone(lock(&inner.memories).entry(job.cycle.run).or_default()),
                strategies: Arc::clone(&inner.strategies),
                interrupted: Arc::new(AtomicBool::new(false)),
                notices: inner.notices.clone(),
            });
            (step, live.definition.retry.clone(), live.head)
        };
        let answer = match step {
            Ok(step) => self.perform(step, rule.lease).await?,
            Err(error) => Some(Err(error)),
        };
        let Some(answer) = answer else {
            return Ok(None); // the lease is lost, or the step outlasted the grace of a stop
        };

        let mut live = live.lock().await;
        if !live.waits_for(&job) {
            // Cancelled while the step was under way; the cancelling commit has taken the lease as well.
            tracing::info!(job = %job.id, "result dropped: the run went on without it");
            return self.settle(&job, Outcome::Finished).await;
        }
        let settle = |outcome| Settle { job: job.id, token: token(&job), outcome };
        let (command, outcome) = match answer {
            Ok(command) => (command, Outcome::Finished),
            Err(StepError::Interrupted) => return self.settle(&job, Outcome::Released).await,
            Err(error) => {
                let retryable = matches!(error, StepError::Retryable(_));
                let cause = error.chain();
                let failures = job.failures.saturating_add(1);
                tracing::warn!(job = %job.id, kind = %job.kind, failures, %cause, "step failed");
                match after_failure(&rule, job.id, failures, retryable, inner.clock.steady()) {
                    AfterFailure::RetryAt(at) => {
                        inner.tell(Notice::StepRetried {
                            cycle: job.cycle,
                            kind: job.kind,
                            failures,
                            error: cause.clone(),
                        });
                        return self.settle(&job, Outcome::Retry { at, error: cause }).await;
                    }
                    AfterFailure::GiveUp => {
                        let step = job.kind.to_string();
                        let failed = CycleFailed { step, attempts: failures, cause: cause.clone() };
                        (Command::Fail(failed), Outcome::Dead { error: cause })
                    }
                }
            }
        };
        if seen != live.head && matches!(command, Command::StartCycle { .. }) {
            // It names the end of the log, which somebody has written to since.
            return self.settle(&job, Outcome::Released).await;
        }
        let lease = (!self.is_stopping()).then(|| self.lease_request());
        let cause = Cause { settle: Some(settle(outcome)), lease };
        match inner.execute(&mut live, command, cause).await {
            Err(EngineError::Store(StoreError::Fenced { job, token })) => {
                tracing::info!(%job, %token, "result refused: the lease is no longer held");
                Ok(None)
            }
            Err(EngineError::Refused(_)) if seen != live.head => {
                // Somebody rolled back or pinned a model meanwhile: the step is done again, on what is true now.
                self.settle(&job, Outcome::Released).await
            }
            Err(EngineError::Refused(refusal)) => {
                // A reactor answered with something that breaks the rules: a bug of that reactor, not of the log.
                let error = StepError::permanent(refusal);
                let (step, cause) = (job.kind.to_string(), error.chain());
                let attempts = job.failures.saturating_add(1);
                let failed = CycleFailed { step, attempts, cause: cause.clone() };
                let settle = settle(Outcome::Dead { error: cause });
                let cause = Cause { settle: Some(settle), lease: None };
                inner.execute(&mut live, Command::Fail(failed), cause).await
            }
            other => other,
        }
    }

    /// Has the reactor do the step, and keeps its lease alive meanwhile. `None` if the result would be refused.
    async fn perform(
        &self,
        step: Step,
        lease: Duration,
    ) -> Result<Option<Result<Command, StepError>>, EngineError> {
        let inner = &self.inner;
        let (job, interrupted) = (step.job.clone(), Arc::clone(&step.interrupted));
        let Some(reactor) = inner.reactors.get(&job.kind).map(Arc::clone) else {
            let error = format!("no reactor does {} jobs", job.kind);
            return Ok(Some(Err(StepError::permanent(error))));
        };
        tracing::info!(job = %job.id, kind = %job.kind, cycle = %job.cycle, "step started");
        inner.tell(Notice::StepStarted { cycle: job.cycle, kind: job.kind });
        lock(&inner.steps).insert(job.id, (job.cycle.run, Arc::clone(&interrupted)));
        let _forget = Forget { inner, job: &job };
        if self.is_stopping() {
            interrupted.store(true, Ordering::Relaxed);
        }
        let mut work = tokio::task::spawn_blocking(move || reactor.perform(&step));
        let mut stopping = self.stopping.clone();
        let mut grace = None;
        // Thrice a lease, so that one late renewal is no harm. The first lease may be shorter than the workflow's.
        let renewal = lease.min(FIRST_LEASE) / 3;
        loop {
            tokio::select! {
                done = &mut work => return Ok(Some(done.unwrap_or_else(|join| Err(panicked(join))))),
                () = tokio::time::sleep(renewal) => {
                    let deadline = inner.clock.steady().plus(lease);
                    match inner.store.renew(job.id, token(&job), deadline).await {
                        Ok(()) => {}
                        Err(StoreError::Fenced { .. }) => {
                            interrupted.store(true, Ordering::Relaxed);
                            tracing::info!(job = %job.id, "lease lost; the step's result will not count");
                            return Ok(None);
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                _ = stopping.changed(), if grace.is_none() => {
                    interrupted.store(true, Ordering::Relaxed);
                    grace = Some(Box::pin(tokio::time::sleep(inner.grace)));
                }
                () = async { match &mut grace { Some(grace) => grace.await, None => std::future::pending().await } } => {
                    // The next opening of the store takes the lease back, as after a crash.
                    tracing::warn!(job = %job.id, "step did not stop in time; leaving it behind");
                    return Ok(None);
                }
            }
        }
    }

    /// Settles a job without an event.
    async fn settle(&self, job: &Job, outcome: Outcome) -> Result<Option<Job>, EngineError> {
        let lease = (!self.is_stopping()).then(|| self.lease_request());
        let settle = Settle { job: job.id, token: token(job), outcome };
        let now = self.inner.clock.steady();
        let commit = Commit { settle: Some(settle), now, lease, ..Commit::default() };
        match self.inner.store.commit(commit).await {
            Ok(committed) => Ok(committed.leased),
            Err(StoreError::Fenced { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The token under which a job was handed out.
fn token(job: &Job) -> FencingToken {
    match &job.status {
        JobStatus::Leased(lease) => lease.token,
        JobStatus::Ready | JobStatus::Dead => FencingToken::default(), // never valid: tokens start at 1
    }
}

/// A reactor that panics has failed; what it was doing may work another time.
fn panicked(join: tokio::task::JoinError) -> StepError {
    let text = join.try_into_panic().map_or_else(
        |_| "the step was dropped".to_owned(),
        |panic| {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            format!("the step panicked: {}", text.as_deref().unwrap_or("no message"))
        },
    );
    StepError::Retryable(text.into())
}

/// Takes a step off the list of those under way, however it ends.
struct Forget<'a> {
    inner: &'a Inner,
    job: &'a Job,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.inner.steps).remove(&self.job.id);
    }
}
