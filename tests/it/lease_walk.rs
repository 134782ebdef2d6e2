//! Random walks over the lease protocol: the real stores and the model that `tests/model` explores, side by side, compared
//! after each step. Time is a number that the walk moves.

use crate::samples::{cycle, job_id, run, seconds, token};
use crate::sled_store;
use gleaner::domain::ids::{FencingToken, JobId};
use gleaner::domain::job::{CRASHES_MAX, Job, JobKind, JobStatus, NewJob};
use gleaner::domain::time::Timestamp;
use gleaner::store::memory::MemoryStore;
use gleaner::store::{Commit, LeaseRequest, Outcome, Settle, Store, StoreError};
use protocol::{Answer, Fenced, JOBS, Lease, Queue, Rules, Standing, run_of};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tempfile::TempDir;

#[path = "../model/src/protocol.rs"]
#[expect(unreachable_pub, reason = "the crate of the model makes it public")]
mod protocol;

const RULES: Rules =
    Rules { attempts: 3, crashes_max: 100, lease: 3, wait: 2, at_once: 2, fencing: true };

/// How long a tick of the model is.
const TICK_SECONDS: i64 = 10;

/// How long a walk is, at most.
const STEPS_MAX: usize = 400;

/// How many leases are remembered, be they held or long lost.
const REMEMBERED: usize = 6;

/// One step of somebody. A lease is named by how long ago it was given.
#[derive(Debug, Clone, Copy)]
enum Step {
    Tick,
    Lease,
    Renew(usize),
    /// The answer's commit may ask for the next job, too.
    Answer(usize, Answer, bool),
    Cancel(usize),
    Revive(usize),
    /// The process dies, and meanwhile the machine's clock is set by so many ticks, back or forth.
    Reopen(i64),
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let lease = usize::arbitrary(g) % REMEMBERED;
        match u8::arbitrary(g) {
            0..=79 => Self::Lease,
            80..=129 => Self::Tick,
            130..=159 => Self::Renew(lease),
            160..=169 => Self::Answer(lease, Answer::Finished, bool::arbitrary(g)),
            170..=219 => Self::Answer(lease, Answer::Failed, bool::arbitrary(g)),
            220..=229 => Self::Answer(lease, Answer::Released, bool::arbitrary(g)),
            230..=247 => Self::Revive(usize::arbitrary(g) % JOBS),
            248..=249 => Self::Cancel(usize::arbitrary(g) % 2),
            250.. => Self::Reopen(i64::from(i16::arbitrary(g))),
        }
    }
}

/// A lease that a worker remembers, and the model's name for it; none for a job of an earlier round.
#[derive(Clone, Copy)]
struct Held {
    job: JobId,
    token: FencingToken,
    lease: Option<Lease>,
}

/// The store and its model. When all jobs are gone, a new round begins with new ones.
struct Walk {
    store: Box<dyn Store>,
    /// Where the store is, if it can be opened again.
    folder: Option<TempDir>,
    model: Queue,
    round: usize,
    /// The time.
    ticks: i64,
    /// The newest lease first.
    held: VecDeque<Held>,
    newest: FencingToken,
    happened: BTreeMap<&'static str, usize>,
}

impl Walk {
    fn in_memory() -> Self {
        Self::on(Box::new(MemoryStore::new()), None)
    }

    fn on_disk() -> Self {
        let (folder, store) = sled_store::temporary();
        Self::on(Box::new(store), Some(folder))
    }

    fn on(store: Box<dyn Store>, folder: Option<TempDir>) -> Self {
        Self {
            store,
            folder,
            model: Queue::new(),
            round: 0,
            ticks: 1_000_000,
            held: VecDeque::new(),
            newest: FencingToken(0),
            happened: BTreeMap::new(),
        }
    }

    async fn go(&mut self, steps: &[Step]) {
        assert_eq!(u32::from(RULES.crashes_max), CRASHES_MAX);
        self.enqueue().await;
        for step in steps {
            self.step(*step).await;
            self.compare().await;
            if self.model.jobs.iter().all(|job| job.standing == Standing::Gone) {
                self.note("a round over");
                (self.round, self.model) = (self.round + 1, Queue::new());
                self.held.iter_mut().for_each(|held| held.lease = None);
                self.enqueue().await;
            }
        }
    }

