//! What commands lead to: each rule of `decide`, one story each.

use super::*;
use gleaner::domain::decide::batch_size;
use gleaner::domain::definition::SelectorModel;

fn start_cycle(run: &Run) -> Command {
    Command::StartCycle {
        pool: digest("pool"),
        selector_model: run.production,
        previous_head: digest("head"),
    }
}

/// The choice of `m2` over the incumbent, and what it measures.
fn choice(run: &Run, value: f64) -> Command {
    let acceptance = Measurement { model: digest("m2"), ..measured(run, value) };
    Command::SelectModel { selected: selected(run, "m2", true), acceptance }
}

/// The second cycle, its batch being labelled.
fn labelled(definition: &Definition) -> Log {
    let log = Log::of(definition).first_cycle().cycle();
    log.batch(&["c", "audit-1"]).labels(&["c", "audit-1"])
}

/// The second cycle, its checkpoints saved.
fn trained_again(definition: &Definition) -> Log {
    let log = labelled(definition);
    let log = if definition.kpi.gate { log.gate(0.5) } else { log };
    log.trained(&["m2"])
}

const CHOSEN: [&str; 3] = ["ModelSelected", "KpiChecked", "CycleEnded"];
const CHOSEN_LAST: [&str; 4] = ["ModelSelected", "KpiChecked", "CycleEnded", "RunEnded"];

#[test]
fn a_run_goes_from_step_to_step_by_itself() {
    let definition = production();
    let go = |log: &Log, wish: Command, events: &[&str], next| {
        check(&log.events, command(&definition, wish), Yields(events, Some(next)))
    };
    let start = Command::StartRun(run_started(&definition));
    check(&[], command(&definition, start), Yields(&["RunStarted"], Some(JobKind::Start)));
    let log = Log::of(&definition).first_cycle();
    go(&log, start_cycle(&log.run), &["CycleStarted"], JobKind::Select);
    let log = log.cycle();
    let wish = Command::RecordBatch(batch(&log.run, &["c", "audit-1"], 100));
    go(&log, wish, &["BatchSelected"], JobKind::Annotate);
    let log = log.batch(&["c", "audit-1"]);
    let wish = Command::RecordLabels(annotations(&["c", "audit-1"]));
    go(&log, wish, &["Annotated"], JobKind::Gate);
    let log = log.labels(&["c", "audit-1"]);
    go(&log, Command::CheckGate(measured(&log.run, 0.5)), &["KpiChecked"], JobKind::Train);
    let log = log.gate(0.5);
    let wish = Command::RecordTraining(trained(&log.run, &["m2"]));
    go(&log, wish, &["Trained"], JobKind::SelectModel);
    let log = log.trained(&["m2"]);
    let run = go(&log, choice(&log.run, 0.8), &CHOSEN, JobKind::Start);
    assert_eq!(run.production, Some(digest("m2")));
    assert_eq!(run.next_step(), Some((CycleNumber(3), JobKind::Start)));
}

#[test]
fn a_cycle_tells_which_labels_it_begins_with() {
    let definition = production();
    let log = Log::of(&definition).first_cycle();
    let decision = decide(&log.run, &definition, start_cycle(&log.run)).unwrap();
    let [(cycle, Event::CycleStarted(started))] = decision.events.as_slice() else {
        panic!("one event")
    };
    assert_eq!(*cycle, CycleNumber(2));
    assert_eq!(*started, cycle_started(&log.run, &definition));
}

#[test]
fn a_run_begins_with_its_own_workflow() {
    let definition = production();
    let changes: [fn(&mut RunStarted); 3] =
        [|it| it.workflow = digest("other"), |it| it.seed = 8, |it| it.gate = false];
    for change in changes {
        let mut started = run_started(&definition);
        change(&mut started);
        let start = Command::StartRun(started);
        check(&[], command(&definition, start), Refused("another workflow digest, seed or gate"));
    }
}

#[test]
fn a_cycle_selects_with_the_model_that_the_workflow_names() {
    let by_production = production();
    let mut by_file = production();
    by_file.selector.model = SelectorModel::File("selector.onnx".into());
    let start = |definition: &Definition, selector_model, then: Then<'_>| {
        let log = Log::of(definition).first_cycle();
        let pool = digest("pool");
        let start = Command::StartCycle { pool, selector_model, previous_head: digest("head") };
        check(&log.events, command(definition, start), then);
    };
    let started = || Yields(&["CycleStarted"], Some(JobKind::Select));
    start(&by_production, Some(digest("m1")), started());
    start(&by_production, None, Refused("no model, but the workflow wants the production model"));
    start(&by_production, Some(digest("m2")), Refused("the workflow wants the production model"));
    start(&by_file, Some(digest("file")), started());
    start(&by_file, None, Refused("the workflow names a model file"));
}

