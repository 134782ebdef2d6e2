//! The data selector: what is known about candidates in, picks out.
//!
//! Pure: a selection is a function of the candidates' outputs, the labelled samples, the parameters and the seed, and of
//! nothing else, so any past batch can be derived again, bit for bit, from its artifacts, on any number of threads. Ties
//! break by sample id. Where outputs come from is not known here.
//!
//! | to find | open |
//! |---|---|
//! | what a strategy is, and how to write one | [`Strategy`], `strategy.rs` |
//! | what it may look at | [`View`], `view.rs` |
//! | from a name to a strategy | [`build`](build()), `build.rs` |
//! | the highest scores of a pool of any size | `top_k.rs` |
//! | the random arm that measures | `audit.rs` |
//! | the first batch | `cold_start.rs` |
//! | what is kept, and picking again from it | [`Evidence`], `evidence.rs` |
//! | a family of strategies | the file of its name |

mod audit;
mod badge;
mod build;
mod calibration;
mod cold_start;
mod committee;
mod detection;
mod distribution;
mod error;
mod evidence;
mod kcenter;
mod kmeans;
mod multilabel;
mod pairs;
mod random;
mod regression;
mod segmentation;
mod simd;
mod stochastic;
mod strategy;
mod top_k;
mod typiclust;
mod uncertainty;
mod view;

// Strategies made of strategies, and those that ask elsewhere.
mod autopilot;
mod class_balanced;
mod combined;
mod command;
mod cost_aware;
#[cfg(feature = "sql")]
mod database;
mod inner;
mod model_output;
mod prefilter;
mod query;
mod seals;

pub use audit::audit_size;
pub use build::build;
pub use calibration::{at_temperature, fit_temperature, logits_of};
pub use cold_start::{cold_start_per_class, cold_start_random};
#[cfg(feature = "sql")]
pub use database::{Database, QueryLimits, Samples};
pub use error::SelectorError;
pub use evidence::{About, Evidence, EvidenceError, EvidenceWriter, Rounded};
pub use strategy::{Chosen, Needs, Picks, Plan, Scores, Strategy};
use top_k::in_memory_scores;
pub use top_k::top_k;
pub use view::{Answer, Labelled, Output, Queries, SampleIds, View};

use crate::domain::event::{Arm, Pick};
use crate::domain::rows::Runs;
use crate::metrics;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What to choose from, and how.
#[derive(Clone, Copy)]
pub struct SelectRequest<'a> {
    /// The rule.
    pub strategy: &'a dyn Strategy,
    /// Its name, as events write it.
    pub name: &'a str,
    /// The candidates and what is known about them.
    pub view: &'a View<'a>,
    /// How many to pick, both arms together; fewer where there are fewer candidates.
    pub batch: usize,
    /// How many of them the audit arm picks, see [`audit_size`].
    pub audit: usize,
}

/// What was chosen, with what an auditor needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The strategy as workflows write it, for example `margin`.
    pub strategy: String,
    /// The version of its definition; raised whenever the same inputs would give other picks.
    pub version: u32,
    /// Its parameters and remarks, as text.
    pub parameters: BTreeMap<String, String>,
    /// Strategy arm first, by rank; then the audit arm.
    pub picks: Vec<Pick>,
    /// The lowest score that the strategy arm still picked; `None` where it picked nothing.
    pub cutoff: Option<f64>,
}

/// Given the score of each candidate in turn, in pieces. Candidates of the audit arm have none: NaN.
pub type KeepScores<'k> = &'k mut dyn FnMut(&[f64]) -> Result<(), SelectorError>;

/// Picks a batch.
///
/// The audit arm is drawn first, uniformly without replacement from all candidates, and those samples are out of the
/// strategy's reach: so its labels measure the production model without bias, whatever the strategy does. The strategy
/// then picks among the rest. A batch larger than the pool takes every candidate, and says so in `parameters`.
///
/// `keep` is given the scores of a strategy that scores each candidate; others never call it.
///
/// # Errors
/// [`SelectorError`]: no candidates, an audit arm larger than the batch, or whatever the strategy finds missing or wrong.
pub fn select(
    request: &SelectRequest<'_>,
    keep: Option<KeepScores<'_>>,
) -> Result<Selection, SelectorError> {
    let SelectRequest { strategy, name, view, batch, audit } = *request;
    view.check(batch)?;
    if audit > batch {
        return Err(SelectorError::AuditTooLarge { audit, batch });
    }
    check_view(strategy, view)?;
    let audited = audit::lowest_draws(view, "audit", audit, |_| true);
    let hidden: BTreeSet<usize> = audited.iter().copied().collect();
    let visible = Runs::all_but(view.len(), hidden.iter().copied());
    let rest = view.only(&visible);
    let seen = if hidden.is_empty() { view } else { &rest };
    let count = (batch - audit).min(seen.len());
    let picked = if count == 0 {
        Picks::default()
    } else {
        let mut keep =
            keep.map(|keep| WithGaps { keep, hidden: &hidden, next: 0, len: view.len() });
        pick(strategy, seen, count, keep.as_mut())?
    };
    check_picks(&picked, seen.len(), count)?;
    let cutoff = picked.chosen.iter().map(|chosen| chosen.score).reduce(f64::min);
    let mut parameters = picked.remarks;
    parameters.insert("batch".to_owned(), batch.to_string());
    parameters.insert("audit".to_owned(), audit.to_string());
    let short = batch.saturating_sub(audited.len() + picked.chosen.len());
    if short > 0 {
        let taken = batch - short;
        parameters
            .insert("short".to_owned(), format!("{taken} picks where {batch} were asked for"));
    }
    let mut picks: Vec<Pick> = (1..)
        .zip(&picked.chosen)
        .map(|(rank, chosen)| Pick {
            sample: seen.sample(chosen.index),
            arm: Arm::Strategy,
            score: Some(chosen.score),
            rank,
            probability: chosen.probability,
        })
        .collect();
    let probability = Some(share(audited.len(), view.len()));
    picks.extend((1..).zip(audited).map(|(rank, index)| Pick {
        sample: view.sample(index),
        arm: Arm::Audit,
        score: None,
        rank,
        probability,
    }));
    let version = strategy.version();
    Ok(Selection { strategy: name.to_owned(), version, parameters, picks, cutoff })
}

