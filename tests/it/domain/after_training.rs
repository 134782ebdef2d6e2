//! What may happen to the production model, and when a run ends.

use super::Then::{Ends, Follows, Refused};
use super::*;
use gleaner::domain::definition::{Inconclusive, StopWhen};
use gleaner::domain::event::{
    ArtifactKind, ArtifactsRemoved, ModelsCompared, Pinned, RemovedArtifact, RewrittenRecord,
    RolledBack, SampleErased,
};
use gleaner::domain::time::Timestamp;

pub(super) fn back(to: &str, from: &str) -> Event {
    let reason = "worse at night".to_owned();
    Event::RolledBack(RolledBack { model: model(to), previous: model(from), reason })
}

pub(super) fn pin(pinned: bool) -> Event {
    Event::Pinned(Pinned { pinned, reason: "in review".to_owned() })
}

pub(super) fn removal(of: &str) -> Event {
    let gone = RemovedArtifact { artifact: model(of), kind: ArtifactKind::Scores, bytes: 7 };
    let (removed, policy) = (vec![gone], "models".to_owned());
    Event::ArtifactsRemoved(ArtifactsRemoved { removed, policy, at: Timestamp(5) })
}

pub(super) fn erasure(sample: &str) -> Event {
    let (sample, reason) = (sample.into(), "asked by the person".to_owned());
    let rewritten = Vec::new();
    Event::SampleErased(SampleErased { sample, reason, at: Timestamp(6), rewritten })
}

/// A comparison that fits while a model of the second cycle is chosen.
pub(super) fn compared() -> Event {
    Event::ModelsCompared(ModelsCompared {
        champion: model("m1"),
        challenger: model("m3"),
        n: 20,
        test: "mcnemar_exact".into(),
        wins: 3,
        losses: 1,
        difference: 0.1,
        interval: Interval { low: -0.1, high: 0.3 },
        p: 0.6,
        agreement: Some(0.9),
    })
}

#[test]
fn a_model_that_comes_back_may_be_audited_by_what_it_was_not_trained_on() {
    let run = replay(&two_cycles());
    assert_eq!(run.production, Some(model("m3")));
    let run = replay(&then(&two_cycles(), &[back("m1", "m3")]));
    assert_eq!(run.production, Some(model("m1")));
    assert_eq!(run.fresh_audit, samples(&["d"]), "bought in cycle 2, after m1 was trained");
    let run = replay(&then(&two_cycles(), &[back("m1", "m3"), back("m3", "m1")]));
    assert_eq!(run.fresh_audit, samples(&[]));
}

#[test]
fn a_batch_that_is_due_is_picked_by_the_model_that_came_back() {
    let Event::CycleStarted(started) = cycle_started(4) else { panic!("a cycle") };
    let started = CycleStarted { selector_model: Some(model("m3")), ..started };
    let given = then(&two_cycles(), &[Event::CycleStarted(started)]);
    let run = replay(&then(&given, &[back("m1", "m3")]));
    assert_eq!(run.selector_model, Some(model("m1")));
    let mut picked = batch_of(&[("e", Arm::Strategy)], 6);
    picked.model = Some(model("m1"));
    replay(&then(&given, &[back("m1", "m3"), Event::BatchSelected(picked)]));
    // A model of the workflow's own has nothing to do with it.
    let Event::CycleStarted(started) = cycle_started(4) else { panic!("a cycle") };
    let started = CycleStarted { selector_model: Some(model("file")), ..started };
    let run = replay(&then(&two_cycles(), &[Event::CycleStarted(started), back("m1", "m3")]));
    assert_eq!(run.selector_model, Some(model("file")));
}

#[test]
fn what_cannot_come_back_is_refused() {
    let refused = |event, why| {
        check(&workflow(), &two_cycles(), event, Refused(why));
    };
    refused(back("m3", "m3"), &["is in production already"]);
    refused(back("m1", "m1"), &["takes", "out of production"]);
    refused(back("m2", "m3"), &["was never in production"]);
    refused(pin(false), &["not pinned"]);
    check(&workflow(), &two_cycles()[..4], pin(true), Refused(&["no production model"]));
}

fn removing(of: &[&str]) -> Command {
    let removed = of.iter().map(|of| {
        let Event::ArtifactsRemoved(removed) = removal(of) else { panic!("a removal") };
        removed.removed[0].clone()
    });
    let (removed, policy) = (removed.collect(), "models".to_owned());
    Command::RemoveArtifacts(ArtifactsRemoved { removed, policy, at: Timestamp(5) })
}

