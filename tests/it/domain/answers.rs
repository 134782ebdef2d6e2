//! Labels that rest on several answers, labels that are asked again, and what is looked at beside the KPI.

use super::Then::{Ends, Follows, Refused};
use super::after_training::back;
use super::*;

fn vote(sample: &str, annotator: &str, class: u32) -> Annotation {
    Annotation { annotator: annotator.into(), ..label(sample, class) }
}

fn voted(votes: &[(&str, &str, u32)]) -> Event {
    let votes = votes.iter().map(|(sample, who, class)| vote(sample, who, *class)).collect();
    Event::Voted(Voted { votes })
}

fn relabelled(labels: &[(&str, u32, u32)]) -> Event {
    Event::Relabelled(Relabelled { labels: relabels(labels) })
}

fn relabels(labels: &[(&str, u32, u32)]) -> Vec<Relabel> {
    let relabel = |(sample, before, after): &(&str, u32, u32)| Relabel {
        sample: (*sample).into(),
        before: Label::Class(*before),
        after: Label::Class(*after),
    };
    labels.iter().map(relabel).collect()
}

/// An event of each kind, as it fits in the second cycle.
pub(super) fn beside_the_loop() -> Vec<Event> {
    let classes = |name| {
        let (metric, model) = ("accuracy".into(), model(name));
        Event::ClassesMeasured(ClassesMeasured { metric, model, classes: vec![class(0)] })
    };
    vec![
        voted(&[("c", "ann", 1)]),
        relabelled(&[("b", 1, 2)]),
        Event::LabelsDoubted(doubted()),
        Event::BaselineMeasured(baseline()),
        Event::DriftChecked(drift(0.5)),
        classes("m1"),
        classes("m3"),
    ]
}

/// In the second cycle, where `c` is to be labelled and `a` asked again.
fn asked_again() -> Vec<Event> {
    let picks = [("c", Arm::Strategy), ("a", Arm::Relabel)];
    then(&until("selecting"), &[batch(&picks, 8)])
}

#[test]
fn answers_that_agree_become_a_label_and_a_label_that_was_wrong_another() {
    let votes =
        vec![vote("c", "ann", 2), vote("c", "ben", 2), vote("a", "ben", 0), vote("a", "eve", 0)];
    let agreed =
        vec![Annotation { annotator: "consensus".into(), spent: Duration::ZERO, ..label("c", 2) }];
    let command = Command::RecordVotes { votes, agreed, relabelled: relabels(&[("a", 1, 0)]) };
    let events = &["Voted", "Relabelled", "Annotated"];
    let run = check(&workflow(), &asked_again(), command, Follows(events, Some(JobKind::Gate)));
    assert_eq!(run.labels[&"a".into()].label, Label::Class(0));
    assert_eq!(run.labels[&"c".into()].label, Label::Class(2));
    assert_eq!((run.labelled(), run.answers), (3, 6), "two labels by one answer each before");
    assert_eq!(run.spent, Duration::from_millis(6 * 7));
    assert_eq!(run.history[1].relabelled, 1);
    assert_eq!(run.remaining, Some(7), "what is asked again was no candidate");
}

#[test]
fn a_label_that_stands_is_told_too_and_ends_the_wait() {
    let given = then(&asked_again(), &[voted(&[("c", "ann", 1), ("a", "ann", 1)])]);
    let given = then(&given, &[annotated(&["c"])]);
    let event = relabelled(&[("a", 1, 1)]);
    let run = check(&workflow(), &given, event, Follows(&["Relabelled"], Some(JobKind::Gate)));
    assert_eq!(run.history[1].relabelled, 0);
}

#[test]
fn further_answers_may_change_a_label_that_nobody_asked_about_again() {
    let given = then(&until("annotating"), &[voted(&[("c", "ann", 1)])]);
    let run =
        check(&workflow(), &given, relabelled(&[("b", 1, 2)]), Follows(&["Relabelled"], None));
    assert_eq!(run.labels[&"b".into()].label, Label::Class(2));
}

