//! A metric by class: the value of each, how sure that is, and how many samples it rests on.
//!
//! What a class's value is stands in [`super::statistic`], the whole in [`super::measure`].

use super::bootstrap::Sums;
use super::interval::Part;
use super::measure::{ANYTHING, MetricError, fitted, from_resamples};
use super::statistic::Case;
use crate::domain::kpi::Interval;
use crate::domain::matrix::Matrix;
use crate::domain::metric::Metric;
use crate::domain::task::Task;

/// A metric of one class, measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassMeasured {
    /// The value. Accuracy and balanced accuracy: the class's recall (in multi-label: how often it is judged rightly);
    /// F1, precision, recall, intersection over union: the class's own, of two classes both; log loss: the mean over the
    /// class's labels.
    pub value: f64,
    /// Where the value of the whole population lies. It holds `value`. Of several classes each has the confidence that
    /// was asked for by itself: that all hold the truth at once is less likely.
    ///
    /// Wilson's where each of the `n` samples is right or wrong: shares of classification and multi-label. F1 is
    /// `2 J / (1 + J)` of the share J of hits among all that has or is given the class, and so are the ends. Else from
    /// the resamples of the whole, as the whole is: log loss, and pixels, of which one image has many. An end that
    /// resamples do not tell (because all agree) is Wilson's of the images, for log loss `f64::MAX`.
    pub interval: Interval,
    /// How many samples the value rests on: those on which alone it could be measured, which for recall and log loss are
    /// those that have the class, for precision those that are given it, for F1 and intersection over union both.
    pub n: u64,
}

/// The values that [`super::measure()`] gives by class, without the work of intervals: in the order of the classes; `None`
/// for a class on which the metric cannot be measured; empty for a metric that is not made of classes.
///
/// # Errors
///
/// As [`super::value()`].
pub fn by_class(
    metric: Metric,
    task: Task,
    classes: usize,
    answers: &Matrix,
    labels: &Matrix,
) -> Result<Vec<Option<f64>>, MetricError> {
    let case = Case::new(metric, task, classes, answers, labels)?;
    let totals = case.sums().totals();
    case.value(&totals).ok_or(MetricError::Undefined { metric, n: case.len() })?;
    Ok(case.per_class(&totals))
}

/// The classes of a case, and what their intervals are made of.
#[derive(Debug)]
pub(super) struct Classes<'a> {
    case: Case<'a>,
    classes: Vec<Class>,
}

#[derive(Debug)]
struct Class {
    value: Option<f64>,
    n: usize,
    /// The value without each of the `n` samples in turn; of losses only.
    without: Vec<f64>,
    /// The value on each resample; of what is no share of samples only.
    resampled: Vec<f64>,
}

impl<'a> Classes<'a> {
    pub(super) fn new(case: Case<'a>, sums: &Sums, totals: &[f64]) -> Self {
        let class = |value| Class { value, n: 0, without: Vec::new(), resampled: Vec::new() };
        let mut classes: Vec<Class> = case.per_class(totals).into_iter().map(class).collect();
        let rests = |sample: &[(usize, f64)]| case.per_class(&sums.alone(sample));
        for sample in sums.samples() {
            for (class, found) in classes.iter_mut().zip(rests(sample)) {
                class.n += usize::from(found.is_some());
            }
        }
        if case.metric().most().is_none() {
            for (sample, sums) in sums.samples().zip(sums.all_but_one()) {
                let without = rests(sample).into_iter().zip(case.per_class(&sums));
                for (class, (found, without)) in classes.iter_mut().zip(without) {
                    class.without.extend(without.filter(|_| found.is_some()));
                }
            }
        }
        Self { case, classes }
    }

    /// One more resample.
    pub(super) fn resample(&mut self, sums: &[f64]) {
        if !self.case.classes_are_shares_of_samples() {
            for (class, found) in self.classes.iter_mut().zip(self.case.per_class(sums)) {
                class.resampled.extend(found);
            }
        }
    }

    /// The shares that the metric is the mean of, with Wilson's intervals. Pixels of one image are no samples: there it is
    /// that of the images, and only where `whole_images` says that images tell nothing better: else the share itself.
    pub(super) fn parts(&self, whole_images: bool, confidence: f64) -> Vec<Part> {
        let is_told = whole_images || self.case.classes_are_shares_of_samples();
        let part = |class: &Class| {
            let interval = match class.value {
                None => Interval { low: 0.0, high: 1.0 },
                Some(value) if is_told => self.case.wilson(value, class.n, confidence),
                Some(value) => Interval { low: value, high: value },
            };
            Part { value: class.value, interval }
        };
        self.classes.iter().skip(self.case.first_counted()).map(part).collect()
    }

    /// The classes, measured.
    pub(super) fn measured(self, confidence: f64) -> Vec<Option<ClassMeasured>> {
        let Self { case, classes } = self;
        let measured = |mut class: Class| {
            let value = class.value?;
            class.resampled.sort_by(f64::total_cmp);
            let Class { n, without, resampled, .. } = class;
            let metric = case.metric();
            let found = from_resamples(metric, value, &resampled, || without, n, confidence);
            let interval = found.unwrap_or_else(|| match metric.most() {
                Some(_) => case.wilson(value, n, confidence),
                None => ANYTHING,
            });
            let interval = fitted(metric, value, interval);
            Some(ClassMeasured { value, interval, n: n as u64 })
        };
        classes.into_iter().map(measured).collect()
    }
}

#[cfg(test)]
mod tests;
