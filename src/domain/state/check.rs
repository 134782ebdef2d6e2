//! Whether an event of the right kind also fits in what it says: nothing twice, nothing unknown, every number finite.
//!
//! Which kind may follow which is [`super::Run::apply`]'s. Checks look at the run and the event only, and cost no more
//! than applying the event: what needs the workflow or a hash over all labels is [`crate::domain::decide`]'s.

use super::{Phase, Run, expected, fresh};
use crate::domain::digest::Digest;
use crate::domain::event::{
    Annotated, Arm, ArtifactsRemoved, BaselineMeasured, BatchSelected, Checkpoint, ClassesMeasured,
    CycleEnded, CycleStarted, DriftChecked, EndReason, Forked, KpiChecked, KpiStage, LabelsDoubted,
    ModelSelected, ModelsCompared, Pinned, Relabelled, RolledBack, RunEnded, SampleErased, Trained,
    Voted,
};
use crate::domain::ids::{CycleNumber, SampleId};
use crate::domain::kpi::{self, Interval, Verdict};
use crate::domain::label::Label;
use crate::domain::metric::Metric;
use std::collections::BTreeMap;

impl Run {
    pub(super) fn check_cycle(&self, started: &CycleStarted) -> Result<(), String> {
        let cycle = self.cycle.next();
        let decides = self.decided_by(cycle).map(|(workflow, seed, _)| (workflow, seed));
        if decides != Some((started.workflow, started.seed)) {
            let inherited = self.forked.as_ref().is_some_and(|forked| cycle <= forked.cycle);
            let whose = if inherited { "of the run that made the cycle" } else { "the run's" };
            return Err(format!("its workflow or seed is not {whose}"));
        }
        if started.labelled != self.labelled() {
            let known = self.labelled();
            return Err(format!("it speaks of {} labels, the run has {known}", started.labelled));
        }
        Ok(())
    }

    pub(super) fn check_fork(&self, forked: &Forked) -> Result<(), String> {
        if self.cycle.0 > 0 || self.forked.is_some() {
            return Err("a run forks once, before its first cycle".to_owned());
        }
        let ends = || forked.past.iter().map(|decided| decided.until);
        let before = std::iter::once(CycleNumber(0)).chain(ends());
        if ends().next_back() != Some(forked.cycle) || before.zip(ends()).any(|(a, b)| a >= b) {
            let cycle = forked.cycle;
            return Err(format!("who decided its {cycle} inherited cycles is not told in order"));
        }
        if forked.run == self.id || forked.past.iter().any(|decided| decided.run == self.id) {
            return Err("it forks from itself".to_owned());
        }
        Ok(())
    }

