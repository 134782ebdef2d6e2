//! Random walks over commands: whatever is wished for, in whatever order, log and state agree.

use super::*;
use gleaner::domain::state::Phase;
use quickcheck::{QuickCheck, TestResult};

/// What one walk knows: the run, and every event that led to it.
struct Walk {
    workflow: Definition,
    run: Run,
    log: Vec<Event>,
    refusals: usize,
}

impl Walk {
    /// The stop rules, the mode and the gate come from `rules`.
    fn new(rules: u8) -> Self {
        let bit = |at: u8| rules >> at & 1 == 1;
        let mut workflow = stopping(bit(0), bit(1).then_some(4), bit(2).then_some(7));
        if bit(3) {
            workflow = development(workflow);
        }
        workflow.kpi.gate = bit(4);
        Self { workflow, run: replay(&[]), log: Vec::new(), refusals: 0 }
    }

    /// Wishes for something; what is granted is also applied event by event.
    fn step(&mut self, choice: u8, detail: u8) {
        let command = self.command(choice, detail);
        let before = self.run.clone();
        match decide(&self.run, &self.workflow, command) {
            Ok(decision) => {
                for (cycle, event) in &decision.events {
                    assert_eq!(*cycle, self.run.log_of(event));
                    self.run.apply(event).unwrap();
                    self.log.push(event.clone());
                }
                assert!(!decision.events.is_empty(), "what is granted is written");
                assert_eq!(self.run, decision.run);
                if let Some(next) = decision.next {
                    assert_eq!(self.run.next_step(), Some(next));
                }
            }
            Err(_) => {
                self.refusals += 1;
                assert_eq!(self.run, before);
            }
        }
        self.holds();
    }

    /// What is true of every run.
    fn holds(&self) {
        let run = &self.run;
        assert_eq!(run.history.len(), run.cycle.0 as usize);
        if let Phase::Annotating { missing } = run.phase {
            assert!(missing > 0 && missing == run.missing().count() as u64);
        }
        assert!(self.workflow.stop.max_labels.is_none_or(|most| run.labels.len() <= most));
        assert!(self.workflow.stop.max_cycles.is_none_or(|most| run.cycle.0 <= most));
        let is_audit = |sample: &SampleId| run.labels.get(sample).map(|known| known.arm);
        assert!(run.fresh_audit.iter().all(|sample| is_audit(sample) == Some(Arm::Audit)));
        let passing = [Phase::Accepting, Phase::Closing, Phase::Cancelled];
        assert!(!passing.contains(&run.phase), "no decision stops at {:?}", run.phase);
    }

    /// Mostly the command that is due, sometimes any other; mostly sound, sometimes not.
    fn command(&self, choice: u8, detail: u8) -> Command {
        let due = match self.run.phase {
            Phase::New => 0,
            Phase::BetweenCycles => 1,
            Phase::Selecting => 2,
            Phase::Annotating { .. } => 3,
            Phase::Gating => 4,
            Phase::Training => 5,
            Phase::SelectingModel { .. } => 6,
            Phase::Accepting | Phase::Closing | Phase::Cancelled | Phase::Ended(_) => 7,
        };
        let which = if choice < 200 { due } else { choice % 8 };
        match which {
            0 => self.start(),
            1 => Command::StartCycle {
                pool: Digest::of(&[detail]),
                selector_model: self.run.production,
                previous_head: Digest::of(b"head"),
            },
            2 => self.batch(detail),
            3 => self.labels(detail),
            4 => gate(self.measured(detail, self.run.production)),
            5 => {
                let names = [format!("{}", self.run.cycle), format!("{}-{detail}", self.run.cycle)];
                let names = names.each_ref().map(String::as_str);
                let off_by_one = u64::from(detail % 16 == 15);
                let trained = training_of(&self.run, &names[..usize::from(detail % 3).min(2)]);
                let train_samples = trained.train_samples + off_by_one;
                Command::RecordTraining(Trained { train_samples, ..trained })
            }
            6 => self.choice(detail),
            _ if choice == u8::MAX => Command::Cancel(cancellation()),
            _ => Command::Fail(failure()),
        }
    }

