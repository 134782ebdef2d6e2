//! Which records turn up in damaged files, and which of them make up the logs: whole chains from each run's first event on.
//!
//! Nothing but the records' own hashes is believed. A file may hold records that were written and never acknowledged,
//! beside the ones that took their place after a crash; both are sound, and only one of them was built upon. So of two
//! records for the same place the one with the longer chain after it counts, and of two ends the later one.

use super::codec::{Skimmed, VALUE_MAX, may_be_record, skim_record};
use super::writes::LENGTH;
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleId, CycleNumber, Position, Revision, RunId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A record, and where its bytes are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<P> {
    pub(super) record: Skimmed,
    pub(super) place: P,
}

/// A run's records by their place.
type Places<P> = BTreeMap<(CycleNumber, Revision), Vec<Found<P>>>;

/// What can be saved of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedRun {
    /// Which run.
    pub run: RunId,
    /// How many events from its first on.
    pub saved: u64,
    /// How many more turned up that nothing connects with these.
    pub unconnected: u64,
}

/// The logs as far as they are whole.
#[derive(Debug)]
pub(super) struct Salvage<P> {
    /// By position, each once.
    pub(super) records: BTreeMap<Position, Found<P>>,
    /// What became of each run that turned up.
    pub(super) runs: Vec<SavedRun>,
}

/// The longest stretch of bytes that one record takes, with its length before it.
pub(super) const RECORD_MAX: usize = LENGTH + VALUE_MAX;

/// The sound records that lie anywhere in `bytes`, each with the place where it begins. The bytes may be anything.
pub(super) fn carve(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8], Skimmed)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            match record_at(bytes.get(at..)?) {
                Some((record, skimmed)) => {
                    let place = at + LENGTH;
                    at = place + record.len();
                    return Some((place, record, skimmed));
                }
                None => at += 1,
            }
        }
    })
}

/// The sound record at the beginning of `bytes`, if there is one.
fn record_at(bytes: &[u8]) -> Option<(&[u8], Skimmed)> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    // Cheap questions first: nearly every place is no record.
    if length > VALUE_MAX || !may_be_record(rest) {
        return None;
    }
    let record = rest.get(..length)?;
    Some((record, skim_record(record).ok()?))
}

/// One form of each record: the rewritten one where there is one, because what was erased does not come back. Of several of
/// them the one that holds the payload that it holds now, as `told` says of the record.
pub(super) fn preferred<P>(
    found: impl IntoIterator<Item = Found<P>>,
    told: impl Fn(&Skimmed) -> Option<Digest>,
) -> Vec<Found<P>> {
    let mut found: Vec<Found<P>> = found.into_iter().collect();
    found.sort_by_key(|Found { record, .. }| match record.now {
        Some(now) if told(record) == Some(now) => 0,
        Some(_) => 1,
        None => 2,
    });
    let mut seen = BTreeSet::new();
    found.retain(|found| seen.insert(found.record.hash));
    found
}

/// Puts together what turned up, in any order, more than once perhaps. `usable` says whether a record's payload is there.
pub(super) fn salvage<P: Copy>(
    found: impl IntoIterator<Item = Found<P>>,
    usable: impl Fn(&Skimmed) -> bool,
) -> Salvage<P> {
    let mut by_run: BTreeMap<RunId, Places<P>> = BTreeMap::new();
    for found in preferred(found, |_| None) {
        let CycleId { run, cycle } = found.record.cycle;
        let places = by_run.entry(run).or_default();
        places.entry((cycle, found.record.revision)).or_default().push(found);
    }
    let mut records: BTreeMap<Position, Found<P>> = BTreeMap::new();
    let mut chains: BTreeMap<RunId, (Vec<Found<P>>, u64)> = BTreeMap::new();
    for (run, places) in by_run {
        let all: u64 = places.values().map(|candidates| candidates.len() as u64).sum();
        chains.insert(run, (chain(places.into_values().flatten(), &usable), all));
    }
    // Two runs may claim a position, where one of the two records was never acknowledged. The later one was written when the
    // position was free again, so the earlier one was not there any more. (Where the clock was set back between the two, the
    // wrong one counts; nothing else tells them apart.)
    for (chain, _) in chains.values() {
        for found in chain {
            let place = records.entry(found.record.position).or_insert(*found);
            if place.record.recorded < found.record.recorded {
                *place = *found;
            }
        }
    }
    let mut runs = Vec::new();
    for (run, (chain, all)) in chains {
        let kept = |found: &&Found<P>| {
            let winner = records.get(&found.record.position);
            winner.is_some_and(|winner| winner.record.hash == found.record.hash)
        };
        let saved = chain.iter().take_while(kept).count();
        for lost in chain.iter().skip(saved) {
            let position = lost.record.position;
            if records.get(&position).is_some_and(|at| at.record.hash == lost.record.hash) {
                records.remove(&position);
            }
        }
        let saved = saved as u64;
        runs.push(SavedRun { run, saved, unconnected: all.saturating_sub(saved) });
    }
    Salvage { records, runs }
}

