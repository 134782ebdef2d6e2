//! What a log adds up to, and which event may follow which.
//!
//! [`Run::apply`] is the one transition function: total, used when an event is appended *and* when a log is loaded, so a
//! log that does not fit is found at once. It holds no policy; see [`super::decide`] for that.

mod check;

use super::digest::Digest;
use super::event::{
    Annotated, Arm, BaselineMeasured, BatchSelected, Checkpoint, CycleFailed, CycleStarted,
    DriftChecked, EndReason, Event, Forked, KpiChecked, KpiStage, LabelsDoubted, ModelSelected,
    Relabelled, RolledBack, RunStarted, Voted,
};
use super::ids::{CycleNumber, Name, RunId, SampleId};
use super::job::JobKind;
use super::kpi::Verdict;
use super::label::Label;
use super::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A run, as its log tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// How it was started; `None` before its first event.
    pub started: Option<RunStarted>,
    /// Where it goes on from, if another run came before it.
    pub forked: Option<Forked>,
    /// The newest cycle; 0 before the first.
    pub cycle: CycleNumber,
    /// What it waits for.
    pub phase: Phase,
    /// Why it stands still; cleared by the next event.
    pub failed: Option<CycleFailed>,
    /// The pool version of the newest cycle. It may differ from cycle to cycle: pools grow. Whether one version holds all
    /// that another held is for those to say who have both manifests.
    pub pool: Option<Digest>,
    /// The pool version of each cycle. Samples of the first are split; what came later trains.
    pub pools: Vec<Digest>,
    /// The model that scores the candidates of the newest cycle.
    pub selector_model: Option<Digest>,
    /// How many answers annotators have given.
    pub answers: u64,
    /// The time that annotators have spent.
    pub spent: Duration,
    /// Every label so far.
    pub labels: BTreeMap<SampleId, Known>,
    /// Labels that were asked again, or that further answers changed.
    pub reconsidered: BTreeSet<SampleId>,
    /// What annotators said of samples, in the order of their answers, where labels rest on several.
    pub votes: BTreeMap<SampleId, Vec<Ballot>>,
    /// The picks of the newest cycle.
    pub picks: BTreeMap<SampleId, Asked>,
    /// Candidates that the newest batch left over; `None` before there was a batch.
    pub remaining: Option<u64>,
    /// The production model.
    pub production: Option<Digest>,
    /// Every model that was promoted, in the order of promotion, with the cycle that trained it.
    pub promoted: Vec<(CycleNumber, Digest)>,
    /// Whether production stays as it is, whatever training finds.
    pub pinned: bool,
    /// The checkpoints of the last training.
    pub checkpoints: Vec<Digest>,
    /// Labelled audit samples that the production model has not been trained on.
    pub fresh_audit: BTreeSet<SampleId>,
    /// What strategies drew by chance since the production model was trained.
    pub fresh_draws: Vec<Draws>,
    /// Artifacts that are no longer kept, and since when; what is named once more after that is kept again.
    pub removed: BTreeMap<Digest, Timestamp>,
    /// One line a cycle.
    pub history: Vec<CycleSummary>,
}

/// A known label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What the sample is.
    pub label: Label,
    /// The cycle that bought the label.
    pub cycle: CycleNumber,
    /// Why it was bought.
    pub arm: Arm,
}

/// A pick of the newest cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Why it was picked.
    pub arm: Arm,
    /// Whether its label has not come yet.
    pub is_missing: bool,
}

/// What one annotator said of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// Who.
    pub annotator: Name,
    /// What.
    pub label: Label,
}

/// What a strategy drew by chance for one batch, one sample after the other without putting any back.
#[derive(Debug, Clone, PartialEq)]
pub struct Draws {
    /// How many samples there were to draw from.
    pub candidates: u64,
    /// Each sample, with its probability among those that were left.
    pub drawn: Vec<(SampleId, f64)>,
}

