//! Models, measured: what a model answers for samples whose labels are known, and what metrics make of it.

use super::labels::{Known, held_out};
use super::scoring::score;
use crate::domain::chance::Chance;
use crate::domain::command::Measurement;
use crate::domain::definition::{Direction, GateEstimator};
use crate::domain::digest::Digest;
use crate::domain::event::ClassKpi;
use crate::domain::ids::CycleNumber;
use crate::domain::kpi::Interval;
use crate::domain::matrix::Matrix;
use crate::domain::metric::Metric;
use crate::domain::state::Draws;
use crate::engine::reactor::{Step, StepError};
use crate::metrics::lure::{self, Batch};
use crate::metrics::{self, ClassMeasured, MetricError, Settings};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a model makes of samples: probabilities or values, a row each.
pub(super) fn answers(step: &Step, model: Digest, rows: &[usize]) -> Result<Matrix, StepError> {
    let predictions = score(step, model, rows)?;
    Ok(predictions.meaning(step.definition.run.task, step.pool.classes().len()))
}

/// What models make of the validation split. Each goes over it once.
pub(super) struct Validation<'a> {
    step: &'a Step,
    /// The samples.
    pub(super) known: Known,
    answered: RefCell<BTreeMap<Digest, Rc<Matrix>>>,
}

impl<'a> Validation<'a> {
    pub(super) fn of(step: &'a Step) -> Result<Self, StepError> {
        let known = held_out(step, &step.pool.split().validation)?;
        Ok(Self { step, known, answered: RefCell::default() })
    }

    /// The answers of a model, a row a sample.
    pub(super) fn answers(&self, model: Digest) -> Result<Rc<Matrix>, StepError> {
        if let Some(answers) = self.answered.borrow().get(&model) {
            return Ok(Rc::clone(answers));
        }
        let fresh = Rc::new(answers(self.step, model, &self.known.rows)?);
        self.answered.borrow_mut().insert(model, Rc::clone(&fresh));
        Ok(fresh)
    }

    /// The workflow's KPI of a model.
    pub(super) fn kpi(&self, model: Digest) -> Result<Measurement, StepError> {
        if self.known.rows.is_empty() {
            return kpi(self.step, model, "validation", &self.known);
        }
        kpi_of_answers(self.step, model, "validation", &self.known, &*self.answers(model)?)
    }
}

/// The confidence of intervals, and where the chance of their resampling comes from.
pub(super) fn settings(step: &Step, confidence: f64, purpose: &'static str) -> Settings {
    let seed = step.definition.run.seed;
    let chance = Chance { seed, cycle: step.cycle().cycle, purpose };
    Settings { confidence, seed: chance.draw("") }
}

/// The workflow's KPI of `model` on samples with known labels.
pub(super) fn kpi(
    step: &Step,
    model: Digest,
    estimator: &'static str,
    known: &Known,
) -> Result<Measurement, StepError> {
    if known.rows.is_empty() {
        return Ok(unknown(step, model, estimator, 0));
    }
    kpi_of_answers(step, model, estimator, known, &answers(step, model, &known.rows)?)
}

fn kpi_of_answers(
    step: &Step,
    model: Digest,
    estimator: &'static str,
    known: &Known,
    answers: &Matrix,
) -> Result<Measurement, StepError> {
    let (kpi, n) = (&step.definition.kpi, known.rows.len() as u64);
    let (task, classes) = (step.definition.run.task, step.pool.classes().len());
    let settings = settings(step, kpi.confidence, "interval of the KPI");
    match metrics::measure(kpi.metric, task, classes, answers, &known.numbers, settings) {
        Ok(found) => Ok(Measurement {
            by_class: by_class(&found.per_class),
            ..measurement(step, model, estimator, n, found.value, found.interval)
        }),
        Err(MetricError::Undefined { .. }) => Ok(unknown(step, model, estimator, n)),
        Err(error) => Err(StepError::permanent(error)),
    }
}

/// The measurement that tells nothing: whatever the target, it is neither met nor missed.
fn unknown(step: &Step, model: Digest, estimator: &'static str, n: u64) -> Measurement {
    measurement(step, model, estimator, n, 0.0, range(step.definition.kpi.metric))
}

/// A measurement of the workflow's KPI, made now.
fn measurement(
    step: &Step,
    model: Digest,
    estimator: &'static str,
    n: u64,
    value: f64,
    interval: Interval,
) -> Measurement {
    Measurement {
        metric: step.definition.kpi.metric.to_string().into(),
        estimator: estimator.into(),
        model,
        n,
        at: step.clock.now(),
        value,
        interval,
        by_class: Vec::new(),
    }
}

