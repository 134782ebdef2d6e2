//! Random walks: whatever is asked in whatever order, the log and the run stay one.

use super::*;
use gleaner::domain::definition::SelectorModel;
use quickcheck::{Arbitrary, Gen, QuickCheck};
use std::collections::BTreeSet;

/// How many samples the pool of a walk has.
const POOL: usize = 12;

/// What a walk asks for next.
#[derive(Debug, Clone, Copy)]
enum Wish {
    /// What the run waits for; the number varies it.
    Fitting(u8),
    /// The answer to this kind of job, whether the run waits for it or not.
    Any(JobKind, u8),
    Start,
    Fail,
    Cancel,
}

impl Arbitrary for Wish {
    fn arbitrary(g: &mut Gen) -> Self {
        let number = u8::arbitrary(g);
        match u8::arbitrary(g) % 32 {
            0 => Self::Cancel,
            1 | 2 => Self::Fail,
            3 => Self::Start,
            4..=7 => Self::Any(*g.choose(&JobKind::ALL).unwrap(), number),
            _ => Self::Fitting(number),
        }
    }
}

/// Which rules a walk goes by.
#[derive(Debug, Clone, Copy)]
struct Rules {
    production: bool,
    gate: bool,
    file: bool,
    stop_kpi: bool,
    max_cycles: Option<u32>,
    max_labels: Option<usize>,
}

impl Arbitrary for Rules {
    fn arbitrary(g: &mut Gen) -> Self {
        Self {
            production: bool::arbitrary(g),
            gate: bool::arbitrary(g),
            file: bool::arbitrary(g),
            stop_kpi: bool::arbitrary(g),
            max_cycles: Option::<u8>::arbitrary(g).map(|most| u32::from(most % 4) + 1),
            max_labels: Option::<u8>::arbitrary(g).map(|most| usize::from(most) % POOL + 3),
        }
    }
}

fn definition(rules: Rules) -> Definition {
    let mut definition = production();
    definition.run.mode = if rules.production { Mode::Production } else { Mode::Development };
    definition.kpi.gate = rules.gate;
    if rules.file {
        definition.selector.model = SelectorModel::File("selector.onnx".into());
    }
    definition.stop.kpi = rules.stop_kpi;
    definition.stop.max_cycles = rules.max_cycles;
    definition.stop.max_labels = rules.max_labels;
    definition
}

/// What a flawless reactor answers to a job of this kind; `number` varies it.
fn answer(run: &Run, definition: &Definition, kind: JobKind, number: u8) -> Command {
    let value = f64::from(number) / 255.0;
    match kind {
        JobKind::Start => Command::StartCycle {
            pool: digest("pool"),
            selector_model: match definition.selector.model {
                SelectorModel::Production => run.production,
                SelectorModel::File(_) => Some(digest("file")),
            },
            previous_head: digest("head"),
        },
        JobKind::Select => {
            let names: Vec<String> =
                (0..POOL)
                    .map(|index| {
                        if index % 3 == 0 { format!("audit-{index}") } else { format!("s{index}") }
                    })
                    .filter(|name| !run.labels.contains_key(&SampleId::from(name.as_str())))
                    .collect();
            let most = gleaner::domain::decide::batch_size(run, definition).min(names.len());
            let size = usize::from(number) % most.max(1) + usize::from(most > 0);
            let (chosen, left) = names.split_at(size.min(names.len()));
            let chosen: Vec<&str> = chosen.iter().map(String::as_str).collect();
            Command::RecordBatch(batch(run, &chosen, left.len() as u64))
        }
        JobKind::Annotate => {
            let missing = if let Phase::Annotating { missing } = &run.phase {
                missing.clone()
            } else {
                BTreeSet::from(["s1".into()])
            };
            let size = usize::from(number) % missing.len() + 1;
            let samples: Vec<&str> = missing.iter().take(size).map(SampleId::as_str).collect();
            Command::RecordLabels(annotations(&samples))
        }
        JobKind::Gate => Command::CheckGate(measured(run, value)),
        JobKind::Train => Command::RecordTraining(trained(run, &[&format!("m{number}")])),
        JobKind::SelectModel => {
            let new = if let Phase::SelectingModel { checkpoints } = &run.phase {
                checkpoints[0].model
            } else {
                digest("m0")
            };
            let same = Some(new) == run.production;
            let promoted = !same && (run.production.is_none() || number.is_multiple_of(2));
            let mut selected = selected(run, "", promoted);
            selected.candidates[0].model = new;
            selected.winner = new;
            selected.candidates.retain({
                let mut seen = BTreeSet::new();
                move |candidate| seen.insert(candidate.model)
            });
            let model = if promoted { new } else { run.production.unwrap_or(new) };
            let acceptance = Measurement { model, ..measured(run, value) };
            Command::SelectModel { selected, acceptance }
        }
    }
}