impl Draws {
    /// Those of a batch; `None` where chance did not choose every pick of the strategy.
    fn of(batch: &BatchSelected) -> Option<Self> {
        let picks = || batch.picks.iter().filter(|pick| pick.arm == Arm::Strategy);
        let drawn: Option<Vec<(SampleId, f64)>> =
            picks().map(|pick| Some((pick.sample.clone(), pick.probability?))).collect();
        let audit = batch.picks.iter().filter(|pick| pick.arm == Arm::Audit).count(); // it draws first
        let candidates = batch.candidates.saturating_sub(audit as u64);
        drawn.filter(|drawn| !drawn.is_empty()).map(|drawn| Self { candidates, drawn })
    }
}

/// What a run waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Its first event.
    New,
    /// The next cycle.
    BetweenCycles,
    /// A batch.
    Selecting,
    /// Labels for its picks.
    Annotating {
        /// How many have not come yet; see [`Run::missing`].
        missing: u64,
    },
    /// The gate's verdict.
    Gating,
    /// Checkpoints.
    Training,
    /// A choice among these.
    SelectingModel {
        /// What training saved.
        checkpoints: Vec<Checkpoint>,
    },
    /// The measurement of what was chosen.
    Accepting,
    /// The end of the cycle.
    Closing,
    /// The end of the run, after a cancelled cycle.
    Cancelled,
    /// Nothing: it is over.
    Ended(EndReason),
}

impl Phase {
    /// A word for people and errors.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::BetweenCycles => "between cycles",
            Self::Selecting => "selecting",
            Self::Annotating { .. } => "annotating",
            Self::Gating => "gating",
            Self::Training => "training",
            Self::SelectingModel { .. } => "selecting a model",
            Self::Accepting => "accepting",
            Self::Closing => "closing",
            Self::Cancelled => "cancelled",
            Self::Ended(_) => "ended",
        }
    }

    /// Whether a run that stands here has begun and is not over: then it can fail and be cancelled.
    const fn goes_on(&self) -> bool {
        match self {
            Self::New | Self::Cancelled | Self::Ended(_) => false,
            Self::BetweenCycles
            | Self::Selecting
            | Self::Annotating { .. }
            | Self::Gating
            | Self::Training
            | Self::SelectingModel { .. }
            | Self::Accepting
            | Self::Closing => true,
        }
    }
}

/// A cycle in one line.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CycleSummary {
    /// Which cycle.
    pub cycle: CycleNumber,
    /// How many samples it picked.
    pub batch: u64,
    /// How many labels were known after it.
    pub labelled: u64,
    /// The gate, if it was asked.
    pub gate: Option<KpiChecked>,
    /// How many checkpoints training saved; `None` if the cycle did not train.
    pub checkpoints: Option<u64>,
    /// Whether a new model went to production.
    pub promoted: bool,
    /// The last measurement of the cycle.
    pub acceptance: Option<KpiChecked>,
    /// Cohen's kappa between the predictions of the new model and of the one before it.
    #[serde(default)]
    pub agreement: Option<f64>,
    /// What randomly drawn labels alone would have given.
    #[serde(default)]
    pub baseline: Option<BaselineMeasured>,
    /// How the samples that came lately look to the production model.
    #[serde(default)]
    pub drift: Option<DriftChecked>,
    /// How labels look to models that had not seen them.
    #[serde(default)]
    pub doubted: Option<LabelsDoubted>,
    /// How many labels changed.
    #[serde(default)]
    pub relabelled: u64,
}

impl CycleSummary {
    /// A cycle that begins with `labelled` labels.
    #[must_use]
    pub const fn new(cycle: CycleNumber, labelled: u64) -> Self {
        Self {
            cycle,
            batch: 0,
            labelled,
            gate: None,
            checkpoints: None,
            promoted: false,
            acceptance: None,
            agreement: None,
            baseline: None,
            drift: None,
            doubted: None,
            relabelled: 0,
        }
    }
}

/// An event that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot follow in a run that is {phase} (cycle {cycle}): {why}")]
pub struct IllegalEvent {
    /// The event's name.
    pub event: &'static str,
    /// What the run waits for.
    pub phase: &'static str,
    /// The newest cycle.
    pub cycle: CycleNumber,
    /// What is wrong with it.
    pub why: String,
}

