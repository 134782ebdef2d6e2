//! Consensus by how reliable each annotator proves to be: the model of Dawid and Skene, fitted by EM.
//!
//! A. P. Dawid and A. M. Skene (1979), "Maximum likelihood estimation of observer error-rates using the EM algorithm",
//! Applied Statistics 28, 20-28. Each sample has one true class `j`, drawn with probability `p_j`; annotator `a` says `l` of
//! it with probability `c_a(j, l)`, whatever the others say. Neither classes nor confusions are known; both are estimated
//! in turns:
//!
//! * given `T_ij`, how probably sample `i` is of class `j`: `p_j` is the mean of `T_ij`, and `c_a(j, l)` is the sum of
//!   `T_ij` over what `a` called `l`, scaled so that each row sums to 1;
//! * given those, `T_ij` is proportional to `p_j` times the product over its votes of `c_a(j, l)`.
//!
//! It starts, as the paper does, with `T_ij` as the share of votes for `j`: a soft majority, so that equal votes give equal
//! results. All steps are in logarithms (libm's) and in the order of names: the same bits on every machine.
//!
//! What it cannot do: it learns about annotators from samples that several of them labelled, and knows nothing of those who
//! share none; it takes the soft majority's word for which class is which, so that a crowd which is wrong together stays
//! wrong; and it takes mistakes as independent, so that posteriors are surer than they should be where some samples are
//! hard for everybody.

use super::error::QualityError;
use super::square::{Square, room};
use super::votes::{Ballot, Votes};
use crate::domain::ids::SampleId;

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Counted in advance for each cell of each confusion matrix and for each class, at least 0: how much evidence it takes
    /// to call something impossible. 0 is the paper's maximum likelihood.
    pub smoothing: f64,
    /// Enough when no posterior moves by more than this, at least 0.
    pub tolerance: f64,
    /// The most rounds, at least 1.
    pub rounds_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { smoothing: 0.01, tolerance: 1e-5, rounds_max: 500 }
    }
}

/// What the annotators say together, and how far each is to be trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Consensus<'a> {
    /// How frequent each class is; sums to 1.
    pub priors: Vec<f64>,
    /// For each sample, by name, what it is.
    pub samples: Vec<Belief<'a>>,
    /// For each annotator, by name, how good.
    pub annotators: Vec<Annotator<'a>>,
    /// The natural logarithm of the probability of all votes under the model; at most 0.
    pub log_likelihood: f64,
    /// How many rounds were made.
    pub rounds: u32,
    /// Whether the last round moved no posterior beyond the tolerance.
    pub converged: bool,
}

/// What one sample is held to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Belief<'a> {
    /// Which sample.
    pub sample: &'a SampleId,
    /// The likeliest class, the lowest of equals.
    pub class: u32,
    /// The probability of each class; sums to 1.
    pub posterior: Vec<f64>,
}

impl Belief<'_> {
    /// How probably `class` is right.
    #[must_use]
    pub fn certainty(&self) -> f64 {
        self.posterior.iter().copied().fold(0.0, f64::max)
    }
}

/// How one annotator labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotator<'a> {
    /// Their name.
    pub name: &'a str,
    /// How many samples they labelled; at least 1.
    pub votes: u64,
    /// What share of their labels is right, by the posteriors of those samples, in [0, 1]. Their own votes are among the
    /// evidence, so it flatters: most of all those who label alone.
    pub accuracy: f64,
    /// How probably they say the column's class of a sample of the row's class; each row sums to 1. A row without evidence
    /// is even.
    pub confusion: Square,
}

/// Fits the model to `votes`. A round takes time for each vote times the number of classes; memory is that for the
/// posteriors, twice, and for a square of the classes for each annotator, twice.
///
/// # Errors
/// [`QualityError::Setting`] for a setting outside its range; [`QualityError::TooLarge`] where one of the tables would have
/// more than 2^27 numbers.
pub fn dawid_skene<'a>(
    votes: &Votes<'a>,
    settings: Settings,
) -> Result<Consensus<'a>, QualityError> {
    settings.check()?;
    let classes = votes.classes();
    room("samples", votes.samples().len(), classes, classes)?;
    room("annotators", votes.annotators().len(), classes * classes, classes)?;
    let mut posteriors = shares(votes);
    let mut next = vec![0.0; posteriors.len()];
    let mut rounds = 0;
    let (model, log_likelihood, converged) = loop {
        let model = Model::fit(votes, &posteriors, settings.smoothing);
        let log_likelihood = model.explain(votes, &mut next);
        let moves = next.iter().zip(&posteriors).map(|(new, old)| (new - old).abs());
        let converged = moves.fold(0.0, f64::max) <= settings.tolerance;
        std::mem::swap(&mut posteriors, &mut next);
        rounds += 1;
        if converged || rounds >= settings.rounds_max {
            break (model, log_likelihood, converged);
        }
    };
    Ok(Consensus {
        priors: model.log_priors.iter().map(|&log| libm::exp(log)).collect(),
        samples: beliefs(votes, &posteriors),
        annotators: model.annotators(votes, &posteriors),
        log_likelihood,
        rounds,
        converged,
    })
}

impl Settings {
    fn check(&self) -> Result<(), QualityError> {
        let wrong = |name, value, range| Err(QualityError::Setting { name, value, range });
        let amount = |value: f64| value.is_finite() && value >= 0.0;
        if !amount(self.smoothing) {
            return wrong("smoothing", self.smoothing, "a number of at least 0");
        }
        if !amount(self.tolerance) {
            return wrong("tolerance", self.tolerance, "a number of at least 0");
        }
        if self.rounds_max == 0 {
            return wrong("rounds_max", 0.0, "at least 1");
        }
        Ok(())
    }
}

