//! What an event may say: an event of the right kind that contradicts the run is refused.

use super::*;

/// Why an event is refused, and the change that makes it so.
type Wrong<T> = (&'static str, fn(&mut T));

/// `good` fits, and what each change makes of it is refused.
#[track_caller]
fn refuses<T: Clone>(given: &Log, wrap: impl Fn(T) -> Event, good: &T, changes: &[Wrong<T>]) {
    applied(&given.run, &wrap(good.clone())).unwrap();
    for (why, change) in changes {
        let mut event = good.clone();
        change(&mut event);
        check(&given.events, wrap(event), Refused(why));
    }
}

#[test]
fn a_cycle_starts_with_the_workflow_and_the_labels_of_its_run() {
    let given = Log::of(&production()).first_cycle();
    let good = cycle_started(&given.run, &production());
    refuses(
        &given,
        Event::CycleStarted,
        &good,
        &[
            ("its workflow or seed is not the run's", |it| it.workflow = digest("other")),
            ("its workflow or seed is not the run's", |it| it.seed = 8),
            ("it speaks of 3 labels, the run has 2", |it| it.labelled = 3),
        ],
    );
}

#[test]
fn a_batch_holds_unlabelled_samples_once_each_and_finite_numbers() {
    let given = Log::of(&production()).first_cycle().cycle();
    let good = batch(&given.run, &["c", "d"], 100);
    refuses(
        &given,
        Event::BatchSelected,
        &good,
        &[
            ("it picks nothing", |it| it.picks.clear()),
            ("it picks 2 of 1 candidates", |it| it.candidates = 1),
            ("sample a is labelled already", |it| it.picks[1].sample = "a".into()),
            ("sample c is picked twice", |it| it.picks[1].sample = "c".into()),
            ("the score of sample d is not finite", |it| it.picks[1].score = Some(f64::NAN)),
            ("probability 1.5, which is not in (0, 1]", |it| it.picks[1].probability = Some(1.5)),
            ("probability 0, which is not in (0, 1]", |it| it.picks[1].probability = Some(0.0)),
            ("probability NaN, which", |it| it.picks[1].probability = Some(f64::NAN)),
            ("its cutoff is not finite", |it| it.cutoff = Some(f64::NEG_INFINITY)),
            ("scored by another model", |it| it.model = Some(digest("other"))),
        ],
    );
    let mut random = good;
    random.model = None; // a random batch needs no model
    check(&given.events, Event::BatchSelected(random), InPhase("annotating"));
}

#[test]
fn labels_are_for_picks_without_one_and_in_the_class_list() {
    let given = Log::of(&production()).first_cycle().cycle();
    let given = given.batch(&["c", "d", "e"]).labels(&["c"]);
    let good = Annotated { labels: annotations(&["d", "e"]) };
    refuses(
        &given,
        Event::Annotated,
        &good,
        &[
            ("it holds no label", |it| it.labels.clear()),
            ("sample c is labelled already", |it| it.labels[1].sample = "c".into()),
            ("sample z was not picked in this cycle", |it| it.labels[1].sample = "z".into()),
            ("sample a was not picked in this cycle", |it| it.labels[1].sample = "a".into()),
            ("sample d is labelled twice", |it| it.labels[1].sample = "d".into()),
            ("class 2, but the class list has 2", |it| it.labels[1].label = Label::Class(2)),
        ],
    );
}

#[test]
fn a_measurement_is_of_the_production_model_and_its_verdict_follows_from_it() {
    const WRONG: &[Wrong<KpiChecked>] = &[
        ("which is not in production", |it| it.model = digest("other")),
        ("not finite", |it| it.value = f64::NAN),
        ("not finite", |it| it.interval.low = f64::NEG_INFINITY),
        ("not finite", |it| it.interval.high = f64::NAN),
        ("not finite", |it| it.target = f64::INFINITY),
        ("before its beginning", |it| it.interval.low = 0.99),
        ("on no samples", |it| (it.n, it.target, it.verdict) = (0, 0.1, Verdict::Met)),
        ("its verdict does not follow", |it| it.verdict = Verdict::Met),
        ("its verdict does not follow", |it| it.verdict = Verdict::Missed),
        ("its verdict does not follow", |it| it.target = 0.1),
        ("its verdict does not follow", |it| it.interval.high = 0.89),
    ];
    let gate = Log::of(&production()).first_cycle().cycle().batch(&["c"]).labels(&["c"]);
    let good = kpi(&gate.run, &production(), KpiStage::Gate, 0.9);
    assert_eq!(good.verdict, Verdict::Inconclusive);
    refuses(&gate, Event::KpiChecked, &good, WRONG);
    let stage: fn(&mut KpiChecked) = |it| it.stage = KpiStage::Acceptance;
    refuses(&gate, Event::KpiChecked, &good, &[("Acceptance where a Gate is due", stage)]);

    let acceptance = gate.gate(0.5).trained(&["m2"]).selected("m2", true);
    let good = kpi(&acceptance.run, &production(), KpiStage::Acceptance, 0.9);
    refuses(&acceptance, Event::KpiChecked, &good, WRONG);
    let stage: fn(&mut KpiChecked) = |it| it.stage = KpiStage::Gate;
    refuses(&acceptance, Event::KpiChecked, &good, &[("Gate where a Acceptance is due", stage)]);
}

#[test]
fn a_training_saves_something_from_every_label() {
    let given = Log::of(&production()).cycle().batch(&["a", "b"]).labels(&["a", "b"]);
    let good = trained(&given.run, &["m1", "m2"]);
    refuses(
        &given,
        Event::Trained,
        &good,
        &[
            ("it saved no checkpoint", |it| it.checkpoints.clear()),
            ("it used 3 labels, the run has 2", |it| it.train_samples = 3),
            ("train.loss of checkpoint", |it| {
                it.checkpoints[1].metrics.insert("train.loss".into(), f64::NAN);
            }),
        ],
    );
    // A training that stands still saves the same file twice; that is no contradiction.
    let twice = trained(&given.run, &["m1", "m1"]);
    check(&given.events, Event::Trained(twice), InPhase("selecting a model"));
}

#[test]
fn a_winner_is_one_of_the_candidates_and_they_are_known_models() {
    let given = Log::of(&production()).first_cycle().cycle().batch(&["c"]).labels(&["c"]);
    let given = given.gate(0.5).trained(&["m2", "m3"]);
    let good = selected(&given.run, "m2", true);
    refuses(
        &given,
        Event::ModelSelected,
        &good,
        &[
            ("its incumbent is not the production model", |it| it.incumbent = None),
            ("its incumbent is not the production model", |it| it.incumbent = Some(digest("m2"))),
            ("is not known", |it| it.candidates[0].model = digest("other")),
            ("is listed twice", |it| it.candidates[1].model = digest("m2")),
            ("is not finite", |it| it.candidates[1].value = f64::NAN),
            ("is not a candidate", |it| it.winner = digest("m3")),
            ("is not a candidate", |it| it.candidates.clear()),
            ("is in production already", |it| it.winner = digest("m1")),
        ],
    );
    // The incumbent may win; then nothing is promoted.
    let stays = selected(&given.run, "m1", false);
    let run = check(&given.events, Event::ModelSelected(stays), InPhase("accepting"));
    assert_eq!(run.production, Some(digest("m1")));
}

#[test]
fn the_first_model_goes_to_production() {
    let given = Log::of(&production()).cycle().batch(&["a"]).labels(&["a"]).trained(&["m1"]);
    let not = Event::ModelSelected(selected(&given.run, "m1", false));
    check(&given.events, not, Refused("the first model must go to production"));
}

#[test]
fn the_end_of_a_cycle_and_of_a_run_tell_what_was_reached() {
    let given = Log::of(&production()).first_cycle().cycle().batch(&["c"]).labels(&["c"]);
    let given = given.gate(0.99);
    let good = cycle_ended(&given.run);
    refuses(
        &given,
        Event::CycleEnded,
        &good,
        &[
            ("it speaks of 2 labels, the run has 3", |it| it.labelled = 2),
            ("its production model is not the run's", |it| it.production = None),
        ],
    );
    let wrong: &[Wrong<RunEnded>] = &[
        ("it speaks of 7 labels, the run has 3", |it| it.labelled = 7),
        ("it speaks of 1 cycles, the run has 2", |it| it.cycles = CycleNumber(1)),
        ("its production model is not the run's", |it| it.production = Some(digest("m2"))),
    ];
    let between = given.clone().ended();
    let good = run_ended(&between.run, EndReason::MaxCycles);
    refuses(&between, Event::RunEnded, &good, wrong);
    let cancelled = given.then(Event::CycleCancelled(cancelled()));
    let good = run_ended(&cancelled.run, EndReason::Cancelled);
    refuses(&cancelled, Event::RunEnded, &good, wrong);
    let reason: fn(&mut RunEnded) = |it| it.reason = EndReason::KpiMet;
    refuses(
        &cancelled,
        Event::RunEnded,
        &good,
        &[("only RunEnded with the reason cancelled", reason)],
    );
}

#[test]
fn a_failure_leaves_the_run_where_it_is_and_the_next_event_clears_it() {
    let given = Log::of(&production()).cycle().batch(&["a", "b"]).labels(&["a"]);
    let run = check(&given.events, failed(), InPhase("annotating"));
    assert_eq!(run.failed.as_ref().map(|failed| failed.attempts), Some(3));
    assert_eq!(Run { failed: None, ..run }, given.run);
    let run = check(&given.failed().events, annotated(&["b"]), InPhase("training"));
    assert_eq!(run.failed, None);
}

#[test]
fn labels_remember_their_cycle_and_arm() {
    let given = Log::of(&production()).first_cycle().cycle().batch(&["c", "audit-1"]);
    let run = check(&given.events, annotated(&["audit-1", "c"]), InPhase("gating"));
    let known = |sample: &str| {
        let known = run.labels[&SampleId::from(sample)];
        (known.cycle.0, known.arm)
    };
    assert_eq!(known("a"), (1, Arm::Strategy));
    assert_eq!(known("c"), (2, Arm::Strategy));
    assert_eq!(known("audit-1"), (2, Arm::Audit));
}

#[test]
fn audit_labels_are_fresh_until_a_model_that_was_trained_on_them_is_promoted() {
    let fresh = |log: &Log| -> Vec<String> {
        log.run.fresh_audit.iter().map(ToString::to_string).collect()
    };
    let log = Log::of(&production()).first_cycle();
    assert!(fresh(&log).is_empty(), "the cold start has no audit arm");
    let log = log.cycle().batch(&["c", "audit-1"]).labels(&["c", "audit-1"]);
    assert_eq!(fresh(&log), ["audit-1"]);
    let log = log.gate(0.99).ended().cycle();
    assert_eq!(fresh(&log), ["audit-1"], "no training saw it");
    let log = log.batch(&["d", "audit-2"]).labels(&["d", "audit-2"]).gate(0.5);
    let log = log.trained(&["m2"]).selected("m1", false);
    assert_eq!(fresh(&log), ["audit-1", "audit-2"], "the model in production did not see them");
    let log = log.accepted(0.5).ended().cycle();
    let log = log.batch(&["audit-3"]).labels(&["audit-3"]).gate(0.5).trained(&["m3"]);
    assert_eq!(fresh(&log), ["audit-1", "audit-2", "audit-3"]);
    assert!(fresh(&log.selected("m3", true)).is_empty());
}

#[test]
fn a_cycle_is_summed_up_in_one_line() {
    let log = Log::of(&production()).first_cycle().cycle().batch(&["c", "d"]);
    let log = log.labels(&["c"]).labels(&["d"]).gate(0.5).trained(&["m2", "m3"]);
    let log = log.selected("m3", true).accepted(0.7).ended();
    let [first, second] = log.run.history.as_slice() else { panic!("two cycles") };
    assert_eq!((first.cycle.0, first.batch, first.labelled, first.checkpoints), (1, 2, 2, Some(1)));
    assert!(first.gate.is_none() && first.promoted);
    assert_eq!((second.cycle.0, second.batch, second.labelled), (2, 2, 4));
    assert_eq!((second.checkpoints, second.promoted), (Some(2), true));
    let verdict = |checked: &Option<KpiChecked>| checked.as_ref().map(|checked| checked.verdict);
    assert_eq!(verdict(&second.gate), Some(Verdict::Missed));
    assert_eq!(second.acceptance.as_ref().map(|checked| checked.value), Some(0.7));
}

#[test]
fn events_go_to_the_log_of_their_cycle() {
    let log = Log::of(&production());
    let numbers = |run: &Run| {
        let events = [Event::CycleStarted(cycle_started(run, &production())), failed()];
        events.map(|event| run.log_of(&event).0)
    };
    assert_eq!(replay([]).log_of(&log.events[0]), CycleNumber(1));
    assert_eq!(numbers(&log.run), [1, 1], "what happens before the first cycle is in its log");
    assert_eq!(numbers(&log.first_cycle().run), [2, 1]);
}
