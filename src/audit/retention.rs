//! Which artifacts may go: what each run's log says of those it names, and what a policy says of the runs.
//!
//! Pure: events and a list of files come in, a plan goes out. What goes is recorded in the log of every run that names it
//! before the file is removed, so a file that is not there was either removed, on a day that the log tells, or is missing.
//!
//! | artifact | kept |
//! |---|---|
//! | workflows, pools' manifests, label masks, large events | always |
//! | whatever an unfinished run names | always: a later step may need it |
//! | whatever a run names whose production model is pinned, or that the policy names | always |
//! | models that were in production or picked a batch | always: they can be put back |
//! | scores of batches, evidence against labels | those of the last cycles of each run |
//! | other checkpoints | if the policy says so |
//! | what no event names, left by a crash | while a run goes on, whose step may use it |
//!
//! A pin of the production model is the pin of its run, too: it is an event, so it holds for every policy to come until
//! somebody takes it back, and whoever says "this model stays" wants to know later what it came from. Runs that a policy names
//! are kept from that one removal.

use crate::domain::digest::Digest;
use crate::domain::event::{ArtifactKind, Event, RemovedArtifact};
use crate::domain::ids::{CycleNumber, RunId};
use crate::store::Recorded;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Scores and evidence of so many cycles at the end of each run.
    pub cycles: u32,
    /// Which models.
    pub models: Models,
    /// Runs of which everything is kept.
    pub runs: BTreeSet<RunId>,
}

/// Which models are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Models {
    /// Those that were in production.
    Production,
    /// Every checkpoint.
    All,
}

impl Policy {
    /// The policy in words, as events keep it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let models = match self.models {
            Models::Production => "models that were in production",
            Models::All => "every model",
        };
        format!("scores and evidence of the last {} cycles, {models}, pinned runs", self.cycles)
    }

    /// Why a run keeps what it names so; `None` where it may go.
    fn keeps(&self, run: &Holdings, claim: Claim) -> Option<&'static str> {
        if !run.ended {
            return Some("of runs that are not over");
        }
        if run.pinned || self.runs.contains(&run.run) {
            return Some("of runs that are pinned or named by --keep");
        }
        let recent = |cycle: CycleNumber| cycle.0.saturating_add(self.cycles) > run.last.0;
        match claim {
            Claim::Always => Some("workflows, pools, label masks and large events"),
            Claim::InProduction => Some("models that were in production or picked a batch"),
            Claim::Checkpoint if self.models == Models::All => Some("other checkpoints"),
            Claim::Scores(cycle) | Claim::Evidence(cycle) if recent(cycle) => {
                Some("scores and evidence of the last cycles")
            }
            Claim::Checkpoint | Claim::Scores(_) | Claim::Evidence(_) => None,
        }
    }
}

/// What an artifact is to a run that names it; of several the last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Checkpoint,
    Evidence(CycleNumber),
    Scores(CycleNumber),
    InProduction,
    Always,
}

impl Claim {
    /// As what it is recorded when it goes.
    const fn kind(self) -> ArtifactKind {
        match self {
            Self::Scores(_) => ArtifactKind::Scores,
            Self::Evidence(_) => ArtifactKind::Evidence,
            // The other two are always kept.
            Self::Checkpoint | Self::InProduction | Self::Always => ArtifactKind::Checkpoint,
        }
    }
}

/// What one run names.
#[derive(Debug, Clone)]
pub struct Holdings {
    run: RunId,
    last: CycleNumber,
    ended: bool,
    pinned: bool,
    claims: BTreeMap<Digest, Claim>,
    /// What it said was removed, and did not name once more after that.
    removed: BTreeSet<Digest>,
}

impl Holdings {
    /// Of a run of which nothing is known but which artifacts hold its events: those that were too long to stand beside their
    /// headers. Only its store can tell, see [`Store::payloads`](crate::store::Store::payloads).
    #[must_use]
    pub fn new(run: RunId, payloads: Vec<Digest>) -> Self {
        Self {
            run,
            last: CycleNumber(0),
            ended: false,
            pinned: false,
            claims: payloads.into_iter().map(|payload| (payload, Claim::Always)).collect(),
            removed: BTreeSet::new(),
        }
    }

    /// Takes in the run's next event.
    pub fn take(&mut self, recorded: &Recorded) {
        let cycle = recorded.cycle.cycle;
        self.last = cycle;
        if let Event::CycleStarted(started) = &recorded.event {
            self.claim(started.pool, Claim::Always);
        } else if let Event::BatchSelected(batch) = &recorded.event {
            batch.model.iter().for_each(|model| self.claim(*model, Claim::InProduction));
            batch.scores.iter().for_each(|scores| self.claim(*scores, Claim::Scores(cycle)));
        } else if let Event::LabelsDoubted(doubted) = &recorded.event {
            self.claim(doubted.evidence, Claim::Evidence(cycle));
        } else if let Event::Trained(trained) = &recorded.event {
            trained.checkpoints.iter().for_each(|saved| self.claim(saved.model, Claim::Checkpoint));
        } else if let Event::ModelSelected(selected) = &recorded.event {
            if selected.promoted {
                self.claim(selected.winner, Claim::InProduction);
            }
        } else if let Event::Pinned(pinned) = &recorded.event {
            self.pinned = pinned.pinned;
        } else if let Event::RunEnded(_) = &recorded.event {
            self.ended = true;
        } else if let Event::ArtifactsRemoved(removed) = &recorded.event {
            self.removed.extend(removed.removed.iter().map(|gone| gone.artifact));
        } else {
            // Whatever else names something needs it.
            for artifact in recorded.event.artifacts() {
                self.claim(artifact, Claim::Always);
            }
        }
    }