impl Run {
    /// A run of which nothing is known.
    #[must_use]
    pub const fn new(id: RunId) -> Self {
        Self {
            id,
            started: None,
            forked: None,
            cycle: CycleNumber(0),
            phase: Phase::New,
            failed: None,
            pool: None,
            pools: Vec::new(),
            selector_model: None,
            answers: 0,
            spent: Duration::ZERO,
            labels: BTreeMap::new(),
            reconsidered: BTreeSet::new(),
            votes: BTreeMap::new(),
            picks: BTreeMap::new(),
            remaining: None,
            production: None,
            promoted: Vec::new(),
            pinned: false,
            checkpoints: Vec::new(),
            fresh_audit: BTreeSet::new(),
            fresh_draws: Vec::new(),
            removed: BTreeMap::new(),
            history: Vec::new(),
        }
    }

    /// The run after `event`.
    ///
    /// # Errors
    /// [`IllegalEvent`] if the event does not fit; the run is then unchanged.
    pub fn apply(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        let illegal = |why: String| IllegalEvent {
            event: event.name(),
            phase: self.phase.name(),
            cycle: self.cycle,
            why,
        };
        match (&self.phase, event) {
            (Phase::New, Event::RunStarted(started)) => {
                self.started = Some(started.clone());
                self.phase = Phase::BetweenCycles;
            }
            (Phase::BetweenCycles, Event::Forked(forked)) => {
                self.check_fork(forked).map_err(illegal)?;
                self.forked = Some(forked.clone());
            }
            (Phase::BetweenCycles, Event::CycleStarted(started)) => {
                self.check_cycle(started).map_err(illegal)?;
                self.start_cycle(started);
            }
            (Phase::Selecting, Event::BatchSelected(batch)) => {
                self.check_batch(batch).map_err(illegal)?;
                self.select(batch);
            }
            (Phase::Selecting, Event::LabelsDoubted(doubted)) => {
                self.check_doubts(doubted).map_err(illegal)?;
                self.summary(|line| line.doubted = Some(doubted.clone()));
            }
            (Phase::Annotating { .. }, Event::Voted(voted)) => {
                self.check_votes(voted).map_err(illegal)?;
                self.vote(voted);
            }
            (Phase::Annotating { .. }, Event::Relabelled(relabelled)) => {
                self.check_relabelled(relabelled).map_err(illegal)?;
                self.relabel(relabelled);
            }
            (Phase::Annotating { .. }, Event::Annotated(annotated)) => {
                self.check_labels(annotated).map_err(illegal)?;
                self.annotate(annotated);
            }
            (Phase::Gating, Event::DriftChecked(drift)) => {
                self.check_drift(drift).map_err(illegal)?;
                self.summary(|line| line.drift = Some(drift.clone()));
            }
            (Phase::Gating | Phase::Accepting, Event::ClassesMeasured(measured)) => {
                self.check_classes(measured).map_err(illegal)?;
            }
            (Phase::Gating, Event::KpiChecked(checked)) => {
                self.check_kpi(checked, KpiStage::Gate).map_err(illegal)?;
                self.phase = match checked.verdict {
                    Verdict::Met if !self.has_drifted() => Phase::Closing,
                    Verdict::Met | Verdict::Missed | Verdict::Inconclusive => Phase::Training,
                };
                self.summary(|line| line.gate = Some(checked.clone()));
            }
            (Phase::Training, Event::Trained(trained)) => {
                self.check_training(trained).map_err(illegal)?;
                self.summary(|line| line.checkpoints = Some(trained.checkpoints.len() as u64));
                self.checkpoints = trained.checkpoints.iter().map(|saved| saved.model).collect();
                self.phase = Phase::SelectingModel { checkpoints: trained.checkpoints.clone() };
            }
            (Phase::SelectingModel { checkpoints }, Event::ModelSelected(selected)) => {
                self.check_selection(checkpoints, selected).map_err(illegal)?;
                self.promote(selected);
            }
            (Phase::Accepting, Event::BaselineMeasured(baseline)) => {
                self.check_baseline(baseline).map_err(illegal)?;
                self.summary(|line| line.baseline = Some(baseline.clone()));
            }
            (Phase::Accepting, Event::KpiChecked(checked)) => {
                self.check_kpi(checked, KpiStage::Acceptance).map_err(illegal)?;
                self.summary(|line| line.acceptance = Some(checked.clone()));
                self.phase = Phase::Closing;
            }
            // A gate that cannot tell leads to a training, or to more labels first.
            (Phase::Training, Event::CycleEnded(ended)) if self.gate_is_unclear() => {
                self.check_cycle_end(ended).map_err(illegal)?;
                self.phase = Phase::BetweenCycles;
            }
            (Phase::Closing, Event::CycleEnded(ended)) => {
                self.check_cycle_end(ended).map_err(illegal)?;
                self.phase = Phase::BetweenCycles;
            }
            (Phase::SelectingModel { checkpoints }, Event::ModelsCompared(compared)) => {
                self.check_comparison(checkpoints, compared).map_err(illegal)?;
                self.summary(|line| line.agreement = compared.agreement);
            }
            (phase, Event::RolledBack(back)) if *phase != Phase::New => {
                self.check_roll_back(back).map_err(illegal)?;
                self.roll_back(back);
                return Ok(()); // what stands still, still does
            }
            (phase, Event::Pinned(pinned)) if *phase != Phase::New => {
                self.check_pin(pinned).map_err(illegal)?;
                self.pinned = pinned.pinned;
                return Ok(());
            }
            (phase, Event::ArtifactsRemoved(removed)) if *phase != Phase::New => {
                self.check_removal(removed).map_err(illegal)?;
                self.removed.extend(removed.removed.iter().map(|gone| (gone.artifact, removed.at)));
                return Ok(());
            }
            (phase, Event::SampleErased(erased)) if *phase != Phase::New => {
                self.check_erasure(erased).map_err(illegal)?;
                return Ok(());
            }
            (phase, Event::CycleFailed(failed)) if phase.goes_on() => {
                self.failed = Some(failed.clone());
                return Ok(());
            }
            (phase, Event::CycleCancelled(_)) if phase.goes_on() => self.phase = Phase::Cancelled,
            (Phase::Cancelled | Phase::BetweenCycles, Event::RunEnded(ended)) => {
                self.check_run_end(ended).map_err(illegal)?;
                self.phase = Phase::Ended(ended.reason);
            }
            (phase, _) => return Err(illegal(expected(phase).to_owned())),
        }
        if !self.removed.is_empty() {
            for needed in event.artifacts() {
                self.removed.remove(&needed);
            }
        }
        self.failed = None;
        Ok(())
    }

