//! Uncertainty sampling: label what the model is least sure of.
//!
//! D. D. Lewis and W. A. Gale (1994), "A sequential algorithm for training text classifiers", SIGIR; the measures as in
//! B. Settles (2009), "Active learning literature survey", section 3.1. Higher scores are more uncertain. For two
//! classes all of them rank alike. `O(nk)` for n candidates and k classes, memory for the batch. They need output
//! `probabilities`, each row a distribution.
//!
//! Use margin first: it is the hardest to beat with small models and batches. All of them look at one sample at a time, so
//! a batch may hold near-duplicates: with large batches or a redundant pool, spread it (`cluster_margin`, `badge`) or add
//! noise (`power`). Before there is a model that is better than chance, use coverage (`typiclust`).

use super::distribution::{check, score_best_two, surprise};
use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View};

/// How uncertain a distribution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// `1 - p(best)`; in [0, 1 - 1/k] for k classes. Asks only how far the winner is from certainty.
    LeastConfidence,
    /// `1 - (p(best) - p(second))`; in [0, 1]. T. Scheffer, C. Decomain and S. Wrobel (2001), "Active hidden Markov models
    /// for information extraction", IDA; turned round so that higher is more uncertain.
    Margin,
    /// `-sum p ln p` in nats, 0 ln 0 being 0; in [0, ln k] for k classes. C. E. Shannon (1948), "A mathematical theory of
    /// communication". Also counts what the model thinks of classes that are out of the question, which costs labels where
    /// there are many classes.
    Entropy,
    /// `p(second) / p(best)`; in [0, 1]. B. Settles (2009), section 3.1, as the ratio of confidence.
    Ratio,
}

/// The most uncertain by a measure of the model's probabilities.
pub(super) struct Uncertainty {
    pub(super) measure: Measure,
    pub(super) calibrated: bool,
}

impl Strategy for Uncertainty {
    fn needs(&self) -> Needs {
        Needs { calibrated: self.calibrated, ..Needs::output("probabilities") }
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        let classes = view.output("probabilities")?.rows.cols();
        Ok(Plan::scores(move |rows| {
            let start = rows.start;
            let values = view.read("probabilities", rows)?;
            // A closure for each measure, so that each has a loop of its own.
            match self.measure {
                Measure::LeastConfidence => {
                    score_best_two(view, start, classes, &values, |first, _| 1.0 - first + 0.0)
                }
                Measure::Margin => {
                    score_best_two(view, start, classes, &values, |first, second| {
                        1.0 - (first - second) + 0.0
                    })
                }
                Measure::Ratio => {
                    score_best_two(view, start, classes, &values, |first, second| second / first)
                }
                Measure::Entropy => {
                    let rows = (start..).zip(values.chunks_exact(classes));
                    rows.map(|(index, row)| {
                        check(|| view.sample(index), row)?;
                        Ok(row.iter().fold(0.0, |sum, &p| sum + surprise(p.into())))
                    })
                    .collect()
                }
            }
        }))
    }
}
