//! The log of one run outside a store: its records as they were stored, one after the other, each after its length in four
//! bytes, little-endian. It is read by the same rules as a store's own log and changes nothing anywhere.

use super::codec::{self, CodecError};
use super::writes::records;
use super::{Answer, EventLog, Head, Recorded, StoreError, Visit};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleId, CycleNumber, Position, Revision, RunId};

/// The log of one run, as bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawLog {
    /// The records.
    pub bytes: Vec<u8>,
    /// The artifacts that hold payloads of records.
    pub payloads: Vec<Digest>,
}

impl RawLog {
    /// Appends a record as it is stored, at most 4 GiB.
    pub(super) fn push(&mut self, record: &[u8], payload: Option<Digest>) {
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(record);
        self.payloads.extend(payload);
    }
}

/// The log of one run.
#[derive(Debug)]
pub struct Excerpt {
    run: RunId,
    /// The first one's number is 1.
    cycles: Vec<Vec<Recorded>>,
    /// Where the log stops to hold, and why.
    damage: Option<(CycleId, Revision, String)>,
}

impl Excerpt {
    /// Reads the log of `run`; payloads that are kept apart lie in `artifacts`. What does not hold is told by who reads the
    /// events, as of a damaged store.
    #[must_use]
    pub fn read(run: RunId, bytes: &[u8], artifacts: &Artifacts) -> Self {
        let mut excerpt = Self { run, cycles: Vec::new(), damage: None };
        for record in records(bytes) {
            if let Err(what) =
                record.map_err(Why::Codec).and_then(|bytes| excerpt.add(bytes, artifacts))
            {
                let (cycle, revision) = excerpt.end();
                excerpt.damage = Some((cycle, revision, what.to_string()));
                break;
            }
        }
        excerpt
    }

    /// The hash of each record, in order; `None` if the log is damaged.
    #[must_use]
    pub fn hashes(&self) -> Option<Vec<Digest>> {
        let hashes = self.cycles.iter().flatten().map(|recorded| recorded.hash);
        self.damage.is_none().then(|| hashes.collect())
    }

    /// Where the next record belongs, unless it opens a cycle.
    fn end(&self) -> (CycleId, Revision) {
        let number = u32::try_from(self.cycles.len()).unwrap_or(u32::MAX).max(1);
        let held = self.cycles.last().map_or(0, Vec::len);
        (CycleId { run: self.run, cycle: CycleNumber(number) }, Revision(held as u64))
    }

    fn add(&mut self, bytes: &[u8], artifacts: &Artifacts) -> Result<(), Why> {
        let load = |digest: &Digest| artifacts.get(digest).map_err(Why::Payload);
        let record = codec::decode_record(bytes, load)?;
        let last = self.cycles.last().and_then(|cycle| cycle.last());
        let (previous, position) =
            last.map_or((Digest::ZERO, Position(0)), |last| (last.hash, last.position));
        if record.previous != previous || record.position <= position {
            return Err(Why::Misfit("it does not continue the record before it"));
        }
        let (end, revision) = self.end();
        let opens = CycleId { cycle: end.cycle.next(), ..end };
        if (record.cycle, record.revision) == (end, revision) {
            match self.cycles.last_mut() {
                Some(cycle) => cycle.push(record),
                None => self.cycles.push(vec![record]),
            }
        } else if (record.cycle, record.revision) == (opens, Revision(0)) && last.is_some() {
            self.cycles.push(vec![record]);
        } else {
            return Err(Why::Misfit("it is not where it belongs"));
        }
        Ok(())
    }

    fn cycle(&self, cycle: CycleId) -> &[Recorded] {
        let place = usize::try_from(cycle.cycle.0).ok().and_then(|number| number.checked_sub(1));
        let found =
            place.filter(|_| cycle.run == self.run).and_then(|place| self.cycles.get(place));
        found.map_or(&[], Vec::as_slice)
    }

    fn damaged(&self) -> Result<(), StoreError> {
        let Some((cycle, revision, what)) = &self.damage else { return Ok(()) };
        Err(StoreError::Damaged { what: format!("event {revision} of cycle {cycle}: {what}") })
    }
}

/// Why a record does not hold.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("{0}")]
    Payload(ArtifactError),
    #[error("{0}")]
    Misfit(&'static str),
}

impl EventLog for Excerpt {
    fn read(&self, cycle: CycleId, from: Revision, limit: usize) -> Answer<'_, Vec<Recorded>> {
        Box::pin(async move {
            let from = usize::try_from(from.0).unwrap_or(usize::MAX);
            let found: Vec<Recorded> =
                self.cycle(cycle).iter().skip(from).take(limit).cloned().collect();
            let is_damaged = self.damage.as_ref().is_some_and(|(at, _, _)| *at <= cycle);
            if found.is_empty() && is_damaged {
                self.damaged()?;
            }
            Ok(found)
        })
    }

    fn walk(&self, run: RunId, from: CycleNumber, mut visit: Visit) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut cycle = CycleId { run, cycle: from };
            loop {
                if self.damage.as_ref().is_some_and(|(at, ..)| *at <= cycle) {
                    return self.damaged();
                }
                let records = self.cycle(cycle);
                if records.is_empty() || !records.iter().cloned().all(&mut visit) {
                    return Ok(());
                }
                cycle.cycle = cycle.cycle.next();
            }
        })
    }

    fn head(&self, cycle: CycleId) -> Answer<'_, Option<Head>> {
        Box::pin(async move {
            let last = self.cycle(cycle).last();
            Ok(last.map(|last| Head { next: last.revision.next(), hash: last.hash }))
        })
    }

    fn runs(&self) -> Answer<'_, Vec<(RunId, CycleNumber)>> {
        Box::pin(async move { Ok(vec![(self.run, self.end().0.cycle)]) })
    }
}
