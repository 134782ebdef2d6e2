//! One story for each rule of `decide` and each check of `apply`.

use super::Then::{Ends, Follows, Refused};
use super::*;
use gleaner::domain::decide::{batch_size, is_cold_start};
use gleaner::domain::state::{Known, Phase};

fn start_cycle() -> Command {
    Command::StartCycle {
        pool: Digest::of(b"pool"),
        selector_model: Some(model("m3")),
        previous_head: Digest::of(b"head"),
    }
}

// --- the loop -------------------------------------------------------------------------------------------------------

#[test]
fn a_run_starts_and_asks_for_its_first_cycle() {
    let Event::RunStarted(start) = started(true) else { panic!() };
    let next = Some(JobKind::Start);
    let run =
        check(&workflow(), &[], Command::StartRun(start.clone()), Follows(&["RunStarted"], next));
    assert_eq!(run.next_step(), Some((CycleNumber(1), JobKind::Start)));
    let again = Command::StartRun(start);
    check(&workflow(), &[started(true)], again, Refused(&["RunStarted", "between cycles"]));
}

#[test]
fn a_cycle_starts_with_what_is_known() {
    let given = until("between cycles");
    let next = Some(JobKind::Select);
    let run = check(&workflow(), &given, start_cycle(), Follows(&["CycleStarted"], next));
    assert_eq!((run.cycle, run.selector_model), (CycleNumber(3), Some(model("m3"))));
    assert!(run.picks.is_empty(), "the picks of the cycle before are gone");
    assert_eq!(run.history.len(), 3);
}

#[test]
fn another_workflow_cannot_go_on_with_a_run() {
    let given = until("between cycles");
    check(
        &stopping(true, Some(9), None),
        &given,
        start_cycle(),
        Refused(&["its workflow or seed"]),
    );
}

#[test]
fn a_run_begins_with_the_workflow_that_decides_it() {
    let changes: [fn(&mut RunStarted); 3] =
        [|it| it.workflow = model("other"), |it| it.seed = 8, |it| it.gate = false];
    for change in changes {
        let Event::RunStarted(mut start) = started(true) else { panic!() };
        change(&mut start);
        let why = Refused(&["another workflow digest, seed or gate"]);
        check(&workflow(), &[], Command::StartRun(start), why);
    }
}

#[test]
fn a_cycle_selects_with_the_model_that_the_workflow_names() {
    let with = |name: Option<&str>| Command::StartCycle {
        pool: Digest::of(b"pool"),
        selector_model: name.map(model),
        previous_head: Digest::of(b"head"),
    };
    let given = until("between cycles"); // m3 is in production
    for name in [None, Some("m1")] {
        let why = Refused(&["the cycle would select with", "wants the production model"]);
        check(&workflow(), &given, with(name), why);
    }
    let mut by_file = workflow();
    by_file.selector.model = SelectorModel::File("selector.onnx".to_owned());
    let Event::RunStarted(start) = started(true) else { panic!() };
    let start = Event::RunStarted(RunStarted { workflow: by_file.digest(), ..start });
    let next = Some(JobKind::Select);
    check(
        &by_file,
        std::slice::from_ref(&start),
        with(Some("file")),
        Follows(&["CycleStarted"], next),
    );
    check(&by_file, &[start], with(None), Refused(&["no model", "names a model file"]));
}

#[test]
fn a_cycle_that_speaks_of_other_labels_is_refused() {
    let given = until("between cycles");
    check(
        &workflow(),
        &given,
        cycle_started(3),
        Refused(&["it speaks of 3 labels, the run has 4"]),
    );
    let Event::CycleStarted(mut other) = cycle_started(4) else { panic!() };
    other.seed = 8;
    check(&workflow(), &given, Event::CycleStarted(other), Refused(&["its workflow or seed"]));
}

#[test]
fn the_first_cycle_has_no_gate() {
    let given = &two_cycles()[..3];
    let labels = Command::RecordLabels(labels(&["a", "b"]));
    check(&workflow(), given, labels, Follows(&["Annotated"], Some(JobKind::Train)));
}

