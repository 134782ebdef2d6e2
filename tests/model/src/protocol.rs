//! The lease protocol of the job queue, written down once more and as small as it gets: what `src/store/queue.rs` must do,
//! without indexes, bytes, limits of size or instants. Time is counted in ticks that are left.
//!
//! Two readers: the model checker beside this file goes through every interleaving of it, and `tests/it/lease_walk.rs`
//! walks the real stores and this side by side and compares them after each step.

/// How many jobs there are. Job 0 and 1 are of run 0, job 2 of run 1. All are enqueued, in this order, at the beginning.
pub const JOBS: usize = 3;

/// What the protocol leaves open.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The failure with this number is the last one.
    pub attempts: u8,
    /// The crash with this number is the last one.
    pub crashes_max: u8,
    /// How many ticks a lease holds.
    pub lease: u8,
    /// How many ticks a failed job waits.
    pub wait: u8,
    /// How many jobs are leased at once.
    pub at_once: usize,
    /// Whether answers are only taken under the newest lease. Off, this is a queue without fencing, which must be found out.
    pub fencing: bool,
}

/// A lease's number, counted for each job from 1. Only its order matters.
pub type Token = u16;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Waits for so many ticks, then for a worker.
    Ready { wait: u8 },
    /// Somebody holds its newest lease, for so many ticks.
    Leased { left: u8 },
    /// Failed for good.
    Dead,
    /// Finished or cancelled, and no longer kept.
    Gone,
}

/// A job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Job {
    pub standing: Standing,
    pub failures: u8,
    pub crashes: u8,
    /// Its newest lease; 0 before the first.
    pub token: Token,
}

/// The queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Queue {
    pub jobs: [Job; JOBS],
}

/// A lease, as its holder remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    pub job: usize,
    pub token: Token,
}

/// How a worker answers for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    Finished,
    Failed,
    Released,
}

/// The lease is not held any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced;

/// The run of a job.
#[must_use]
pub fn run_of(job: usize) -> usize {
    job / 2
}

impl Queue {
    /// Every job enqueued, none leased yet.
    #[must_use]
    pub fn new() -> Self {
        let job = Job { standing: Standing::Ready { wait: 0 }, failures: 0, crashes: 0, token: 0 };
        Self { jobs: [job; JOBS] }
    }

    /// A tick goes by. Nothing happens by itself: a lease that is over is taken back when the next one is asked for.
    pub fn tick(&mut self) {
        for job in &mut self.jobs {
            match &mut job.standing {
                Standing::Ready { wait: left } | Standing::Leased { left } => {
                    *left = left.saturating_sub(1);
                }
                Standing::Dead | Standing::Gone => {}
            }
        }
    }

    /// Leases that are over are taken back; then the first job that is ready is given.
    pub fn lease(&mut self, rules: Rules) -> Option<Lease> {
        for job in &mut self.jobs {
            if job.standing == (Standing::Leased { left: 0 }) {
                job.crash(rules);
            }
        }
        let leased = |job: &&Job| matches!(job.standing, Standing::Leased { .. });
        if self.jobs.iter().filter(leased).count() >= rules.at_once {
            return None;
        }
        let ready = |job: &Job| job.standing == (Standing::Ready { wait: 0 });
        let job = self.jobs.iter().position(ready)?;
        let given = &mut self.jobs[job];
        given.standing = Standing::Leased { left: rules.lease };
        given.token += 1;
        Some(Lease { job, token: given.token })
    }

    /// A holder asks for more time, and has it unless somebody else was given the job, or the job is gone.
    ///
    /// # Errors
    /// [`Fenced`].
    pub fn renew(&mut self, lease: Lease, rules: Rules) -> Result<(), Fenced> {
        self.check(lease, rules)?;
        self.jobs[lease.job].standing = Standing::Leased { left: rules.lease };
        Ok(())
    }

    /// A holder answers.
    ///
    /// # Errors
    /// [`Fenced`].
    pub fn settle(&mut self, lease: Lease, answer: Answer, rules: Rules) -> Result<(), Fenced> {
        self.check(lease, rules)?;
        let job = &mut self.jobs[lease.job];
        match answer {
            Answer::Finished => job.standing = Standing::Gone,
            Answer::Released => job.standing = Standing::Ready { wait: 0 },
            Answer::Failed => {
                job.failures += 1;
                job.standing = if job.failures >= rules.attempts {
                    Standing::Dead
                } else {
                    Standing::Ready { wait: rules.wait }
                };
            }
        }
        Ok(())
    }

    /// The process that has the store dies and another one opens it: every lease was of a dead one, and failed work is tried
    /// at once.
    pub fn reopen(&mut self, rules: Rules) {
        for job in &mut self.jobs {
            if matches!(job.standing, Standing::Leased { .. }) {
                job.crash(rules);
            }
            if matches!(job.standing, Standing::Ready { .. }) && job.failures > 0 {
                job.standing = Standing::Ready { wait: 0 };
            }
        }
    }

    /// Removes the jobs of a run, whoever holds them.
    pub fn cancel(&mut self, run: usize) {
        for (number, job) in self.jobs.iter_mut().enumerate() {
            if run_of(number) == run {
                job.standing = Standing::Gone;
            }
        }
    }

    /// Makes a dead job ready as if nothing had been; false if it is not dead.
    pub fn retry(&mut self, job: usize) -> bool {
        let job = &mut self.jobs[job];
        let dead = job.standing == Standing::Dead;
        if dead {
            *job = Job { standing: Standing::Ready { wait: 0 }, failures: 0, crashes: 0, ..*job };
        }
        dead
    }

    fn check(&self, lease: Lease, rules: Rules) -> Result<(), Fenced> {
        let job = &self.jobs[lease.job];
        let held = matches!(job.standing, Standing::Leased { .. }) && job.token == lease.token;
        if held || !rules.fencing { Ok(()) } else { Err(Fenced) }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

impl Job {
    /// A lease ended without an answer.
    fn crash(&mut self, rules: Rules) {
        self.crashes += 1;
        self.standing = if self.crashes >= rules.crashes_max {
            Standing::Dead
        } else {
            Standing::Ready { wait: 0 }
        };
    }
}
