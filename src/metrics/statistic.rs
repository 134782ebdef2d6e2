//! What each metric needs to know of each sample, and how the sums of that become a value.
//!
//! Every metric here is a function of sums over samples (right ones of each class, losses, confidences), so that
//! resamples, classes and whole sets are measured by the same few lines. How sure a value is stands elsewhere.

use super::bootstrap::Sums;
use super::classification::{argmax, surprise};
use super::interval::wilson_share;
use super::measure::MetricError;
use crate::domain::kpi::Interval;
use crate::domain::matrix::Matrix;
use crate::domain::metric::Metric;
use crate::domain::task::Task;

/// Bins of confidence. As many as in C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On calibration of modern neural
/// networks", arXiv 1706.04599.
const BINS: usize = 15;

/// How far outside [0, 1] other people's arithmetic may leave a probability.
const ROUNDING: f32 = 1e-5;

/// Answers and labels that were checked: they fit each other, the task and the metric.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    metric: Metric,
    task: Task,
    classes: usize,
    answers: &'a Matrix,
    labels: &'a Matrix,
}

/// What a class has, in samples or pixels.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    /// Given the class, and having it.
    hits: f64,
    /// Having the class.
    labels: f64,
    /// Given the class.
    given: f64,
}

impl<'a> Case<'a> {
    /// Checks that all fits.
    pub(super) fn new(
        metric: Metric,
        task: Task,
        classes: usize,
        answers: &'a Matrix,
        labels: &'a Matrix,
    ) -> Result<Self, MetricError> {
        if !metric.fits(task) {
            return Err(MetricError::Task { metric, task });
        }
        if classes < task.least_classes() {
            return Err(MetricError::Classes { found: classes, task });
        }
        if answers.rows() != labels.rows() {
            return Err(MetricError::Rows { answers: answers.rows(), labels: labels.rows() });
        }
        if labels.rows() == 0 {
            return Err(MetricError::Empty { metric });
        }
        let (answer, label) = match task {
            Task::Classification => (classes, 1),
            Task::MultiLabel => (classes, classes),
            Task::Regression => (1, 1),
            Task::Segmentation => (classes.saturating_mul(labels.cols()), labels.cols().max(1)),
        };
        if labels.cols() != label {
            return Err(MetricError::LabelWidth { found: labels.cols(), expected: label });
        }
        if answers.cols() != answer {
            return Err(MetricError::AnswerWidth { found: answers.cols(), expected: answer });
        }
        let case = Self { metric, task, classes, answers, labels };
        case.check_values().map(|()| case)
    }

    fn check_values(&self) -> Result<(), MetricError> {
        #[expect(clippy::cast_precision_loss, reason = "labels are f32 themselves")]
        let classes = self.classes as f32;
        let place = |index: usize, cols: usize| (index / cols.max(1), index % cols.max(1));
        let is_label = |value: f32| match self.task {
            Task::Classification | Task::Segmentation => {
                value >= 0.0 && value < classes && value.fract() == 0.0
            }
            Task::MultiLabel => value == 0.0 || (value - 1.0).abs() <= 0.0,
            Task::Regression => value.is_finite(),
        };
        if let Some(index) = self.labels.data().iter().position(|value| !is_label(*value)) {
            let (row, column) = place(index, self.labels.cols());
            let value = self.labels.data().get(index).copied().unwrap_or(f32::NAN);
            return Err(MetricError::Label {
                row,
                column,
                value,
                task: self.task,
                classes: self.classes,
            });
        }
        let is_answer = |value: f32| match self.task {
            Task::Regression => value.is_finite(),
            Task::Classification | Task::MultiLabel | Task::Segmentation => {
                (-ROUNDING..=1.0 + ROUNDING).contains(&value)
            }
        };
        if let Some(index) = self.answers.data().iter().position(|value| !is_answer(*value)) {
            let (row, column) = place(index, self.answers.cols());
            let value = self.answers.data().get(index).copied().unwrap_or(f32::NAN);
            return Err(match value.is_finite() {
                true => MetricError::NoProbability { row, column, value },
                false => MetricError::NotFinite { row, column, value },
            });
        }
        Ok(())
    }