#[test]
fn a_batch_is_as_large_as_the_workflow_says_at_the_most() {
    let definition = production();
    let log = Log::of(&definition).first_cycle().cycle();
    let full = batch(&log.run, &["c", "d", "e", "f"], 100);
    let selected = || Yields(&["BatchSelected"], Some(JobKind::Annotate));
    check(&log.events, command(&definition, Command::RecordBatch(full)), selected());
    let large = batch(&log.run, &["c", "d", "e", "f", "g"], 100);
    let refused = Refused("a batch of 5 was selected where at most 4 are allowed");
    check(&log.events, command(&definition, Command::RecordBatch(large)), refused);
    let small = batch(&log.run, &["c"], 0);
    check(&log.events, command(&definition, Command::RecordBatch(small)), selected());
}

#[test]
fn the_first_batch_is_the_cold_start() {
    let mut definition = production();
    let first = |definition: &Definition| batch_size(&Log::of(definition).cycle().run, definition);
    assert_eq!(first(&definition), 2);
    definition.selector.cold_start = ColdStart::PerClass(3);
    assert_eq!(first(&definition), 6, "3 of each of 2 classes");
    definition.stop.max_labels = Some(5);
    assert_eq!(first(&definition), 5);
    definition.selector.model = SelectorModel::File("selector.onnx".into());
    assert_eq!(first(&definition), 4, "there is a model from the beginning");
    definition.selector.model = SelectorModel::Production;
    assert_eq!(batch_size(&Log::of(&definition).first_cycle().cycle().run, &definition), 3);
}

#[test]
fn the_last_batch_shrinks_to_the_labels_that_are_left() {
    let mut definition = production();
    definition.stop.max_labels = Some(5);
    let log = Log::of(&definition).first_cycle().cycle(); // 2 labels are known
    let batch_of = |samples: &[&str]| Command::RecordBatch(batch(&log.run, samples, 100));
    let refused = Refused("a batch of 4 was selected where at most 3 are allowed");
    check(&log.events, command(&definition, batch_of(&["c", "d", "e", "f"])), refused);
    let selected = Yields(&["BatchSelected"], Some(JobKind::Annotate));
    check(&log.events, command(&definition, batch_of(&["c", "d", "e"])), selected);
}

#[test]
fn labels_may_come_in_several_deliveries() {
    let definition = production();
    let log = Log::of(&definition).first_cycle().cycle().batch(&["c", "d", "e"]);
    let deliver = |log: &Log, samples: &[&str], next| {
        let wish = Command::RecordLabels(annotations(samples));
        check(&log.events, command(&definition, wish), Yields(&["Annotated"], next))
    };
    // The job that is out stays the next step: enqueueing it again would be a second one.
    let run = deliver(&log, &["d"], None);
    assert_eq!(run.next_step(), Some((CycleNumber(2), JobKind::Annotate)));
    let log = log.labels(&["d"]);
    deliver(&log, &["c"], None);
    deliver(&log.labels(&["c"]), &["e"], Some(JobKind::Gate));
}

#[test]
fn without_a_gate_labels_lead_to_training() {
    let definition = development();
    let log = Log::of(&definition).first_cycle().cycle().batch(&["c"]);
    let wish = Command::RecordLabels(annotations(&["c"]));
    check(&log.events, command(&definition, wish), Yields(&["Annotated"], Some(JobKind::Train)));
}

#[test]
fn the_first_cycle_has_no_gate_because_there_is_no_model() {
    let definition = production();
    let log = Log::of(&definition).cycle().batch(&["a"]);
    let wish = Command::RecordLabels(annotations(&["a"]));
    check(&log.events, command(&definition, wish), Yields(&["Annotated"], Some(JobKind::Train)));
}

#[test]
fn a_gate_that_is_met_ends_the_cycle_without_a_training() {
    let mut definition = production();
    let log = labelled(&definition);
    let wish = Command::CheckGate(measured(&log.run, 0.96));
    let ended = Yields(&["KpiChecked", "CycleEnded"], Some(JobKind::Start));
    let run = check(&log.events, command(&definition, wish.clone()), ended);
    assert_eq!(run.production, Some(digest("m1")));
    assert_eq!(run.history[1].checkpoints, None);

    definition.stop.kpi = true;
    let log = labelled(&definition);
    let ended = Yields(&["KpiChecked", "CycleEnded", "RunEnded"], None);
    let run = check(&log.events, command(&definition, wish), ended);
    assert_eq!(run.phase, Phase::Ended(EndReason::KpiMet));
}

