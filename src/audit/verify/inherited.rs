//! Whether what a fork inherited is what the other run's log holds, event by event, where both are in one store.

use super::Finding;
use crate::domain::event::{Event, Forked};
use crate::domain::ids::{CycleId, CycleNumber, Revision, RunId, SampleId};
use crate::store::{EventLog, Recorded, StoreError};
use std::collections::BTreeSet;

/// Compares cycle by cycle; `None` where all is alike, or where the other run is not in the store.
///
/// # Errors
/// [`StoreError`] where the store cannot be read at all; a damaged log of the other run is a finding.
pub(super) async fn compare(
    log: &dyn EventLog,
    run: RunId,
    forked: &Forked,
) -> Result<Option<Finding>, StoreError> {
    let parent = forked.run;
    if !log.runs().await?.iter().any(|(known, _)| *known == parent) {
        return Ok(None);
    }
    let mut cycle = CycleNumber(1);
    while cycle <= forked.cycle {
        let theirs = match log.read(CycleId { run: parent, cycle }, Revision(0), usize::MAX).await {
            Ok(theirs) => theirs,
            Err(StoreError::Damaged { what }) => {
                let what = format!("what it inherits of run {parent} cannot be compared: {what}");
                return Ok(Some(Finding { cycle: Some(cycle), revision: None, what }));
            }
            Err(other) => return Err(other),
        };
        let last = cycle == forked.cycle;
        let theirs = match (last, theirs.iter().position(|record| record.hash == forked.head)) {
            (false, _) => theirs.as_slice(),
            (true, Some(end)) => theirs.get(..=end).unwrap_or_default(),
            (true, None) => {
                let what = format!(
                    "it says that cycle {cycle} of run {parent} ended with {} when it was forked, and no event there has that hash",
                    forked.head
                );
                return Ok(Some(Finding { cycle: Some(cycle), revision: None, what }));
            }
        };
        let ours = log.read(CycleId { run, cycle }, Revision(0), usize::MAX).await?;
        if theirs.is_empty() && ours.is_empty() {
            break; // it says that it inherits more than there is, which is a finding of its own
        }
        if let Some(finding) = differing(theirs, &ours, parent, last) {
            return Ok(Some(finding));
        }
        cycle = cycle.next();
    }
    Ok(None)
}

/// The first event of a cycle that is not the other run's. In the `last` one the fork may since have what may
/// happen at any time.
fn differing(theirs: &[Recorded], ours: &[Recorded], parent: RunId, last: bool) -> Option<Finding> {
    let inherited = |record: &&Recorded| record.event.is_inherited();
    let mut theirs = theirs.iter().filter(inherited);
    for our in ours.iter().filter(inherited) {
        let what = match theirs.next() {
            Some(their) if are_alike(their, our) => continue,
            Some(their) => format!(
                "{} is not what run {parent}, from which it is inherited, has at {}:{}",
                our.event.name(),
                their.cycle.cycle,
                their.revision
            ),
            None if last && is_of_any_time(&our.event) => return None,
            None => format!("{} is none of the events of run {parent}", our.event.name()),
        };
        return Some(Finding { cycle: Some(our.cycle.cycle), revision: Some(our.revision), what });
    }
    let their = theirs.next()?;
    let cycle = their.cycle.cycle;
    let what = format!(
        "it lacks {} of run {parent}, which that has at {cycle}:{}",
        their.event.name(),
        their.revision
    );
    Some(Finding { cycle: Some(cycle), revision: None, what })
}

/// Whether two events say the same. What a sample is may be erased here and not there, in a record that was rewritten then; it is
/// compared by nobody, and the rest is.
fn are_alike(their: &Recorded, our: &Recorded) -> bool {
    let rewritten = [their, our].into_iter().filter(|record| record.original.is_some());
    let erased: BTreeSet<&SampleId> =
        rewritten.flat_map(|record| record.event.erased_samples()).collect();
    let without = |event: &Event| {
        erased
            .iter()
            .fold(event.clone(), |event, sample| event.without_labels_of(sample).unwrap_or(event))
    };
    their.event == our.event || without(&their.event) == without(&our.event)
}

/// Whether it may happen while a run waits for anything, or has ended.
const fn is_of_any_time(event: &Event) -> bool {
    matches!(event, Event::RolledBack(_) | Event::Pinned(_))
}