#[test]
fn what_may_still_be_needed_is_not_removed() {
    let over = until("ended");
    let run = check(
        &workflow(),
        &over,
        removing(&["scores", "m2"]),
        Follows(&["ArtifactsRemoved"], None),
    );
    assert_eq!(run.removed.keys().copied().collect::<Vec<_>>().len(), 2);
    let refused = |given: &[Event], of: &[&str], why| {
        check(&workflow(), given, removing(of), Refused(why));
    };
    refused(&over, &["m3"], &["the production model"]);
    refused(&over, &["m1"], &["was in production"]);
    refused(&over, &[], &["it removes nothing"]);
    refused(&over, &["scores", "scores"], &["twice"]);
    refused(&then(&over, &[removal("scores")]), &["scores"], &["twice"]);
    refused(&then(&over, &[pin(true)]), &["scores"], &["nothing of the run", "is pinned"]);
    for goes_on in ["between cycles", "selecting", "training", "selecting a model"] {
        refused(&until(goes_on), &["scores"], &["nothing of the run", "not over"]);
    }
}

#[test]
fn what_is_named_once_more_after_its_removal_is_kept_again() {
    let Event::BatchSelected(batch) = batch(&[("e", Arm::Strategy)], 6) else { panic!("a batch") };
    let batch = BatchSelected { scores: Some(model("scores")), ..batch };
    let given = then(&two_cycles(), &[removal("scores"), cycle_started(4)]);
    assert_eq!(replay(&given).removed.len(), 1);
    let run = replay(&then(&given, &[Event::BatchSelected(batch.clone())]));
    assert!(run.removed.is_empty());
    // It may go again.
    let again = then(&given, &[Event::BatchSelected(batch), removal("scores")]);
    assert_eq!(replay(&again).removed.len(), 1);
}

#[test]
fn a_sample_is_erased_where_a_run_is_over_and_its_log_says_no_more_what_it_is() {
    let erasing = |sample: &str| {
        let Event::SampleErased(erased) = erasure(sample) else { panic!("an erasure") };
        Command::EraseSample { removed: None, erased }
    };
    let over = until("ended");
    check(&workflow(), &over, erasing("nobody"), Follows(&["SampleErased"], None));
    check(&workflow(), &over, erasing("a"), Refused(&["still tells what sample a is"]));
    let goes_on = until("training");
    check(&workflow(), &goes_on, erasing("nobody"), Refused(&["nothing of the run", "not over"]));

    let forgets = |event: &Event| event.without_labels_of(&"a".into());
    let forgotten: Vec<Event> =
        over.iter().map(|event| forgets(event).unwrap_or_else(|| event.clone())).collect();
    assert_ne!(forgotten, over);
    assert!(forgotten.iter().all(|event| forgets(event).is_none()), "once is enough");
    let run = check(&workflow(), &forgotten, erasing("a"), Follows(&["SampleErased"], None));
    let erased = run.labels.values().filter(|known| known.label.is_erased()).count();
    assert_eq!((erased, run.labels.len()), (1, replay(&over).labels.len()));

    // Answers and labels that changed are labels, too.
    let forgetful: Vec<&str> = (crate::samples::every_event().iter())
        .filter_map(|event| event.without_labels_of(&"digits-0042".into()))
        .map(|event| event.name())
        .collect();
    assert_eq!(forgetful, ["Voted", "Relabelled"]);

    let Event::SampleErased(mut disordered) = erasure("a") else { panic!("an erasure") };
    let digest = model("x");
    let record = |revision| {
        let (cycle, revision) = (CycleNumber(1), gleaner::domain::ids::Revision(revision));
        RewrittenRecord { cycle, revision, original: digest, now: digest }
    };
    disordered.rewritten = vec![record(3), record(3)];
    check(&workflow(), &forgotten, Event::SampleErased(disordered), Refused(&["order of the log"]));
    // Who begins anew from there would learn from labels that nobody knows.
    let between = forgotten.iter().take(until("between cycles").len()).cloned();
    let between: Vec<Event> = between.collect();
    let start = Command::StartCycle {
        pool: model("pool"),
        selector_model: Some(model("m3")),
        previous_head: digest,
    };
    check(&workflow(), &between, start, Refused(&["sample a was erased"]));
}

#[test]
fn a_pinned_model_is_not_replaced() {
    let pinned = then(&until("selecting a model"), &[pin(true)]);
    let promoting = selected(Some("m1"), "m3", true);
    check(&workflow(), &pinned, promoting, Refused(&["while the production model is pinned"]));
    let freed = then(&pinned, &[pin(false)]);
    assert_eq!(
        replay(&then(&freed, &[selected(Some("m1"), "m3", true)])).production,
        Some(model("m3"))
    );
}