    /// Every answer: of which sample, by whom, and what. By sample, in the order of the answers.
    pub fn ballots(&self) -> impl Iterator<Item = (&SampleId, &str, Label)> {
        self.votes.iter().flat_map(|(sample, ballots)| {
            ballots.iter().map(move |ballot| (sample, ballot.annotator.as_str(), ballot.label))
        })
    }

    /// The picks of the newest cycle whose labels have not come, also where the cycle was cancelled since.
    pub fn missing(&self) -> impl Iterator<Item = &SampleId> {
        self.picks.iter().filter(|(_, asked)| asked.is_missing).map(|(sample, _)| sample)
    }

    /// Whether a sample is one of those.
    #[must_use]
    pub fn is_missing(&self, sample: &SampleId) -> bool {
        self.picks.get(sample).is_some_and(|asked| asked.is_missing)
    }

    /// How many labels are known.
    #[must_use]
    pub fn labelled(&self) -> u64 {
        self.labels.len() as u64
    }

    /// The work that comes next, and the cycle it belongs to; `None` when the run is over or not begun.
    #[must_use]
    pub fn next_step(&self) -> Option<(CycleNumber, JobKind)> {
        let kind = match self.phase {
            Phase::BetweenCycles => return Some((self.cycle.next(), JobKind::Start)),
            Phase::Selecting => JobKind::Select,
            Phase::Annotating { .. } => JobKind::Annotate,
            Phase::Gating => JobKind::Gate,
            Phase::Training => JobKind::Train,
            Phase::SelectingModel { .. } => JobKind::SelectModel,
            Phase::New | Phase::Accepting | Phase::Closing | Phase::Cancelled | Phase::Ended(_) => {
                return None;
            }
        };
        Some((self.cycle, kind))
    }

