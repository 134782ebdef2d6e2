//! A run in memory: its log folded, and where the log ends.

use super::EngineError;
use super::status::{JobSummary, ModelSummary, RunState, RunStatus};
use crate::artifacts::Artifacts;
use crate::domain::decide::Decision;
use crate::domain::definition::Definition;
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::ids::{CycleId, CycleNumber, Revision, RunId};
use crate::domain::job::{Job, JobStatus};
use crate::domain::meaning::SemanticDigest;
use crate::domain::state::{Phase, Run};
use crate::store::{Append, NewEvent, Recorded, Store, fold};
use std::path::Path;
use std::sync::Arc;

/// A run with the end of its log.
#[derive(Debug, Clone)]
pub(super) struct LiveRun {
    pub(super) run: Run,
    pub(super) definition: Arc<Definition>,
    pub(super) folder: Arc<Path>,
    /// The cycle whose log is written now.
    log: CycleNumber,
    /// How many events that log holds.
    next: Revision,
    /// The hash of the last record.
    pub(super) head: Digest,
    pub(super) events: u64,
    pub(super) semantic: SemanticDigest,
}

impl LiveRun {
    /// A run without a log yet.
    pub(super) fn new(id: RunId, definition: Definition, folder: &Path) -> Self {
        Self {
            run: Run::new(id),
            definition: Arc::new(definition),
            folder: folder.into(),
            log: CycleNumber(1),
            next: Revision(0),
            head: Digest::ZERO,
            events: 0,
            semantic: SemanticDigest::default(),
        }
    }

    /// Every model that was promoted.
    pub(super) fn models(&self, artifacts: &Artifacts) -> Vec<ModelSummary> {
        let run = &self.run;
        let newest = |model| run.trained_in(model);
        let promoted = run.promoted.iter().filter(|(cycle, model)| newest(*model) == Some(*cycle));
        let summary = |&(cycle, model): &(CycleNumber, Digest)| {
            let line = run.history.iter().find(|line| line.cycle == cycle);
            let current = run.production == Some(model);
            ModelSummary {
                model,
                cycle,
                labelled: line.map_or(0, |line| line.labelled),
                acceptance: line.and_then(|line| line.acceptance.clone()),
                current,
                pinned: current && run.pinned,
                file: artifacts.path(&model),
            }
        };
        promoted.map(summary).collect()
    }

    /// Folds the logs of run `id`.
    pub(super) async fn load(
        store: &dyn Store,
        artifacts: &Artifacts,
        id: RunId,
    ) -> Result<Self, EngineError> {
        let artifacts = artifacts.clone();
        let live = fold(store, id, None, move |live: &mut Option<Self>, recorded| {
            let live = match live {
                Some(live) => live,
                none => none.insert(Self::from_first(&artifacts, id, &recorded)?),
            };
            live.fold(&recorded)?;
            Ok::<_, EngineError>(true)
        })
        .await?;
        live.ok_or(EngineError::UnknownRun { run: id.to_string() })
    }

    /// A log begins with `RunStarted`, which tells where the workflow is kept.
    fn from_first(
        artifacts: &Artifacts,
        id: RunId,
        recorded: &Recorded,
    ) -> Result<Self, EngineError> {
        let Event::RunStarted(started) = &recorded.event else {
            // `apply` words the error: anything else cannot follow in a new run.
            let illegal = Run::new(id).apply(&recorded.event).err();
            return Err(illegal.map_or(EngineError::UnknownRun { run: id.to_string() }, |error| {
                EngineError::IllegalLog { run: id, source: error }
            }));
        };
        let bytes = artifacts.get(&started.workflow)?;
        let definition: Definition = serde_json::from_slice(&bytes)
            .map_err(|source| EngineError::UnreadableWorkflow { run: id, source })?;
        Ok(Self::new(id, definition, Path::new(&started.folder)))
    }

    /// Whether the run's next step is this job's; if not, no answer to the job could follow in its log.
    pub(super) fn waits_for(&self, job: &Job) -> bool {
        self.run.next_step() == Some((job.cycle.cycle, job.kind))
    }

    fn fold(&mut self, recorded: &Recorded) -> Result<(), EngineError> {
        let id = self.run.id;
        self.run
            .apply(&recorded.event)
            .map_err(|source| EngineError::IllegalLog { run: id, source })?;
        self.note(recorded);
        Ok(())
    }

    fn note(&mut self, recorded: &Recorded) {
        self.log = recorded.cycle.cycle;
        self.next = recorded.revision.next();
        self.head = recorded.hash;
        self.events += 1;
        self.semantic.add(recorded.cycle.cycle, &recorded.event);
    }

    /// The decision's events, log by log, each with the revision it expects. `envelope` adds id, time and cause.
    pub(super) fn appends(
        &self,
        decision: &Decision,
        mut envelope: impl FnMut(Event) -> NewEvent,
    ) -> Vec<Append> {
        let mut appends: Vec<Append> = Vec::new();
        for (number, event) in &decision.events {
            let cycle = CycleId { run: self.run.id, cycle: *number };
            let event = envelope(event.clone());
            match appends.last_mut() {
                Some(append) if append.cycle == cycle => append.events.push(event),
                Some(_) | None => {
                    let expected = if *number == self.log { self.next } else { Revision(0) };
                    appends.push(Append { cycle, expected, events: vec![event] });
                }
            }
        }
        appends
    }

    /// Takes over a decision whose events are committed.
    pub(super) fn committed(&mut self, run: Run, events: &[Recorded]) {
        self.run = run;
        for recorded in events {
            self.note(recorded);
        }
    }

    /// What it looks like from outside; `jobs` are those of every run.
    pub(super) fn status(&self, paused: bool, jobs: &[Job]) -> RunStatus {
        let run = &self.run;
        let ended = if let Phase::Ended(reason) = run.phase { Some(reason) } else { None };
        let jobs = jobs.iter().filter(|job| job.cycle.run == run.id);
        // A failed step that was given new tries has not failed for good any more.
        let stands_still = jobs.clone().all(|job| job.status == JobStatus::Dead);
        let state = if ended.is_some() {
            RunState::Ended
        } else if run.failed.is_some() && stands_still {
            RunState::Failed
        } else if paused {
            RunState::Paused
        } else {
            RunState::Active
        };
        let prices = self.definition.answers;
        RunStatus {
            run: run.id,
            name: self.definition.run.name.clone(),
            state,
            phase: run.phase.name().to_owned(),
            cycle: run.cycle,
            labelled: run.labelled(),
            answers: run.answers,
            spent_seconds: run.spent.as_secs_f64(),
            cost: prices.is_priced().then(|| prices.cost(run.answers, run.spent)),
            production: run.production,
            workflow: self.definition.digest(),
            seed: self.definition.run.seed,
            ended,
            failed: run.failed.clone(),
            events: self.events,
            head: self.head,
            semantic_digest: self.semantic.finish(),
            jobs: jobs.map(JobSummary::from).collect(),
            cycles: run.history.clone(),
        }
    }
}