/// What was found of each class on which something can be.
fn by_class(found: &[Option<ClassMeasured>]) -> Vec<ClassKpi> {
    let found = (0..).zip(found).filter_map(|(class, found)| Some((class, (*found)?)));
    let kpi = |(class, found): (u32, ClassMeasured)| ClassKpi {
        class,
        n: found.n,
        value: found.value,
        interval: found.interval,
    };
    found.map(kpi).collect()
}

/// All that a metric can be.
fn range(metric: Metric) -> Interval {
    Interval { low: 0.0, high: metric.most().unwrap_or(f64::MAX) }
}

/// The KPI by samples that a strategy drew by chance, each weighted by its chance.
pub(super) fn kpi_of_draws(
    step: &Step,
    model: Digest,
    known: &Known,
    draws: &[Draws],
) -> Result<Measurement, StepError> {
    let kpi = &step.definition.kpi;
    if draws.is_empty() {
        let nobody = Known { rows: Vec::new(), ..known.clone() };
        return self::kpi(step, model, name(GateEstimator::Lure), &nobody);
    }
    let values = of_each(step, kpi.metric, &answers(step, model, &known.rows)?, known)?;
    let value_of: BTreeMap<usize, f64> = known.rows.iter().copied().zip(values).collect();
    let batches: Vec<(usize, Vec<f64>, Vec<f64>)> = draws
        .iter()
        .map(|draws| {
            let value = |(sample, _): &(_, f64)| {
                let row = step.pool.index_of(sample);
                row.and_then(|row| value_of.get(&row).copied()).unwrap_or(f64::NAN)
            };
            let candidates = usize::try_from(draws.candidates).unwrap_or(usize::MAX);
            let probabilities = draws.drawn.iter().map(|(_, probability)| *probability).collect();
            (candidates, probabilities, draws.drawn.iter().map(value).collect())
        })
        .collect();
    let batches: Vec<Batch<'_>> = batches
        .iter()
        .map(|(pool, probabilities, values)| Batch { pool: *pool, probabilities, values })
        .collect();
    let found = lure::estimate(&batches, range(kpi.metric), kpi.confidence)
        .map_err(StepError::permanent)?;
    let lure = name(GateEstimator::Lure);
    Ok(measurement(step, model, lure, found.n, found.value, found.interval))
}

/// The metric of each sample by itself, where it is a mean over samples.
fn of_each(
    step: &Step,
    metric: Metric,
    answers: &Matrix,
    known: &Known,
) -> Result<Vec<f64>, StepError> {
    let (task, classes) = (step.definition.run.task, step.pool.classes().len());
    (0..answers.rows())
        .map(|row| {
            let (answer, label) = (answers.select_rows(&[row]), known.numbers.select_rows(&[row]));
            metrics::value(metric, task, classes, &answer, &label).map_err(StepError::permanent)
        })
        .collect()
}

/// An estimator, as events name it.
pub(super) const fn name(estimator: GateEstimator) -> &'static str {
    match estimator {
        GateEstimator::Audit => "audit",
        GateEstimator::Lure => "lure",
        GateEstimator::Batch => "batch",
    }
}

/// What `[model_selector]` may go by: a metric, measured on the validation split.
#[derive(Debug, Clone, Copy)]
pub(super) struct Criterion(Metric);

impl Criterion {
    /// The criterion of this name; workflows have been checked.
    pub(super) fn of(name: &str) -> Result<Self, StepError> {
        let metric = match name.strip_prefix("validation.") {
            Some("loss") => Some(Metric::LogLoss),
            Some(metric) => metric.parse().ok(),
            None => None,
        };
        metric.map(Self).ok_or_else(|| {
            StepError::permanent(format!(
                "models cannot be measured by {name:?}: use validation.loss, or validation. and the name of a metric"
            ))
        })
    }

    /// Goes by this metric.
    pub(super) const fn by(metric: Metric) -> Self {
        Self(metric)
    }

    /// The metric.
    pub(super) const fn metric(self) -> Metric {
        self.0
    }

    /// The value of answers.
    pub(super) fn value(
        self,
        step: &Step,
        answers: &Matrix,
        known: &Known,
    ) -> Result<f64, StepError> {
        let (task, classes) = (step.definition.run.task, step.pool.classes().len());
        match metrics::value(self.0, task, classes, answers, &known.numbers) {
            // Only shares can be undefined: a model that never names a class has no precision to speak of.
            Err(MetricError::Undefined { .. }) => Ok(0.0),
            found => found.map_err(StepError::permanent),
        }
    }

    /// More is better, as the metric goes.
    pub(super) const fn direction(self) -> Direction {
        self.0.direction()
    }
}

/// The first cycle's number, for chance that must not depend on the cycle.
pub(super) const ALWAYS: CycleNumber = CycleNumber(0);