    /// Does a step to both, and compares what they answer.
    async fn step(&mut self, step: Step) {
        match step {
            Step::Tick => {
                self.ticks += 1;
                self.model.tick();
            }
            Step::Lease => {
                let given = self.store.lease(self.request()).await.unwrap();
                self.given(given);
                // Whoever is given nothing sleeps until then: not too long, and not for nothing.
                let due = self.store.next_due().await.unwrap();
                assert_eq!(due, self.first_end().map(|left| self.after(left)));
            }
            Step::Renew(which) => {
                let Some(held) = self.held.get(which).copied() else { return };
                let answer = self.store.renew(held.job, held.token, self.after(RULES.lease)).await;
                let expected = held.lease.map_or(Err(Fenced), |it| self.model.renew(it, RULES));
                self.agree(answer, expected);
            }
            Step::Answer(which, answer, next) => {
                let Some(held) = self.held.get(which).copied() else { return };
                let settle = Settle {
                    job: held.job,
                    token: held.token,
                    outcome: self.outcome(held.lease, answer),
                };
                let commit = Commit {
                    settle: Some(settle),
                    now: self.now(),
                    lease: next.then(|| self.request()),
                    ..Commit::default()
                };
                let (answered, given) = match self.store.commit(commit).await {
                    Ok(committed) => (Ok(()), next.then_some(committed.leased)),
                    Err(error) => (Err(error), None),
                };
                let settle = |it| self.model.settle(it, answer, RULES);
                let expected = held.lease.map_or(Err(Fenced), settle);
                self.agree(answered, expected);
                if let Some(given) = given {
                    self.given(given);
                }
            }
            Step::Cancel(number) => {
                let cancel_run = Some(run(number as u128));
                let commit = Commit { cancel_run, now: self.now(), ..Commit::default() };
                self.store.commit(commit).await.unwrap();
                self.model.cancel(number);
            }
            Step::Revive(number) => {
                let answer = self.store.retry(self.job(number), self.now()).await;
                let revived = self.model.retry(number);
                assert_eq!(answer.is_ok(), revived);
                if revived {
                    self.note("revived");
                }
            }
            Step::Reopen(ticks) => {
                let Some(folder) = &self.folder else { return };
                let before = self.store.epoch();
                self.store = Box::new(MemoryStore::new()); // the one that was there is closed by that
                self.store = Box::new(sled_store::open(folder.path()).unwrap());
                assert_eq!(self.store.epoch(), before.next());
                self.ticks += ticks;
                self.model.reopen(RULES);
                self.note("reopened");
            }
        }
    }

    /// Compares a lease that was given, or that none was, with the model's.
    fn given(&mut self, given: Option<Job>) {
        let expected = self.model.lease(RULES);
        let held = given.map(|job| Held { job: job.id, token: token(&job), lease: expected });
        assert_eq!(held.map(|held| held.job), expected.map(|lease| self.job(lease.job)));
        if let Some(held) = held {
            assert!(held.token > self.newest, "tokens grow, whatever is opened anew");
            self.newest = held.token;
            self.held.push_front(held);
            self.held.truncate(REMEMBERED);
            self.note("given");
        }
    }

    /// Compares the answer to a holder with the model's.
    fn agree(&mut self, answer: Result<(), StoreError>, expected: Result<(), Fenced>) {
        let answer = answer.map_err(|error| {
            assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
            Fenced
        });
        assert_eq!(answer, expected);
        self.note(if answer.is_ok() { "taken" } else { "refused" });
    }