    pub(super) fn check_batch(&self, batch: &BatchSelected) -> Result<(), String> {
        if batch.picks.is_empty() {
            return Err("it picks nothing".to_owned());
        }
        if fresh(batch) > batch.candidates {
            let (picks, candidates) = (fresh(batch), batch.candidates);
            return Err(format!("it picks {picks} of {candidates} candidates"));
        }
        if batch.model.is_some() && batch.model != self.selector_model {
            return Err("it was scored by another model than the cycle's selector model".to_owned());
        }
        if batch.cutoff.is_some_and(|cutoff| !cutoff.is_finite()) {
            return Err("its cutoff is not finite".to_owned());
        }
        if let Some(sample) = twice(batch.picks.iter().map(|pick| &pick.sample)) {
            return Err(format!("sample {sample} is picked twice"));
        }
        for pick in &batch.picks {
            match (self.labels.contains_key(&pick.sample), pick.arm == Arm::Relabel) {
                (true, false) => {
                    return Err(format!("sample {} is labelled already", pick.sample));
                }
                (false, true) => {
                    let sample = &pick.sample;
                    return Err(format!("sample {sample} is to be asked again, but has no label"));
                }
                (true, true) | (false, false) => {}
            }
            if pick.score.is_some_and(|score| !score.is_finite()) {
                return Err(format!("the score of sample {} is not finite", pick.sample));
            }
            if let Some(chance) =
                pick.probability.filter(|chance| !(*chance > 0.0 && *chance <= 1.0))
            {
                let sample = &pick.sample;
                return Err(format!(
                    "sample {sample} was picked with probability {chance}, which is not in (0, 1]"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn check_doubts(&self, doubted: &LabelsDoubted) -> Result<(), String> {
        let LabelsDoubted { labels, folds, suspects, error_rate, .. } = *doubted;
        if labels != self.labelled() {
            let known = self.labelled();
            return Err(format!("it speaks of {labels} labels, the run has {known}"));
        }
        if folds < 2 || suspects > labels {
            return Err(format!("{suspects} suspects of {labels} labels in {folds} parts"));
        }
        if !(0.0..=1.0).contains(&error_rate) {
            return Err(format!("its rate of errors is {error_rate}, which is not in [0, 1]"));
        }
        Ok(())
    }

    pub(super) fn check_votes(&self, voted: &Voted) -> Result<(), String> {
        if voted.votes.is_empty() {
            return Err("it holds no answer".to_owned());
        }
        let repeated = twice(voted.votes.iter().map(|vote| (&vote.sample, &vote.annotator)));
        for vote in &voted.votes {
            let (sample, annotator) = (&vote.sample, &vote.annotator);
            self.check_is_asked(sample)?;
            let before = self.votes.get(sample).map(Vec::as_slice).unwrap_or_default();
            let voted = before.iter().any(|ballot| ballot.annotator == *annotator);
            if voted || repeated == Some((sample, annotator)) {
                return Err(format!("{annotator} answers twice for sample {sample}"));
            }
            self.check_class(sample, vote.label)?;
        }
        Ok(())
    }

    pub(super) fn check_relabelled(&self, relabelled: &Relabelled) -> Result<(), String> {
        if relabelled.labels.is_empty() {
            return Err("it holds no label".to_owned());
        }
        if let Some(sample) = twice(relabelled.labels.iter().map(|relabel| &relabel.sample)) {
            return Err(format!("sample {sample} is labelled twice"));
        }
        for relabel in &relabelled.labels {
            let sample = &relabel.sample;
            let known = self.labels.get(sample).map(|known| known.label);
            if known != Some(relabel.before) {
                return Err(format!("the label of sample {sample} was not what it says it was"));
            }
            if relabel.after.task() != relabel.before.task() {
                return Err(format!("the new label of sample {sample} is one of another task"));
            }
            self.check_class(sample, relabel.after)?;
        }
        Ok(())
    }

    pub(super) fn check_labels(&self, annotated: &Annotated) -> Result<(), String> {
        if annotated.labels.is_empty() {
            return Err("it holds no label".to_owned());
        }
        if let Some(sample) = twice(annotated.labels.iter().map(|said| &said.sample)) {
            return Err(format!("sample {sample} is labelled twice"));
        }
        for annotation in &annotated.labels {
            let sample = &annotation.sample;
            // All others that are missing had no label when they were picked.
            if self.check_is_asked(sample)? == Arm::Relabel {
                return Err(format!("sample {sample} is labelled already"));
            }
            self.check_class(sample, annotation.label)?;
        }
        Ok(())
    }

    /// Why a sample was picked whose label is missing.
    fn check_is_asked(&self, sample: &SampleId) -> Result<Arm, String> {
        match self.picks.get(sample) {
            Some(asked) if asked.is_missing => Ok(asked.arm),
            Some(_) => Err(format!("sample {sample} is labelled already")),
            None => Err(format!("sample {sample} was not picked in this cycle")),
        }
    }

    fn check_class(&self, sample: &SampleId, label: Label) -> Result<(), String> {
        let classes = self.started.as_ref().map_or(0, |run| run.classes.len());
        let highest = match label {
            Label::Class(class) => Some(class),
            Label::Classes(set) => set.highest(),
            Label::Value(_) | Label::Mask(_) | Label::Erased(_) => None,
        };
        match highest.filter(|&class| class as usize >= classes) {
            Some(class) => Err(format!(
                "the label of sample {sample} is class {class}, but the class list has {classes}"
            )),
            None => Ok(()),
        }
    }

    pub(super) fn check_drift(&self, drift: &DriftChecked) -> Result<(), String> {
        if Some(drift.model) != self.production {
            return Err(format!("it asked {}, which is not in production", drift.model));
        }
        let shares = [drift.statistic, drift.p, drift.level];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
            return Err("its statistic, p or level is not in [0, 1]".to_owned());
        }
        Ok(())
    }

    pub(super) fn check_baseline(&self, baseline: &BaselineMeasured) -> Result<(), String> {
        let BaselineMeasured { random_labels, all_labels, .. } = *baseline;
        if all_labels != self.labelled() || random_labels > all_labels {
            let known = self.labelled();
            return Err(format!(
                "it learnt from {random_labels} and {all_labels} labels, the run has {known}"
            ));
        }
        if !baseline.random.is_finite() || !baseline.all.is_finite() {
            return Err("its numbers are not finite".to_owned());
        }
        Ok(())
    }

    pub(super) fn check_classes(&self, measured: &ClassesMeasured) -> Result<(), String> {
        if Some(measured.model) != self.production {
            return Err(format!("it measures {}, which is not in production", measured.model));
        }
        let classes = self.started.as_ref().map_or(0, |run| run.classes.len());
        for found in &measured.classes {
            let class = found.class;
            if class as usize >= classes {
                return Err(format!("it speaks of class {class}, the class list has {classes}"));
            }
            let numbers = [found.value, found.interval.low, found.interval.high];
            if numbers.iter().any(|number| !number.is_finite()) {
                return Err(format!("its numbers of class {class} are not finite"));
            }
        }
        if measured.classes.windows(2).any(|pair| match pair {
            [first, second] => first.class >= second.class,
            _ => false,
        }) {
            return Err("its classes are not in order".to_owned());
        }
        Ok(())
    }

    pub(super) fn check_kpi(&self, checked: &KpiChecked, stage: KpiStage) -> Result<(), String> {
        if checked.stage != stage {
            return Err(format!("it is a {:?} where a {stage:?} is due", checked.stage));
        }
        if Some(checked.model) != self.production {
            return Err(format!("it measures {}, which is not in production", checked.model));
        }
        let numbers = [checked.value, checked.interval.low, checked.interval.high, checked.target];
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err("its numbers are not finite".to_owned());
        }
        let KpiChecked { n, basis, value, interval, target, .. } = *checked;
        if interval.low > interval.high {
            let Interval { low, high } = interval;
            return Err(format!("its interval ends at {high}, before its beginning at {low}"));
        }
        if n == 0 && checked.verdict == Verdict::Met {
            return Err("nothing can be met on no samples".to_owned());
        }
        let direction = checked.metric.parse::<Metric>().map(Metric::direction);
        let direction = direction.map_err(|error| format!("its metric is unknown: {error}"))?;
        if kpi::verdict(basis, value, interval, target, direction) != checked.verdict {
            return Err("its verdict does not follow from its measurement and target".to_owned());
        }
        Ok(())
    }

    pub(super) fn check_training(&self, trained: &Trained) -> Result<(), String> {
        if trained.checkpoints.is_empty() {
            return Err("it saved no checkpoint".to_owned());
        }
        if trained.train_samples != self.labelled() {
            let known = self.labelled();
            return Err(format!("it used {} labels, the run has {known}", trained.train_samples));
        }
        for Checkpoint { model, metrics, .. } in &trained.checkpoints {
            if let Some((name, value)) = metrics.iter().find(|(_, value)| !value.is_finite()) {
                return Err(format!(
                    "{name} of checkpoint {model} is {value}, not a finite number"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn check_selection(
        &self,
        checkpoints: &[Checkpoint],
        selected: &ModelSelected,
    ) -> Result<(), String> {
        if selected.incumbent != self.production {
            return Err("its incumbent is not the production model".to_owned());
        }
        if let Some(model) = twice(selected.candidates.iter().map(|candidate| candidate.model)) {
            return Err(format!("candidate {model} is listed twice"));
        }
        for candidate in &selected.candidates {
            let saved = checkpoints.iter().any(|saved| saved.model == candidate.model);
            if !saved && Some(candidate.model) != self.production {
                return Err(format!("candidate {} is not known", candidate.model));
            }
            if !candidate.value.is_finite() {
                return Err(format!("the value of candidate {} is not finite", candidate.model));
            }
        }
        if !selected.candidates.iter().any(|candidate| candidate.model == selected.winner) {
            return Err(format!("the winner {} is not a candidate", selected.winner));
        }
        if !selected.promoted && self.production.is_none() {
            return Err("the first model must go to production".to_owned());
        }
        if selected.promoted && self.pinned {
            return Err("it promotes a model while the production model is pinned".to_owned());
        }
        if selected.promoted && Some(selected.winner) == self.production {
            // It would clear the fresh audit labels, which this model was not trained on.
            return Err(format!("it promotes {}, which is in production", selected.winner));
        }
        Ok(())
    }

    pub(super) fn check_comparison(
        &self,
        checkpoints: &[Checkpoint],
        compared: &ModelsCompared,
    ) -> Result<(), String> {
        let ModelsCompared { champion, challenger, n, wins, losses, interval, .. } = compared;
        if Some(*champion) != self.production {
            return Err(format!("its champion {champion} is not in production"));
        }
        if !checkpoints.iter().any(|saved| saved.model == *challenger) {
            return Err(format!("its challenger {challenger} was not trained in this cycle"));
        }
        if wins.checked_add(*losses).is_none_or(|decided| decided > *n) {
            return Err(format!("{wins} wins and {losses} losses are more than {n} samples"));
        }
        let numbers = [compared.difference, interval.low, interval.high, compared.p];
        if numbers.iter().any(|number| !number.is_finite()) || interval.low > interval.high {
            return Err(
                "its numbers are not finite, or its interval ends before it begins".to_owned()
            );
        }
        Ok(())
    }

    pub(super) fn check_roll_back(&self, back: &RolledBack) -> Result<(), String> {
        if Some(back.previous) != self.production {
            return Err(format!(
                "it takes {} out of production, which is not there",
                back.previous
            ));
        }
        if back.model == back.previous {
            return Err(format!("{} is in production already", back.model));
        }
        if self.trained_in(back.model).is_none() {
            return Err(format!("{} was never in production", back.model));
        }
        Ok(())
    }

    pub(super) fn check_pin(&self, pinned: &Pinned) -> Result<(), String> {
        if self.production.is_none() {
            return Err("there is no production model to pin".to_owned());
        }
        if self.pinned == pinned.pinned {
            let is = if self.pinned { "pinned already" } else { "not pinned" };
            return Err(format!("the production model is {is}"));
        }
        Ok(())
    }

    /// What a later step, a roll-back or anybody's audit needs is not removed.
    pub(super) fn check_removal(&self, removed: &ArtifactsRemoved) -> Result<(), String> {
        if removed.removed.is_empty() {
            return Err("it removes nothing".to_owned());
        }
        let started = self.started.as_ref().map(|run| run.workflow);
        let saved = if let Phase::SelectingModel { checkpoints } = &self.phase {
            checkpoints.as_slice()
        } else {
            &[]
        };
        let masks = self.labels.values().filter_map(|known| known.label.artifact());
        let needed: BTreeMap<Digest, &str> = (self.promoted.iter())
            .map(|(_, model)| (*model, "a model that was in production"))
            .chain(self.production.map(|model| (model, "the production model")))
            .chain(self.selector_model.map(|model| (model, "the selector model")))
            .chain(saved.iter().map(|saved| (saved.model, "a checkpoint to choose from")))
            .chain(self.pools.iter().map(|pool| (*pool, "a pool's manifest")))
            .chain(started.map(|workflow| (workflow, "the workflow")))
            .chain(masks.map(|mask| (mask, "a label")))
            .collect();
        let repeated = twice(removed.removed.iter().map(|gone| gone.artifact));
        for gone in &removed.removed {
            let artifact = gone.artifact;
            if let Some(what) = needed.get(&artifact) {
                return Err(format!("it removes {artifact}, which is {what}"));
            }
            if self.removed.contains_key(&artifact) || repeated == Some(artifact) {
                return Err(format!("it removes {artifact} twice"));
            }
        }
        Ok(())
    }

    /// Records are rewritten before that is told, so by then nothing of the sample is known.
    pub(super) fn check_erasure(&self, erased: &SampleErased) -> Result<(), String> {
        let sample = &erased.sample;
        let known = self.labels.get(sample).map(|known| known.label);
        let said = self.votes.get(sample).into_iter().flatten().map(|ballot| ballot.label);
        if known.into_iter().chain(said).any(|label| !label.is_erased()) {
            return Err(format!("the log still tells what sample {sample} is"));
        }
        let places = erased.rewritten.iter().map(|record| (record.cycle, record.revision));
        if !places.is_sorted_by(|a, b| a < b) {
            return Err("its records are not in the order of the log".to_owned());
        }
        Ok(())
    }

    pub(super) fn check_cycle_end(&self, ended: &CycleEnded) -> Result<(), String> {
        let CycleEnded { labelled, production } = *ended;
        if (labelled, production) != (self.labelled(), self.production) {
            return Err(format!(
                "it speaks of {labelled} labels and model {production:?}, the run has {} and {:?}",
                self.labelled(),
                self.production
            ));
        }
        Ok(())
    }

    pub(super) fn check_run_end(&self, ended: &RunEnded) -> Result<(), String> {
        if self.phase == Phase::Cancelled && ended.reason != EndReason::Cancelled {
            return Err(expected(&self.phase).to_owned());
        }
        let RunEnded { cycles, labelled, production, .. } = *ended;
        if (cycles, labelled, production) != (self.cycle, self.labelled(), self.production) {
            return Err(format!(
                "it speaks of {cycles} cycles, {labelled} labels and model {production:?}, the run has {}, {} and {:?}",
                self.cycle,
                self.labelled(),
                self.production
            ));
        }
        Ok(())
    }
}

/// The least of the values that are there more than once.
fn twice<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.array_windows().find_map(|[one, next]| (one == next).then_some(*one))
}
