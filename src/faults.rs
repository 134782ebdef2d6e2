//! The door that every durable step goes through, so that tests can have the disk fail at exactly one of them.
//!
//! In daily use it is open: [`Faults::none`] costs one comparison a step. A plan counts the steps and, at the one it names,
//! ends the process before it, ends it in the middle, or has it fail as a disk does.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens at the step that a plan names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process ends just before it.
    Clean,
    /// The process ends in the middle: half of the bytes are written; what has no middle is done, and nobody learns of it.
    Torn,
    /// It is not done, and fails with an IO error.
    Failed,
    /// It is not done, and says that it was: at this step and each one after it that the plan counts.
    Skipped,
}

impl Fault {
    /// The three that a real disk or a real crash causes.
    pub const REAL: [Self; 3] = [Self::Clean, Self::Torn, Self::Failed];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Torn => "torn",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Clean, Self::Torn, Self::Failed, Self::Skipped]
            .into_iter()
            .find(|fault| fault.name() == name)
    }
}

/// Which step goes wrong, and how. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    plan: Option<Arc<Plan>>,
}

#[derive(Debug)]
struct Plan {
    /// Only steps of this name count.
    name: Option<String>,
    at: u64,
    fault: Fault,
    steps: AtomicU64,
}

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub const fn none() -> Self {
        Self { plan: None }
    }

    /// The step of this number, counted from 1, goes wrong.
    #[must_use]
    pub fn at(number: u64, fault: Fault) -> Self {
        Self::planned(None, number, fault)
    }

    /// The step of this number among those called `name` goes wrong.
    #[must_use]
    pub fn at_named(name: &str, number: u64, fault: Fault) -> Self {
        Self::planned(Some(name.to_owned()), number, fault)
    }

    /// Nothing goes wrong, but the steps are counted.
    #[must_use]
    pub fn counting() -> Self {
        Self::planned(None, u64::MAX, Fault::Failed)
    }

    fn planned(name: Option<String>, at: u64, fault: Fault) -> Self {
        let steps = AtomicU64::new(0);
        Self { plan: Some(Arc::new(Plan { name, at, fault, steps })) }
    }

    /// How many steps were counted so far; 0 without a plan.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.plan.as_ref().map_or(0, |plan| plan.steps.load(Ordering::SeqCst))
    }

    /// Does a durable step.
    ///
    /// # Errors
    /// What `work` fails with, or the planned failure.
    pub(crate) fn step(
        &self,
        name: &'static str,
        work: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        match self.now(name) {
            None => work(),
            Some(Fault::Clean) => die(),
            Some(Fault::Torn) => {
                let _ends_anyway = work();
                die()
            }
            Some(Fault::Failed) => Err(planned_failure()),
            Some(Fault::Skipped) => Ok(()),
        }
    }

    /// Writes bytes, as a durable step that can be torn in their middle.
    ///
    /// # Errors
    /// What writing fails with, or the planned failure.
    pub(crate) fn write(
        &self,
        name: &'static str,
        file: &mut impl Write,
        bytes: &[u8],
    ) -> io::Result<()> {
        match self.now(name) {
            None => file.write_all(bytes),
            Some(Fault::Clean) => die(),
            Some(Fault::Torn) => {
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                let _ends_anyway = file.write_all(half);
                die()
            }
            Some(Fault::Failed) => Err(planned_failure()),
            Some(Fault::Skipped) => Ok(()),
        }
    }

    /// What happens at the step that begins now.
    fn now(&self, name: &str) -> Option<Fault> {
        let plan = self.plan.as_ref()?;
        if plan.name.as_ref().is_some_and(|wanted| wanted != name) {
            return None;
        }
        let number = plan.steps.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let hits = match plan.fault {
            Fault::Skipped => number >= plan.at,
            Fault::Clean | Fault::Torn | Fault::Failed => number == plan.at,
        };
        hits.then_some(plan.fault)
    }
}

/// Ends the process as SIGKILL would: nothing is flushed, nothing is dropped.
fn die() -> ! {
    std::process::abort()
}

/// EIO, what the kernel answers for a disk that fails.
fn planned_failure() -> io::Error {
    const EIO: i32 = 5;
    io::Error::from_raw_os_error(EIO)
}
