//! BatchBALD: a batch whose labels together tell the most about which member of a committee is right.
//!
//! Kirsch, van Amersfoort and Gal (2019), "BatchBALD: efficient and diverse batch acquisition for deep Bayesian active
//! learning", arXiv 1906.08158, sections 3 and 4.

use super::distribution::check;
use super::strategy::{Chosen, Needs, Picks, Plan, Scores, Strategy};
use super::{SelectorError, View, top_k};
use crate::domain::chance::Chance;
use crate::domain::rows::{Rows, Runs, Subset};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// Candidates kept for each sample of the batch, where `keep` is not set.
const KEEP_FACTOR: usize = 10;
/// Candidates kept at least, where `keep` is not set.
const KEEP_LEAST: usize = 200;
/// Outcomes of the batch so far that are looked at, where `samples` is not set.
pub(super) const SAMPLES: usize = 10_000;

/// Greedy maximisation of the mutual information `I(y_1, ..., y_b; w)` between the labels of a batch and the member `w` of the
/// committee, all members being equally likely: `H(y_1, ..., y_b) - mean_w sum_i H(y_i | w)`, in nats.
///
/// Given the picks so far, the candidate x with the most additional information is next. That gain is
/// `sum_o P(o) H(y_x | o) - mean_w H(y_x | w)`, where o walks over the outcomes (labels of the picks so far) and
/// `P(y_x | o)` weighs the members by how well they foretold o. It is the paper's joint information less that of the
/// picks so far, written so that no product of many small probabilities is ever formed.
///
/// * Exact while `classes^picks` is at most `samples` (10,000); from then on o is drawn: member `s mod members` says the
///   labels of outcome number s (section 4.1's estimate, with as many outcomes of each member, `samples` being rounded
///   up to a multiple of them). Chance depends on outcome number and sample alone.
/// * The greedy part looks at the candidates of the highest BALD only: `keep`, by default 10 times the batch and at least
///   200. The paper scores the whole pool; with `keep` as large as the pool, so does this.
///
/// The first pick is that of plain BALD. Rows are divided by their sums, which may be off by a rounding. The score of a
/// pick is its gain.
///
/// `O(n m k + keep batch samples m k)` for m members and k classes, all threads; memory `keep m k + samples m` doubles.
/// Needs members. Use it for batches of up to some tens of samples where plain BALD would pick near duplicates; for
/// hundreds, drawn outcomes get too few and a stochastic batch (`power(bald)`) is as good and much cheaper.
pub(super) struct BatchBald {
    pub(super) keep: Option<usize>,
    pub(super) samples: usize,
}

impl Strategy for BatchBald {
    fn needs(&self) -> Needs {
        Needs::members()
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let mut outcomes = Outcomes::nothing_picked(view.members.len());
        let nothing = outcomes.clone();
        let bald: Scores<'_> = Box::new(|range| {
            let asked = read_candidates(view, range)?;
            Ok(asked.iter().map(|candidate| nothing.gain(candidate)).collect())
        });
        let keep = self.keep.unwrap_or((KEEP_FACTOR * count).max(KEEP_LEAST)).max(count);
        let mut kept: Vec<usize> =
            top_k(view, &bald, keep, None)?.into_iter().map(|best| best.index).collect();
        kept.sort_unstable();
        let mut candidates = read_some(view, &kept)?;

        let chance = view.chance("batchbald");
        let mut picked: Vec<Candidate> = Vec::with_capacity(count);
        let mut chosen = Vec::with_capacity(count);
        let mut drawn_from = None;
        while chosen.len() < count {
            let gains: Vec<f64> = candidates.par_iter().map(|c| outcomes.gain(c)).collect();
            let Some((place, score)) = highest(&gains) else { break };
            let candidate = candidates.remove(place); // the order of the others stays: ties go to the lower index
            chosen.push(Chosen { index: candidate.index, score, probability: None });
            picked.push(candidate);
            if chosen.len() == count {
                break;
            }
            let (before, last) = picked.split_at(picked.len() - 1);
            let Some(last) = last.first() else { break };
            if drawn_from.is_some() {
                outcomes.draw(last, view, &chance);
            } else if outcomes.weights.len().saturating_mul(last.classes) <= self.samples {
                outcomes = outcomes.with_every_label_of(last);
            } else {
                drawn_from = Some(chosen.len() + 1);
                outcomes = Outcomes::to_draw(view.members.len(), self.samples);
                before.iter().chain([last]).for_each(|pick| outcomes.draw(pick, view, &chance));
            }
        }
        let mut remarks = BTreeMap::new();
        remarks.insert("kept".to_owned(), kept.len().to_string());
        let how = drawn_from.map_or_else(
            || "exact".to_owned(),
            |pick| {
                format!("exact before pick {pick}, then {} drawn outcomes", outcomes.weights.len())
            },
        );
        remarks.insert("joint".to_owned(), how);
        Ok(Plan::Picks(Picks { chosen, remarks }))
    }
}