#[test]
fn later_cycles_have_a_gate_unless_it_is_off() {
    let given = until("annotating");
    let arrived = || Command::RecordLabels(labels(&["c", "d"]));
    check(&workflow(), &given, arrived(), Follows(&["Annotated"], Some(JobKind::Gate)));
    let ungated = then(&[started(false)], &given[1..]);
    check(&workflow(), &ungated, arrived(), Follows(&["Annotated"], Some(JobKind::Train)));
}

#[test]
fn training_leads_to_the_choice_of_a_model() {
    let given = until("training");
    let command = Command::RecordTraining(training_of(&replay(&given), &["m2", "m3"]));
    let run =
        check(&workflow(), &given, command, Follows(&["Trained"], Some(JobKind::SelectModel)));
    let Phase::SelectingModel { checkpoints } = &run.phase else { panic!("{:?}", run.phase) };
    assert_eq!(checkpoints.len(), 2);
    assert_eq!(run.history[1].checkpoints, Some(2));
}

#[test]
fn a_chosen_model_is_measured_and_the_cycle_ends() {
    let given = until("selecting a model");
    let events = &["ModelSelected", "KpiChecked", "CycleEnded"];
    let command = select_model("m1", "m3", true, Verdict::Missed);
    let run = check(&workflow(), &given, command, Follows(events, Some(JobKind::Start)));
    assert_eq!(run.production, Some(model("m3")));
    assert!(run.history[1].promoted && run.history[1].acceptance.is_some());
}

// --- the batch ------------------------------------------------------------------------------------------------------

#[test]
fn a_batch_asks_for_its_labels() {
    let given = until("selecting");
    let command = record(batch_of(&[("c", Arm::Strategy), ("d", Arm::Audit)], 8));
    let run =
        check(&workflow(), &given, command, Follows(&["BatchSelected"], Some(JobKind::Annotate)));
    assert_eq!(run.phase, Phase::Annotating { missing: 2 });
    assert_eq!(run.missing().collect::<Vec<_>>(), [&"c".into(), &"d".into()]);
    assert_eq!(run.remaining, Some(6));
}

#[test]
fn a_batch_is_no_larger_than_the_workflow_allows() {
    let given = until("selecting");
    let three = [("c", Arm::Strategy), ("d", Arm::Strategy), ("e", Arm::Audit)];
    let command = record(batch_of(&three, 8));
    check(&workflow(), &given, command, Refused(&["a batch of 3", "at most 2"]));
}

#[test]
fn the_last_batch_shrinks_to_fit_max_labels() {
    let given = until("selecting"); // two labels are known
    let sizes: Vec<usize> = [2, 3, 4, 5, 100]
        .map(|most| batch_size(&replay(&given), &stopping(true, None, Some(most))))
        .to_vec();
    assert_eq!(sizes, [0, 1, 2, 2, 2]);
    let two = record(batch_of(&[("c", Arm::Strategy), ("d", Arm::Audit)], 8));
    check(&stopping(true, None, Some(3)), &given, two, Refused(&["a batch of 2", "at most 1"]));
    let one = record(batch_of(&[("c", Arm::Strategy)], 8));
    let next = Some(JobKind::Annotate);
    check(&stopping(true, None, Some(3)), &given, one, Follows(&["BatchSelected"], next));
}

#[test]
fn the_first_batch_has_its_own_size() {
    let run = replay(&two_cycles()[..2]);
    let size = |cold_start, model| {
        let mut workflow = workflow();
        workflow.selector.cold_start = cold_start;
        workflow.selector.model = model;
        (is_cold_start(&run, &workflow), batch_size(&run, &workflow))
    };
    let file = || SelectorModel::File("model.onnx".to_owned());
    assert_eq!(size(ColdStart::Random(5), SelectorModel::Production), (true, 5));
    assert_eq!(size(ColdStart::PerClass(4), SelectorModel::Production), (true, 12));
    assert_eq!(
        size(ColdStart::PerClass(usize::MAX), SelectorModel::Production),
        (true, usize::MAX)
    );
    assert_eq!(size(ColdStart::Random(5), file()), (false, 2));
    let later = replay(&until("selecting"));
    assert!(!is_cold_start(&later, &workflow()), "a model is in production");
}