fn walk(rules: Rules, wishes: &[Wish]) {
    let definition = definition(rules);
    let mut run = replay([]);
    let mut log: Vec<Event> = Vec::new();
    for wish in wishes {
        let waited_for = run.next_step();
        let fitting = matches!(wish, Wish::Fitting(_)) && waited_for.is_some();
        let command = match *wish {
            Wish::Fitting(number) => match waited_for {
                Some((_, kind)) => answer(&run, &definition, kind, number),
                None => Command::StartRun(run_started(&definition)),
            },
            Wish::Any(kind, number) => answer(&run, &definition, kind, number),
            Wish::Start => Command::StartRun(run_started(&definition)),
            Wish::Fail => Command::Fail(CycleFailed {
                step: "train".into(),
                attempts: 3,
                cause: "no space left on device".into(),
            }),
            Wish::Cancel => Command::Cancel(cancelled()),
        };
        match decide(&run, &definition, command) {
            Ok(decision) => {
                assert!(!decision.events.is_empty(), "a command that is granted leaves a trace");
                for (cycle, event) in &decision.events {
                    assert_eq!(*cycle, run.log_of(event));
                    run.apply(event).expect("what was decided can be applied");
                    log.push(event.clone());
                }
                assert_eq!(run, decision.run, "the decision speaks of another run");
                if let Some(next) = decision.next {
                    assert_eq!(Some(next), run.next_step());
                    assert_ne!(Some(next), waited_for, "a second job for the same step");
                }
            }
            Err(refusal) => assert!(!fitting, "{refusal}, though the run waits for it"),
        }
        match run.phase {
            Phase::New | Phase::Ended(_) => assert_eq!(run.next_step(), None),
            Phase::BetweenCycles
            | Phase::Selecting
            | Phase::Annotating { .. }
            | Phase::Gating
            | Phase::Training
            | Phase::SelectingModel { .. } => assert!(run.next_step().is_some()),
            Phase::Accepting | Phase::Closing | Phase::Cancelled => {
                panic!("a decision leaves the run {}", run.phase.name())
            }
        }
        assert!(run.labels.len() <= definition.stop.max_labels.unwrap_or(POOL));
        assert!(run.cycle.0 <= definition.stop.max_cycles.unwrap_or(u32::MAX));
    }
    assert_eq!(replay(&log), run, "the log tells another run than the one that wrote it");
}

#[test]
fn the_log_of_any_walk_tells_the_run_that_wrote_it() {
    fn property(rules: Rules, wishes: Vec<Wish>) {
        walk(rules, &wishes);
    }
    QuickCheck::new().tests(2_000).quickcheck(property as fn(Rules, Vec<Wish>));
}

#[test]
fn a_run_that_is_never_disturbed_ends() {
    fn property(rules: Rules, numbers: Vec<u8>) {
        let definition = definition(rules);
        let started = Command::StartRun(run_started(&definition));
        let mut run = decide(&replay([]), &definition, started).unwrap().run;
        // Each cycle labels at least one sample and takes at most 5 steps and one delivery a label; the pool has an end.
        for step in 0..POOL * (5 + POOL) {
            let Some((_, kind)) = run.next_step() else { break };
            let number = numbers.get(step % numbers.len().max(1)).copied().unwrap_or(0);
            let command = answer(&run, &definition, kind, number);
            run = decide(&run, &definition, command).unwrap().run;
        }
        assert!(matches!(run.phase, Phase::Ended(_)), "still {}", run.phase.name());
    }
    QuickCheck::new().tests(300).quickcheck(property as fn(Rules, Vec<u8>));
}
