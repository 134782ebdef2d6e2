//! Whether this machine and this disk keep what Gleaner acknowledges: children that die in every way, and what is found after.
//!
//! Each test starts this very program as a child that works and says every fact once it is acknowledged, ends it in some
//! way, opens what it left behind, and compares. Nothing outside a temporary folder is touched.
//!
//! | question | file |
//! |---|---|
//! | what does a child do? | `workload` |
//! | what did it acknowledge, and is all of it there? | `facts` |
//! | SIGKILL at any instant | `kills` |
//! | a power cut: only what was synced is left | `power` |
//! | a disk that fails, and a process that ends, at each single step | `sweep` |
//! | flipped bits, cut, swapped and missing files | `damage`, `inspect` |
//! | does the disk keep its promise of fsync? | `disk` |

mod child;
mod damage;
mod disk;
mod facts;
mod inspect;
mod kills;
mod power;
mod sweep;
mod violations;
mod workload;

use crate::domain::chance::Chance;
use crate::domain::ids::CycleNumber;
use crate::engine::EngineError;
use crate::store::StoreError;
pub use crate::store::sled::BARRIER;
pub use child::{Program, Role, said_lines};
pub use damage::{Damages, copy_folder};
pub use disk::DiskFacts;
pub use inspect::inspect;
pub use kills::Kills;
pub use power::Cuts;
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
pub use sweep::Sweep;
use tempfile::TempDir;
use violations::Violations;
pub use workload::{CAMPAIGN, Sabotage, Say, campaigns, everything, one_campaign, write_pool};

/// How much is tried. Zero leaves a test out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// SIGKILLs.
    pub kills: u64,
    /// Power cuts; they need root, a loop device and `mkfs.ext4`.
    pub cuts: u64,
    /// Planned faults: at most so many, spread evenly over all the steps.
    pub faults: u64,
    /// Damages to a store at rest.
    pub damages: u64,
    /// When to stop, whatever was tried by then.
    pub at_most: Option<Duration>,
}

impl Amount {
    /// What the project itself claims: the figures in the README come from this.
    pub const FULL: Self =
        Self { kills: 2_000, cuts: 500, faults: u64::MAX, damages: 10_000, at_most: None };

    /// As much as fits into `time`.
    #[must_use]
    pub const fn within(time: Duration) -> Self {
        Self { kills: u64::MAX, cuts: 0, faults: u64::MAX, damages: 0, at_most: Some(time) }
    }
}

/// What was tried, and what broke.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The version that was tested.
    pub version: &'static str,
    /// What the disk is, and how it syncs.
    pub disk: DiskFacts,
    /// SIGKILLs.
    pub kills: Option<Kills>,
    /// Planned faults.
    pub faults: Option<Sweep>,
    /// Power cuts.
    pub cuts: Option<Cuts>,
    /// Damages.
    pub damages: Option<Damages>,
    /// How long it took, in seconds.
    pub seconds: u64,
    /// How many promises were broken: facts lost, work done twice, panics, hangs.
    pub violations: u64,
    /// The first of them, in words.
    pub details: Vec<String>,
}

/// Why the tests could not be made; a broken promise is no error but a finding.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelftestError {
    /// A store failed under the tests' own hands.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine failed.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// No child could be started or ended.
    #[error("could not run a child of the self-test")]
    Child(#[source] io::Error),
    /// The tests' own files.
    #[error("could not {operation} {} for the self-test", path.display())]
    Files {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The tests themselves are at fault.
    #[error("the self-test could not go on: {0}")]
    Harness(String),
}

impl From<io::Error> for SelftestError {
    fn from(source: io::Error) -> Self {
        Self::Files { operation: "use", path: PathBuf::from("a temporary folder"), source }
    }
}

/// How far the tests are: which, how many are done, of how many.
pub type Tell<'a> = dyn Fn(&str, u64, u64) + 'a;

/// Runs the tests in a temporary folder under `parent`. Blocks; call it where blocking is allowed.
///
/// # Errors
/// [`SelftestError`] if the tests could not be made.
pub fn run(
    parent: &Path,
    program: &Program,
    amount: Amount,
    seed: u64,
    tell: &Tell<'_>,
) -> Result<Report, SelftestError> {
    let started = now();
    let ground = Ground::new(parent, amount.at_most, seed, tell)?;
    let disk = disk::probe(ground.folder.path())?;
    let mut violations = Violations::default();
    // Faults first: they are finite, and kills fill what time is left, at least half of it.
    let faults = (amount.faults > 0)
        .then(|| sweep::sweep(&ground, program, amount.faults, &mut violations))
        .transpose()?;
    let kills = (amount.kills > 0)
        .then(|| kills::kills(&ground, program, amount.kills, &mut violations))
        .transpose()?;
    let cuts = (amount.cuts > 0)
        .then(|| power::cuts(&ground, program, amount.cuts, &mut violations))
        .transpose()?;
    let damages = (amount.damages > 0)
        .then(|| damage::damages(&ground, program, amount.damages, &mut violations))
        .transpose()?;
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        disk,
        kills,
        faults,
        cuts,
        damages,
        seconds: started.elapsed().as_secs(),
        violations: violations.count,
        details: violations.texts,
    })
}

#[expect(clippy::disallowed_methods, reason = "how long the tests take is real time")]
fn now() -> Instant {
    Instant::now()
}

/// Where the tests are made, until when, and with which chance.
struct Ground<'a> {
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
    until: Option<Instant>,
    half: Option<Instant>,
    seed: u64,
    tell: &'a Tell<'a>,
}

impl<'a> Ground<'a> {
    fn new(
        parent: &Path,
        at_most: Option<Duration>,
        seed: u64,
        tell: &'a Tell<'a>,
    ) -> Result<Self, SelftestError> {
        let files =
            |source| SelftestError::Files { operation: "write to", path: parent.into(), source };
        let folder = tempfile::Builder::new()
            .prefix(".gleaner-selftest-")
            .tempdir_in(parent)
            .map_err(files)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(files)?;
        let (begun, half) = (now(), at_most.map(|time| time / 2));
        let [until, half] = [at_most, half].map(|time| begun.checked_add(time?));
        Ok(Self { folder, runtime, until, half, seed, tell })
    }

    /// An empty folder, removed when dropped.
    fn folder(&self) -> Result<TempDir, SelftestError> {
        Ok(tempfile::tempdir_in(&self.folder)?)
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| now() >= until)
    }

    fn is_half_over(&self) -> bool {
        self.half.is_some_and(|half| now() >= half)
    }

    fn tell(&self, what: &str, done: u64, of: u64) {
        (self.tell)(what, done, of);
    }

    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn chance_of<'b>(&self, purpose: &'b str) -> Chance<'b> {
        Chance { seed: self.seed, cycle: CycleNumber(0), purpose }
    }

    /// A number in [0, 1).
    fn chance(&self, purpose: &str, number: u64) -> f64 {
        self.chance_of(purpose).unit(&number.to_string())
    }

    /// A number below `below`, which is not 0.
    fn draw(&self, purpose: &str, number: u64, below: u64) -> u64 {
        self.chance_of(purpose).draw(&number.to_string()) % below.max(1)
    }
}