#[test]
fn a_comparison_is_one_of_the_champion_and_a_new_model() {
    let Event::ModelsCompared(compared) = compared() else { panic!("a comparison") };
    let given = until("selecting a model");
    assert_eq!(
        replay(&then(&given, &[Event::ModelsCompared(compared.clone())])).history[1].agreement,
        Some(0.9)
    );
    let refused = |other: ModelsCompared, why| {
        check(&workflow(), &given, Event::ModelsCompared(other), Refused(why));
    };
    refused(ModelsCompared { champion: model("m3"), ..compared.clone() }, &["not in production"]);
    refused(
        ModelsCompared { challenger: model("m1"), ..compared.clone() },
        &["not trained in this cycle"],
    );
    refused(ModelsCompared { losses: 18, ..compared.clone() }, &["more than 20 samples"]);
    refused(ModelsCompared { p: f64::NAN, ..compared }, &["not finite"]);
}

#[test]
fn a_gate_that_cannot_tell_may_ask_for_labels_first() {
    let given = until("gating");
    let unclear = || gate(measured("m1", Verdict::Inconclusive));
    check(&workflow(), &given, unclear(), Follows(&["KpiChecked"], Some(JobKind::Train)));
    let mut patient = workflow();
    patient.kpi.inconclusive = Inconclusive::Label;
    let events = &["KpiChecked", "CycleEnded"];
    let run = check(&patient, &given, unclear(), Follows(events, Some(JobKind::Start)));
    assert_eq!(run.fresh_audit, samples(&["d"]), "its audit labels go on accumulating");
    // Without such a gate, a cycle does not end before its training.
    let missed = then(&given, &[checked(KpiStage::Gate, "m1", Verdict::Missed)]);
    check(&workflow(), &missed, cycle_ended(4, Some("m1")), Refused(&["only Trained"]));
}

/// A workflow that ends by nothing but this.
fn ending(change: impl FnOnce(&mut StopSpec)) -> Definition {
    let mut definition = stopping(false, None, None);
    change(&mut definition.stop);
    definition
}

/// What the end of the second cycle, whose new model measures `verdict`, leads to.
#[track_caller]
fn second_cycle(definition: &Definition, ends: Option<EndReason>) {
    let given = until("selecting a model");
    let command = select_model("m1", "m3", true, Verdict::Missed);
    let going_on = &["ModelSelected", "KpiChecked", "CycleEnded"];
    let ending = &["ModelSelected", "KpiChecked", "CycleEnded", "RunEnded"];
    match ends {
        None => check(definition, &given, command, Follows(going_on, Some(JobKind::Start))),
        Some(reason) => check(definition, &given, command, Ends(ending, reason)),
    };
}

#[test]
fn a_run_ends_when_annotators_have_spent_their_hours() {
    // Four labels of 7 ms each.
    second_cycle(&ending(|stop| stop.max_hours = Some(0.027 / 3600.0)), Some(EndReason::MaxHours));
    second_cycle(&ending(|stop| stop.max_hours = Some(0.029 / 3600.0)), None);
}

#[test]
fn a_run_ends_after_its_deadline() {
    // Measurements are made at 9.
    second_cycle(&ending(|stop| stop.deadline = Some(Timestamp(9))), Some(EndReason::Deadline));
    second_cycle(&ending(|stop| stop.deadline = Some(Timestamp(10))), None);
}

#[test]
fn a_run_ends_on_a_plateau() {
    // Both cycles measure the same.
    second_cycle(&ending(|stop| stop.plateau = Some(1)), Some(EndReason::Plateau));
    second_cycle(&ending(|stop| stop.plateau = Some(2)), None);
}

#[test]
fn all_rules_together_end_a_run_only_when_each_holds() {
    let both = |stop: &mut StopSpec| {
        stop.when = StopWhen::All;
        stop.plateau = Some(1);
        stop.max_cycles = Some(2);
    };
    second_cycle(&ending(both), Some(EndReason::MaxCycles));
    second_cycle(
        &ending(|stop| {
            both(stop);
            stop.max_cycles = Some(3);
        }),
        None,
    );
    // Labels are a budget: when they are gone, the run is over.
    second_cycle(
        &ending(|stop| {
            both(stop);
            stop.max_cycles = Some(3);
            stop.max_labels = Some(4);
        }),
        Some(EndReason::MaxLabels),
    );
}

#[test]
fn stable_predictions_end_a_run_after_three_cycles_of_them() {
    let mut run = replay(&until("selecting a model"));
    let definition = ending(|stop| stop.stable = Some(0.95));
    let reason = |run: &Run| gleaner::domain::stop::reason(run, &definition, false, Timestamp(0));
    let line = run.history[0].clone();
    let with = |agreement| {
        let mut line = line.clone();
        (line.agreement, line.checkpoints) = (agreement, Some(1));
        line
    };
    run.history = vec![with(None), with(Some(0.96)), with(Some(0.94))];
    assert_eq!(reason(&run), None);
    run.history.push(with(Some(0.96)));
    assert_eq!(reason(&run), Some(EndReason::Stable));
    run.history.push(with(Some(0.5)));
    assert_eq!(reason(&run), None);
}