#[test]
fn a_gate_that_is_missed_or_inconclusive_leads_to_training() {
    let definition = production();
    let log = labelled(&definition);
    for (value, verdict) in [(0.8, Verdict::Missed), (0.92, Verdict::Inconclusive)] {
        let wish = Command::CheckGate(measured(&log.run, value));
        let trains = Yields(&["KpiChecked"], Some(JobKind::Train));
        let run = check(&log.events, command(&definition, wish), trains);
        assert_eq!(run.history[1].gate.as_ref().map(|gate| gate.verdict), Some(verdict));
    }
}

#[test]
fn development_compares_the_value_and_production_the_interval() {
    let mut gated = development();
    gated.kpi.gate = true;
    for (definition, verdict) in [(gated, Verdict::Met), (production(), Verdict::Inconclusive)] {
        let log = labelled(&definition);
        let wish = Command::CheckGate(measured(&log.run, 0.92));
        let run = decide(&log.run, &definition, wish).unwrap().run;
        assert_eq!(run.history[1].gate.as_ref().map(|gate| gate.verdict), Some(verdict));
    }
}

#[test]
fn a_training_uses_the_labels_of_the_run() {
    let definition = production();
    let log = labelled(&definition).gate(0.5);
    let mut other = trained(&log.run, &["m2"]);
    other.train_set = digest("other labels");
    let wish = Command::RecordTraining(other);
    check(&log.events, command(&definition, wish), Refused("training used the labels"));
}

#[test]
fn what_is_measured_last_is_what_is_in_production() {
    let definition = production();
    let log = trained_again(&definition);
    let acceptance = measured(&log.run, 0.8); // of m1, which m2 has just replaced
    let wish = Command::SelectModel { selected: selected(&log.run, "m2", true), acceptance };
    check(&log.events, command(&definition, wish), Refused("which is not in production"));
}

#[test]
fn a_met_target_ends_a_development_run_that_asks_for_it() {
    let mut definition = development();
    let log = trained_again(&definition);
    let goes_on = || Yields(&CHOSEN, Some(JobKind::Start));
    check(&log.events, command(&definition, choice(&log.run, 0.95)), goes_on());
    definition.stop.kpi = true;
    let log = trained_again(&definition);
    check(&log.events, command(&definition, choice(&log.run, 0.89)), goes_on());
    let run =
        check(&log.events, command(&definition, choice(&log.run, 0.9)), Yields(&CHOSEN_LAST, None));
    assert_eq!(run.phase, Phase::Ended(EndReason::KpiMet));
}

#[test]
fn in_production_only_the_gate_ends_a_run_by_its_kpi() {
    let mut definition = production();
    definition.stop.kpi = true;
    let log = trained_again(&definition);
    let goes_on = Yields(&CHOSEN, Some(JobKind::Start));
    check(&log.events, command(&definition, choice(&log.run, 1.0)), goes_on);
}

/// What ends the run with its second cycle, with every stop rule but those in `off` fulfilled.
fn reason(off: &[EndReason]) -> Option<EndReason> {
    let on = |reason| !off.contains(&reason);
    let mut definition = development();
    definition.stop.kpi = on(EndReason::KpiMet);
    definition.stop.max_cycles = on(EndReason::MaxCycles).then_some(2);
    definition.stop.max_labels = on(EndReason::MaxLabels).then_some(3);
    let left = if on(EndReason::PoolExhausted) { 0 } else { 1 };
    let log = Log::of(&definition).first_cycle().cycle();
    let last = batch(&log.run, &["c"], left);
    let log = log.then(Event::BatchSelected(last)).labels(&["c"]).trained(&["m2"]);
    let decision = decide(&log.run, &definition, choice(&log.run, 0.95)).unwrap();
    if let Phase::Ended(reason) = decision.run.phase { Some(reason) } else { None }
}

#[test]
fn a_run_ends_for_the_first_reason_that_holds() {
    use EndReason::{KpiMet, MaxCycles, MaxLabels, PoolExhausted};
    assert_eq!(reason(&[]), Some(KpiMet));
    assert_eq!(reason(&[KpiMet]), Some(MaxCycles));
    assert_eq!(reason(&[KpiMet, MaxCycles]), Some(MaxLabels));
    assert_eq!(reason(&[KpiMet, MaxCycles, MaxLabels]), Some(PoolExhausted));
    assert_eq!(reason(&[KpiMet, MaxCycles, MaxLabels, PoolExhausted]), None);
}