#[test]
fn a_batch_that_cannot_be_is_refused() {
    let given = until("selecting");
    let refused = |picks: &[(&str, Arm)], candidates, why| {
        check(&workflow(), &given, batch(picks, candidates), Refused(why));
    };
    let arm = Arm::Strategy;
    refused(&[], 8, &["BatchSelected", "selecting", "it picks nothing"]);
    refused(&[("c", arm), ("d", arm)], 1, &["it picks 2 of 1 candidates"]);
    refused(&[("c", arm), ("c", Arm::Audit)], 8, &["sample c is picked twice"]);
    refused(&[("c", arm), ("a", arm)], 8, &["sample a is labelled already"]);
    for number in [0.0, -0.5, 1.5] {
        let mut drawn = batch_of(&[("c", arm)], 8);
        drawn.picks[0].probability = Some(number);
        let why = Refused(&["sample c was picked with probability", "which is not in (0, 1]"]);
        check(&workflow(), &given, Event::BatchSelected(drawn), why);
    }
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut cut = batch_of(&[("c", arm)], 8);
        cut.cutoff = Some(number);
        let why = Refused(&["its cutoff is not finite"]);
        check(&workflow(), &given, Event::BatchSelected(cut), why);
        let mut scored = batch_of(&[("c", arm)], 8);
        scored.picks[0].score = Some(number);
        let why = Refused(&["the score of sample c is not finite"]);
        check(&workflow(), &given, Event::BatchSelected(scored), why);
        let mut drawn = batch_of(&[("c", arm)], 8);
        drawn.picks[0].probability = Some(number);
        check(
            &workflow(),
            &given,
            Event::BatchSelected(drawn),
            Refused(&["sample c was picked with probability", "which is not in (0, 1]"]),
        );
    }
}

#[test]
fn a_batch_is_scored_by_the_model_that_the_cycle_named() {
    let Event::CycleStarted(mut start) = cycle_started(2) else { panic!() };
    start.selector_model = Some(model("m1"));
    let given = then(&two_cycles()[..8], &[Event::CycleStarted(start)]);
    let scored_by = |name: Option<&str>| {
        let batch = batch_of(&[("c", Arm::Strategy)], 8);
        record(BatchSelected { model: name.map(model), ..batch })
    };
    let next = Some(JobKind::Annotate);
    for name in [Some("m1"), None] {
        check(&workflow(), &given, scored_by(name), Follows(&["BatchSelected"], next));
    }
    let why = Refused(&["another model than the cycle's selector model"]);
    check(&workflow(), &given, scored_by(Some("m3")), why);
}

#[test]
fn a_batch_out_of_place_is_refused_for_its_place() {
    let given = until("annotating");
    let three = [("e", Arm::Strategy), ("f", Arm::Strategy), ("g", Arm::Strategy)];
    let why = Refused(&["BatchSelected cannot follow in a run that is annotating"]);
    check(&workflow(), &given, record(batch_of(&three, 8)), why);
}

// --- labels ---------------------------------------------------------------------------------------------------------

#[test]
fn labels_may_come_in_several_deliveries() {
    let given = until("annotating");
    let first = Command::RecordLabels(labels(&["d"]));
    // The annotation job that is out stays the next step, so none is enqueued.
    let run = check(&workflow(), &given, first, Follows(&["Annotated"], None));
    assert_eq!(run.phase, Phase::Annotating { missing: 1 });
    assert_eq!(run.missing().collect::<Vec<_>>(), [&"c".into()]);
    assert_eq!(run.labelled(), 3);
    let given = then(&given, &[annotated(&["d"])]);
    let rest = Command::RecordLabels(labels(&["c"]));
    let run = check(&workflow(), &given, rest, Follows(&["Annotated"], Some(JobKind::Gate)));
    let known = Known { label: Label::Class(1), cycle: CycleNumber(2), arm: Arm::Strategy };
    assert_eq!(run.labels[&SampleId::from("c")], known);
    assert_eq!(run.history[1].labelled, 4);
}

