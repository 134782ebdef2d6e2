//! Every phase against every event: what may follow, and where it leads.

use super::*;

/// The phase after the event, or `-` where the event cannot follow.
const TABLE: &str = "
phase             | RunStarted     | CycleStarted | BatchSelected | Annotated | KpiChecked | Trained           | ModelSelected | CycleEnded     | CycleFailed       | CycleCancelled | RunEnded
new               | between cycles | -            | -             | -         | -          | -                 | -             | -              | -                 | -              | -
between cycles    | -              | selecting    | -             | -         | -          | -                 | -             | -              | between cycles    | -              | ended
selecting         | -              | -            | annotating    | -         | -          | -                 | -             | -              | selecting         | cancelled      | -
annotating        | -              | -            | -             | gating    | -          | -                 | -             | -              | annotating        | cancelled      | -
gating            | -              | -            | -             | -         | training   | -                 | -             | -              | gating            | cancelled      | -
training          | -              | -            | -             | -         | -          | selecting a model | -             | -              | training          | cancelled      | -
selecting a model | -              | -            | -             | -         | -          | -                 | accepting     | -              | selecting a model | cancelled      | -
accepting         | -              | -            | -             | -         | closing    | -                 | -             | -              | accepting         | cancelled      | -
closing           | -              | -            | -             | -         | -          | -                 | -             | between cycles | closing           | cancelled      | -
cancelled         | -              | -            | -             | -         | -          | -                 | -             | -              | -                 | -              | ended
ended             | -              | -            | -             | -         | -          | -                 | -             | -              | -                 | -              | -
";

/// A phase's row. No wildcard: a new phase needs a row.
fn row(phase: &Phase) -> usize {
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

/// An event's column. No wildcard: a new event needs a column.
fn column(event: &Event) -> usize {
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
    }
}

/// A log that ends in each phase; in the second cycle wherever there is one, so that a production model is known.
fn every_phase() -> Vec<Vec<Event>> {
    let between = Log::of(&production()).first_cycle();
    let selecting = between.clone().cycle();
    let annotating = selecting.clone().batch(&["c", "audit-1"]).labels(&["c"]);
    let gating = annotating.clone().labels(&["audit-1"]);
    let training = gating.clone().gate(0.5);
    let choosing = training.clone().trained(&["m2"]);
    let accepting = choosing.clone().selected("m2", true);
    let closing = accepting.clone().accepted(0.5);
    let cancelling = gating.clone().then(Event::CycleCancelled(cancelled()));
    let last = run_ended(&cancelling.run, EndReason::Cancelled);
    let ended = cancelling.clone().then(Event::RunEnded(last));
    let logs = [
        between, selecting, annotating, gating, training, choosing, accepting, closing, cancelling,
        ended,
    ];
    [Vec::new()].into_iter().chain(logs.map(|log| log.events)).collect()
}

/// One event of each kind, which fits `run` in all it says.
fn every_event(run: &Run) -> Vec<Event> {
    let definition = production();
    let stage = if run.phase == Phase::Accepting { KpiStage::Acceptance } else { KpiStage::Gate };
    vec![
        Event::RunStarted(run_started(&definition)),
        Event::CycleStarted(cycle_started(run, &definition)),
        Event::BatchSelected(batch(run, &["e", "f"], 100)),
        annotated(&["audit-1"]),
        Event::KpiChecked(kpi(run, &definition, stage, 0.5)),
        Event::Trained(trained(run, &["m3"])),
        Event::ModelSelected(selected(run, "m2", true)),
        Event::CycleEnded(cycle_ended(run)),
        failed(),
        Event::CycleCancelled(cancelled()),
        Event::RunEnded(run_ended(run, EndReason::Cancelled)),
    ]
}

#[test]
fn every_event_follows_where_the_table_says_and_nowhere_else() {
    let mut lines = TABLE.trim().lines().map(|line| line.split('|').map(str::trim));
    let names: Vec<&str> = lines.next().unwrap().skip(1).collect();
    let rows: Vec<Vec<&str>> = lines.map(Iterator::collect).collect();
    let logs = every_phase();
    assert_eq!(rows.len(), logs.len());
    for (number, (cells, log)) in rows.iter().zip(&logs).enumerate() {
        let run = replay(log);
        assert_eq!((row(&run.phase), run.phase.name()), (number, cells[0]));
        let events = every_event(&run);
        assert_eq!(events.len(), names.len());
        assert_eq!(cells.len(), names.len() + 1);
        for (number, event) in events.into_iter().enumerate() {
            assert_eq!((column(&event), event.name()), (number, names[number]));
            match cells[number + 1] {
                "-" => check(log, event, Refused("cannot follow")),
                after => check(log, event, InPhase(after)),
            };
        }
    }
}

#[test]
fn an_error_tells_what_could_have_followed() {
    // So the list in the error can never drift from the table.
    for log in every_phase() {
        let run = replay(&log);
        let events = every_event(&run);
        let (legal, illegal): (Vec<&Event>, Vec<&Event>) =
            events.iter().partition(|event| applied(&run, event).is_ok());
        let text = applied(&run, illegal[0]).unwrap_err().why;
        for event in legal {
            assert!(text.contains(event.name()), "{text:?} in {}", run.phase.name());
        }
        for event in illegal {
            assert!(!text.contains(event.name()), "{text:?} in {}", run.phase.name());
        }
    }
}

#[test]
fn only_work_that_is_waited_for_is_the_next_step() {
    for log in every_phase() {
        let run = replay(&log);
        let kind = match run.phase {
            // Nothing yet, nothing any more, or decided together with what follows.
            Phase::New | Phase::Accepting | Phase::Closing | Phase::Cancelled | Phase::Ended(_) => {
                None
            }
            Phase::BetweenCycles => Some(JobKind::Start),
            Phase::Selecting => Some(JobKind::Select),
            Phase::Annotating { .. } => Some(JobKind::Annotate),
            Phase::Gating => Some(JobKind::Gate),
            Phase::Training => Some(JobKind::Train),
            Phase::SelectingModel { .. } => Some(JobKind::SelectModel),
        };
        assert_eq!(run.next_step(), kind.map(|kind| (CycleNumber(2), kind)));
    }
}