    /// What it names and has not removed.
    pub fn needed(&self) -> impl Iterator<Item = Digest> {
        self.claims.keys().filter(|artifact| !self.removed.contains(artifact)).copied()
    }

    fn claim(&mut self, artifact: Digest, claim: Claim) {
        self.removed.remove(&artifact);
        let known = self.claims.entry(artifact).or_insert(claim);
        *known = claim.max(*known);
    }
}

/// What would go, or went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is kept, in words.
    pub policy: String,
    /// What goes by the policy, in the order of digests.
    pub removed: Vec<Going>,
    /// What an earlier removal recorded and did not come to.
    pub leftovers: Vec<Orphan>,
    /// What no event names.
    pub orphans: Vec<Orphan>,
    /// How much stays, by why it does.
    pub kept: BTreeMap<String, Total>,
    /// Whether it was done, or would be only.
    pub done: bool,
}

/// An artifact that goes by the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Going {
    /// What goes.
    #[serde(flatten)]
    pub artifact: RemovedArtifact,
    /// The runs in whose logs that is recorded: each that names it.
    pub runs: Vec<RunId>,
}

/// An artifact of which nothing has to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// Its digest.
    pub artifact: Digest,
    /// Its length in bytes.
    pub bytes: u64,
}

/// How many, and how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// How many artifacts.
    pub artifacts: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Total {
    /// And one more.
    pub const fn add(&mut self, bytes: u64) {
        self.artifacts = self.artifacts.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Plan {
    /// What `policy` says of these files. `runs` are all runs of the state directory, read after the files were listed;
    /// `counted_on` says what the process that has it open may be about to name.
    #[must_use]
    pub fn new(
        policy: &Policy,
        runs: &[Holdings],
        files: &BTreeMap<Digest, u64>,
        counted_on: &dyn Fn(&Digest) -> bool,
    ) -> Self {
        let mut named: BTreeMap<Digest, Vec<(&Holdings, Claim)>> = BTreeMap::new();
        for run in runs {
            for (artifact, claim) in &run.claims {
                named.entry(*artifact).or_default().push((run, *claim));
            }
        }
        let all_over = runs.iter().all(|run| run.ended);
        let mut plan = Self { policy: policy.sentence(), ..Self::default() };
        for (&artifact, &bytes) in files {
            let by = named.get(&artifact).map_or(&[][..], Vec::as_slice);
            // Who recorded that it goes does not need it any more.
            let open = || by.iter().filter(|(run, _)| !run.removed.contains(&artifact));
            let needed = open().find_map(|(run, claim)| policy.keeps(run, *claim));
            let stays = needed.or_else(|| match by.is_empty() {
                true if !all_over => Some("named by no event, while a run is not over"),
                _ if counted_on(&artifact) => {
                    Some("stored or asked for by the process that has the state directory open")
                }
                _ => None,
            });
            if let Some(why) = stays {
                plan.kept.entry(why.to_owned()).or_default().add(bytes);
            } else if by.is_empty() {
                plan.orphans.push(Orphan { artifact, bytes });
            } else if let Some(kind) = open().map(|(_, claim)| claim.kind()).max() {
                let artifact = RemovedArtifact { artifact, kind, bytes };
                let runs = open().map(|(run, _)| run.run).collect();
                plan.removed.push(Going { artifact, runs });
            } else {
                plan.leftovers.push(Orphan { artifact, bytes });
            }
        }
        plan
    }

    /// What is to be recorded in each run's log.
    #[must_use]
    pub fn by_run(&self) -> BTreeMap<RunId, Vec<RemovedArtifact>> {
        let mut by_run: BTreeMap<RunId, Vec<RemovedArtifact>> = BTreeMap::new();
        for going in &self.removed {
            for run in &going.runs {
                by_run.entry(*run).or_default().push(going.artifact.clone());
            }
        }
        by_run
    }

    /// Every artifact that goes, with its length in bytes.
    pub fn files(&self) -> impl Iterator<Item = Orphan> {
        let going = self.removed.iter().map(|going| &going.artifact);
        going
            .map(|gone| Orphan { artifact: gone.artifact, bytes: gone.bytes })
            .chain(self.leftovers.iter().chain(&self.orphans).copied())
    }
}
