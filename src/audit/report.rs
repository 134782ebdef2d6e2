//! A run as a report: what it chose, what it measured, which models it made, and whether its record holds.
//!
//! | part | what it does |
//! |---|---|
//! | here | folds a log into a [`Report`] |
//! | [`value`] | what a report says |
//! | [`html`] | the report as one page that needs nothing else |
//! | [`curve`] | its learning curve as a chart |
//!
//! Pure: whoever has the records hands them in. What a log does not hold is added afterwards: how samples look, what the
//! verification found.

pub mod curve;
pub mod html;
pub mod value;

use super::base64;
use super::verify::Verification;
use crate::domain::definition::Definition;
use crate::domain::event::{
    Annotated, Arm, BatchSelected, ClassesMeasured, Event, ModelSelected, ModelsCompared, Pick,
    Trained,
};
use crate::domain::ids::{CycleNumber, Name, RunId, SampleId};
use crate::domain::label::{ClassSet, Label};
use crate::domain::meaning::SemanticDigest;
use crate::domain::state::{IllegalEvent, Phase, Run};
use crate::domain::task::Task;
use crate::domain::time::Timestamp;
use crate::pool::Shown;
use crate::store::Recorded;
use std::collections::{BTreeMap, VecDeque};
use value::{
    Balance, Batch, BatchLine, Change, Changed, Cost, CycleReport, Failure, Look, PickReport,
    Report, Spread, Stands,
};

/// Folds a log into a report. It holds no more picks than the report shows, however many the log has.
#[derive(Debug)]
pub struct Gathering<'a> {
    definition: &'a Definition,
    /// How many picks the report shows.
    picks_max: usize,
    run: Run,
    events: u64,
    semantic: SemanticDigest,
    times: Option<(Timestamp, Timestamp)>,
    cancelled: Option<String>,
    /// What the log says of each cycle beside its summary.
    details: Vec<Details>,
    changes: Vec<Change>,
    classes: Option<ClassesMeasured>,
    annotators: BTreeMap<Name, u64>,
    /// The newest batches, in order.
    batches: VecDeque<Batch>,
    picks: u64,
    failures: Vec<Failure>,
}

#[derive(Debug, Default)]
struct Details {
    batch: Option<BatchLine>,
    trained: Option<Trained>,
    compared: Option<ModelsCompared>,
    selected: Option<ModelSelected>,
}

