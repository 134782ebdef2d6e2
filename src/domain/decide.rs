//! The rules: what a command leads to in a run, or why it is refused. The only place with policy.

use super::command::{Command, Measurement};
use super::definition::{ColdStart, Definition, Inconclusive, Mode, SelectorModel};
use super::digest::Digest;
use super::event::{
    Annotated, Annotation, Arm, ClassesMeasured, CycleEnded, CycleStarted, EndReason, Event,
    KpiChecked, KpiStage, Relabelled, RolledBack, RunEnded, RunStarted, Voted, labelled_set_digest,
};
use super::ids::{CycleNumber, SampleId};
use super::job::JobKind;
use super::kpi::{self, Basis, Verdict};
use super::state::{IllegalEvent, Phase, Run};
use super::stop;
use super::task::Task;
use super::time::Timestamp;

/// What a command leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What to append, in order, each with the cycle whose log takes it.
    pub events: Vec<(CycleNumber, Event)>,
    /// The run after these events.
    pub run: Run,
    /// The work that follows, if the command called for more.
    pub next: Option<(CycleNumber, JobKind)>,
    /// Whether the run's unfinished jobs are void.
    pub cancels_jobs: bool,
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It does not fit where the run is.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// The batch is larger than the workflow allows.
    #[error("a batch of {picks} was selected where at most {allowed} are allowed")]
    BatchTooLarge {
        /// How many were picked.
        picks: usize,
        /// How many may be.
        allowed: usize,
    },
    /// The run would begin with another workflow than the one it is decided by.
    #[error("the run would begin with another workflow digest, seed or gate than its workflow has")]
    OtherWorkflow,
    /// The events that a fork would inherit do not end with the end of its last inherited cycle.
    #[error(
        "a fork begins after a cycle that has ended, and what it would inherit of cycle {cycle} does not end it"
    )]
    PastNotOver {
        /// The last cycle that it would inherit.
        cycle: CycleNumber,
    },
    /// A fork that a rule of `[stop]` would end before its first cycle.
    #[error(
        "after cycle {cycle} the fork would end at once ({reason:?}): {}",
        way_out(*cycle, *reason)
    )]
    OverAlready {
        /// The last cycle that it would inherit.
        cycle: CycleNumber,
        /// Which rule.
        reason: EndReason,
    },
    /// The cycle would select with another model than the workflow names.
    #[error("the cycle would select with {}, but {wanted}", match given { Some(model) => model.to_string(), None => "no model".to_owned() })]
    OtherSelectorModel {
        /// The model it would select with.
        given: Option<Digest>,
        /// What the workflow wants, for people.
        wanted: &'static str,
    },
    /// A label of another task than the workflow's.
    #[error("the label of sample {sample} is one for {found}, but the workflow's task is {task}")]
    OtherTask {
        /// The sample.
        sample: SampleId,
        /// What its label is for.
        found: Task,
        /// What the workflow learns.
        task: Task,
    },
    /// Training used other labels than the run knows.
    #[error("training used the labels {used}, but the run knows the labels {known}")]
    OtherLabels {
        /// The digest of the labels it used.
        used: Digest,
        /// The digest of the labels that the run knows.
        known: Digest,
    },
    /// The run knows labels that were erased.
    #[error("the label of sample {sample} was erased: a run that had it goes no further")]
    Erased {
        /// Of which sample.
        sample: SampleId,
    },
    /// No model was ever promoted.
    #[error("the run has no production model yet")]
    NoModel,
    /// Everything of the run is kept.
    #[error("nothing of the run is removed or erased: {why}")]
    Kept {
        /// Why.
        why: &'static str,
    },
    /// The run is over.
    #[error("the run has ended ({reason:?})")]
    Ended {
        /// Why it ended.
        reason: EndReason,
    },
}

/// What has a fork go on where it would end.
fn way_out(cycle: CycleNumber, reason: EndReason) -> String {
    let rule = match reason {
        EndReason::MaxCycles => {
            return format!(
                "--set stop.max_cycles={} gives it five more",
                cycle.0.saturating_add(5)
            );
        }
        EndReason::PoolExhausted | EndReason::Cancelled => {
            return "nothing is left to label; name an earlier cycle".to_owned();
        }
        EndReason::KpiMet => "kpi.target, or stop.kpi",
        EndReason::MaxLabels => "stop.max_labels",
        EndReason::MaxHours => "stop.max_hours",
        EndReason::Deadline => "stop.deadline",
        EndReason::Plateau => "stop.plateau",
        EndReason::Stable => "stop.stable",
        EndReason::MaxCost => "stop.max_cost",
    };
    format!("give {rule} another value with --set, or name an earlier cycle")
}