    fn start(&self) -> Command {
        let Event::RunStarted(start) = started(self.workflow.kpi.gate) else { panic!() };
        Command::StartRun(RunStarted { workflow: self.workflow.digest(), ..start })
    }

    fn batch(&self, detail: u8) -> Command {
        let known = self.run.labels.len();
        let fresh = if detail % 16 == 15 { 0 } else { known };
        let names: Vec<String> =
            (fresh..fresh + usize::from(detail % 4)).map(|number| number.to_string()).collect();
        let arms = [Arm::Strategy, Arm::Audit, Arm::ColdStart];
        let picks: Vec<(&str, Arm)> =
            names.iter().map(String::as_str).zip(arms.into_iter().cycle()).collect();
        let candidates = 12_usize.saturating_sub(known);
        record(batch_of(&picks, candidates as u64))
    }

    fn labels(&self, detail: u8) -> Command {
        if self.run.missing().next().is_none() {
            return Command::RecordLabels(labels(&["0"]));
        }
        let some = self.run.missing().take(1 + usize::from(detail % 2)).map(SampleId::as_str);
        let stray = (detail % 16 == 15).then_some("stray");
        Command::RecordLabels(
            some.chain(stray).map(|sample| label(sample, u32::from(detail) % 3)).collect(),
        )
    }

    fn measured(&self, detail: u8, of: Option<Digest>) -> Measurement {
        let verdict = [Verdict::Missed, Verdict::Inconclusive, Verdict::Missed, Verdict::Met]
            [usize::from(detail % 4)];
        let stranger = measured("stranger", verdict);
        let model = of.filter(|_| detail % 16 != 15).unwrap_or(stranger.model);
        Measurement { model, ..stranger }
    }

    fn choice(&self, detail: u8) -> Command {
        let Phase::SelectingModel { checkpoints } = &self.run.phase else {
            let acceptance = measured("m1", Verdict::Missed);
            return Command::SelectModel {
                compared: None,
                selected: choice(None, "m1", true),
                acceptance,
                baseline: None,
            };
        };
        let incumbent = self.run.production;
        let challenger = checkpoints[0].model;
        let winner = incumbent.filter(|_| detail % 2 == 1).unwrap_or(challenger);
        let selected = ModelSelected {
            candidates: incumbent
                .into_iter()
                .chain([challenger])
                .map(|model| Candidate { model, value: f64::from(detail) })
                .collect(),
            incumbent,
            winner,
            promoted: Some(winner) != incumbent,
            ..choice(None, "m1", true)
        };
        Command::SelectModel {
            compared: None,
            selected,
            acceptance: self.measured(detail, Some(winner)),
            baseline: None,
        }
    }
}

#[test]
fn replaying_the_log_of_any_walk_gives_the_state_that_wrote_it() {
    fn property(rules: u8, steps: Vec<(u8, u8)>) -> TestResult {
        let mut walk = Walk::new(rules);
        for (choice, detail) in steps {
            walk.step(choice, detail);
            // A log may be read at any length.
            assert_eq!(replay(&walk.log), walk.run);
        }
        TestResult::from_bool(true)
    }
    QuickCheck::new().tests(1_000).quickcheck(property as fn(u8, Vec<(u8, u8)>) -> TestResult);
}

/// The walks are worth something only if they get somewhere: this one does, past refusals and failures.
#[test]
fn a_walk_gets_to_the_end_of_a_run() {
    let mut walk = Walk::new(0b10000); // no stop rule but the pool, with a gate
    for step in 0..2_000_u32 {
        let choice = if step % 5 == 0 { 200 + (step % 55) as u8 } else { 0 };
        walk.step(choice, (step * 7 % 251) as u8);
    }
    assert!(matches!(walk.run.phase, Phase::Ended(_)), "{:?}", walk.run.phase);
    assert!(walk.run.cycle.0 > 3 && walk.refusals > 0, "{} cycles", walk.run.cycle);
    let names: BTreeSet<&str> = walk.log.iter().map(Event::name).collect();
    assert!(names.len() >= 10, "all but a cancellation happen: {names:?}");
}