    /// What is measured.
    pub(super) const fn metric(&self) -> Metric {
        self.metric
    }

    /// How many samples.
    pub(super) const fn len(&self) -> usize {
        self.labels.rows()
    }

    /// Whether the value is the share of samples that are right, each for itself.
    pub(super) fn is_share_of_samples(&self) -> bool {
        match self.metric {
            Metric::Accuracy => self.task != Task::Segmentation,
            Metric::MicroF1 => self.task == Task::Classification,
            Metric::BalancedAccuracy
            | Metric::MacroF1
            | Metric::Precision(_)
            | Metric::Recall(_)
            | Metric::MeanIou
            | Metric::LogLoss
            | Metric::CalibrationError
            | Metric::Rmse
            | Metric::Mae => false,
        }
    }

    /// Whether the value is the plain mean of a share of each class.
    pub(super) const fn is_mean_of_classes(&self) -> bool {
        match self.metric {
            Metric::BalancedAccuracy
            | Metric::MacroF1
            | Metric::Precision(_)
            | Metric::Recall(_)
            | Metric::MeanIou => true,
            Metric::Accuracy
            | Metric::MicroF1
            | Metric::LogLoss
            | Metric::CalibrationError
            | Metric::Rmse
            | Metric::Mae => false,
        }
    }

    /// Whether each sample is plainly right or wrong for a class. A pixel is no sample.
    pub(super) fn classes_are_shares_of_samples(&self) -> bool {
        self.task != Task::Segmentation && self.metric.most().is_some()
    }