/// What `command` leads to in `run`. Pure: same inputs, same decision.
///
/// # Errors
/// [`Refusal`] says why the command cannot be granted; nothing has happened then.
pub fn decide(run: &Run, definition: &Definition, command: Command) -> Result<Decision, Refusal> {
    let mut draft = Draft { run: run.clone(), events: Vec::new() };
    let mut cancels_jobs = false;
    match command {
        Command::StartRun(started) => draft.start_run(definition, started)?,
        Command::Fork { started, forked, past, removed, at } => {
            let cycle = forked.cycle;
            draft.start_run(definition, started)?;
            draft.push(Event::Forked(forked))?;
            for event in past {
                draft.push(event)?;
            }
            if (&draft.run.phase, draft.run.cycle) != (&Phase::BetweenCycles, cycle) {
                return Err(Refusal::PastNotOver { cycle });
            }
            check_labels(&draft.run)?;
            let met = meets_kpi(&draft.run, definition);
            if let Some(reason) = stop::reason(&draft.run, definition, met, at) {
                return Err(Refusal::OverAlready { cycle, reason });
            }
            for removed in removed {
                draft.push(Event::ArtifactsRemoved(removed))?;
            }
        }
        Command::StartCycle { pool, selector_model, previous_head } => {
            check_labels(run)?;
            draft.push(Event::CycleStarted(CycleStarted {
                workflow: definition.digest(),
                pool,
                labelled_set: known_labels(run),
                labelled: run.labelled(),
                selector_model,
                seed: definition.run.seed,
                previous_head,
            }))?;
            check_selector_model(run, definition, selector_model)?;
        }
        Command::RecordBatch { doubted, batch } => {
            if let Some(doubted) = doubted {
                draft.push(Event::LabelsDoubted(doubted))?;
            }
            let again = batch.picks.iter().filter(|pick| pick.arm == Arm::Relabel).count();
            let (picks, allowed) = (batch.picks.len() - again, batch_size(run, definition));
            draft.push(Event::BatchSelected(batch))?;
            if picks > allowed {
                return Err(Refusal::BatchTooLarge { picks, allowed });
            }
            let (picks, allowed) = (picks + again, definition.selector.batch);
            if again > 0 && picks > allowed {
                return Err(Refusal::BatchTooLarge { picks, allowed });
            }
        }
        Command::RecordLabels(labels) => {
            let other = of_other_task(definition, &labels);
            draft.push(Event::Annotated(Annotated { labels }))?;
            other.map_or(Ok(()), Err)?;
        }
        Command::RecordVotes { votes, agreed, relabelled } => {
            let other = of_other_task(definition, &votes);
            draft.push(Event::Voted(Voted { votes }))?;
            other.map_or(Ok(()), Err)?;
            // The last of the batch's labels ends the phase in which labels may change.
            if !relabelled.is_empty() {
                draft.push(Event::Relabelled(Relabelled { labels: relabelled }))?;
            }
            if !agreed.is_empty() {
                draft.push(Event::Annotated(Annotated { labels: agreed }))?;
            }
        }
        Command::CheckGate { mut measured, drift } => {
            let now = measured.at;
            if let Some(drift) = drift {
                draft.push(Event::DriftChecked(drift))?;
            }
            draft.push_classes(&mut measured)?;
            let checked = check(definition, KpiStage::Gate, measured);
            let (met, unclear) =
                (checked.verdict == Verdict::Met, checked.verdict == Verdict::Inconclusive);
            draft.push(Event::KpiChecked(checked))?;
            let met = met && !draft.run.has_drifted();
            if met || (unclear && definition.kpi.inconclusive == Inconclusive::Label) {
                draft.end_cycle(definition, met, now)?;
            }
        }
        Command::RecordTraining(trained) => {
            let (used, known) = (trained.train_set, known_labels(run));
            draft.push(Event::Trained(trained))?;
            if used != known {
                return Err(Refusal::OtherLabels { used, known });
            }
        }
        Command::SelectModel { compared, selected, mut acceptance, baseline } => {
            if let Some(compared) = compared {
                draft.push(Event::ModelsCompared(compared))?;
            }
            draft.push(Event::ModelSelected(selected))?;
            if let Some(baseline) = baseline {
                draft.push(Event::BaselineMeasured(baseline))?;
            }
            let now = acceptance.at;
            draft.push_classes(&mut acceptance)?;
            let checked = check(definition, KpiStage::Acceptance, acceptance);
            // In production the acceptance samples helped to choose the model, so they do not end a run.
            let met = checked.verdict == Verdict::Met && definition.run.mode == Mode::Development;
            draft.push(Event::KpiChecked(checked))?;
            draft.end_cycle(definition, met, now)?;
        }
        Command::Fail(failed) => draft.push(Event::CycleFailed(failed))?,
        Command::RollBack { model, reason } => {
            let previous = run.production.ok_or(Refusal::NoModel)?;
            draft.push(Event::RolledBack(RolledBack { model, previous, reason }))?;
        }
        Command::Pin(pinned) => draft.push(Event::Pinned(pinned))?,
        Command::RemoveArtifacts(removed) => {
            check_over(run)?;
            if run.pinned {
                return Err(Refusal::Kept { why: "its production model is pinned" });
            }
            draft.push(Event::ArtifactsRemoved(removed))?;
        }
        Command::EraseSample { removed, erased } => {
            check_over(run)?;
            if let Some(removed) = removed {
                draft.push(Event::ArtifactsRemoved(removed))?;
            }
            draft.push(Event::SampleErased(erased))?;
        }
        Command::Cancel(cancelled) => {
            if let Phase::Ended(reason) = run.phase {
                return Err(Refusal::Ended { reason });
            }
            draft.push(Event::CycleCancelled(cancelled))?;
            draft.end_run(EndReason::Cancelled)?;
            cancels_jobs = true;
        }
    }
    // A step that stays the next one is out already: after one of several deliveries of labels, or after a failure.
    let next = draft.run.next_step().filter(|step| run.next_step() != Some(*step));
    Ok(Decision { events: draft.events, run: draft.run, next, cancels_jobs })
}