#[test]
fn a_limit_ends_the_run_also_after_a_gate_that_is_met() {
    let mut definition = production();
    definition.stop.max_cycles = Some(2);
    let log = labelled(&definition);
    let wish = Command::CheckGate(measured(&log.run, 0.96));
    let ended = Yields(&["KpiChecked", "CycleEnded", "RunEnded"], None);
    let run = check(&log.events, command(&definition, wish), ended);
    assert_eq!(run.phase, Phase::Ended(EndReason::MaxCycles));
}

#[test]
fn cancelling_ends_a_run_wherever_it_is() {
    let definition = production();
    let between = Log::of(&definition).first_cycle();
    let selecting = between.clone().cycle();
    let annotating = selecting.clone().batch(&["c", "d"]).labels(&["c"]);
    let gating = annotating.clone().labels(&["d"]);
    let training = gating.clone().gate(0.5);
    let choosing = training.clone().trained(&["m2"]);
    let cancel = |log: &Log, events: &[&str]| {
        let wish = Command::Cancel(cancelled());
        let run = check(&log.events, command(&definition, wish.clone()), Yields(events, None));
        assert_eq!(run.phase, Phase::Ended(EndReason::Cancelled));
        assert_eq!(run.next_step(), None);
        assert!(decide(&log.run, &definition, wish).unwrap().cancels_jobs);
    };
    cancel(&Log::of(&definition), &["RunEnded"]);
    cancel(&between, &["RunEnded"]);
    for log in [selecting, annotating, gating, training, choosing] {
        cancel(&log, &["CycleCancelled", "RunEnded"]);
        cancel(&log.failed(), &["CycleCancelled", "RunEnded"]);
    }
}

#[test]
fn what_has_not_begun_or_is_over_cannot_be_cancelled() {
    let definition = production();
    let wish = || command(&definition, Command::Cancel(cancelled()));
    check(&[], wish(), Refused("only RunStarted can"));
    let log = Log::of(&definition).first_cycle();
    let last = run_ended(&log.run, EndReason::MaxCycles);
    check(&log.then(Event::RunEnded(last)).events, wish(), Refused("has ended (MaxCycles)"));
}

#[test]
fn a_step_that_failed_for_good_stops_the_run_until_it_is_tried_again() {
    let definition = production();
    let log = labelled(&definition).gate(0.5);
    let Event::CycleFailed(failure) = failed() else { panic!("a failure") };
    let wish = Command::Fail(failure.clone());
    let run = check(&log.events, command(&definition, wish), Yields(&["CycleFailed"], None));
    assert_eq!(run.failed, Some(failure));
    // Resuming asks what is next, does it, and the run goes on as if nothing had happened.
    assert_eq!(run.next_step(), Some((CycleNumber(2), JobKind::Train)));
    let wish = Command::RecordTraining(trained(&run, &["m2"]));
    let goes_on = || Yields(&["Trained"], Some(JobKind::SelectModel));
    let mended = check(&log.clone().failed().events, command(&definition, wish.clone()), goes_on());
    assert_eq!(mended, check(&log.events, command(&definition, wish), goes_on()));
}

#[test]
fn a_cycle_that_cannot_even_start_fails_in_the_log_of_the_one_before() {
    let definition = production();
    let log = Log::of(&definition).first_cycle();
    let Event::CycleFailed(failure) = failed() else { panic!("a failure") };
    let decision = decide(&log.run, &definition, Command::Fail(failure)).unwrap();
    assert_eq!(decision.events[0].0, CycleNumber(1));
    assert_eq!(decision.run.next_step(), Some((CycleNumber(2), JobKind::Start)));
    let log = log.failed();
    let started = Yields(&["CycleStarted"], Some(JobKind::Select));
    check(&log.events, command(&definition, start_cycle(&log.run)), started);
}

#[test]
fn a_command_out_of_place_is_refused_for_its_place() {
    let definition = production();
    let log = Log::of(&definition).first_cycle().cycle().batch(&["c", "d"]);
    let run = &log.run;
    let wishes = [
        Command::StartRun(run_started(&definition)),
        start_cycle(run),
        Command::RecordBatch(batch(run, &["e", "f", "g", "h", "i"], 100)),
        Command::CheckGate(measured(run, 0.5)),
        Command::RecordTraining(trained(run, &["m2"])),
        choice(run, 0.5),
    ];
    for wish in wishes {
        let refused = Refused("cannot follow in a run that is annotating");
        check(&log.events, command(&definition, wish), refused);
    }
}