/// The longest chain from a run's beginning among records in the order of cycle and revision.
fn chain<P: Copy>(
    records: impl Iterator<Item = Found<P>>,
    usable: impl Fn(&Skimmed) -> bool,
) -> Vec<Found<P>> {
    let mut connected: HashMap<Digest, Found<P>> = HashMap::new();
    let mut end: Option<Found<P>> = None;
    for found in records {
        let record = &found.record;
        let follows = match connected.get(&record.previous) {
            Some(before) => follows(&before.record, record),
            None => {
                // Positions count from 1: no store opens with a record at 0.
                record.previous == Digest::ZERO
                    && (record.cycle.cycle, record.revision) == (CycleNumber(1), Revision(0))
                    && record.position >= Position(1)
                    && record.position <= Position::MAX
            }
        };
        if !follows || !usable(record) {
            continue;
        }
        connected.insert(record.hash, found);
        // The hash decides what nothing else does, so that the order in the files does not.
        let place = |found: &Found<P>| {
            let Skimmed { cycle, revision, recorded, hash, .. } = found.record;
            (cycle.cycle, revision, recorded, hash)
        };
        if end.as_ref().is_none_or(|end| place(end) < place(&found)) {
            end = Some(found);
        }
    }
    let mut chain = Vec::new();
    while let Some(found) = end {
        chain.push(found);
        end = connected.get(&found.record.previous).copied();
    }
    chain.reverse();
    chain
}

/// Whether `next` has the place after `before`, in the same cycle or at the beginning of the next one.
fn follows(before: &Skimmed, next: &Skimmed) -> bool {
    let same = next.cycle == before.cycle && next.revision == before.revision.next();
    let new = next.cycle.cycle == before.cycle.cycle.next() && next.revision == Revision(0);
    (same || new) && next.position > before.position && next.position <= Position::MAX
}

