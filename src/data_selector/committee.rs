//! Committees: several models, or several passes of one with dropout, and what they disagree about.
//!
//! Each member gives a distribution over k classes for each candidate. With n candidates and m members every measure takes
//! `O(nmk)`, and memory for the batch and a few pieces of each member. They need members (at least two) and nothing else.
//! Higher scores are more disputed. Logarithms are natural, libm's, the same on every machine.
//!
//! Use [`Bald`](Dispute::Bald) where members are passes with dropout or an ensemble of networks: it leaves alone what is
//! uncertain by nature, such as mislabelled or ambiguous samples, which all members are unsure of. Use votes where members
//! are of different kinds and their probabilities cannot be compared. With two or three members votes tie often, and ties
//! go by id. All look at one sample at a time: for large batches use `batchbald`, or noise (`power(bald)`).

use super::distribution::{check, surprise};
use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View};
use std::borrow::Cow;

/// How disputed a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dispute {
    /// `1 - votes(winner) / m`; in [0, 1 - 1/m]. L. C. Freeman (1965), "Elementary applied statistics", as Y. Gal, R. Islam
    /// and Z. Ghahramani (2017), arXiv 1703.02910, section 3, take it over. They write `1 - max p(y|x)` of the mean, which
    /// would be `least_confidence` of a committee; we count votes, as Y. Gal's thesis (2016), section 3.3.1, does. A member
    /// votes for its most likely class, the lower number where two are equal.
    VariationRatio,
    /// `H(mean of p) - mean of H(p)`, the mutual information of prediction and member; in [0, ln k]. N. Houlsby, F. Huszar,
    /// Z. Ghahramani and M. Lengyel (2011), arXiv 1112.5745, section 2; with dropout, Gal et al. (2017), section 3. Rounding
    /// may take it below 0, where it is 0.
    Bald,
    /// The mean over classes of the standard deviation over members, `sqrt(mean of p^2 - (mean of p)^2)`, of the
    /// population; in [0, 1/2]. M. Kampffmeyer, A.-B. Salberg and R. Jenssen (2016), "Semantic segmentation of small objects
    /// and modeling of uncertainty in urban remote sensing images", CVPR workshops; Gal et al. (2017), section 3.
    MeanStd,
    /// `-sum v/m ln(v/m)` over the classes' votes v; in [0, ln min(k, m)]. I. Dagan and S. P. Engelson (1995), "Committee-based
    /// sampling for training probabilistic classifiers", ICML. They divide by `ln min(k, m)`, which ranks alike; we follow
    /// Settles (2009), section 3.2, who does not.
    VoteEntropy,
    /// The mean over members of `KL(p || mean of p)`. A. McCallum and K. Nigam (1998), "Employing EM and pool-based active
    /// learning for text classification", ICML. In exact arithmetic this is [`Dispute::Bald`]; it is here under its own name
    /// because committees know it by that. Never below 0, as above.
    KlToMean,
}

/// The most disputed of a committee.
pub(super) struct Committee(pub(super) Dispute);

impl Strategy for Committee {
    fn needs(&self) -> Needs {
        Needs::members()
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        let classes = view.members.first().map_or(0, |member| member.rows.cols());
        Ok(Plan::scores(move |rows| {
            let members = view
                .members
                .iter()
                .map(|member| Ok(member.rows.read(rows.clone())?))
                .collect::<Result<Vec<Cow<'_, [f32]>>, SelectorError>>()?;
            let mut members: Vec<_> =
                members.iter().map(|values| values.chunks_exact(classes.max(1))).collect();
            let mut work = Work::new(classes);
            rows.map(|index| {
                let said: Vec<&[f32]> = members.iter_mut().filter_map(Iterator::next).collect();
                for row in &said {
                    check(|| view.sample(index), row)?;
                }
                Ok(work.dispute(self.0, &said))
            })
            .collect()
        }))
    }
}

/// Room for one sample's classes, used again and again.
struct Work {
    mean: Vec<f64>,
    other: Vec<f64>,
}

impl Work {
    fn new(classes: usize) -> Self {
        Self { mean: vec![0.0; classes], other: vec![0.0; classes] }
    }

    fn dispute(&mut self, dispute: Dispute, said: &[&[f32]]) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "members are few")]
        let members = said.len() as f64;
        match dispute {
            Dispute::VariationRatio => {
                self.count_votes(said);
                1.0 - self.other.iter().copied().fold(0.0, f64::max) / members
            }
            Dispute::VoteEntropy => {
                self.count_votes(said);
                self.other.iter().map(|votes| surprise(votes / members)).sum()
            }
            Dispute::Bald => {
                self.take_mean(said, members);
                let of_mean: f64 = self.mean.iter().map(|&p| surprise(p)).sum();
                let all = said.iter().flat_map(|row| row.iter());
                let of_members: f64 = all.map(|&p| surprise(p.into())).sum();
                (of_mean - of_members / members).max(0.0)
            }
            Dispute::MeanStd => {
                self.take_mean(said, members);
                self.other.fill(0.0);
                for row in said {
                    let both = self.other.iter_mut().zip(&self.mean);
                    for ((squares, mean), &p) in both.zip(*row) {
                        let off = f64::from(p) - mean;
                        *squares += off * off;
                    }
                }
                let deviations: f64 =
                    self.other.iter().map(|squares| (squares / members).sqrt()).sum();
                #[expect(clippy::cast_precision_loss, reason = "classes are few")]
                let classes = self.other.len() as f64;
                deviations / classes
            }
            Dispute::KlToMean => {
                self.take_mean(said, members);
                let mut sum = 0.0;
                for row in said {
                    for (&p, &mean) in row.iter().zip(&self.mean) {
                        let p = f64::from(p);
                        if p > 0.0 && mean > 0.0 {
                            sum += p * (libm::log(p) - libm::log(mean));
                        }
                    }
                }
                (sum / members).max(0.0)
            }
        }
    }

    fn take_mean(&mut self, said: &[&[f32]], members: f64) {
        self.mean.fill(0.0);
        for row in said {
            self.mean.iter_mut().zip(*row).for_each(|(sum, &p)| *sum += f64::from(p));
        }
        self.mean.iter_mut().for_each(|sum| *sum /= members);
    }

    fn count_votes(&mut self, said: &[&[f32]]) {
        self.other.fill(0.0);
        for row in said {
            let mut best = (0, f32::NEG_INFINITY);
            for (class, &p) in row.iter().enumerate() {
                if p > best.1 {
                    best = (class, p);
                }
            }
            if let Some(votes) = self.other.get_mut(best.0) {
                *votes += 1.0;
            }
        }
    }
}

#[cfg(test)]
#[path = "committee/tests.rs"]
mod tests;
