//! Every interleaving of three workers and three jobs under the lease protocol.
//!
//! A worker that is slow, stopped or dead is one whose next step comes late or never, so nothing here speaks of such
//! workers: the checker tries every order of steps, with clock ticks, a reopening of the store, a cancellation and a second
//! life of a dead job in between. Workers are alike and have no names: what counts are the leases that somebody holds or
//! believes to hold. After a reopening the holders of before still remember theirs, as processes on other machines would.

pub mod protocol;

use protocol::{Answer, Fenced, JOBS, Job, Lease, Queue, Rules, Standing, Token, run_of};
use stateright::{Model, Property};

/// How many workers there are: each remembers at most one lease.
pub const WORKERS: usize = 3;

/// What is explored.
#[derive(Debug, Clone, Copy)]
pub struct Leases {
    /// The protocol.
    pub rules: Rules,
    /// What may happen so often, at most.
    pub budget: Budget,
}

/// How often things may still happen that could happen without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    pub reopenings: u8,
    pub cancellations: u8,
    pub releases: u8,
    pub revivals: u8,
}

/// The queue, what workers believe to hold, and what an onlooker has seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub queue: Queue,
    /// In order; idle workers come first.
    pub held: [Option<Lease>; WORKERS],
    pub seen: [Seen; JOBS],
    pub budget: Budget,
    /// The first thing that must not happen.
    pub wrong: Option<Wrong>,
}

/// What an onlooker knows of a job from what was answered, without looking into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seen {
    /// The lease given last.
    pub given: Token,
    /// Whether an answer was taken for it.
    pub answered: bool,
    pub end: Option<End>,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    Finished,
    Cancelled,
}

/// What must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrong {
    TokenNotNewer,
    GivenAfterItsEnd,
    AnsweredAfterItsEnd,
    AnsweredUnderAnOldLease,
    AnsweredTwiceUnderOneLease,
}

/// One step of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Tick,
    Lease,
    Renew(Lease),
    Answer(Lease, Answer),
    /// An answer whose receipt is lost: the worker will say it again, or something else.
    AnswerUnheard(Lease, Answer),
    Reopen,
    Cancel(usize),
    Revive(usize),
}

impl Model for Leases {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            queue: Queue::new(),
            held: [None; WORKERS],
            seen: [Seen::default(); JOBS],
            budget: self.budget,
            wrong: None,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        steps.push(Step::Tick);
        if state.held.contains(&None) {
            steps.push(Step::Lease);
        }
        for lease in state.held.into_iter().flatten() {
            steps.push(Step::Renew(lease));
            for answer in [Answer::Finished, Answer::Failed, Answer::Released] {
                if answer != Answer::Released || state.budget.releases > 0 {
                    steps.extend([Step::Answer(lease, answer), Step::AnswerUnheard(lease, answer)]);
                }
            }
        }
        if state.budget.reopenings > 0 {
            steps.push(Step::Reopen);
        }
        if state.budget.cancellations > 0 {
            steps.extend((0..=run_of(JOBS - 1)).map(Step::Cancel));
        }
        if state.budget.revivals > 0 {
            let dead = |job: &usize| state.queue.jobs[*job].standing == Standing::Dead;
            steps.extend((0..JOBS).filter(dead).map(Step::Revive));
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Tick => state.queue.tick(),
            Step::Lease => {
                let lease = state.queue.lease(self.rules);
                if let Some(lease) = lease {
                    state.see_given(lease);
                    state.replace(None, Some(lease));
                }
            }
            Step::Renew(lease) => {
                if state.queue.renew(lease, self.rules) == Err(Fenced) {
                    state.replace(Some(lease), None);
                }
            }
            Step::Answer(lease, answer) => {
                state.answer(lease, answer, self.rules);
                state.replace(Some(lease), None);
            }
            Step::AnswerUnheard(lease, answer) => state.answer(lease, answer, self.rules),
            Step::Reopen => {
                state.budget.reopenings -= 1;
                state.queue.reopen(self.rules);
            }
            Step::Cancel(run) => {
                state.budget.cancellations -= 1;
                state.queue.cancel(run);
                for (_, seen) in
                    state.seen.iter_mut().enumerate().filter(|(job, _)| run_of(*job) == run)
                {
                    seen.end.get_or_insert(End::Cancelled);
                }
            }
            Step::Revive(job) => {
                state.budget.revivals -= 1;
                state.queue.retry(job);
            }
        }
        state.simplify();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing happens that must not", |_, state: &State| {
                state.wrong.is_none()
            }),
            Property::always("no job is lost", |_, state: &State| {
                let gone = |job: &Job| job.standing == Standing::Gone;
                state.jobs().all(|(job, seen)| gone(job) == seen.end.is_some())
            }),
            Property::always(
                "a job that fails or crashes too often is given up",
                |model, state: &State| {
                    let Rules { attempts, crashes_max, .. } = model.rules;
                    state.jobs().all(|(job, _)| {
                        (job.failures < attempts && job.crashes < crashes_max)
                            || matches!(job.standing, Standing::Dead | Standing::Gone)
                    })
                },
            ),
            Property::always("no more are leased than allowed", |model, state: &State| {
                let leased = |job: &Job| matches!(job.standing, Standing::Leased { .. });
                state.jobs().filter(|(job, _)| leased(job)).count() <= model.rules.at_once
            }),
            Property::always(
                "one worker that behaves brings everything to its end",
                |model, state: &State| model.brought_to_an_end(state),
            ),
            // What follows must be possible, or the properties above say little.
            Property::sometimes("every job is finished", |_, state: &State| state.all_finished()),
            Property::sometimes("a revived job is finished", |model, state: &State| {
                state.budget.revivals < model.budget.revivals && state.all_finished()
            }),
            Property::sometimes(
                "a worker is late, and somebody else has its job",
                |_, state: &State| {
                    state.late().any(|(job, newest)| {
                        matches!(job.standing, Standing::Leased { .. }) && !newest
                    })
                },
            ),
            Property::sometimes("a worker is late, and may still answer", |_, state: &State| {
                state
                    .late()
                    .any(|(job, newest)| job.standing == (Standing::Leased { left: 0 }) && newest)
            }),
        ]
    }
}