    /// Compares every job.
    async fn compare(&mut self) {
        let mut jobs = self.store.jobs().await.unwrap();
        jobs.sort_by_key(|job| job.id);
        let mut jobs = jobs.into_iter().peekable();
        for (number, model) in self.model.jobs.iter().enumerate() {
            let Some(job) = jobs.next_if(|job| job.id == self.job(number)) else {
                assert_eq!(model.standing, Standing::Gone, "{}", self.job(number));
                continue;
            };
            assert_eq!(
                (job.failures, job.crashes),
                (u32::from(model.failures), u32::from(model.crashes))
            );
            match (&job.status, model.standing) {
                (JobStatus::Ready, Standing::Ready { .. }) | (JobStatus::Dead, Standing::Dead) => {}
                (JobStatus::Leased(lease), Standing::Leased { left }) => {
                    // How long an ended lease has been over already, nobody has to know.
                    assert_eq!(lease.deadline.max(self.now()), self.after(left));
                    assert_eq!(lease.epoch, self.store.epoch());
                }
                (status, standing) => panic!("{status:?} is not {standing:?}"),
            }
        }
        assert_eq!(jobs.next(), None, "a job that nobody knows");
    }

    async fn enqueue(&mut self) {
        let job = |number| NewJob {
            id: self.job(number),
            kind: JobKind::Train,
            cycle: cycle(run_of(number) as u128, 1),
            priority: 0,
            not_before: self.now(),
            dedupe: None,
        };
        let enqueue = (0..JOBS).map(job).collect();
        let commit = Commit { enqueue, now: self.now(), ..Commit::default() };
        self.store.commit(commit).await.unwrap();
    }

    /// What a failure leads to is decided by who answers, as the engine does.
    fn outcome(&self, lease: Option<Lease>, answer: Answer) -> Outcome {
        let error = "no route to host".to_owned();
        let failures = lease.map_or(0, |lease| self.model.jobs[lease.job].failures);
        match answer {
            Answer::Finished => Outcome::Finished,
            Answer::Released => Outcome::Released,
            Answer::Failed if failures + 1 >= RULES.attempts => Outcome::Dead { error },
            Answer::Failed => Outcome::Retry { at: self.after(RULES.wait), error },
        }
    }

    /// In how many ticks the first lease or wait of the model ends.
    fn first_end(&self) -> Option<u8> {
        let left = |job: &protocol::Job| match job.standing {
            Standing::Leased { left } | Standing::Ready { wait: left } => Some(left),
            Standing::Dead | Standing::Gone => None,
        };
        self.model.jobs.iter().filter_map(left).filter(|left| *left > 0).min()
    }

    /// The real job that stands for a job of the model in this round.
    fn job(&self, number: usize) -> JobId {
        job_id((self.round * JOBS + number) as u128)
    }

    fn now(&self) -> Timestamp {
        self.after(0)
    }

    fn after(&self, ticks: u8) -> Timestamp {
        seconds((self.ticks + i64::from(ticks)) * TICK_SECONDS)
    }

    fn request(&self) -> LeaseRequest {
        LeaseRequest {
            worker: "worker".into(),
            limits: BTreeMap::from([(JobKind::Train, RULES.at_once)]),
            now: self.now(),
            lease: Duration::from_secs(u64::from(RULES.lease) * TICK_SECONDS.unsigned_abs()),
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }
}

/// Goes these steps; answers how often what happened.
fn go(mut walk: Walk, steps: &[Step]) -> BTreeMap<&'static str, usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(walk.go(steps));
    walk.happened
}

/// The same walks in every run of this test.
fn walks(count: u64, property: fn(Vec<Step>)) {
    let random = Gen::from_size_and_seed(STEPS_MAX, 1);
    QuickCheck::new().rng(random).tests(count).quickcheck(property);
}

#[test]
fn the_store_in_memory_does_what_the_model_does() {
    walks(500, |steps| drop(go(Walk::in_memory(), &steps)));
}

#[test]
fn the_store_on_a_disk_does_what_the_model_does_however_often_it_is_opened_again() {
    walks(100, |steps| drop(go(Walk::on_disk(), &steps)));
}

/// The walks are worth something only if they get somewhere.
#[test]
fn a_long_walk_meets_everything() {
    let mut random = Gen::from_size_and_seed(STEPS_MAX, 1);
    let steps: Vec<Step> = (0..2_000).map(|_| Step::arbitrary(&mut random)).collect();
    let happened = go(Walk::on_disk(), &steps);
    for what in ["given", "taken", "refused", "revived", "reopened", "a round over"] {
        assert!(happened.get(what).is_some_and(|count| *count > 5), "{what}: {happened:?}");
    }
}