#[test]
fn answers_that_do_not_fit_are_refused() {
    let refused = |event: Event, why| {
        check(&workflow(), &asked_again(), event, Refused(why));
    };
    refused(Event::Voted(Voted { votes: vec![] }), &["holds no answer"]);
    refused(voted(&[("x", "ann", 1)]), &["sample x was not picked in this cycle"]);
    refused(voted(&[("c", "ann", 1), ("c", "ann", 2)]), &["ann answers twice for sample c"]);
    refused(voted(&[("c", "ann", 9)]), &["class 9"]);
    refused(relabelled(&[("a", 2, 0)]), &["the label of sample a was not what it says"]);
    refused(relabelled(&[("x", 1, 0)]), &["the label of sample x was not"]);
    refused(relabelled(&[("a", 1, 0), ("a", 1, 0)]), &["sample a is labelled twice"]);
    refused(relabelled(&[("a", 1, 9)]), &["class 9"]);
    refused(annotated(&["a"]), &["sample a is labelled already"]);
    let twice = then(&asked_again(), &[voted(&[("c", "ann", 1)])]);
    check(&workflow(), &twice, voted(&[("c", "ann", 1)]), Refused(&["ann answers twice"]));
}

#[test]
fn only_what_is_labelled_is_asked_again() {
    let refused = |picks: &[(&str, Arm)], why| {
        check(&workflow(), &until("selecting"), record(batch_of(picks, 8)), Refused(why));
    };
    refused(&[("x", Arm::Relabel)], &["sample x is to be asked again, but has no label"]);
    refused(&[("a", Arm::Strategy)], &["sample a is labelled already"]);
}

#[test]
fn an_audit_label_that_was_asked_again_measures_no_earlier_model() {
    // Audit label d is asked again in the third cycle; then m1 comes back, which had not been trained on it.
    let picks = [("e", Arm::Strategy), ("d", Arm::Relabel)];
    let Event::CycleStarted(started) = cycle_started(4) else { panic!("a cycle") };
    let third = [
        Event::CycleStarted(CycleStarted { selector_model: Some(model("m3")), ..started }),
        batch(&picks, 6),
        voted(&[("e", "ann", 1), ("d", "ann", 1)]),
        relabelled(&[("d", 1, 1)]),
    ];
    let given = then(&two_cycles(), &third);
    assert_eq!(replay(&then(&given, &[back("m1", "m3")])).fresh_audit, samples(&[]));
    let given = then(&two_cycles(), &third[..2]);
    assert_eq!(replay(&then(&given, &[back("m1", "m3")])).fresh_audit, samples(&["d"]));
}

#[test]
fn what_is_asked_again_takes_no_label_of_those_that_are_left() {
    let picks = [("c", Arm::Strategy), ("a", Arm::Relabel)];
    let command = || record(batch_of(&picks, 8));
    let events = &["BatchSelected"];
    let one_left = stopping(true, None, Some(3));
    check(&one_left, &until("selecting"), command(), Follows(events, Some(JobKind::Annotate)));
    let mut small = workflow();
    small.selector.batch = 1;
    let why = &["a batch of 2 was selected where at most 1 are allowed"];
    check(&small, &until("selecting"), command(), Refused(why));
}

fn doubted() -> LabelsDoubted {
    LabelsDoubted {
        labels: 2,
        folds: 5,
        suspects: 1,
        error_rate: 0.25,
        evidence: Digest::of(b"probabilities"),
    }
}

#[test]
fn doubts_speak_of_the_labels_that_are_known() {
    let doubted = doubted();
    let batch = batch_of(&[("c", Arm::Strategy), ("a", Arm::Relabel)], 8);
    let command = Command::RecordBatch { doubted: Some(doubted.clone()), batch };
    let events = &["LabelsDoubted", "BatchSelected"];
    let given = until("selecting");
    let run = check(&workflow(), &given, command, Follows(events, Some(JobKind::Annotate)));
    assert_eq!(run.history[1].doubted, Some(doubted.clone()));
    let refused = |doubted: LabelsDoubted, why| {
        check(&workflow(), &given, Event::LabelsDoubted(doubted), Refused(why));
    };
    refused(LabelsDoubted { labels: 3, ..doubted.clone() }, &["3 labels, the run has 2"]);
    refused(LabelsDoubted { suspects: 3, ..doubted.clone() }, &["3 suspects of 2 labels"]);
    refused(LabelsDoubted { error_rate: f64::NAN, ..doubted }, &["not in [0, 1]"]);
}

fn drift(p: f64) -> DriftChecked {
    DriftChecked { model: model("m1"), before: 90, arrived: 60, statistic: 0.4, p, level: 0.01 }
}