/// The picks of a strategy, whatever it plans.
pub(crate) fn pick(
    strategy: &dyn Strategy,
    view: &View<'_>,
    count: usize,
    keep: Option<&mut WithGaps<'_, '_>>,
) -> Result<Picks, SelectorError> {
    match strategy.plan(view, count)? {
        Plan::Picks(picks) => Ok(picks),
        Plan::Scores(scores) => {
            let mut keep = keep;
            let mut give = |piece: &[f64]| keep.as_mut().map_or(Ok(()), |keep| keep.give(piece));
            let chosen = top_k(view, &scores, count, Some(&mut give))?;
            if let Some(keep) = keep {
                keep.finish()?;
            }
            Ok(Picks { chosen, remarks: BTreeMap::new() })
        }
    }
}

/// Hands scores on, with NaN in the places of candidates that the strategy did not see.
pub(crate) struct WithGaps<'k, 'h> {
    keep: KeepScores<'k>,
    hidden: &'h BTreeSet<usize>,
    next: usize,
    len: usize,
}

impl WithGaps<'_, '_> {
    fn give(&mut self, scores: &[f64]) -> Result<(), SelectorError> {
        if self.hidden.is_empty() {
            return (self.keep)(scores);
        }
        let mut piece = Vec::with_capacity(scores.len());
        for &score in scores {
            while self.hidden.contains(&self.next) {
                piece.push(f64::NAN);
                self.next += 1;
            }
            piece.push(score);
            self.next += 1;
        }
        (self.keep)(&piece)
    }

    fn finish(&mut self) -> Result<(), SelectorError> {
        if self.hidden.is_empty() || self.next == self.len {
            return Ok(());
        }
        (self.keep)(&vec![f64::NAN; self.len - self.next])
    }
}

/// Everything that the strategy needs must be there, in the right number of rows, before anything is worked out.
fn check_view(strategy: &dyn Strategy, view: &View<'_>) -> Result<(), SelectorError> {
    let needs = strategy.needs();
    for output in needs.outputs.iter().chain(&needs.labelled) {
        check_rows(output, view.output(output)?, view.len())?;
    }
    for output in &needs.labelled {
        let (rows, labels) = (view.labelled(output)?.rows(), view.labelled.classes.len());
        if rows != labels {
            return Err(SelectorError::Labels { candidates: rows, labels });
        }
    }
    if needs.members {
        if view.members.len() < 2 {
            return Err(SelectorError::NoMembers { members: view.members.len() });
        }
        let widths: BTreeSet<usize> =
            view.members.iter().map(|member| member.rows.cols()).collect();
        for member in &view.members {
            check_rows("a committee's member", member, view.len())?;
            if widths.len() > 1 {
                let rows = member.rows.rows();
                let columns = member.rows.cols();
                let output = "a member as wide as the others".to_owned();
                return Err(SelectorError::Shape { output, candidates: view.len(), rows, columns });
            }
        }
    }
    if needs.seconds {
        let seconds = view.seconds.as_ref().ok_or(SelectorError::Missing {
            what: "the seconds that an annotation takes",
            way_out: "name the pool's column in `pool.seconds_column`",
        })?;
        if seconds.len() != view.len() {
            let (candidates, labels) = (view.len(), seconds.len());
            return Err(SelectorError::Labels { candidates, labels });
        }
    }
    if needs.queries && view.queries.is_none() {
        return Err(SelectorError::Missing {
            what: "a database to query",
            way_out: "build with `--features sql`",
        });
    }
    Ok(())
}

fn check_rows(name: &str, output: &Output<'_>, candidates: usize) -> Result<(), SelectorError> {
    let (rows, columns) = (output.rows.rows(), output.rows.cols());
    if rows == candidates && columns > 0 {
        return Ok(());
    }
    Err(SelectorError::Shape { output: name.to_owned(), candidates, rows, columns })
}

/// Strategies may be anybody's: what they picked is held against what they were asked for.
fn check_picks(picked: &Picks, candidates: usize, count: usize) -> Result<(), SelectorError> {
    let bad = |what: String| Err(SelectorError::BadPick { what });
    if picked.chosen.len() > count {
        return bad(format!("{} samples where {count} were asked for", picked.chosen.len()));
    }
    let mut seen = HashSet::with_capacity(picked.chosen.len());
    for chosen in &picked.chosen {
        if chosen.index >= candidates {
            return bad(format!("candidate number {} of {candidates}", chosen.index));
        }
        if !seen.insert(chosen.index) {
            return bad(format!("candidate number {} twice", chosen.index));
        }
        if !chosen.score.is_finite() {
            return bad(format!("a sample for a score of {}", chosen.score));
        }
    }
    Ok(())
}

/// `part / whole` as a probability.
fn share(part: usize, whole: usize) -> f64 {
    metrics::share(part as u64, whole as u64)
}

#[cfg(test)]
mod geometry_tests;
#[cfg(test)]
mod test_support;
#[cfg(test)]
#[path = "data_selector/tests.rs"]
mod tests;
