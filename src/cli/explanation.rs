//! Why samples were picked, in sentences.

use super::error::CliError;
use super::output::{Output, Style};
use crate::audit::explanation::{BatchExplanation, Explanation, Happened, Neighbour, Picked};
use crate::domain::digest::Digest;
use crate::domain::label::{ClassSet, Label};

/// The story of a sample, a line for each thing that happened to it.
pub(super) fn show(output: &Output, found: &Explanation) -> Result<(), CliError> {
    output.line(&output.style(Style::Bold, found.sample.as_str()))?;
    let tell = Teller { classes: &found.classes };
    found.history.iter().try_for_each(|happened| output.line(&tell.sentence(happened)))
}

/// A batch, a line for each pick.
pub(super) fn show_batch(output: &Output, found: &BatchExplanation) -> Result<(), CliError> {
    let head =
        format!("cycle {}: {} version {}", found.cycle, found.strategy, found.strategy_version);
    output.line(&output.style(Style::Bold, &head))?;
    for (name, value) in &found.parameters {
        output.line(&format!("{name:<10} {value}"))?;
    }
    let model = found.model.as_ref().map_or_else(|| "none".to_owned(), Digest::to_string);
    output.line(&format!("model      {model}"))?;
    if let Some(provider) = &found.provider {
        output.line(&format!("run by     {provider}"))?;
    }
    let cutoff = number(&found.cutoff, ", the last pick at ");
    output.line(&format!("candidates {}{cutoff}", found.candidates))?;
    if let Some(evidence) = &found.evidence {
        output.line(&format!("evidence   {evidence}"))?;
    }
    let tell = Teller { classes: &found.classes };
    for pick in &found.picks {
        let label = pick.label.map_or_else(|| "no label yet".to_owned(), |label| tell.name(label));
        let by = pick.annotator.as_ref().map_or_else(String::new, |who| format!(" by {who}"));
        let (place, why) = (place(&pick.picked), tell.why(&pick.picked));
        output.line(&format!("{}  {place}{why}  -> {label}{by}", pick.sample))?;
    }
    Ok(())
}

/// Knows the classes by their names.
struct Teller<'a> {
    classes: &'a [String],
}

impl Teller<'_> {
    fn sentence(&self, happened: &Happened) -> String {
        match happened {
            Happened::Picked(picked) => {
                let model = picked.model.as_ref().map(Digest::short);
                let model = model.map_or_else(String::new, |model| format!(", model {model}"));
                let Picked { cycle, candidates, strategy, .. } = picked;
                let (arm, why) = (place(picked), self.why(picked));
                format!("cycle {cycle}: picked, {arm} of {candidates} by {strategy}{why}{model}")
            }
            Happened::Passed { cycle, score, rank, below_cutoff, candidates, nearest } => {
                let place = match rank {
                    Some(rank) => format!("{rank} of {candidates}"),
                    None => format!("one of {candidates}"),
                };
                format!(
                    "cycle {cycle}: not picked, {place}{}{}{}",
                    number(score, ", score "),
                    number(below_cutoff, ", below the last pick by "),
                    self.near(nearest.as_ref())
                )
            }
            Happened::Unknown { cycle, date } => {
                format!("cycle {cycle}: not picked, its score was removed by policy on {date}")
            }
            Happened::Answered { cycle, annotator, label } => {
                format!("cycle {cycle}: {annotator} says {}", self.name(*label))
            }
            Happened::Labelled { cycle, annotator, label } => {
                format!("cycle {cycle}: labelled {} by {annotator}", self.name(*label))
            }
            Happened::Reconsidered { cycle, before, after } if before == after => {
                format!("cycle {cycle}: asked again, {} stands", self.name(*after))
            }
            Happened::Reconsidered { cycle, before, after } => {
                let (before, after) = (self.name(*before), self.name(*after));
                format!("cycle {cycle}: {before} became {after}")
            }
            Happened::Learned { cycle, labels, model, metric, before, after } => {
                let model = match model {
                    Some(model) => format!("model {} went to production", model.short()),
                    None => "no new model went to production".to_owned(),
                };
                let before = number(before, "");
                let before = if before.is_empty() { "nothing".to_owned() } else { before };
                format!(
                    "cycle {cycle}: a training learned it among {labels} labels; {model}, {metric} {before} -> {after:.6}"
                )
            }
        }
    }

    /// Why a pick is one.
    fn why(&self, picked: &Picked) -> String {
        format!(
            "{}{}{}{}",
            number(&picked.score, ", score "),
            number(&picked.above_cutoff, ", above the last pick by "),
            number(&picked.probability, ", by chance with probability "),
            self.near(picked.nearest.as_ref())
        )
    }

    fn near(&self, nearest: Option<&Neighbour>) -> String {
        nearest.map_or_else(String::new, |Neighbour { sample, label, distance }| {
            format!(", nearest labelled {sample} ({}) at {distance:.4}", self.name(*label))
        })
    }

    fn name(&self, label: Label) -> String {
        let class = |class: usize| {
            self.classes.get(class).cloned().unwrap_or_else(|| format!("class number {class}"))
        };
        match label {
            Label::Class(number) => class(usize::try_from(number).unwrap_or(usize::MAX)),
            Label::Classes(set) => {
                let all = (0..ClassSet::CLASSES_MAX).filter(|class| set.holds(*class));
                let names: Vec<String> = all.map(class).collect();
                if names.is_empty() { "no class".to_owned() } else { names.join(" + ") }
            }
            Label::Value(value) => value.get().to_string(),
            Label::Mask(digest) => format!("mask {}", digest.short()),
            Label::Erased(_) => "something that was erased".to_owned(),
        }
    }
}

/// Its arm, and its place in it.
fn place(picked: &Picked) -> String {
    format!("{:?} {}", picked.arm, picked.rank)
}

fn number(value: &Option<f64>, before: &str) -> String {
    value.map_or_else(String::new, |value| format!("{before}{value:.6}"))
}