#[test]
fn a_label_that_was_not_asked_for_is_refused() {
    let given = then(&until("annotating"), &[annotated(&["d"])]);
    let refused = |labels: Vec<Annotation>, why| {
        check(&workflow(), &given, Command::RecordLabels(labels), Refused(why));
    };
    refused(vec![], &["Annotated", "annotating", "it holds no label"]);
    refused(labels(&["z"]), &["sample z was not picked in this cycle"]);
    refused(labels(&["a"]), &["sample a was not picked in this cycle"]);
    refused(labels(&["d"]), &["sample d is labelled already"]);
    refused(labels(&["c", "c"]), &["sample c is labelled twice"]);
    refused(labels(&["c", "z"]), &["sample z was not picked in this cycle"]);
    refused(vec![label("c", 3)], &["sample c is class 3, but the class list has 3"]);
    refused(vec![label("c", u32::MAX)], &["class 4294967295"]);
}

// --- the gate -------------------------------------------------------------------------------------------------------

#[test]
fn a_missed_and_an_inconclusive_gate_train() {
    let given = until("gating");
    for verdict in [Verdict::Missed, Verdict::Inconclusive] {
        let command = gate(measured("m1", verdict));
        let run =
            check(&workflow(), &given, command, Follows(&["KpiChecked"], Some(JobKind::Train)));
        assert_eq!(run.history[1].gate.as_ref().map(|gate| gate.verdict), Some(verdict));
    }
}

#[test]
fn a_met_gate_ends_the_cycle_without_training() {
    let given = until("gating");
    let met = || gate(measured("m1", Verdict::Met));
    let events = &["KpiChecked", "CycleEnded"];
    let run =
        check(&stopping(false, None, None), &given, met(), Follows(events, Some(JobKind::Start)));
    assert_eq!(run.history[1].checkpoints, None);
    assert_eq!(run.production, Some(model("m1")));
    check(
        &workflow(),
        &given,
        met(),
        Ends(&["KpiChecked", "CycleEnded", "RunEnded"], EndReason::KpiMet),
    );
}

#[test]
fn production_needs_the_whole_interval_and_development_the_value() {
    let given = until("gating");
    let mut lucky = measured("m1", Verdict::Inconclusive);
    lucky.value = 0.91;
    let command = || gate(lucky.clone());
    check(&workflow(), &given, command(), Follows(&["KpiChecked"], Some(JobKind::Train)));
    let events = &["KpiChecked", "CycleEnded", "RunEnded"];
    check(&development(workflow()), &given, command(), Ends(events, EndReason::KpiMet));
}

#[test]
fn a_measurement_that_does_not_fit_is_refused() {
    let given = until("gating");
    let refused = |change: &dyn Fn(&mut KpiChecked), why| {
        let mut kpi = kpi(KpiStage::Gate, "m1", Verdict::Missed);
        change(&mut kpi);
        check(&workflow(), &given, Event::KpiChecked(kpi), Refused(why));
    };
    refused(&|kpi| kpi.stage = KpiStage::Acceptance, &["it is a Acceptance where a Gate is due"]);
    refused(&|kpi| kpi.model = model("m9"), &["which is not in production"]);
    refused(&|kpi| kpi.verdict = Verdict::Met, &["its verdict does not follow"]);
    refused(&|kpi| kpi.target = 0.3, &["its verdict does not follow"]);
    refused(&|kpi| kpi.value = f64::NAN, &["its numbers are not finite"]);
    refused(&|kpi| kpi.interval.low = f64::NEG_INFINITY, &["its numbers are not finite"]);
    refused(&|kpi| kpi.interval.high = f64::INFINITY, &["its numbers are not finite"]);
    refused(&|kpi| kpi.target = f64::NAN, &["its numbers are not finite"]);
    refused(
        &|kpi| kpi.interval.low = 0.7,
        &["its interval ends at 0.6, before its beginning at 0.7"],
    );
    let nothing = |kpi: &mut KpiChecked| (kpi.n, kpi.target, kpi.verdict) = (0, 0.1, Verdict::Met);
    refused(&nothing, &["nothing can be met on no samples"]);
    let gate = checked(KpiStage::Gate, "m3", Verdict::Missed);
    check(
        &workflow(),
        &until("accepting"),
        gate,
        Refused(&["it is a Gate where a Acceptance is due"]),
    );
    let old = checked(KpiStage::Acceptance, "m1", Verdict::Missed);
    check(&workflow(), &until("accepting"), old, Refused(&["which is not in production"]));
}