/// How many samples without a label the batch of the run's present cycle may hold.
#[must_use]
pub fn batch_size(run: &Run, definition: &Definition) -> usize {
    let wanted = if is_cold_start(run, definition) {
        match &definition.selector.cold_start {
            ColdStart::PerClass(count) => count
                .saturating_mul(run.started.as_ref().map_or(0, |started| started.classes.len())),
            ColdStart::Random(count) | ColdStart::Strategy(_, count) => *count,
        }
    } else {
        definition.selector.batch
    };
    let left = definition.stop.max_labels.map(|most| most.saturating_sub(run.labels.len()));
    left.map_or(wanted, |left| wanted.min(left))
}

/// Whether the present cycle has no model to select with.
#[must_use]
pub fn is_cold_start(run: &Run, definition: &Definition) -> bool {
    match definition.selector.model {
        SelectorModel::Production => run.production.is_none(),
        SelectorModel::File(_) | SelectorModel::Pool => false,
    }
}

/// The digest of every label so far.
fn known_labels(run: &Run) -> Digest {
    labelled_set_digest(run.labels.iter().map(|(sample, known)| (sample, known.label)))
}

/// A later step of a run that goes on may need whatever there is.
fn check_over(run: &Run) -> Result<(), Refusal> {
    let over = matches!(run.phase, Phase::Ended(_));
    if over { Ok(()) } else { Err(Refusal::Kept { why: "it is not over" }) }
}

/// Nobody learns from what was erased.
fn check_labels(run: &Run) -> Result<(), Refusal> {
    let erased = run.labels.iter().find(|(_, known)| known.label.is_erased());
    erased.map_or(Ok(()), |(sample, _)| Err(Refusal::Erased { sample: sample.clone() }))
}