impl<'a> Gathering<'a> {
    /// A run of which nothing has happened yet; the report will show its newest `picks_max` picks.
    #[must_use]
    pub fn new(run: RunId, definition: &'a Definition, picks_max: usize) -> Self {
        Self {
            definition,
            picks_max,
            run: Run::new(run),
            events: 0,
            semantic: SemanticDigest::default(),
            times: None,
            cancelled: None,
            details: Vec::new(),
            changes: Vec::new(),
            classes: None,
            annotators: BTreeMap::new(),
            batches: VecDeque::new(),
            picks: 0,
            failures: Vec::new(),
        }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// [`IllegalEvent`] for one that cannot follow.
    pub fn take(&mut self, recorded: &Recorded) -> Result<(), IllegalEvent> {
        let (cycle, at) = (recorded.cycle.cycle, recorded.recorded);
        match &recorded.event {
            Event::CycleStarted(_) => self.details.push(Details::default()),
            Event::BatchSelected(batch) => self.select(cycle, batch),
            Event::Annotated(annotated) => self.annotate(annotated),
            Event::Voted(voted) => {
                for vote in &voted.votes {
                    *self.annotators.entry(vote.annotator.clone()).or_default() += 1;
                }
            }
            Event::Trained(trained) => self.detail(|it| it.trained = Some(trained.clone())),
            Event::ModelsCompared(compared) => {
                self.detail(|it| it.compared = Some(compared.clone()));
            }
            Event::ModelSelected(selected) => {
                self.detail(|it| it.selected = Some(selected.clone()));
            }
            Event::ClassesMeasured(measured) => self.classes = Some(measured.clone()),
            Event::CycleFailed(failed) => {
                self.failures.push(Failure { cycle, at, failed: failed.clone() });
            }
            Event::CycleCancelled(cancelled) => self.cancelled = Some(cancelled.reason.clone()),
            Event::RolledBack(back) => {
                let what = Changed::RolledBack { model: back.model, previous: back.previous };
                self.changes.push(Change { cycle, at, what, reason: back.reason.clone() });
            }
            Event::Pinned(pinned) => {
                let what = if pinned.pinned { Changed::Pinned } else { Changed::Unpinned };
                self.changes.push(Change { cycle, at, what, reason: pinned.reason.clone() });
            }
            // Their summaries are folded by the run itself.
            Event::RunStarted(_)
            | Event::KpiChecked(_)
            | Event::CycleEnded(_)
            | Event::RunEnded(_)
            | Event::Relabelled(_)
            | Event::LabelsDoubted(_)
            | Event::BaselineMeasured(_)
            | Event::DriftChecked(_)
            | Event::Forked(_)
            | Event::ArtifactsRemoved(_)
            | Event::SampleErased(_) => {}
        }
        self.run.apply(&recorded.event)?;
        self.semantic.add(cycle, &recorded.event);
        self.events += 1;
        self.times = Some((self.times.map_or(at, |(begun, _)| begun), at));
        Ok(())
    }

    fn detail(&mut self, change: impl FnOnce(&mut Details)) {
        if let Some(details) = self.details.last_mut() {
            change(details);
        }
    }

    fn select(&mut self, cycle: CycleNumber, batch: &BatchSelected) {
        let mut arms = BTreeMap::new();
        for pick in &batch.picks {
            *arms.entry(pick.arm).or_default() += 1;
        }
        let line = BatchLine {
            strategy: batch.strategy.clone(),
            strategy_version: batch.strategy_version,
            model: batch.model,
            provider: batch.provider.clone(),
            candidates: batch.candidates,
            cutoff: batch.cutoff,
            arms,
        };
        self.detail(|it| it.batch = Some(line));
        let count = batch.picks.len() as u64;
        self.picks += count;
        let report = |pick: &Pick| PickReport {
            pick: pick.clone(),
            above_cutoff: pick
                .score
                .zip(batch.cutoff)
                .map(|(score, cutoff)| score - cutoff)
                .filter(|_| pick.arm == Arm::Strategy),
            label: None,
            before: self.run.labels.get(&pick.sample).map(|known| known.label),
            annotator: None,
            answers: Vec::new(),
            look: None,
        };
        let picks = batch.picks.iter().map(report).collect();
        self.batches.push_back(Batch { cycle, picks, count });
        let held: usize = self.batches.iter().map(|batch| batch.picks.len()).sum();
        let mut over = held.saturating_sub(self.picks_max);
        while let Some(oldest) = self.batches.front_mut().filter(|_| over > 0) {
            let most = oldest.picks.len().saturating_sub(over);
            over = over.saturating_sub(oldest.picks.len());
            if most == 0 {
                self.batches.pop_front();
            } else {
                first_ranks(&mut oldest.picks, most);
                over = 0;
            }
        }
    }

    fn annotate(&mut self, annotated: &Annotated) {
        let said: BTreeMap<&SampleId, _> =
            annotated.labels.iter().map(|said| (&said.sample, said)).collect();
        if !self.definition.votes() {
            for said in said.values() {
                *self.annotators.entry(said.annotator.clone()).or_default() += 1;
            }
        }
        for report in self.batches.back_mut().map(|batch| &mut batch.picks).into_iter().flatten() {
            if let Some(said) = said.get(&report.pick.sample) {
                report.before = Some(said.label);
                report.annotator = Some(said.annotator.clone());
            }
        }
    }

    /// The report as far as the log tells it; `verification` is what was found of the record.
    #[must_use]
    pub fn finish(self, verification: Verification) -> Report {
        let Self { definition, run, .. } = self;
        let classes =
            run.started.as_ref().map(|started| started.classes.clone()).unwrap_or_default();
        let (begun, newest) = self.times.unzip();
        let mut details = self.details.into_iter();
        let cycles = run.history.iter().map(|summary| {
            let Details { batch, trained, compared, selected } = details.next().unwrap_or_default();
            CycleReport { summary: summary.clone(), batch, trained, compared, selected }
        });
        let mut batches: Vec<Batch> = self.batches.into_iter().rev().collect();
        for report in batches.iter_mut().flat_map(|batch| &mut batch.picks) {
            settle(report, &run);
        }
        let prices = definition.answers;
        Report {
            run: run.id,
            name: definition.run.name.clone(),
            task: definition.run.task,
            mode: definition.run.mode,
            metric: definition.kpi.metric,
            target: definition.kpi.target,
            confidence: definition.kpi.confidence,
            workflow: definition.digest(),
            seed: definition.run.seed,
            stands: match (&run.phase, &run.failed) {
                (Phase::Ended(reason), _) => Stands::Ended(*reason),
                (_, Some(failed)) => Stands::Failed(failed.clone()),
                (phase, None) => Stands::Active(phase.name().to_owned()),
            },
            cancelled: self.cancelled,
            begun,
            newest,
            events: self.events,
            labelled: run.labelled(),
            production: run.production,
            pinned: run.pinned,
            cycles: cycles.collect(),
            changes: self.changes,
            random: None,
            balance: balance(&run, definition.run.task, classes.len(), self.classes.as_ref()),
            spread: spread(&run),
            classes,
            cost: Cost {
                answers: run.answers,
                annotators: self.annotators,
                spent_seconds: run.spent.as_secs_f64(),
                money: prices.is_priced().then(|| prices.cost(run.answers, run.spent)),
            },
            batches,
            picks: self.picks,
            unseen: None,
            failures: self.failures,
            semantic_digest: self.semantic.finish(),
            verification,
        }
    }
}

/// Of each arm the first ranks, so that `most` picks are left, in the order of a batch.
fn first_ranks(picks: &mut Vec<PickReport>, most: usize) {
    picks.sort_by_key(|report| (report.pick.rank, report.pick.arm));
    picks.truncate(most);
    picks.sort_by_key(|report| (report.pick.arm, report.pick.rank));
}

/// What became of a pick.
fn settle(report: &mut PickReport, run: &Run) {
    let sample = &report.pick.sample;
    report.label = run.labels.get(sample).map(|known| known.label);
    report.before = report.before.filter(|before| Some(*before) != report.label);
    let ballots = run.votes.get(sample).into_iter().flatten();
    report.answers = ballots.map(|ballot| (ballot.annotator.clone(), ballot.label)).collect();
}

fn balance(
    run: &Run,
    task: Task,
    classes: usize,
    measured: Option<&ClassesMeasured>,
) -> Vec<Balance> {
    if !matches!(task, Task::Classification | Task::MultiLabel) {
        return Vec::new();
    }
    let of = |class: u32| {
        let kpi = measured.and_then(|measured| {
            measured.classes.iter().find(|measured| measured.class == class).copied()
        });
        Balance { class, chosen: 0, audit: 0, kpi }
    };
    let mut balance: Vec<Balance> =
        (0..).take(classes).map_while(|class| u32::try_from(class).ok()).map(of).collect();
    let mut count = |class: usize, arm: Arm| {
        if let Some(line) = balance.get_mut(class) {
            *(if arm == Arm::Audit { &mut line.audit } else { &mut line.chosen }) += 1;
        }
    };
    for known in run.labels.values() {
        match known.label {
            Label::Class(class) => count(class as usize, known.arm),
            Label::Classes(set) => (0..ClassSet::CLASSES_MAX)
                .filter(|class| set.holds(*class))
                .for_each(|class| count(class, known.arm)),
            Label::Value(_) | Label::Mask(_) | Label::Erased(_) => {}
        }
    }
    balance
}

fn spread(run: &Run) -> Vec<Spread> {
    let mut values: BTreeMap<Arm, Vec<f64>> = BTreeMap::new();
    for known in run.labels.values() {
        if let Label::Value(value) = known.label {
            values.entry(known.arm).or_default().push(value.get());
        }
    }
    let of = |(arm, mut values): (Arm, Vec<f64>)| {
        values.sort_by(f64::total_cmp);
        let [least, median, most] =
            [0, values.len() / 2, values.len() - 1].map(|place| values.get(place).copied());
        let labels = values.len() as u64;
        Some(Spread { arm, labels, least: least?, median: median?, most: most? })
    };
    values.into_iter().filter_map(of).collect()
}

impl Report {
    /// The samples whose looks the report shows.
    #[must_use]
    pub fn samples(&self) -> Vec<SampleId> {
        let picks = self.batches.iter().flat_map(|batch| &batch.picks);
        picks.map(|report| report.pick.sample.clone()).collect()
    }

    /// Adds how samples look, in the order of [`Report::samples`].
    pub fn show(&mut self, looks: Vec<Option<Shown>>) {
        let picks = self.batches.iter_mut().flat_map(|batch| &mut batch.picks);
        for (report, shown) in picks.zip(looks) {
            report.look = shown.map(|shown| match shown {
                Shown::Picture { png, height, width } => {
                    Look::Picture { png: base64::encode(&png), height, width }
                }
                Shown::Text(text) => Look::Text(text),
                Shown::Numbers { first, count } => Look::Numbers { first, count },
            });
        }
    }
}