// --- models ---------------------------------------------------------------------------------------------------------

#[test]
fn a_training_uses_every_label_and_saves_something() {
    let given = until("training");
    let command = |trained| Command::RecordTraining(trained);
    check(&workflow(), &given, command(training(4, &[])), Refused(&["it saved no checkpoint"]));
    let few = training(3, &["m2"]);
    check(&workflow(), &given, command(few), Refused(&["it used 3 labels, the run has 4"]));
    let others = training(4, &["m2"]); // so many, but not these
    check(&workflow(), &given, command(others), Refused(&["training used the labels"]));
    let mut diverged = training_of(&replay(&given), &["m2", "m3"]);
    diverged.checkpoints[1].metrics.insert("train.loss".into(), f64::NAN);
    let why = Refused(&["train.loss of checkpoint", "is NaN, not a finite number"]);
    check(&workflow(), &given, command(diverged), why);
    // A training that stands still saves the same file twice: no contradiction.
    let twice = command(training_of(&replay(&given), &["m2", "m2"]));
    check(&workflow(), &given, twice, Follows(&["Trained"], Some(JobKind::SelectModel)));
}

#[test]
fn a_choice_that_cannot_be_is_refused() {
    let given = until("selecting a model");
    let refused = |choice: ModelSelected, why| {
        check(&workflow(), &given, Event::ModelSelected(choice), Refused(why));
    };
    refused(choice(None, "m3", true), &["its incumbent is not the production model"]);
    refused(choice(Some("m3"), "m2", true), &["its incumbent is not the production model"]);
    refused(choice(Some("m1"), "m9", true), &["candidate", "is not known"]);
    refused(choice(Some("m1"), "m1", true), &["it promotes", "which is in production"]);
    let unknown = ModelSelected { winner: model("m2"), ..choice(Some("m1"), "m3", true) };
    refused(unknown, &["the winner", "is not a candidate"]);
    let mut twice = choice(Some("m1"), "m3", true);
    twice.candidates[0].model = model("m3");
    refused(twice, &["candidate", "is listed twice"]);
    let mut diverged = choice(Some("m1"), "m3", true);
    diverged.candidates[1].value = f64::NAN;
    refused(diverged, &["the value of candidate", "is not finite"]);
}

#[test]
fn the_first_model_goes_to_production() {
    let given = &two_cycles()[..5];
    let why = Refused(&["the first model must go to production"]);
    check(&workflow(), given, selected(None, "m1", false), why);
    let events = &["ModelSelected", "KpiChecked", "CycleEnded"];
    let acceptance = measured("m1", Verdict::Missed);
    let command = Command::SelectModel {
        compared: None,
        selected: choice(None, "m1", true),
        acceptance,
        baseline: None,
    };
    check(&workflow(), given, command, Follows(events, Some(JobKind::Start)));
}

#[test]
fn an_incumbent_that_stays_is_measured_itself() {
    let given = until("selecting a model");
    let events = &["ModelSelected", "KpiChecked", "CycleEnded"];
    let stays = select_model("m1", "m1", false, Verdict::Missed);
    let run = check(&workflow(), &given, stays, Follows(events, Some(JobKind::Start)));
    assert_eq!(run.production, Some(model("m1")));
    let acceptance = measured("m3", Verdict::Missed);
    let other = Command::SelectModel {
        compared: None,
        selected: choice(Some("m1"), "m1", false),
        acceptance,
        baseline: None,
    };
    check(&workflow(), &given, other, Refused(&["which is not in production"]));
}

