//! Which event may follow in which phase: all of them in all of them.

use super::after_training::{back, compared, erasure, pin, removal};
use super::answers::beside_the_loop;
use super::forks::forked;
use super::*;
use gleaner::domain::state::Phase;

const EVENTS: [&str; 23] = [
    "RunStarted",
    "CycleStarted",
    "BatchSelected",
    "Annotated",
    "KpiChecked",
    "Trained",
    "ModelSelected",
    "CycleEnded",
    "CycleFailed",
    "CycleCancelled",
    "RunEnded",
    "ModelsCompared",
    "RolledBack",
    "Pinned",
    "Voted",
    "Relabelled",
    "LabelsDoubted",
    "BaselineMeasured",
    "DriftChecked",
    "ClassesMeasured",
    "Forked", // before the first cycle only: see `forks`
    "ArtifactsRemoved",
    "SampleErased",
];

/// What may happen in any phase, if what it says fits: here an earlier model is there once the second one is promoted.
const ANY_TIME: [&str; 4] = ["RolledBack", "Pinned", "ArtifactsRemoved", "SampleErased"];

/// One row a phase, one column an event of [`EVENTS`]: the phase that it leads to, `.` where it is refused.
///
/// Abbreviated by first letters: New, Between cycles, seLecting, aNnotating, Gating, Training, Selecting a model, Accepting,
/// Closing, cancelleD, Ended; `=` leaves the phase as it is.
#[rustfmt::skip]
const TABLE: [(&str, [&str; 23]); 11] = [
    //                    RunS CycS Batc Anno KpiC Trai Mode CycE CycF CycC RunE Comp Roll Pinn Vote Rela Doub Base Drif Clas Fork Gone Eras
    ("new",               ["B", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."]),
    ("between cycles",    [".", "L", ".", ".", ".", ".", ".", ".", "=", "D", "E", ".", "=", "=", ".", ".", ".", ".", ".", ".", ".", "=", "="]),
    ("selecting",         [".", ".", "N", ".", ".", ".", ".", ".", "=", "D", ".", ".", ".", "=", ".", ".", "=", ".", ".", ".", ".", "=", "="]),
    ("annotating",        [".", ".", ".", "G", ".", ".", ".", ".", "=", "D", ".", ".", ".", "=", "=", "=", ".", ".", ".", ".", ".", "=", "="]),
    ("gating",            [".", ".", ".", ".", "T", ".", ".", ".", "=", "D", ".", ".", ".", "=", ".", ".", ".", ".", "=", "=", ".", "=", "="]),
    ("training",          [".", ".", ".", ".", ".", "S", ".", ".", "=", "D", ".", ".", ".", "=", ".", ".", ".", ".", ".", ".", ".", "=", "="]),
    ("selecting a model", [".", ".", ".", ".", ".", ".", "A", ".", "=", "D", ".", "=", ".", "=", ".", ".", ".", ".", ".", ".", ".", "=", "="]),
    ("accepting",         [".", ".", ".", ".", "C", ".", ".", ".", "=", "D", ".", ".", "=", "=", ".", ".", ".", "=", ".", "=", ".", "=", "="]),
    ("closing",           [".", ".", ".", ".", ".", ".", ".", "B", "=", "D", ".", ".", "=", "=", ".", ".", ".", ".", ".", ".", ".", "=", "="]),
    ("cancelled",         [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "E", ".", ".", "=", ".", ".", ".", ".", ".", ".", ".", "=", "="]),
    ("ended",             [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "=", "=", ".", ".", ".", ".", ".", ".", ".", "=", "="]),
];

#[test]
fn what_happens_before_a_cycle_is_told_in_the_first_ones_log() {
    let log: Vec<u32> = two_cycles()
        .iter()
        .enumerate()
        .map(|(at, event)| replay(&two_cycles()[..at]).log_of(event).0)
        .collect();
    assert_eq!(log.first(), Some(&1), "RunStarted");
    let cycles = two_cycles().iter().filter(|event| event.name() == "CycleStarted").count();
    assert!(log.is_sorted() && log.last() == u32::try_from(cycles).ok().as_ref(), "{log:?}");
}

fn phase(letter: &str) -> &'static str {
    match letter {
        "B" => "between cycles",
        "L" => "selecting",
        "N" => "annotating",
        "G" => "gating",
        "T" => "training",
        "S" => "selecting a model",
        "A" => "accepting",
        "C" => "closing",
        "D" => "cancelled",
        "E" => "ended",
        other => panic!("{other} abbreviates no phase"),
    }
}

/// The event's column in [`TABLE`]. No wildcard: a new event needs one.
fn column_of(event: &Event) -> usize {
    match event {
        Event::RunStarted(_) => 0,
        Event::CycleStarted(_) => 1,
        Event::BatchSelected(_) => 2,
        Event::Annotated(_) => 3,
        Event::KpiChecked(_) => 4,
        Event::Trained(_) => 5,
        Event::ModelSelected(_) => 6,
        Event::CycleEnded(_) => 7,
        Event::CycleFailed(_) => 8,
        Event::CycleCancelled(_) => 9,
        Event::RunEnded(_) => 10,
        Event::ModelsCompared(_) => 11,
        Event::RolledBack(_) => 12,
        Event::Pinned(_) => 13,
        Event::Voted(_) => 14,
        Event::Relabelled(_) => 15,
        Event::LabelsDoubted(_) => 16,
        Event::BaselineMeasured(_) => 17,
        Event::DriftChecked(_) => 18,
        Event::ClassesMeasured(_) => 19,
        Event::Forked(_) => 20,
        Event::ArtifactsRemoved(_) => 21,
        Event::SampleErased(_) => 22,
    }
}

/// The phase's row in [`TABLE`]. No wildcard: a new phase needs one.
fn row_of(phase: &Phase) -> usize {
    match phase {
        Phase::New => 0,
        Phase::BetweenCycles => 1,
        Phase::Selecting => 2,
        Phase::Annotating { .. } => 3,
        Phase::Gating => 4,
        Phase::Training => 5,
        Phase::SelectingModel { .. } => 6,
        Phase::Accepting => 7,
        Phase::Closing => 8,
        Phase::Cancelled => 9,
        Phase::Ended(_) => 10,
    }
}

/// Events of this name, one of which fits wherever such an event is legal at all.
fn candidates(name: &str) -> Vec<Event> {
    let more = [
        cycle_started(4),
        failed(),
        cancelled(),
        run_ended(EndReason::Cancelled, 2, 2, Some("m1")),
        run_ended(EndReason::MaxCycles, 2, 4, Some("m3")),
        compared(),
        back("m1", "m3"),
        pin(true),
        forked(2),
        removal("scores"),
        erasure("zebra"),
    ];
    let more = more.into_iter().chain(beside_the_loop());
    two_cycles().into_iter().chain(more).filter(|event| event.name() == name).collect()
}

#[test]
fn every_event_in_every_phase() {
    for (from, row) in TABLE {
        for (name, to) in EVENTS.iter().zip(row) {
            let log = until(from);
            let run = replay(&log);
            let mut led = Vec::new();
            let candidates = candidates(name);
            assert_eq!(TABLE[row_of(&run.phase)].0, from);
            assert_eq!(EVENTS[column_of(&candidates[0])], *name);
            assert!(!candidates.is_empty(), "{name} is never tried");
            for event in candidates {
                let mut after = run.clone();
                match after.apply(&event) {
                    Ok(()) => led.push(after.phase.name()),
                    Err(error) => {
                        assert_eq!(
                            after, run,
                            "{name} was refused while {from}, yet changed the run"
                        );
                        assert_eq!((error.event, error.phase), (*name, from));
                        let text = error.to_string();
                        assert!(text.contains(name) && text.contains(from), "{text}");
                    }
                }
            }
            match to {
                "." => assert!(led.is_empty(), "{name} was taken while {from}: {led:?}"),
                "=" => assert_eq!(led, [from], "{name} while {from}"),
                _ => assert_eq!(led, [phase(to)], "{name} while {from}"),
            }
        }
    }
}

#[test]
fn a_refused_event_tells_what_could_have_followed() {
    for (from, row) in TABLE {
        let run = replay(&until(from));
        let refused = EVENTS.iter().zip(row).find(|(_, to)| *to == ".").map(|(name, _)| *name);
        let event = candidates(refused.unwrap()).remove(0);
        let why = run.clone().apply(&event).unwrap_err().why;
        // What somebody may do at any time is not what the run waits for.
        for (name, to) in EVENTS.iter().zip(row).filter(|(name, _)| !ANY_TIME.contains(*name)) {
            assert_eq!(why.contains(name), to != ".", "while {from}, {name}: {why}");
        }
    }
}

#[test]
fn each_phase_has_its_work_and_waiting_ones_have_none() {
    let work = [
        ("new", None),
        ("between cycles", Some((3, JobKind::Start))),
        ("selecting", Some((2, JobKind::Select))),
        ("annotating", Some((2, JobKind::Annotate))),
        ("gating", Some((2, JobKind::Gate))),
        ("training", Some((2, JobKind::Train))),
        ("selecting a model", Some((2, JobKind::SelectModel))),
        ("accepting", None),
        ("closing", None),
        ("cancelled", None),
        ("ended", None),
    ];
    for (from, step) in work {
        let step = step.map(|(cycle, kind)| (CycleNumber(cycle), kind));
        assert_eq!(replay(&until(from)).next_step(), step, "{from}");
    }
}
