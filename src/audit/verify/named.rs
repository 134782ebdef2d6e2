//! The artifacts that a log names: whether each is there and is the one, or was removed by policy.

use super::{Finding, VerifiedRun};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::domain::digest::Digest;
use crate::domain::event::ArtifactsRemoved;
use crate::domain::ids::{CycleId, Revision, RunId};
use crate::store::Recorded;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Where an artifact is named: by which event, of what name.
type Naming = (CycleId, Revision, &'static str);

/// The artifacts that the events of one run name.
#[derive(Default)]
pub(super) struct Names {
    /// The first event that does.
    by: BTreeMap<Digest, Naming>,
    /// What the run says that it needs no more, and did not name once more after that.
    removed: BTreeSet<Digest>,
}

impl Names {
    pub(super) fn add(&mut self, digest: Digest, recorded: &Recorded) {
        self.removed.remove(&digest);
        let naming = (recorded.cycle, recorded.revision, recorded.event.name());
        self.by.entry(digest).or_insert(naming);
    }

    /// Takes note of what the run needs no more; answers what is to be said of it.
    pub(super) fn remove(
        &mut self,
        removed: &ArtifactsRemoved,
        artifacts: &Artifacts,
    ) -> Result<String, String> {
        let (mut bytes, mut there) = (0_u64, 0_u64);
        for gone in &removed.removed {
            let artifact = gone.artifact;
            if !self.by.contains_key(&artifact) {
                return Err(format!("it removes {artifact}, which no event before it names"));
            }
            self.removed.insert(artifact);
            bytes = bytes.saturating_add(gone.bytes);
            there = there.saturating_add(u64::from(artifacts.path(&artifact).exists()));
        }
        let (count, date, policy) = (removed.removed.len(), removed.at.date(), &removed.policy);
        let still = match there {
            0 => String::new(),
            _ => format!(
                "; {there} of them are there: another run needs them, or the next `gleaner gc` takes them away"
            ),
        };
        Ok(format!(
            "{count} artifacts ({bytes} bytes) were removed by policy on {date}, which keeps {policy}{still}"
        ))
    }
}

/// Every artifact that an event names.
#[derive(Default)]
pub(super) struct Named {
    /// The first event of each run that does, in the order of runs.
    pub(super) by: BTreeMap<Digest, Vec<Naming>>,
    /// Which runs need it no more.
    removed: BTreeSet<(Digest, RunId)>,
}

impl Named {
    /// Takes in what the next run names.
    pub(super) fn add(&mut self, names: Names, run: RunId) {
        for (digest, naming) in names.by {
            self.by.entry(digest).or_default().push(naming);
        }
        self.removed.extend(names.removed.into_iter().map(|digest| (digest, run)));
    }

    /// Reads all of them; answers how many are sound.
    pub(super) fn check(&self, artifacts: &Artifacts, found: &mut [VerifiedRun]) -> u64 {
        let unsound: Vec<(&Digest, ArtifactError)> = self
            .by
            .par_iter()
            .filter_map(|(digest, _)| Some((digest, artifacts.check(digest).err()?)))
            .collect();
        let sound = self.by.len() - unsound.len();
        for (digest, error) in unsound {
            let is_missing = matches!(error, ArtifactError::Missing { .. });
            let by = self.by.get(digest).into_iter().flatten();
            for (cycle, revision, event) in by {
                if is_missing && self.removed.contains(&(*digest, cycle.run)) {
                    continue;
                }
                let why = if is_missing {
                    "is missing".to_owned()
                } else if let ArtifactError::Damaged { actual, .. } = &error {
                    format!("is another file now: its digest is {actual}")
                } else {
                    format!("cannot be read: {error}")
                };
                let what = format!("{event} names the artifact {digest}, which {why}");
                let (number, revision) = (Some(cycle.cycle), Some(*revision));
                if let Some(run) = found.iter_mut().find(|run| run.run == cycle.run) {
                    run.findings.push(Finding { cycle: number, revision, what });
                }
                // A file that is not the one it should be is told once.
                if !is_missing {
                    break;
                }
            }
        }
        sound as u64
    }
}