#[test]
fn audit_labels_stay_fresh_until_a_model_is_promoted() {
    let stays = then(
        &until("selecting a model"),
        &[
            selected(Some("m1"), "m1", false),
            checked(KpiStage::Acceptance, "m1", Verdict::Missed),
            cycle_ended(4, Some("m1")),
        ],
    );
    assert_eq!(replay(&stays).fresh_audit, samples(&["d"]));
    let next = then(
        &stays,
        &[
            cycle_started(4),
            batch(&[("e", Arm::Audit), ("f", Arm::Strategy)], 6),
            annotated(&["e", "f"]),
        ],
    );
    assert_eq!(replay(&next).fresh_audit, samples(&["d", "e"]), "they accumulate");
    let met =
        then(&next, &[checked(KpiStage::Gate, "m1", Verdict::Met), cycle_ended(6, Some("m1"))]);
    assert_eq!(replay(&met).fresh_audit, samples(&["d", "e"]), "a gate alone uses none up");
    let trained =
        then(&next, &[checked(KpiStage::Gate, "m1", Verdict::Missed), trained(6, &["m4"])]);
    assert_eq!(replay(&trained).fresh_audit, samples(&["d", "e"]));
    let promoted = selected(Some("m1"), "m4", true);
    let run = check(&workflow(), &trained, promoted, Follows(&["ModelSelected"], None));
    assert!(run.fresh_audit.is_empty(), "the new model was trained on them");
}

// --- the end --------------------------------------------------------------------------------------------------------

/// The end of the second cycle, whose batch left `left` candidates over, under these stop rules in development mode.
#[track_caller]
fn ends(stop: Definition, left: u64, verdict: Verdict, reason: Option<EndReason>) {
    let mut given = until("selecting a model");
    given[9] = batch(&[("c", Arm::Strategy), ("d", Arm::Audit)], 2 + left);
    let then = match reason {
        Some(reason) => Ends(&["ModelSelected", "KpiChecked", "CycleEnded", "RunEnded"], reason),
        None => Follows(&["ModelSelected", "KpiChecked", "CycleEnded"], Some(JobKind::Start)),
    };
    check(&development(stop), &given, select_model("m1", "m3", true, verdict), then);
}

#[test]
fn a_run_ends_for_the_first_reason_that_holds() {
    let (met, missed) = (Verdict::Met, Verdict::Missed);
    // All four hold; then the strongest is taken away, one by one.
    ends(stopping(true, Some(2), Some(4)), 0, met, Some(EndReason::KpiMet));
    ends(stopping(true, Some(2), Some(4)), 0, missed, Some(EndReason::MaxCycles));
    ends(stopping(true, Some(3), Some(4)), 0, missed, Some(EndReason::MaxLabels));
    ends(stopping(true, Some(3), Some(5)), 0, missed, Some(EndReason::PoolExhausted));
    ends(stopping(true, Some(3), Some(5)), 1, missed, None);
}

#[test]
fn each_reason_ends_a_run_by_itself() {
    let (met, missed) = (Verdict::Met, Verdict::Missed);
    ends(stopping(true, None, None), 1, met, Some(EndReason::KpiMet));
    ends(stopping(false, Some(2), None), 1, missed, Some(EndReason::MaxCycles));
    ends(stopping(false, Some(1), None), 1, missed, Some(EndReason::MaxCycles));
    ends(stopping(false, None, Some(4)), 1, missed, Some(EndReason::MaxLabels));
    ends(stopping(false, None, None), 0, missed, Some(EndReason::PoolExhausted));
    ends(stopping(false, None, None), 1, met, None);
}

#[test]
fn a_met_gate_ends_a_run_for_the_other_reasons_too() {
    let given = until("gating");
    let met = || gate(measured("m1", Verdict::Met));
    let events = &["KpiChecked", "CycleEnded", "RunEnded"];
    check(&stopping(false, Some(2), None), &given, met(), Ends(events, EndReason::MaxCycles));
    check(&stopping(false, None, Some(4)), &given, met(), Ends(events, EndReason::MaxLabels));
    check(&stopping(true, Some(2), Some(4)), &given, met(), Ends(events, EndReason::KpiMet));
}

#[test]
fn in_production_only_the_gate_meets_the_kpi() {
    // The acceptance samples helped to choose the model.
    let given = until("selecting a model");
    let events = &["ModelSelected", "KpiChecked", "CycleEnded"];
    let command = select_model("m1", "m3", true, Verdict::Met);
    check(&workflow(), &given, command, Follows(events, Some(JobKind::Start)));
}