/// The place of the highest; the first of equals.
fn highest(gains: &[f64]) -> Option<(usize, f64)> {
    gains.iter().copied().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// What the members say about a candidate.
struct Candidate {
    index: usize,
    classes: usize,
    /// A distribution of each member, one after the other.
    said: Vec<f64>,
    /// `mean_w H(y | w)`.
    within: f64,
}

fn read_candidates(view: &View<'_>, range: Range<usize>) -> Result<Vec<Candidate>, SelectorError> {
    let rows: Vec<_> = view
        .members
        .iter()
        .map(|member| member.rows.read(range.clone()))
        .collect::<Result<_, _>>()?;
    let classes = view.members.first().map_or(1, |member| member.rows.cols());
    candidates(view, range, classes, rows.iter().map(|values| &**values).collect())
}

/// The same for single candidates, in ascending order.
fn read_some(view: &View<'_>, kept: &[usize]) -> Result<Vec<Candidate>, SelectorError> {
    let runs: Runs = kept.iter().copied().collect();
    let subsets = view.members.iter().map(|member| Subset::new(&*member.rows, &runs));
    let subsets: Vec<Subset<'_>> = subsets.collect();
    let rows: Vec<_> =
        subsets.iter().map(|subset| subset.read(0..kept.len())).collect::<Result<_, _>>()?;
    let classes = subsets.first().map_or(1, Rows::cols);
    candidates(view, kept.iter().copied(), classes, rows.iter().map(|values| &**values).collect())
}

/// One candidate for each index, from the members' rows.
fn candidates(
    view: &View<'_>,
    indexes: impl Iterator<Item = usize>,
    classes: usize,
    members: Vec<&[f32]>,
) -> Result<Vec<Candidate>, SelectorError> {
    let mut members: Vec<_> = members.iter().map(|values| values.chunks_exact(classes)).collect();
    let mut all = Vec::new();
    for index in indexes {
        let mut said = Vec::with_capacity(members.len() * classes);
        let mut within = 0.0;
        for row in members.iter_mut().filter_map(Iterator::next) {
            check(|| view.sample(index), row)?;
            let sum: f64 = row.iter().map(|&p| f64::from(p).max(0.0)).sum();
            let start = said.len();
            said.extend(row.iter().map(|&p| f64::from(p).max(0.0) / sum));
            within += entropy(said.get(start..).unwrap_or_default());
        }
        within /= count(members.len());
        all.push(Candidate { index, classes, said, within });
    }
    Ok(all)
}

#[expect(clippy::cast_precision_loss, reason = "counts of members and outcomes")]
const fn count(n: usize) -> f64 {
    n as f64
}

/// `-sum p ln p`, in nats.
fn entropy(distribution: &[f64]) -> f64 {
    let positive = distribution.iter().filter(|&&p| p > 0.0);
    positive.fold(0.0, |sum, &p| sum - p * libm::log(p))
}

/// What the labels of the picks so far may turn out to be.
#[derive(Clone)]
struct Outcomes {
    members: usize,
    /// The probability of each outcome.
    weights: Vec<f64>,
    /// For each outcome, how likely each member is after it.
    posteriors: Vec<f64>,
}

impl Outcomes {
    /// No label, one outcome.
    fn nothing_picked(members: usize) -> Self {
        Self { members, weights: vec![1.0], posteriors: vec![1.0 / count(members); members] }
    }

    /// Outcomes yet to be drawn: as many of each member.
    fn to_draw(members: usize, samples: usize) -> Self {
        let outcomes = samples.div_ceil(members) * members;
        let posteriors = vec![1.0 / count(members); outcomes * members];
        Self { members, weights: vec![1.0 / count(outcomes); outcomes], posteriors }
    }

    fn iter(&self) -> impl Iterator<Item = (f64, &[f64])> {
        self.weights.iter().copied().zip(self.posteriors.chunks_exact(self.members))
    }

    /// What one more label tells about the member.
    fn gain(&self, candidate: &Candidate) -> f64 {
        let mut foretold = vec![0.0; candidate.classes];
        let mut total = 0.0;
        for (weight, posterior) in self.iter() {
            candidate.foretell(posterior, &mut foretold);
            total += weight * entropy(&foretold);
        }
        total - candidate.within
    }

    /// Each outcome, with each label that the pick may get.
    fn with_every_label_of(&self, pick: &Candidate) -> Self {
        let mut next = Self { members: self.members, weights: vec![], posteriors: vec![] };
        let mut foretold = vec![0.0; pick.classes];
        for (weight, posterior) in self.iter() {
            pick.foretell(posterior, &mut foretold);
            for (label, &p) in foretold.iter().enumerate().filter(|&(_, &p)| p > 0.0) {
                next.weights.push(weight * p);
                next.posteriors
                    .extend(posterior.iter().zip(pick.of(label)).map(|(w, q)| w * q / p));
            }
        }
        next
    }

    /// Draws the label of the pick in each outcome, from the member whose turn it is.
    fn draw(&mut self, pick: &Candidate, view: &View<'_>, chance: &Chance<'_>) {
        let sample = view.sample(pick.index);
        let members = self.members;
        self.posteriors.par_chunks_exact_mut(members).enumerate().for_each(
            |(number, posterior)| {
                let unit = chance.unit(&format!("{number}/{sample}"));
                let label = pick.label(number % members, unit);
                let p: f64 = posterior.iter().zip(pick.of(label)).map(|(w, q)| w * q).sum();
                // The member that said the label has not said the impossible, so p is positive, but for underflow.
                if p > 0.0 {
                    posterior.iter_mut().zip(pick.of(label)).for_each(|(w, q)| *w = *w * q / p);
                }
            },
        );
    }
}

impl Candidate {
    /// The distribution of the label, members being as likely as `posterior` says.
    fn foretell(&self, posterior: &[f64], foretold: &mut [f64]) {
        foretold.fill(0.0);
        for (weight, row) in posterior.iter().zip(self.said.chunks_exact(self.classes)) {
            foretold.iter_mut().zip(row).for_each(|(sum, p)| *sum += weight * p);
        }
    }

    /// What each member says of a label.
    fn of(&self, label: usize) -> impl Iterator<Item = f64> {
        self.said.iter().copied().skip(label).step_by(self.classes)
    }

    /// The label at `unit` of a member's distribution.
    fn label(&self, member: usize, unit: f64) -> usize {
        let row = self.said.chunks_exact(self.classes).nth(member).unwrap_or_default();
        let mut sum = 0.0;
        let mut last = 0;
        for (label, &p) in row.iter().enumerate().filter(|&(_, &p)| p > 0.0) {
            sum += p;
            last = label;
            if unit < sum {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
#[path = "batchbald/tests.rs"]
mod tests;