impl Leases {
    /// Everybody else stops for good; one worker leases and finishes what it is given, and waits when it is given nothing.
    fn brought_to_an_end(&self, state: &State) -> bool {
        let mut queue = state.queue;
        // A lease or a wait runs out, then each job is given once.
        for _ in 0..=self.rules.lease.max(self.rules.wait) {
            while let Some(lease) = queue.lease(self.rules) {
                if queue.settle(lease, Answer::Finished, self.rules).is_err() {
                    return false;
                }
            }
            queue.tick();
        }
        queue.jobs.iter().all(|job| matches!(job.standing, Standing::Dead | Standing::Gone))
    }
}

impl State {
    fn jobs(&self) -> impl Iterator<Item = (&Job, &Seen)> {
        self.queue.jobs.iter().zip(&self.seen)
    }

    fn all_finished(&self) -> bool {
        self.seen.iter().all(|seen| seen.end == Some(End::Finished))
    }

    /// For each lease that somebody believes to hold: its job, and whether it is the job's newest one.
    fn late(&self) -> impl Iterator<Item = (&Job, bool)> {
        self.held.iter().flatten().map(|lease| {
            let job = &self.queue.jobs[lease.job];
            (job, lease.token == job.token)
        })
    }

    /// A worker that held `before` now holds `after`.
    fn replace(&mut self, before: Option<Lease>, after: Option<Lease>) {
        if let Some(held) = self.held.iter_mut().find(|held| **held == before) {
            *held = after;
        }
    }

    fn answer(&mut self, lease: Lease, answer: Answer, rules: Rules) {
        if answer == Answer::Released {
            self.budget.releases -= 1;
        }
        if self.queue.settle(lease, answer, rules).is_ok() {
            self.see_answered(lease, answer);
        }
    }

    fn see_given(&mut self, lease: Lease) {
        let seen = &mut self.seen[lease.job];
        if lease.token <= seen.given {
            self.wrong.get_or_insert(Wrong::TokenNotNewer);
        }
        if seen.end.is_some() {
            self.wrong.get_or_insert(Wrong::GivenAfterItsEnd);
        }
        seen.given = lease.token;
        seen.answered = false;
    }

    fn see_answered(&mut self, lease: Lease, answer: Answer) {
        let seen = &mut self.seen[lease.job];
        let wrong = if seen.end.is_some() {
            Some(Wrong::AnsweredAfterItsEnd)
        } else if lease.token != seen.given {
            Some(Wrong::AnsweredUnderAnOldLease)
        } else {
            seen.answered.then_some(Wrong::AnsweredTwiceUnderOneLease)
        };
        self.wrong = self.wrong.or(wrong);
        seen.answered = true;
        if answer == Answer::Finished {
            seen.end = Some(End::Finished);
        }
    }

    /// Forgets differences that can never matter again, so that the checker meets fewer states.
    fn simplify(&mut self) {
        for job in &mut self.queue.jobs {
            if matches!(job.standing, Standing::Dead | Standing::Gone) {
                (job.failures, job.crashes) = (0, 0);
            }
        }
        // Of a token matters whether it is the newest: 1 is, 0 is not.
        for lease in self.held.iter_mut().flatten() {
            lease.token = Token::from(lease.token == self.queue.jobs[lease.job].token);
        }
        for (job, seen) in self.queue.jobs.iter_mut().zip(&mut self.seen) {
            seen.given = Token::from(seen.given == job.token);
            job.token = 1;
        }
        self.held.sort_unstable();
    }
}
