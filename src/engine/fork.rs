//! A run that goes on from where another one stood: the other's past, event by event, under a workflow of its own.
//!
//! The fork's log is whole by itself: whoever folds, verifies or explains it needs nothing of the other run. Models, scores and
//! manifests are artifacts, so both runs name the same ones. What of them is no longer kept the fork says itself, after what it
//! inherits.

use super::live_run::LiveRun;
use super::notice::Notice;
use super::{Engine, EngineError, feasible, load_pool, lock};
use crate::blocking::blocking;
use crate::domain::command::Command;
use crate::domain::decide::decide;
use crate::domain::definition::{Definition, PoolSpec};
use crate::domain::digest::Digest;
use crate::domain::event::{ArtifactsRemoved, Decided, Event, Forked, RunStarted};
use crate::domain::ids::{CycleId, CycleNumber, EventId, RunId};
use crate::domain::state::Run;
use crate::domain::time::Timestamp;
use crate::store::{Commit, NewEvent, Recorded, StoreError, fold};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Ends the policy of what was no longer kept when the fork began.
const BEFORE: &str = "; removed before the fork";

/// What a fork has of the run that it goes on from.
struct Past {
    forked: Forked,
    inherited: Vec<Recorded>,
    /// What inherited events name and is gone, as the other run's log tells.
    removed: Vec<ArtifactsRemoved>,
}

impl Engine {
    /// Starts a run of `definition` from where the run `of` stood when its cycle `at` had ended; 0 is a plain start. When this
    /// returns, the fork is recorded with all that it inherits, in one commit, and [`Engine::run`] works on its next cycle. A
    /// crash before leaves nothing of it. Takes the memory of all events up to there.
    ///
    /// Everything that does not contradict the past may differ from the other's workflow: the seed, too, from the next cycle
    /// on.
    ///
    /// # Errors
    /// [`EngineError::CycleNotOver`], [`EngineError::UnknownRun`]; [`EngineError::Contradiction`] for another pool, task or mode
    /// than the other's, for a pool that changed since, and as [`Engine::start`]; [`EngineError::Refused`] where the fork would
    /// end at once, or labels that it would inherit are erased. Contradiction, too, where a model with which it would go on is
    /// no longer kept.
    pub async fn fork(
        &self,
        of: RunId,
        at: CycleNumber,
        definition: Definition,
    ) -> Result<RunId, EngineError> {
        // It holds two runs and two workflows, which whoever awaits it need not.
        Box::pin(self.go_on_from(of, at, definition)).await
    }

    async fn go_on_from(
        &self,
        of: RunId,
        at: CycleNumber,
        definition: Definition,
    ) -> Result<RunId, EngineError> {
        let inner = &self.inner;
        // What the other run names is not removed before the fork names it, too.
        let _alone = self.housekeeping().await;
        let parent = inner.live(of).await?.lock().await.clone();
        if at == CycleNumber(0) {
            return self.start(definition, &parent.folder).await;
        }
        if let Some(problem) = contradiction(&parent.definition, &definition) {
            return Err(EngineError::Contradiction { problem });
        }
        let Past { forked, inherited, removed } = self.past(&parent, at).await?;
        let versions = parent.run.pools.first().copied().zip(parent.run.pool_of(at));
        let (folder, own) = (Arc::clone(&parent.folder), Arc::clone(&inner.strategies));
        let (artifacts, install) = (inner.artifacts.clone(), inner.install);
        let (definition, pool) = blocking(move || {
            let pool = load_pool(&definition, &folder, &artifacts, versions, true)
                .map_err(|error| EngineError::Contradiction { problem: error.chain() })?;
            feasible::check(&definition, &folder, &pool, &own, install)?;
            artifacts.put(&definition.canonical_bytes())?;
            Ok::<_, EngineError>((definition, pool))
        })
        .await?;

        let run = RunId(inner.clock.mint());
        let classes = parent.run.started.map(|started| started.classes).unwrap_or_default();
        let started = RunStarted {
            name: definition.run.name.clone(),
            workflow: definition.digest(),
            folder: parent.folder.display().to_string(),
            classes,
            gate: definition.kpi.gate,
            seed: definition.run.seed,
        };
        let past = inherited.iter().map(|recorded| recorded.event.clone()).collect();
        let mut live = LiveRun::new(run, definition, &parent.folder);
        let command = Command::Fork { started, forked, past, removed, at: inner.clock.now() };
        let decision = decide(&live.run, &live.definition, command)?;
        self.check_kept(&decision.run, &live.definition)?;
        let (now, workflow) = (inner.clock.steady(), live.definition.digest());
        // Who did it, when, and by which job is as true of the fork as of the other run. The first
        // two events are the fork's own, and those after it.
        let mut inherited = [None, None].into_iter().chain(inherited.into_iter().map(Some));
        let appends = live.appends(&decision, |event| {
            let then = inherited.next().flatten();
            NewEvent {
                id: EventId(inner.clock.mint()),
                recorded: then.as_ref().map_or_else(|| inner.clock.now(), |then| then.recorded),
                causation: then.as_ref().and_then(|then| then.causation),
                actor: then.map_or_else(|| inner.name.clone(), |then| then.actor),
                workflow,
                event,
            }
        });
        let next =
            decision.next.map(|(cycle, kind)| inner.new_job(CycleId { run, cycle }, kind, now));
        let enqueue = next.into_iter().collect();
        // Held until the run is listed, as for any start.
        let mut runs = inner.runs.lock().await;
        let commit = Commit { appends, enqueue, now, ..Commit::default() };
        let committed = inner.store.commit(commit).await?;
        live.committed(decision.run, &committed.events);
        inner.publish(&live.run);
        inner.tell_skipped(run, &pool);
        lock(&inner.pools).insert(run, Arc::new(pool));
        runs.insert(run, Arc::new(tokio::sync::Mutex::new(live)));
        drop(runs);
        for recorded in committed.events {
            inner.tell(Notice::Committed(Arc::new(recorded)));
        }
        inner.wake.notify_waiters();
        Ok(run)
    }