    /// The cycle whose log takes `event`: a `CycleStarted` opens the next one, all else goes to the newest. What
    /// happens before the first cycle goes to the first cycle's log.
    #[must_use]
    pub fn log_of(&self, event: &Event) -> CycleNumber {
        if matches!(event, Event::CycleStarted(_)) {
            self.cycle.next()
        } else {
            self.cycle.max(CycleNumber(1))
        }
    }

    fn gate_is_unclear(&self) -> bool {
        let gate = self.history.last().and_then(|line| line.gate.as_ref());
        gate.is_some_and(|gate| gate.verdict == Verdict::Inconclusive)
    }

    /// Whether the newest cycle found that samples of another kind have come.
    #[must_use]
    pub fn has_drifted(&self) -> bool {
        let drift = self.history.last().and_then(|line| line.drift.as_ref());
        drift.is_some_and(DriftChecked::is_drift)
    }

    /// The pool version of a cycle.
    #[must_use]
    pub fn pool_of(&self, cycle: CycleNumber) -> Option<Digest> {
        let place = usize::try_from(cycle.0).ok()?.checked_sub(1)?;
        self.pools.get(place).copied()
    }

    /// The workflow that decides a cycle: for one that a fork inherited, that of the run which made it.
    #[must_use]
    pub fn workflow_of(&self, cycle: CycleNumber) -> Option<Digest> {
        self.decided_by(cycle).map(|(workflow, _, _)| workflow)
    }

    /// Workflow, seed and gate that decide a cycle.
    fn decided_by(&self, cycle: CycleNumber) -> Option<(Digest, u64, bool)> {
        let past = self.forked.as_ref().and_then(|forked| forked.decided(cycle));
        past.map(|past| (past.workflow, past.seed, past.gate)).or_else(|| {
            let started = self.started.as_ref()?;
            Some((started.workflow, started.seed, started.gate))
        })
    }

    fn gated(&self) -> bool {
        self.production.is_some() && self.decided_by(self.cycle).is_some_and(|(_, _, gate)| gate)
    }

    fn summary(&mut self, change: impl FnOnce(&mut CycleSummary)) {
        if let Some(line) = self.history.last_mut() {
            change(line);
        }
    }

    fn start_cycle(&mut self, started: &CycleStarted) {
        self.cycle = self.cycle.next();
        self.pool = Some(started.pool);
        self.pools.push(started.pool);
        self.selector_model = started.selector_model;
        self.picks.clear();
        self.phase = Phase::Selecting;
        self.history.push(CycleSummary::new(self.cycle, self.labelled()));
    }

    fn select(&mut self, batch: &BatchSelected) {
        let asked = |arm: Arm| Asked { arm, is_missing: true };
        self.picks =
            batch.picks.iter().map(|pick| (pick.sample.clone(), asked(pick.arm))).collect();
        self.fresh_draws.extend(Draws::of(batch));
        self.remaining = Some(batch.candidates.saturating_sub(fresh(batch)));
        self.phase = Phase::Annotating { missing: self.picks.len() as u64 };
        self.summary(|line| line.batch = batch.picks.len() as u64);
    }

    fn vote(&mut self, voted: &Voted) {
        for vote in &voted.votes {
            self.answers = self.answers.saturating_add(1);
            self.spent = self.spent.saturating_add(vote.spent);
            let ballot = Ballot { annotator: vote.annotator.clone(), label: vote.label };
            self.votes.entry(vote.sample.clone()).or_default().push(ballot);
        }
    }

    fn relabel(&mut self, relabelled: &Relabelled) {
        for relabel in &relabelled.labels {
            if let Some(known) = self.labels.get_mut(&relabel.sample) {
                known.label = relabel.after;
                self.reconsidered.insert(relabel.sample.clone());
            }
            self.answered(&relabel.sample);
        }
        let changed = relabelled.labels.iter().filter(|relabel| relabel.before != relabel.after);
        let changed = changed.count() as u64;
        self.summary(|line| line.relabelled = line.relabelled.saturating_add(changed));
        self.go_on_when_labelled();
    }

