//! Two futures beside each other: what each cycle of two runs bought, cost and brought, and what each needed for the target.
//!
//! Pure. Two runs share what one inherited from the other, or both from a third; two that have nothing in common can be
//! compared as well.

use super::replay::Replay;
use crate::domain::definition::AnswersSpec;
use crate::domain::event::KpiChecked;
use crate::domain::ids::{CycleNumber, Name, RunId};
use crate::domain::kpi::Verdict;
use crate::domain::metric::Metric;
use crate::domain::state::{CycleSummary, Run};
use serde::{Deserialize, Serialize};

/// Two futures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Futures {
    /// The last cycle that both have from one run; 0 where there is none.
    pub common: CycleNumber,
    /// The one.
    pub a: Future,
    /// The other.
    pub b: Future,
    /// Both measured with as many labels, as far as they go; `None` where they measured by different metrics, or not yet.
    pub at_equal_labels: Option<Equal>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Future {
    /// Cycle by cycle.
    pub turns: Vec<Turn>,
    /// The first cycle that met the target, by the last measurement of each cycle.
    pub reached: Option<CycleNumber>,
    /// The cycle with the best measurement; the earliest, where several are alike.
    pub best: Option<CycleNumber>,
}

/// A cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Which.
    pub cycle: CycleNumber,
    /// The strategy that picked its batch; `None` before there is one.
    pub strategy: Option<String>,
    /// How many labels it bought.
    pub bought: u64,
    /// How many were known after it.
    pub labelled: u64,
    /// How many answers annotators had given after it, since the run began.
    pub answers: u64,
    /// The time they had spent, in seconds.
    pub spent_seconds: f64,
    /// What that had cost by the prices of this future's workflow; `None` where nothing costs anything.
    pub cost: Option<f64>,
    /// The gate, if it was asked.
    pub gate: Option<KpiChecked>,
    /// The measurement of what was trained.
    pub acceptance: Option<KpiChecked>,
}

/// Two measurements by one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Equal {
    /// With at most so many labels.
    pub labelled: u64,
    /// The metric.
    pub metric: Name,
    /// The last measurement of the one.
    pub a: f64,
    /// And of the other.
    pub b: f64,
}

/// Who picked in a cycle, and what annotation had come to after it, or up to now.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) strategy: Option<String>,
    pub(super) answers: u64,
    pub(super) spent: std::time::Duration,
}

impl Turn {
    /// The last measurement of the cycle.
    #[must_use]
    pub fn measured(&self) -> Option<&KpiChecked> {
        self.acceptance.as_ref().or(self.gate.as_ref())
    }

    fn of(line: &CycleSummary, before: u64, tally: &Tally, prices: &AnswersSpec) -> Self {
        Self {
            cycle: line.cycle,
            strategy: tally.strategy.clone(),
            bought: line.labelled.saturating_sub(before),
            labelled: line.labelled,
            answers: tally.answers,
            spent_seconds: tally.spent.as_secs_f64(),
            cost: prices.is_priced().then(|| prices.cost(tally.answers, tally.spent)),
            gate: line.gate.clone(),
            acceptance: line.acceptance.clone(),
        }
    }
}

impl Future {
    fn of(replay: &Replay, prices: &AnswersSpec) -> Self {
        let mut before = 0;
        let lines = replay.run().history.iter().zip(replay.tallies());
        let turns: Vec<Turn> = lines
            .map(|(line, tally)| {
                let turn = Turn::of(line, before, tally, prices);
                before = line.labelled;
                turn
            })
            .collect();
        let met = |turn: &&Turn| turn.measured().is_some_and(|is| is.verdict == Verdict::Met);
        let reached = turns.iter().find(met).map(|turn| turn.cycle);
        let mut best: Option<&Turn> = None;
        for turn in &turns {
            let (Some(value), known) = (turn.measured(), best.and_then(Turn::measured)) else {
                continue;
            };
            if known.is_none_or(|known| gain(value, known).is_some_and(|gain| gain > 0.0)) {
                best = Some(turn);
            }
        }
        let best = best.map(|turn| turn.cycle);
        Self { turns, reached, best }
    }

    /// One of its cycles.
    #[must_use]
    pub fn turn(&self, cycle: CycleNumber) -> Option<&Turn> {
        self.turns.iter().find(|turn| turn.cycle == cycle)
    }

    /// The last measurement with at most so many labels.
    fn measured_with(&self, labelled: u64) -> Option<&KpiChecked> {
        let known = self.turns.iter().rev().filter(|turn| turn.labelled <= labelled);
        known.filter_map(Turn::measured).next()
    }

    /// The labels of the last cycle that was measured.
    fn labels_measured(&self) -> Option<u64> {
        let measured = self.turns.iter().rev().find(|turn| turn.measured().is_some());
        measured.map(|turn| turn.labelled)
    }
}

/// How much better a measurement is than another of the same metric; below 0 where it is worse.
fn gain(is: &KpiChecked, was: &KpiChecked) -> Option<f64> {
    let metric: Metric = is.metric.parse().ok().filter(|_| is.metric == was.metric)?;
    Some(metric.direction().gain(is.value, was.value))
}

impl Futures {
    /// Compares two runs, each with the prices of its workflow.
    #[must_use]
    pub fn of(a: (&Replay, &AnswersSpec), b: (&Replay, &AnswersSpec)) -> Self {
        let common = common(a.0.run(), b.0.run());
        let (a, b) = (Future::of(a.0, a.1), Future::of(b.0, b.1));
        let labelled = a.labels_measured().zip(b.labels_measured()).map(|(a, b)| a.min(b));
        let at_equal_labels = labelled.and_then(|labelled| {
            let (a, b) = (a.measured_with(labelled)?, b.measured_with(labelled)?);
            gain(a, b)?;
            Some(Equal { labelled, metric: a.metric.clone(), a: a.value, b: b.value })
        });
        Self { common, a, b, at_equal_labels }
    }
}

/// The last cycle that both runs have from the same run.
fn common(a: &Run, b: &Run) -> CycleNumber {
    let last = a.cycle.min(b.cycle);
    let mut common = CycleNumber(0);
    while common < last && decided(a, common.next()) == decided(b, common.next()) {
        common = common.next();
    }
    common
}

/// The run that made a cycle.
fn decided(run: &Run, cycle: CycleNumber) -> RunId {
    let past = run.forked.as_ref().and_then(|forked| forked.decided(cycle));
    past.map_or(run.id, |past| past.run)
}