    /// What the metric needs of each sample.
    pub(super) fn sums(&self) -> Sums {
        type Numbers<'a> = fn(&Case<'a>, &[f32], &[f32], &mut [f64]);
        let (width, add_to): (usize, Numbers<'a>) = match self.metric {
            Metric::LogLoss => (2 * self.classes, Self::losses),
            Metric::CalibrationError => (3 * BINS, Self::confidences),
            Metric::Rmse | Metric::Mae => (2, Self::errors),
            Metric::Accuracy
            | Metric::BalancedAccuracy
            | Metric::MacroF1
            | Metric::MicroF1
            | Metric::Precision(_)
            | Metric::Recall(_)
            | Metric::MeanIou => (3 * self.classes + 2, Self::counts),
        };
        let mut sums = Sums::new(width);
        let mut numbers = vec![0.0; width];
        for (answer, label) in self.answers.iter_rows().zip(self.labels.iter_rows()) {
            numbers.fill(0.0);
            add_to(self, answer, label, &mut numbers);
            sums.push(&numbers);
        }
        sums
    }

    /// For each class hits, labels, given; then 1 where everything about the sample is right, and 1.
    fn counts(&self, answer: &[f32], label: &[f32], numbers: &mut [f64]) {
        let mut right = true;
        self.judge(answer, label, |class, has, given| {
            let both = [has && given, has, given];
            both.iter()
                .enumerate()
                .for_each(|(i, &is)| add(numbers, 3 * class + i, f64::from(u8::from(is))));
            right &= has == given;
        });
        add(numbers, 3 * self.classes, f64::from(u8::from(right)));
        add(numbers, 3 * self.classes + 1, 1.0);
    }

    /// Tells for each pixel (the whole sample, where there are none) and class whether the label and the answer name
    /// it.
    fn judge(&self, answer: &[f32], label: &[f32], mut tell: impl FnMut(usize, bool, bool)) {
        // As coarse as the answers, so that 0.7 reaches 0.7.
        #[expect(clippy::cast_possible_truncation, reason = "a threshold is a probability")]
        let threshold = self.metric.threshold().map(|threshold| threshold as f32);
        if self.task == Task::MultiLabel {
            let threshold = threshold.unwrap_or(0.5);
            for (class, (&p, &label)) in answer.iter().zip(label).enumerate() {
                tell(class, label > 0.5, p >= threshold);
            }
            return;
        }
        self.pixels(answer, label, |row, winner, label| {
            for (class, &p) in row.iter().enumerate() {
                let given = match threshold {
                    Some(threshold) => p >= threshold,
                    None => class == winner,
                };
                tell(class, class == label, given);
            }
        });
    }

    /// Tells for each pixel (the whole sample, where there are none) the probabilities of the classes, the class that wins
    /// and that of the label.
    fn pixels(&self, answer: &[f32], label: &[f32], mut tell: impl FnMut(&[f32], usize, usize)) {
        let mut row = Vec::with_capacity(self.classes);
        for (pixel, &label) in label.iter().enumerate() {
            row.clear();
            row.extend(answer.iter().skip(pixel).step_by(self.labels.cols()));
            let winner = argmax(&row).and_then(|class| usize::try_from(class).ok());
            if let (Some(winner), Some(label)) = (winner, index(label)) {
                tell(&row, winner, label);
            }
        }
    }

    /// For each class the surprise of its labels; then for each how many there are.
    fn losses(&self, answer: &[f32], label: &[f32], numbers: &mut [f64]) {
        if self.task == Task::MultiLabel {
            for (class, (&p, &label)) in answer.iter().zip(label).enumerate() {
                let p = f64::from(p.clamp(0.0, 1.0));
                add(numbers, class, surprise(if label > 0.5 { p } else { 1.0 - p }));
                add(numbers, self.classes + class, 1.0);
            }
            return;
        }
        for (pixel, class) in
            label.iter().enumerate().filter_map(|(p, &label)| Some((p, index(label)?)))
        {
            let p = answer.get(class * label.len() + pixel).copied().unwrap_or(0.0);
            add(numbers, class, surprise(f64::from(p.min(1.0))));
            add(numbers, self.classes + class, 1.0);
        }
    }

    /// For each bin the confidences in it; how many of them are right; how many there are.
    fn confidences(&self, answer: &[f32], label: &[f32], numbers: &mut [f64]) {
        let mut confident = |p: f32, right: bool| {
            #[expect(clippy::cast_precision_loss, reason = "few bins")]
            let place = f64::from(p) * BINS as f64;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in [0, bins]"
            )]
            let bin = (place as usize).min(BINS - 1);
            add(numbers, bin, f64::from(p));
            add(numbers, BINS + bin, f64::from(u8::from(right)));
            add(numbers, 2 * BINS + bin, 1.0);
        };
        if self.task == Task::MultiLabel {
            answer.iter().zip(label).for_each(|(&p, &label)| confident(p, label > 0.5));
            return;
        }
        self.pixels(answer, label, |row, winner, label| {
            confident(row.get(winner).copied().unwrap_or_default(), winner == label);
        });
    }

    fn errors(&self, answer: &[f32], label: &[f32], numbers: &mut [f64]) {
        for (&found, &wanted) in answer.iter().zip(label) {
            let error = f64::from(found) - f64::from(wanted);
            add(numbers, 0, if self.metric == Metric::Rmse { error * error } else { error.abs() });
            add(numbers, 1, 1.0);
        }
    }

    /// The metric's value of these sums; `None` where it cannot be measured on them.
    pub(super) fn value(&self, sums: &[f64]) -> Option<f64> {
        let counts = || self.class_counts(sums);
        match self.metric {
            Metric::Accuracy if self.task == Task::MultiLabel => {
                let (right, all) =
                    sums.split_at_checked(3 * self.classes).map(|(_, rest)| rest)?.split_first()?;
                ratio(*right, *all.first()?)
            }
            Metric::Accuracy => {
                let (hits, labels) =
                    counts().fold((0.0, 0.0), |(h, l), c| (h + c.hits, l + c.labels));
                ratio(hits, labels)
            }
            Metric::MicroF1 => {
                let sum = |get: fn(Count) -> f64| counts().map(get).sum::<f64>();
                Count { hits: sum(|c| c.hits), labels: sum(|c| c.labels), given: sum(|c| c.given) }
                    .f1()
            }
            Metric::BalancedAccuracy
            | Metric::MacroF1
            | Metric::Precision(_)
            | Metric::Recall(_)
            | Metric::MeanIou => {
                let measured =
                    self.per_class(sums).into_iter().skip(self.first_counted()).flatten();
                let (sum, n) = measured.fold((0.0, 0.0), |(sum, n), share| (sum + share, n + 1.0));
                ratio(sum, n)
            }
            Metric::LogLoss | Metric::Mae => {
                let (parts, wholes) = sums.split_at_checked(sums.len() / 2)?;
                ratio(parts.iter().sum(), wholes.iter().sum())
            }
            Metric::Rmse => {
                // Sums that a sample was taken from again may be a rounding below 0.
                ratio(sums.first()?.max(0.0), *sums.get(1)?).map(f64::sqrt)
            }
            Metric::CalibrationError => {
                let (confident, rest) = sums.split_at_checked(BINS)?;
                let (right, all) = rest.split_at_checked(BINS)?;
                let apart = confident.iter().zip(right).map(|(c, r)| (c - r).abs()).sum();
                ratio(apart, all.iter().sum())
            }
        }
    }

    /// The metric by class: `None` for a class on which it cannot be measured; empty where it is not made of classes.
    pub(super) fn per_class(&self, sums: &[f64]) -> Vec<Option<f64>> {
        match self.metric {
            Metric::Rmse | Metric::Mae | Metric::CalibrationError => Vec::new(),
            Metric::LogLoss => {
                let (parts, wholes) = sums.split_at_checked(self.classes).unwrap_or_default();
                parts.iter().zip(wholes).map(|(part, whole)| ratio(*part, *whole)).collect()
            }
            Metric::Accuracy if self.task == Task::MultiLabel => {
                let n = sums.last().copied().unwrap_or_default();
                let wrong = |c: Count| c.labels + c.given - 2.0 * c.hits;
                self.class_counts(sums).map(|count| ratio(n - wrong(count), n)).collect()
            }
            Metric::Accuracy
            | Metric::BalancedAccuracy
            | Metric::MacroF1
            | Metric::MicroF1
            | Metric::Precision(_)
            | Metric::Recall(_)
            | Metric::MeanIou => self.class_counts(sums).map(|count| self.share(count)).collect(),
        }
    }

    /// Of two classes, precision and recall are those of the second.
    pub(super) fn first_counted(&self) -> usize {
        let one =
            self.metric.threshold().is_some() && self.task != Task::MultiLabel && self.classes == 2;
        usize::from(one)
    }

    fn share(&self, count: Count) -> Option<f64> {
        match self.metric {
            Metric::MacroF1 | Metric::MicroF1 => count.f1(),
            Metric::MeanIou => ratio(count.hits, count.labels + count.given - count.hits),
            Metric::Precision(_) => ratio(count.hits, count.given),
            Metric::Accuracy
            | Metric::BalancedAccuracy
            | Metric::Recall(_)
            | Metric::LogLoss
            | Metric::CalibrationError
            | Metric::Rmse
            | Metric::Mae => ratio(count.hits, count.labels),
        }
    }

    /// Wilson's interval of a class's share that is `value` of `n` samples, each of them right or wrong. F1 is
    /// `2 J / (1 + J)` of J, the share of hits among all that has or is given the class.
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    pub(super) fn wilson(&self, value: f64, n: usize, confidence: f64) -> Interval {
        let is_f1 = matches!(self.metric, Metric::MacroF1 | Metric::MicroF1);
        let share = if is_f1 { value / (2.0 - value) } else { value };
        let Interval { low, high } = wilson_share(share, n as f64, confidence);
        let turn = |share: f64| if is_f1 { 2.0 * share / (1.0 + share) } else { share };
        Interval { low: turn(low), high: turn(high) }
    }

    fn class_counts(&self, sums: &[f64]) -> impl Iterator<Item = Count> {
        sums.chunks_exact(3).take(self.classes).map(|numbers| match *numbers {
            [hits, labels, given] => Count { hits, labels, given },
            _ => Count::default(),
        })
    }
}

impl Count {
    fn f1(self) -> Option<f64> {
        ratio(2.0 * self.hits, self.labels + self.given)
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn add(numbers: &mut [f64], index: usize, number: f64) {
    if let Some(sum) = numbers.get_mut(index) {
        *sum += number;
    }
}

/// A label that was checked, as the index of its class.
fn index(label: f32) -> Option<usize> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked: a whole number below the classes"
    )]
    (label >= 0.0).then_some(label as usize)
}