    fn annotate(&mut self, annotated: &Annotated) {
        for annotation in &annotated.labels {
            let sample = &annotation.sample;
            if !self.votes.contains_key(sample) {
                self.answers = self.answers.saturating_add(1);
            }
            self.spent = self.spent.saturating_add(annotation.spent);
            let arm = self.answered(sample).unwrap_or(Arm::Strategy);
            let known = Known { label: annotation.label, cycle: self.cycle, arm };
            self.labels.insert(sample.clone(), known);
            if arm == Arm::Audit {
                self.fresh_audit.insert(sample.clone());
            }
        }
        let labelled = self.labelled();
        self.summary(|line| line.labelled = labelled);
        self.go_on_when_labelled();
    }

    /// The label of a sample has come; answers why it was picked, if it was in this cycle.
    fn answered(&mut self, sample: &SampleId) -> Option<Arm> {
        let asked = self.picks.get_mut(sample)?;
        let was_missing = std::mem::replace(&mut asked.is_missing, false);
        if let Phase::Annotating { missing } = &mut self.phase {
            *missing = missing.saturating_sub(u64::from(was_missing));
        }
        Some(asked.arm)
    }

    fn go_on_when_labelled(&mut self) {
        if self.phase == (Phase::Annotating { missing: 0 }) {
            self.phase = if self.gated() { Phase::Gating } else { Phase::Training };
        }
    }

    fn promote(&mut self, selected: &ModelSelected) {
        if selected.promoted {
            self.production = Some(selected.winner);
            self.promoted.push((self.cycle, selected.winner));
            self.fresh_draws.clear();
            self.fresh_audit.clear(); // the new model was trained on all of them
        }
        self.summary(|line| line.promoted = selected.promoted);
        self.phase = Phase::Accepting;
    }
}

impl Run {
    /// The cycle that trained a model, where it was ever in production; the newest, if it was trained again.
    #[must_use]
    pub fn trained_in(&self, model: Digest) -> Option<CycleNumber> {
        let mut newest_first = self.promoted.iter().rev();
        newest_first.find_map(|(cycle, promoted)| (*promoted == model).then_some(*cycle))
    }

    fn roll_back(&mut self, back: &RolledBack) {
        if self.phase == Phase::Selecting && self.selector_model == Some(back.previous) {
            // The batch that is due is picked by what is in production now: the other may be why somebody rolled back.
            self.selector_model = Some(back.model);
        }
        self.production = Some(back.model);
        let trained = self.trained_in(back.model);
        // It has not been trained on what was bought after its cycle.
        let unseen = |known: &Known| known.arm == Arm::Audit && Some(known.cycle) > trained;
        // What was put right where a model denied it would flatter one.
        let labels = self
            .labels
            .iter()
            .filter(|(sample, known)| unseen(known) && !self.reconsidered.contains(*sample));
        self.fresh_audit = labels.map(|(sample, _)| sample.clone()).collect();
    }
}

/// How many samples a batch wants labelled that are not yet.
fn fresh(batch: &BatchSelected) -> u64 {
    batch.picks.iter().filter(|pick| pick.arm != Arm::Relabel).count() as u64
}

/// What could have followed, for errors.
const fn expected(phase: &Phase) -> &'static str {
    match phase {
        Phase::New => "only RunStarted can",
        // And before the first cycle Forked.
        Phase::BetweenCycles => "only CycleStarted, CycleFailed, CycleCancelled or RunEnded can",
        Phase::Selecting => "only LabelsDoubted, BatchSelected, CycleFailed or CycleCancelled can",
        Phase::Annotating { .. } => {
            "only Annotated, Voted, Relabelled, CycleFailed or CycleCancelled can"
        }
        Phase::Gating => {
            "only DriftChecked, ClassesMeasured, KpiChecked, CycleFailed or CycleCancelled can"
        }
        Phase::Accepting => {
            "only BaselineMeasured, ClassesMeasured, KpiChecked, CycleFailed or CycleCancelled can"
        }
        Phase::Training => "only Trained, CycleFailed or CycleCancelled can",
        Phase::SelectingModel { .. } => {
            "only ModelsCompared, ModelSelected, CycleFailed or CycleCancelled can"
        }
        Phase::Closing => "only CycleEnded, CycleFailed or CycleCancelled can",
        Phase::Cancelled => "only RunEnded with the reason cancelled can",
        Phase::Ended(_) => "nothing can",
    }
}