/// The positions up to `last` that no record has, first and last of each gap.
pub(super) fn gaps<P>(
    records: &BTreeMap<Position, Found<P>>,
    last: Position,
) -> Vec<(Position, Position)> {
    let mut gaps = Vec::new();
    let mut next = Position(1);
    for position in records.keys() {
        if *position > next {
            gaps.push((next, Position(position.0.saturating_sub(1))));
        }
        next = position.next();
    }
    if next <= last {
        gaps.push((next, last));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{CycleCancelled, Event};
    use crate::domain::ids::EventId;
    use crate::domain::time::Timestamp;
    use crate::store::Recorded;
    use crate::store::codec::{Payload, encode_record};
    use uuid::Uuid;

    fn record(
        run: u128,
        cycle: u32,
        revision: u64,
        position: u64,
        hash: u8,
        previous: u8,
    ) -> Skimmed {
        Skimmed {
            cycle: CycleId { run: RunId(Uuid::from_u128(run)), cycle: CycleNumber(cycle) },
            revision: Revision(revision),
            position: Position(position),
            previous: if previous == 0 { Digest::ZERO } else { Digest::of(&[previous]) },
            hash: Digest::of(&[hash]),
            recorded: Timestamp(i64::from(hash)),
            payload: None,
            now: None,
        }
    }

    fn saved(records: &[Skimmed]) -> (Vec<u64>, Vec<(u64, u64)>) {
        let found = records.iter().map(|record| Found { record: *record, place: () });
        let salvage = salvage(found, |record| record.payload.is_none());
        let positions = salvage.records.keys().map(|position| position.0).collect();
        (positions, salvage.runs.iter().map(|run| (run.saved, run.unconnected)).collect())
    }

    #[test]
    fn chains_are_followed_from_cycle_to_cycle_in_any_order_and_once() {
        let mut records = vec![
            record(1, 1, 0, 1, 1, 0),
            record(1, 1, 1, 2, 2, 1),
            record(1, 2, 0, 4, 3, 2),
            record(2, 1, 0, 3, 9, 0),
        ];
        assert_eq!(saved(&records), (vec![1, 2, 3, 4], vec![(3, 0), (1, 0)]));
        records.reverse();
        records.extend(records.clone());
        assert_eq!(saved(&records), (vec![1, 2, 3, 4], vec![(3, 0), (1, 0)]));
    }

    #[test]
    fn what_comes_after_a_lost_event_of_its_run_is_not_kept_and_other_runs_are() {
        let records =
            [record(1, 1, 0, 1, 1, 0), record(1, 1, 2, 3, 3, 2), record(2, 1, 0, 4, 9, 0)];
        assert_eq!(saved(&records), (vec![1, 4], vec![(1, 1), (1, 0)]));
        let beginning_lost = [record(1, 1, 1, 2, 2, 1), record(1, 2, 0, 3, 3, 2)];
        assert_eq!(saved(&beginning_lost), (vec![], vec![(0, 2)]));
    }

    #[test]
    fn of_two_records_for_one_place_the_one_that_was_built_upon_counts() {
        let never_acknowledged = record(1, 1, 1, 2, 8, 1);
        let records = [
            record(1, 1, 0, 1, 1, 0),
            never_acknowledged,
            record(1, 1, 1, 2, 2, 1),
            record(1, 1, 2, 3, 3, 2),
        ];
        assert_eq!(saved(&records), (vec![1, 2, 3], vec![(3, 1)]));
        // Without the record that shows it, the later one of the two ends.
        assert_eq!(saved(&records[..3]), (vec![1, 2], vec![(2, 1)]));
        let other_run_took_the_position =
            [record(1, 1, 0, 1, 1, 0), record(1, 1, 1, 2, 2, 1), record(2, 1, 0, 2, 9, 0)];
        assert_eq!(saved(&other_run_took_the_position), (vec![1, 2], vec![(1, 1), (1, 0)]));
    }

    #[test]
    fn of_a_record_in_several_forms_the_one_rewritten_last_counts() {
        let original = record(1, 1, 0, 1, 1, 0);
        let now = |bytes| Some(Digest::of(bytes));
        let (first, last) = (now(b"one erased"), now(b"two erased"));
        let [first_form, last_form] = [first, last].map(|now| Skimmed { now, ..original });
        let kept = |records: &[Skimmed]| {
            let found = records.iter().map(|record| Found { record: *record, place: () });
            let one = preferred(found, |_| last);
            salvage(one, |_| true).records.into_values().map(|found| found.record.now).collect()
        };
        let kept = |records: &[Skimmed]| -> Vec<Option<Digest>> { kept(records) };
        assert_eq!(kept(&[original, first_form]), [first]);
        assert_eq!(kept(&[first_form, original, last_form]), [last]);
        assert_eq!(kept(&[last_form, first_form, original]), [last]);
    }

    #[test]
    fn where_the_records_lie_decides_nothing() {
        let tie = record(1, 1, 1, 2, 8, 1);
        let mut records = [record(1, 1, 0, 1, 1, 0), record(1, 1, 1, 2, 2, 1), tie];
        records[1].recorded = tie.recorded;
        let kept = |records: &[Skimmed]| {
            let found = records.iter().map(|record| Found { record: *record, place: () });
            salvage(found, |_| true).records.into_values().map(|found| found.record.hash).collect()
        };
        let forwards: Vec<Digest> = kept(&records);
        records.reverse();
        assert_eq!(forwards, kept(&records));
    }

    #[test]
    fn a_record_at_a_position_that_there_is_not_is_no_beginning() {
        let records = [record(1, 1, 0, 0, 1, 0), record(2, 1, 0, 7, 9, 0)];
        assert_eq!(saved(&records), (vec![7], vec![(0, 1), (1, 0)]));
    }

    #[test]
    fn a_record_without_its_payload_ends_its_run() {
        let mut records =
            [record(1, 1, 0, 1, 1, 0), record(1, 1, 1, 2, 2, 1), record(1, 1, 2, 3, 3, 2)];
        records[1].payload = Some(Digest::of(b"gone"));
        assert_eq!(saved(&records), (vec![1], vec![(1, 2)]));
    }

    #[test]
    fn sound_records_are_found_between_anything() {
        let event = Event::CycleCancelled(CycleCancelled { reason: "enough".into() });
        let mut recorded = Recorded {
            id: EventId(Uuid::from_u128(3)),
            cycle: CycleId { run: RunId(Uuid::from_u128(1)), cycle: CycleNumber(1) },
            revision: Revision(0),
            position: Position(1),
            recorded: Timestamp(5),
            causation: None,
            actor: "cli".into(),
            version: 1,
            workflow: Digest::ZERO,
            previous: Digest::ZERO,
            hash: Digest::ZERO,
            original: None,
            event,
        };
        let payload = Payload::of(&recorded.event).unwrap();
        let sound = encode_record(&mut recorded, &payload, false).unwrap();
        let mut damaged = sound.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let mut file = vec![1; 7];
        let mut places = Vec::new();
        for record in [&sound, &damaged, &sound] {
            file.extend(u32::try_from(record.len()).unwrap().to_le_bytes());
            places.push(file.len());
            file.extend(record);
            file.extend([0; 3]);
        }
        let found: Vec<(usize, &[u8])> =
            carve(&file).map(|(place, record, _)| (place, record)).collect();
        assert_eq!(found, [(places[0], sound.as_slice()), (places[2], sound.as_slice())]);
    }

    #[test]
    fn gaps_reach_as_far_as_events_were_acknowledged() {
        let records: BTreeMap<Position, Found<()>> = [2, 3, 6]
            .map(|position| {
                let record = record(1, 1, 0, position, 1, 0);
                (Position(position), Found { record, place: () })
            })
            .into();
        let gap = |first, last| (Position(first), Position(last));
        assert_eq!(gaps(&records, Position(6)), [gap(1, 1), gap(4, 5)]);
        assert_eq!(gaps(&records, Position(8)), [gap(1, 1), gap(4, 5), gap(7, 8)]);
        assert_eq!(gaps(&records, Position(0)), [gap(1, 1), gap(4, 5)]);
    }
}