#[test]
fn a_gate_that_is_met_leads_to_a_training_where_other_samples_came() {
    let gate =
        |p| Command::CheckGate { measured: measured("m1", Verdict::Met), drift: Some(drift(p)) };
    let events = &["DriftChecked", "KpiChecked"];
    let run =
        check(&workflow(), &until("gating"), gate(0.001), Follows(events, Some(JobKind::Train)));
    assert!(run.has_drifted());
    let events = &["DriftChecked", "KpiChecked", "CycleEnded", "RunEnded"];
    check(&workflow(), &until("gating"), gate(0.5), Ends(events, EndReason::KpiMet));
    let stranger = DriftChecked { model: model("m9"), ..drift(0.5) };
    check(
        &workflow(),
        &until("gating"),
        Event::DriftChecked(stranger),
        Refused(&["not in production"]),
    );
    let odd = DriftChecked { p: 2.0, ..drift(0.5) };
    check(&workflow(), &until("gating"), Event::DriftChecked(odd), Refused(&["not in [0, 1]"]));
}

fn baseline() -> BaselineMeasured {
    BaselineMeasured {
        random_labels: 3,
        all_labels: 4,
        metric: "accuracy".into(),
        n: 180,
        random: 0.7,
        all: 0.8,
    }
}

#[test]
fn what_random_labels_give_stands_beside_the_choice() {
    let baseline = baseline();
    let Command::SelectModel { compared, selected, acceptance, .. } =
        select_model("m1", "m3", true, Verdict::Missed)
    else {
        panic!("a choice")
    };
    let command =
        Command::SelectModel { compared, selected, acceptance, baseline: Some(baseline.clone()) };
    let events = &["ModelSelected", "BaselineMeasured", "KpiChecked", "CycleEnded"];
    let given = until("selecting a model");
    let run = check(&workflow(), &given, command, Follows(events, Some(JobKind::Start)));
    assert_eq!(run.history[1].baseline, Some(baseline.clone()));
    let refused = |baseline| {
        let why = &["labels, the run has 4"];
        check(&workflow(), &until("accepting"), Event::BaselineMeasured(baseline), Refused(why));
    };
    refused(BaselineMeasured { random_labels: 5, ..baseline.clone() });
    refused(BaselineMeasured { all_labels: 5, ..baseline });
}

fn class(class: u32) -> ClassKpi {
    ClassKpi { class, n: 20, value: 0.9, interval: Interval { low: 0.7, high: 0.97 } }
}

#[test]
fn a_kpi_of_each_class_stands_before_the_kpi() {
    let measured =
        Measurement { by_class: vec![class(0), class(2)], ..measured("m1", Verdict::Missed) };
    let events = &["ClassesMeasured", "KpiChecked"];
    check(&workflow(), &until("gating"), gate(measured), Follows(events, Some(JobKind::Train)));
    let refused = |classes: Vec<ClassKpi>, why| {
        let (metric, model) = ("accuracy".into(), model("m1"));
        let event = Event::ClassesMeasured(ClassesMeasured { metric, model, classes });
        check(&workflow(), &until("gating"), event, Refused(why));
    };
    refused(vec![class(3)], &["class 3, the class list has 3"]);
    refused(vec![class(1), class(1)], &["not in order"]);
    refused(vec![ClassKpi { value: f64::NAN, ..class(1) }], &["not finite"]);
}

#[test]
fn answers_cost_what_the_workflow_says() {
    let mut priced = stopping(false, None, None);
    priced.answers.price = 0.5;
    priced.answers.price_per_hour = 3600.0;
    priced.stop.max_cost = Some(2.02);
    let run = replay(&two_cycles());
    let cost = priced.answers.cost(run.answers, run.spent);
    assert!((cost - (4.0 * 0.5 + 0.028)).abs() < 1e-9, "{cost}");
    let events = &["ModelSelected", "KpiChecked", "CycleEnded", "RunEnded"];
    let command = select_model("m1", "m3", true, Verdict::Missed);
    check(&priced, &until("selecting a model"), command, Ends(events, EndReason::MaxCost));
    priced.stop.max_cost = Some(2.03);
    let events = &["ModelSelected", "KpiChecked", "CycleEnded"];
    let command = select_model("m1", "m3", true, Verdict::Missed);
    check(&priced, &until("selecting a model"), command, Follows(events, Some(JobKind::Start)));
}