    /// Whether the models are there with which a fork goes on: one that can take no step is not recorded.
    fn check_kept(&self, run: &Run, definition: &Definition) -> Result<(), EngineError> {
        let inner = &self.inner;
        let asked = feasible::asks_checkpoints(definition, &inner.strategies)?;
        let members = run.checkpoints.iter().filter(|_| asked);
        let members = members.map(|model| (*model, "a checkpoint that is in its committee"));
        let production = run.production.map(|model| (model, "its production model"));
        let Some((model, what)) =
            members.chain(production).find(|(model, _)| !inner.artifacts.contains(model))
        else {
            return Ok(());
        };
        let why = run.removed.get(&model).map_or_else(
            || "is missing".to_owned(),
            |at| format!("was removed by policy on {}", at.date()),
        );
        Err(EngineError::Contradiction {
            problem: format!(
                "after cycle {} the fork could take no step: {what}, {model}, {why}; put it back from a copy as {}, give \
                 selector.committee another value with --set, or name another cycle",
                run.cycle,
                inner.artifacts.path(&model).display()
            ),
        })
    }

    /// What a fork of a run inherits after cycle `at`, which has ended.
    async fn past(&self, parent: &LiveRun, at: CycleNumber) -> Result<Past, EngineError> {
        let run = &parent.run;
        let past: (Vec<Recorded>, Vec<ArtifactsRemoved>) = Default::default();
        // What is no longer kept is told where the log ended then.
        let until = if run.removed.is_empty() { at } else { run.cycle.max(at) };
        let past = fold(&*self.inner.store, run.id, past, move |(past, removed), recorded| {
            let cycle = recorded.cycle.cycle;
            if let Event::ArtifactsRemoved(gone) = &recorded.event
                && cycle <= until
            {
                removed.push(gone.clone());
            }
            if cycle <= at {
                past.push(recorded);
            }
            Ok::<_, StoreError>(cycle <= until)
        });
        let (mut past, mut removed) = past.await?;
        let ends = |recorded: &Recorded| {
            recorded.cycle.cycle == at && matches!(recorded.event, Event::CycleEnded(_))
        };
        let (Some(head), Some(started), true) =
            (past.last().map(|last| last.hash), &run.started, past.iter().any(ends))
        else {
            return Err(EngineError::CycleNotOver { run: run.id, cycle: at, cycles: run.cycle });
        };
        past.retain(|recorded| recorded.event.is_inherited());
        let mut decided: Vec<Decided> = Vec::new();
        for before in run.forked.iter().flat_map(|forked| &forked.past) {
            if decided.last().is_none_or(|last| last.until < at) {
                decided.push(Decided { until: before.until.min(at), ..before.clone() });
            }
        }
        if decided.last().is_none_or(|last| last.until < at) {
            let RunStarted { workflow, seed, gate, .. } = *started;
            decided.push(Decided { run: run.id, until: at, workflow, seed, gate });
        }
        let named = past.iter().flat_map(|recorded| recorded.event.artifacts()).collect();
        self.keep_gone(&mut removed, &named, &run.removed);
        let forked = Forked { run: run.id, cycle: at, head, past: decided };
        Ok(Past { forked, inherited: past, removed })
    }

    /// Leaves of what a run's log says is removed what a fork names and is not there. What still is the fork needs.
    fn keep_gone(
        &self,
        removed: &mut Vec<ArtifactsRemoved>,
        named: &BTreeSet<Digest>,
        since: &BTreeMap<Digest, Timestamp>,
    ) {
        for event in removed.iter_mut() {
            let at = event.at;
            event.removed.retain(|gone| {
                let artifact = &gone.artifact;
                // Removed again after it was stored again, it is told once.
                named.contains(artifact)
                    && since.get(artifact) == Some(&at)
                    && !self.inner.artifacts.contains(artifact)
            });
            if !event.policy.ends_with(BEFORE) {
                event.policy.push_str(BEFORE);
            }
        }
        removed.retain(|event| !event.removed.is_empty());
    }
}

/// What a fork's workflow may not change, because what is inherited rests on it: the key, and why.
fn contradiction(parent: &Definition, fork: &Definition) -> Option<String> {
    let why = |key: &str, why: &str| {
        Some(format!(
            "{key} cannot differ in a fork: {why}; leave it as it is, or start a new run (`--at 0`)"
        ))
    };
    if parent.run.task != fork.run.task {
        return why("run.task", "the labels that it inherits are of the task");
    }
    if parent.run.mode != fork.run.mode {
        return why("run.mode", "what it inherits was measured as the mode says");
    }
    let key = differing_key(&parent.pool, &fork.pool)?;
    let key = match key.as_str() {
        "answers" => "annotator.columns".to_owned(),
        key => format!("pool.{key}"),
    };
    why(&key, "what it inherits was picked from the pool, and split, as it is")
}

/// The first key in which two pools differ.
fn differing_key(a: &PoolSpec, b: &PoolSpec) -> Option<String> {
    // What is usual is left out, so either may lack a key of the other.
    let keys = |of: &PoolSpec| match serde_json::to_value(of) {
        Ok(Value::Object(keys)) => keys,
        Ok(_) | Err(_) => serde_json::Map::new(),
    };
    let (a, b) = (keys(a), keys(b));
    a.keys().chain(b.keys()).find(|key| a.get(*key) != b.get(*key)).cloned()
}
