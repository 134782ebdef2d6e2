//! How good the labels of a run are, as far as their answers and the last cross-validation tell.

use crate::annotation::agreement::{cohen, fleiss};
use crate::annotation::dawid_skene::{Consensus, Settings, dawid_skene};
use crate::annotation::error::QualityError;
use crate::annotation::suspicious::{Ranking, confident};
use crate::annotation::votes::{Votes, of_answers};
use crate::domain::event::LabelsDoubted;
use crate::domain::ids::{Name, SampleId};
use crate::domain::label::Label;
use crate::domain::matrix::Matrix;
use crate::domain::npy;
use crate::domain::state::{Known, Run};
use serde::{Deserialize, Serialize};

/// The labels of a run, as `gleaner labels --json` prints them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelReport {
    /// How many samples have a label.
    pub labelled: u64,
    /// How many answers these rest on.
    pub answers: u64,
    /// How many labels changed since they were known.
    pub relabelled: u64,
    /// Fleiss' kappa over all answers; `None` where no sample has two, or all say the same.
    pub kappa: Option<f64>,
    /// Whoever answered; empty where labels rest on one answer each.
    pub annotators: Vec<AnnotatorReport>,
    /// Each two annotators who answered for the same samples.
    pub pairs: Vec<PairReport>,
    /// Samples whose answers differ, by id.
    pub disputed: Vec<DisputedLabel>,
    /// How labels looked to models that had not seen them, the last time that was asked.
    pub doubted: Option<LabelsDoubted>,
    /// The day on which what those models said was removed by policy, in UTC; then no suspects are listed.
    #[serde(default)]
    pub removed: Option<String>,
    /// Labels that look wrong, by what those models said, the most doubtful first; without those that were asked again since.
    pub suspects: Vec<SuspectLabel>,
}

/// A label that models which had not seen it would not have given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuspectLabel {
    /// Of which sample.
    pub sample: SampleId,
    /// What it is held to be.
    pub label: String,
    /// What the models make of it.
    pub likely: String,
    /// How probable they find the label, in [0, 1].
    pub probability: f64,
}

/// One annotator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnnotatorReport {
    /// Their name.
    pub name: String,
    /// For how many samples they answered.
    pub answers: u64,
    /// What share of their answers is right, as all answers together tell (Dawid and Skene, 1979). `None` for those who
    /// share no sample with anybody, of whom nothing can be told, and where there is too much to work it out.
    pub accuracy: Option<f64>,
}

/// Two annotators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairReport {
    /// The one.
    pub first: String,
    /// The other.
    pub second: String,
    /// For how many samples both answered.
    pub samples: u64,
    /// Cohen's kappa; `None` where both say the same of everything.
    pub kappa: Option<f64>,
}

/// A sample whose answers differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisputedLabel {
    /// Which.
    pub sample: SampleId,
    /// What it is held to be.
    pub label: String,
    /// Who says what.
    pub answers: Vec<(Name, String)>,
}

/// The numbers of an `.npy` file as [`LabelsDoubted::evidence`] is one.
fn matrix(bytes: &[u8]) -> Option<Matrix> {
    let header = npy::parse(bytes).ok()?;
    let [rows, cols] = header.shape[..] else { return None };
    let (values, rest) = bytes.get(header.offset..)?.as_chunks::<4>();
    let values = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
    (rest.is_empty() && header.descr == "<f4").then(|| Matrix::new(rows, cols, values)).flatten()
}

impl LabelReport {
    /// The report on a run; `evidence` are the bytes of the artifact that its last doubts name. Takes time in proportion to
    /// the answers, and for pairs to the square of the annotators.
    ///
    /// # Errors
    /// [`QualityError`] for answers or evidence that are none.
    pub fn of(run: &Run, evidence: Option<&[u8]>) -> Result<Self, QualityError> {
        let names = run.started.as_ref().map_or(&[][..], |started| started.classes.as_slice());
        let name = |label: Label| match label {
            Label::Class(class) => names.get(class as usize).cloned().unwrap_or_default(),
            Label::Classes(_) | Label::Value(_) | Label::Mask(_) => String::new(),
            Label::Erased(_) => "erased".to_owned(),
        };
        let mut report = Self {
            labelled: run.labelled(),
            answers: run.answers,
            relabelled: run.history.iter().map(|line| line.relabelled).sum(),
            kappa: None,
            annotators: Vec::new(),
            pairs: Vec::new(),
            disputed: Vec::new(),
            doubted: run.history.iter().rev().find_map(|line| line.doubted.clone()),
            removed: None,
            suspects: Vec::new(),
        };
        if let Some(probabilities) = evidence.and_then(matrix) {
            let doubted = run.history.iter().rev().find(|line| line.doubted.is_some());
            let judged = |known: &&Known| doubted.is_some_and(|line| known.cycle < line.cycle);
            let class = |known: &Known| match known.label {
                Label::Class(class) => class,
                Label::Classes(_) | Label::Value(_) | Label::Mask(_) | Label::Erased(_) => 0,
            };
            let labels: Vec<(&SampleId, u32)> = run
                .labels
                .iter()
                .filter(|(_, known)| judged(known))
                .map(|(sample, known)| (sample, class(known)))
                .collect();
            let noise = confident(&labels, &probabilities)?;
            let ranked = noise.ranked(Ranking::Margin);
            let open = ranked.iter().filter(|of| !run.reconsidered.contains(of.sample));
            report.suspects.extend(open.map(|of| SuspectLabel {
                sample: of.sample.clone(),
                label: name(Label::Class(of.given)),
                likely: name(Label::Class(of.likely)),
                probability: of.self_confidence,
            }));
        }
        if run.votes.is_empty() {
            return Ok(report);
        }
        let votes = Votes::new(of_answers(run.ballots()), names.len())?;
        report.kappa = fleiss(&votes).and_then(|found| found.kappa());
        let believed = dawid_skene(&votes, Settings::default()).ok();
        for &annotator in votes.annotators() {
            let answers =
                run.votes.values().flatten().filter(|ballot| ballot.annotator == annotator);
            let of = |believed: &Consensus<'_>| {
                let found = believed.annotators.iter().find(|of| of.name == annotator);
                found.map(|of| of.accuracy)
            };
            let shares = run.votes.values().any(|ballots| {
                ballots.len() > 1 && ballots.iter().any(|ballot| ballot.annotator == annotator)
            });
            report.annotators.push(AnnotatorReport {
                name: annotator.to_owned(),
                answers: answers.count() as u64,
                accuracy: believed.as_ref().and_then(of).filter(|_| shares),
            });
        }
        for (place, &first) in votes.annotators().iter().enumerate() {
            for &second in votes.annotators().iter().skip(place + 1) {
                report.pairs.extend(cohen(&votes, first, second).map(|found| PairReport {
                    first: first.to_owned(),
                    second: second.to_owned(),
                    samples: found.samples,
                    kappa: found.kappa(),
                }));
            }
        }
        for (sample, ballots) in &run.votes {
            let Some(known) = run.labels.get(sample) else { continue };
            if ballots.iter().any(|ballot| ballot.label != known.label) {
                report.disputed.push(DisputedLabel {
                    sample: sample.clone(),
                    label: name(known.label),
                    answers: ballots
                        .iter()
                        .map(|ballot| (ballot.annotator.clone(), name(ballot.label)))
                        .collect(),
                });
            }
        }
        Ok(report)
    }
}
