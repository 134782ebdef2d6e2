//! A past batch once more, with its model run again: what reselecting from the evidence takes for granted.
//!
//! Nothing that an earlier run worked out is used, nothing is recorded, and no batch changes.

use super::candidates::Candidates;
use super::reactor::{Step, StepError};
use super::reactors::pick;
use super::{Engine, EngineError, load_pool};
use crate::blocking::blocking;
use crate::data_selector::{Evidence, EvidenceError};
use crate::domain::definition::{Definition, ProviderChoice};
use crate::domain::digest::Digest;
use crate::domain::event::{BatchSelected, Event};
use crate::domain::ids::{CycleId, CycleNumber, JobId, RunId};
use crate::domain::job::{Job, JobKind, JobStatus};
use crate::domain::state::Run;
use crate::domain::time::Timestamp;
use crate::store::fold;
use std::path::Path;
use std::sync::Arc;

/// A batch as it was picked, and as it is picked now.
#[derive(Debug)]
pub struct Reinferred {
    /// The batch in the log.
    pub then: BatchSelected,
    /// What it was picked from.
    pub evidence: Evidence,
    /// The batch that the same model gives now.
    pub now: BatchSelected,
    /// What that was picked from.
    pub evidence_now: Evidence,
}

/// Why a batch cannot be picked once more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReinferError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Something that the batch was picked from is not there any more, or nothing was kept of it.
    #[error("cycle {cycle} of run {run} {what}")]
    Lacks {
        /// Which run.
        run: RunId,
        /// Which cycle.
        cycle: CycleNumber,
        /// What it lacks, for people.
        what: String,
    },
    /// The pool, the model or the strategy refuses.
    #[error("cannot pick the batch of cycle {cycle} of run {run} once more: {source}")]
    Step {
        /// Which run.
        run: RunId,
        /// Which cycle.
        cycle: CycleNumber,
        /// Why.
        #[source]
        source: StepError,
    },
}

impl Engine {
    /// Picks the batch of `cycle` once more: the run as it was then, the pool's files as they are, the model run again, by
    /// `provider` where one is named.
    ///
    /// # Errors
    /// [`ReinferError`], for instance if a sample of the pool is not there any more.
    pub async fn reinfer(
        &self,
        run: RunId,
        cycle: CycleNumber,
        provider: Option<ProviderChoice>,
    ) -> Result<Reinferred, ReinferError> {
        let lacks = |what: String| ReinferError::Lacks { run, cycle, what };
        let before = self.before_batch(run, cycle).await?;
        let Before { state, head, workflow, then: Some(then) } = before else {
            return Err(lacks("has no batch yet".to_owned()));
        };
        let Some(kept) = then.scores else {
            let what = format!("kept nothing of what {} looked at: it ran no model", then.strategy);
            return Err(lacks(what));
        };
        let inner = &self.inner;
        let of_artifact = |error| ReinferError::Engine(EngineError::from(error));
        let unread = |error: EvidenceError| lacks(error.to_string());
        let kept = inner.artifacts.get(&kept).map_err(of_artifact)?;
        let evidence = Evidence::read(&kept).map_err(unread)?;
        let bytes = inner.artifacts.get(&workflow).map_err(of_artifact)?;
        let mut definition: Definition = serde_json::from_slice(&bytes)
            .map_err(|source| EngineError::UnreadableWorkflow { run, source })?;
        if let Some(provider) = provider {
            definition.selector.provider = provider;
        }
        let scratch = tempfile::tempdir()
            .map_err(|error| lacks(format!("finds no room to work in: {error}")))?;
        let cache: Arc<Path> = scratch.path().into();
        let (inner, about) = (Arc::clone(inner), evidence.about.clone());
        let picked = blocking(move || {
            let folder = state.started.as_ref().map_or("", |started| &started.folder);
            let folder: Arc<Path> = Path::new(folder).into();
            let versions = state.pools.first().copied().zip(state.pool);
            let artifacts = inner.artifacts.clone();
            let pool = load_pool(&definition, &folder, &artifacts, versions, false)?;
            let now = inner.clock.steady();
            let step = Step {
                job: job(JobId(inner.clock.mint()), CycleId { run, cycle }, now),
                run: state,
                head,
                definition: Arc::new(definition),
                folder,
                pool: Arc::new(pool),
                artifacts,
                cache,
                clock: Arc::clone(&inner.clock),
                install: inner.install,
                memory: Arc::default(),
                strategies: Arc::clone(&inner.strategies),
                interrupted: Arc::default(),
                notices: inner.notices.clone(),
            };
            let candidates = Candidates::new(&step.pool, &step.run.labels);
            pick(&step, &candidates, &about.strategy, about.batch, about.audit, Vec::new())
        })
        .await;
        drop(scratch);
        let (now, bytes) = picked.map_err(|source| ReinferError::Step { run, cycle, source })?;
        let evidence_now = Evidence::read(&bytes.unwrap_or_default()).map_err(unread)?;
        Ok(Reinferred { then, evidence, now, evidence_now })
    }

    /// The run as it was when the batch of `cycle` was due, and that batch.
    async fn before_batch(&self, id: RunId, cycle: CycleNumber) -> Result<Before, EngineError> {
        let before =
            Before { state: Run::new(id), head: Digest::ZERO, workflow: Digest::ZERO, then: None };
        fold(&*self.inner.store, id, before, move |before, recorded| {
            if let Event::CycleStarted(started) = &recorded.event {
                before.workflow = started.workflow;
            }
            if let Event::BatchSelected(then) = &recorded.event
                && recorded.cycle.cycle == cycle
            {
                before.then = Some(then.clone());
                return Ok(false);
            }
            before.head = recorded.hash;
            let applied = before.state.apply(&recorded.event);
            applied.map_err(|source| EngineError::IllegalLog { run: id, source })?;
            Ok(true)
        })
        .await
    }
}

struct Before {
    state: Run,
    head: Digest,
    workflow: Digest,
    /// `None` where there is none.
    then: Option<BatchSelected>,
}

/// A job that no queue knows: what a step must be for.
fn job(id: JobId, cycle: CycleId, now: Timestamp) -> Job {
    Job {
        id,
        kind: JobKind::Select,
        cycle,
        priority: 0,
        not_before: now,
        dedupe: None,
        enqueued: now,
        failures: 0,
        crashes: 0,
        last_error: None,
        status: JobStatus::Ready,
    }
}