#[test]
fn an_end_that_speaks_of_another_run_is_refused() {
    let given = until("closing");
    let why = &["CycleEnded", "closing", "the run has 4"];
    check(&workflow(), &given, cycle_ended(5, Some("m3")), Refused(why));
    check(&workflow(), &given, cycle_ended(4, Some("m1")), Refused(why));
    let given = until("between cycles");
    let why = &["RunEnded", "between cycles", "the run has 2, 4"];
    let reason = EndReason::MaxCycles;
    check(&workflow(), &given, run_ended(reason, 1, 4, Some("m3")), Refused(why));
    check(&workflow(), &given, run_ended(reason, 2, 5, Some("m3")), Refused(why));
    check(&workflow(), &given, run_ended(reason, 2, 4, None), Refused(why));
    let given = until("cancelled");
    let met = run_ended(EndReason::KpiMet, 2, 2, Some("m1"));
    check(&workflow(), &given, met, Refused(&["only RunEnded with the reason cancelled can"]));
}

#[test]
fn a_run_can_be_cancelled_wherever_it_stands() {
    let cancel = || Command::Cancel(cancellation());
    // Between two cycles, too: the reason is kept wherever it stands.
    let events = &["CycleCancelled", "RunEnded"];
    for phase in [
        "between cycles",
        "selecting",
        "annotating",
        "gating",
        "training",
        "selecting a model",
        "accepting",
        "closing",
    ] {
        check(&workflow(), &until(phase), cancel(), Ends(events, EndReason::Cancelled));
    }
    check(&workflow(), &[started(true)], cancel(), Ends(events, EndReason::Cancelled));
    check(&workflow(), &until("new"), cancel(), Refused(&["CycleCancelled", "new"]));
    check(&workflow(), &until("cancelled"), cancel(), Refused(&["CycleCancelled", "cancelled"]));
    check(&workflow(), &until("ended"), cancel(), Refused(&["the run has ended (MaxCycles)"]));
}

#[test]
fn cancelling_voids_jobs_and_nothing_else_does() {
    let run = replay(&until("annotating"));
    let voids = |command| decide(&run, &workflow(), command).unwrap().cancels_jobs;
    assert!(voids(Command::Cancel(cancellation())));
    assert!(!voids(Command::RecordLabels(labels(&["c"]))));
    assert!(!voids(Command::Fail(failure())));
}

#[test]
fn a_failed_run_of_any_phase_stands_still_until_it_goes_on() {
    for phase in [
        "between cycles",
        "selecting",
        "annotating",
        "gating",
        "training",
        "selecting a model",
        "accepting",
        "closing",
    ] {
        let given = until(phase);
        let before = replay(&given);
        let run =
            check(&workflow(), &given, Command::Fail(failure()), Follows(&["CycleFailed"], None));
        assert_eq!(run.failed, Some(failure()));
        assert_eq!(run.next_step(), before.next_step(), "it waits for the same step");
        assert_eq!(Run { failed: None, ..run }, before, "nothing else changes");
    }
    check(
        &workflow(),
        &until("ended"),
        Command::Fail(failure()),
        Refused(&["CycleFailed", "ended"]),
    );
}

#[test]
fn a_failure_then_a_retry_goes_on_as_if_nothing_had_been() {
    let smooth = two_cycles();
    for at in 1..smooth.len() {
        let failing = [&smooth[..at], &[failed(), failed()], &smooth[at..]].concat();
        assert_eq!(replay(&failing), replay(&smooth), "failed before event {at}");
    }
    let given = then(&until("training"), &[failed()]);
    let retried = Command::RecordTraining(training_of(&replay(&given), &["m2", "m3"]));
    let run =
        check(&workflow(), &given, retried, Follows(&["Trained"], Some(JobKind::SelectModel)));
    assert_eq!(run.failed, None);
}

#[test]
fn a_failed_run_can_be_cancelled() {
    let given = then(&until("training"), &[failed()]);
    let cancel = Command::Cancel(cancellation());
    let run = check(
        &workflow(),
        &given,
        cancel,
        Ends(&["CycleCancelled", "RunEnded"], EndReason::Cancelled),
    );
    assert_eq!(run.failed, None);
}