/// For each sample, which share of its votes each class has.
fn shares(votes: &Votes<'_>) -> Vec<f64> {
    let classes = votes.classes();
    let mut shares = vec![0.0; votes.samples().len() * classes];
    for (row, ballots) in shares.chunks_exact_mut(classes).zip(votes.ballots()) {
        for ballot in ballots {
            if let Some(count) = row.get_mut(ballot.class) {
                *count += 1.0;
            }
        }
        scale(row);
    }
    shares
}

/// Makes a row sum to 1: even if it is empty.
#[expect(clippy::cast_precision_loss, reason = "a count of classes")]
fn scale(row: &mut [f64]) {
    let sum: f64 = row.iter().sum();
    let even = 1.0 / row.len() as f64;
    row.iter_mut().for_each(|cell| *cell = if sum > 0.0 { *cell / sum } else { even });
}

/// How frequent classes are and what annotators make of them, as natural logarithms.
struct Model {
    classes: usize,
    log_priors: Vec<f64>,
    /// For each annotator, for each class they may say, for each true class. In this order a vote picks one row.
    log_confusions: Vec<f64>,
}

impl Model {
    /// The likeliest model, given the posteriors (the M step).
    fn fit(votes: &Votes<'_>, posteriors: &[f64], smoothing: f64) -> Self {
        let classes = votes.classes();
        let mut priors = vec![smoothing; classes];
        let mut said = vec![smoothing; votes.annotators().len() * classes * classes];
        for (posterior, ballots) in posteriors.chunks_exact(classes).zip(votes.ballots()) {
            add(&mut priors, posterior);
            for ballot in ballots {
                if let Some(row) = said.get_mut(range(classes, ballot)) {
                    add(row, posterior);
                }
            }
        }
        scale(&mut priors);
        let mut of_class = vec![0.0; classes];
        for said in said.chunks_exact_mut(classes * classes) {
            // Scaled over what is said, separately for each true class, which is a column here.
            of_class.fill(0.0);
            said.chunks_exact(classes).for_each(|row| add(&mut of_class, row));
            #[expect(clippy::cast_precision_loss, reason = "a count of classes")]
            let even = 1.0 / classes as f64;
            for row in said.chunks_exact_mut(classes) {
                for (cell, &all) in row.iter_mut().zip(&of_class) {
                    *cell = libm::log(if all > 0.0 { *cell / all } else { even });
                }
            }
        }
        priors.iter_mut().for_each(|prior| *prior = libm::log(*prior));
        Self { classes, log_priors: priors, log_confusions: said }
    }

    /// What each sample is, given the model (the E step), and how well that explains the votes.
    fn explain(&self, votes: &Votes<'_>, posteriors: &mut [f64]) -> f64 {
        let mut log_likelihood = 0.0;
        for (row, ballots) in posteriors.chunks_exact_mut(self.classes).zip(votes.ballots()) {
            row.copy_from_slice(&self.log_priors);
            for ballot in ballots {
                let log = self.log_confusions.get(range(self.classes, ballot));
                add(row, log.unwrap_or_default());
            }
            // At least one class is possible: the one that the votes were last held to come from.
            let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter_mut().for_each(|log| *log = libm::exp(*log - highest));
            log_likelihood += highest + libm::log(row.iter().sum());
            scale(row);
        }
        log_likelihood
    }

    fn annotators<'a>(&self, votes: &Votes<'a>, posteriors: &[f64]) -> Vec<Annotator<'a>> {
        let mut right = vec![(0_u64, 0.0); votes.annotators().len()];
        for (posterior, ballots) in posteriors.chunks_exact(self.classes).zip(votes.ballots()) {
            for ballot in ballots {
                if let Some((count, sum)) = right.get_mut(ballot.annotator) {
                    *count += 1;
                    *sum += posterior.get(ballot.class).copied().unwrap_or(0.0);
                }
            }
        }
        let squares = self.log_confusions.chunks_exact(self.classes * self.classes);
        let named = votes.annotators().iter().zip(right).zip(squares);
        let annotator = |((&name, (votes, sum)), logs): ((&&'a str, _), &[f64])| {
            let log = |class, said| logs.get(said * self.classes + class).copied();
            let confusion = Square::of(self.classes, |class, said| {
                libm::exp(log(class, said).unwrap_or(f64::NEG_INFINITY))
            });
            #[expect(clippy::cast_precision_loss, reason = "a count of votes")]
            let accuracy = if votes == 0 { 0.0 } else { f64::min(sum / votes as f64, 1.0) };
            Annotator { name, votes, accuracy, confusion }
        };
        named.map(annotator).collect()
    }
}

/// Where the row of what this annotator said stands.
fn range(classes: usize, ballot: &Ballot) -> std::ops::Range<usize> {
    let row = ballot.annotator * classes + ballot.class;
    row * classes..(row + 1) * classes
}

fn add(sums: &mut [f64], terms: &[f64]) {
    sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
}

fn beliefs<'a>(votes: &Votes<'a>, posteriors: &[f64]) -> Vec<Belief<'a>> {
    let rows = posteriors.chunks_exact(votes.classes());
    let belief = |(&sample, posterior): (&&'a SampleId, &[f64])| {
        let better = |best: (u32, f64), (class, &p): (u32, &f64)| {
            if p > best.1 { (class, p) } else { best }
        };
        let (class, _) = (0..).zip(posterior).fold((0, f64::NEG_INFINITY), better);
        Belief { sample, class, posterior: posterior.to_vec() }
    };
    votes.samples().iter().zip(rows).map(belief).collect()
}

#[cfg(test)]
mod tests;