/// The refusal of answers of another task than the workflow's.
fn of_other_task(definition: &Definition, answers: &[Annotation]) -> Option<Refusal> {
    let task = definition.run.task;
    let other = answers.iter().find(|said| said.label.task() != task)?;
    Some(Refusal::OtherTask { sample: other.sample.clone(), found: other.label.task(), task })
}

fn check_selector_model(
    run: &Run,
    definition: &Definition,
    given: Option<Digest>,
) -> Result<(), Refusal> {
    let (fits, wanted) = match definition.selector.model {
        SelectorModel::Production => {
            (given == run.production, "the workflow wants the production model")
        }
        SelectorModel::File(_) => (given.is_some(), "the workflow names a model file"),
        SelectorModel::Pool => (given.is_none(), "the workflow takes the pool's own predictions"),
    };
    if fits { Ok(()) } else { Err(Refusal::OtherSelectorModel { given, wanted }) }
}

fn check(definition: &Definition, stage: KpiStage, measured: Measurement) -> KpiChecked {
    let target = definition.kpi.target;
    let basis = match definition.run.mode {
        Mode::Development => Basis::Value,
        Mode::Production => Basis::Interval,
    };
    let Measurement { value, interval, .. } = measured;
    KpiChecked {
        stage,
        metric: measured.metric,
        estimator: measured.estimator,
        model: measured.model,
        n: measured.n,
        value,
        interval,
        target,
        basis,
        verdict: kpi::verdict(basis, value, interval, target, definition.kpi.metric.direction()),
    }
}

/// Whether the newest cycle's measurement meets the KPI of this workflow, which another one may have measured.
fn meets_kpi(run: &Run, definition: &Definition) -> bool {
    let line = run.history.last();
    let checked = match definition.run.mode {
        Mode::Development => line.and_then(|line| line.acceptance.as_ref()),
        // As when the cycle was decided: what chose the model does not end a run, nor does a target that a drift denies.
        Mode::Production => line
            .filter(|line| line.checkpoints.is_none() && !run.has_drifted())
            .and_then(|line| line.gate.as_ref()),
    };
    let metric = definition.kpi.metric;
    checked.filter(|checked| checked.metric == *metric.to_string()).is_some_and(|checked| {
        let KpiChecked { basis, value, interval, .. } = *checked;
        let target = definition.kpi.target;
        kpi::verdict(basis, value, interval, target, metric.direction()) == Verdict::Met
    })
}

/// Events under construction: each one is applied at once, so the next sees what it changed.
struct Draft {
    run: Run,
    events: Vec<(CycleNumber, Event)>,
}

impl Draft {
    fn push(&mut self, event: Event) -> Result<(), IllegalEvent> {
        let log = self.run.log_of(&event);
        self.run.apply(&event)?;
        self.events.push((log, event));
        Ok(())
    }

    fn start_run(&mut self, definition: &Definition, started: RunStarted) -> Result<(), Refusal> {
        let (digest, seed, gate) = (definition.digest(), definition.run.seed, definition.kpi.gate);
        let fits = (started.workflow, started.seed, started.gate) == (digest, seed, gate);
        self.push(Event::RunStarted(started))?;
        if fits { Ok(()) } else { Err(Refusal::OtherWorkflow) }
    }

    fn push_classes(&mut self, measured: &mut Measurement) -> Result<(), IllegalEvent> {
        let classes = std::mem::take(&mut measured.by_class);
        if classes.is_empty() {
            return Ok(());
        }
        let (metric, model) = (measured.metric.clone(), measured.model);
        self.push(Event::ClassesMeasured(ClassesMeasured { metric, model, classes }))
    }

    fn end_cycle(
        &mut self,
        definition: &Definition,
        kpi_met: bool,
        now: Timestamp,
    ) -> Result<(), IllegalEvent> {
        let (labelled, production) = (self.run.labelled(), self.run.production);
        self.push(Event::CycleEnded(CycleEnded { labelled, production }))?;
        stop::reason(&self.run, definition, kpi_met, now)
            .map_or(Ok(()), |reason| self.end_run(reason))
    }

    fn end_run(&mut self, reason: EndReason) -> Result<(), IllegalEvent> {
        self.push(Event::RunEnded(RunEnded {
            reason,
            cycles: self.run.cycle,
            labelled: self.run.labelled(),
            production: self.run.production,
        }))
    }
}
