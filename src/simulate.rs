//! Strategies side by side on a fully labelled pool: the same workflow, many seeds, what each label bought.
//!
//! Every campaign is a run of the ordinary engine, on a store in memory, so what is compared is what `gleaner run` does. The
//! KPI ends no campaign: the whole curve is seen. A strategy and a seed always give the same curve, on any number of threads.
//!
//! | question | file |
//! |---|---|
//! | what is compared, and can it be? | `plan` |
//! | one strategy, one seed | `campaign` |
//! | means, standard errors, areas, the paired comparison | [`summary`] |
//! | the files, with the picture that [`chart`](crate::chart) draws | `report` |

mod campaign;
mod plan;
mod report;
pub mod summary;

pub use campaign::{How, run};
pub use plan::{Plan, Request, plan, split_strategies};
pub use report::Out;

use crate::artifacts::ArtifactError;
use crate::domain::ids::SampleId;
use crate::engine::EngineError;
use crate::pool::PoolError;
use crate::workflow::WorkflowError;
use std::io;
use std::path::PathBuf;

/// One campaign's learning curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its place among the plan's strategies.
    pub strategy: usize,
    /// The run's seed.
    pub seed: u64,
    /// By cycle; labels never shrink.
    pub points: Vec<Point>,
}

/// What the production model was worth when so many labels were bought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Labels bought.
    pub labels: u64,
    /// Its KPI on the test split.
    pub value: f64,
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// The workflow is wrong, as it stands or with a strategy in it.
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
    /// Labels cost there.
    #[error(
        "{} is a production workflow; simulate needs run.mode = \"development\", where a labelled data set plays the annotator", file.display()
    )]
    Production {
        /// The workflow file.
        file: PathBuf,
    },
    /// A text that is no strategy, or one that cannot be built.
    #[error("--strategies: {text:?}: {}", problems.join("; "))]
    Strategy {
        /// As it was given.
        text: String,
        /// What is wrong.
        problems: Vec<String>,
    },
    /// A comparison with itself.
    #[error("--strategies: {strategy} is listed twice; remove one")]
    Twice {
        /// Which.
        strategy: String,
    },
    /// Nothing to do.
    #[error("--seeds is 0; at least 1 is needed, and 2 for standard errors")]
    NoSeeds,
    /// The pool cannot be read.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// An oracle that does not know.
    #[error(
        "{count} samples of the pool have no label, {sample} is the first; simulate needs them all: remove these samples or label them"
    )]
    Unlabelled {
        /// How many.
        count: usize,
        /// The first.
        sample: SampleId,
    },
    /// Nothing measures the models.
    #[error("the pool has no test split to measure models on; set pool.test, for example to 0.3")]
    NoTest,
    /// The engine could not run a campaign.
    #[error("{strategy}, seed {seed}")]
    Engine {
        /// Which strategy.
        strategy: String,
        /// Which seed.
        seed: u64,
        /// Why.
        #[source]
        source: Box<EngineError>,
    },
    /// A campaign ended early.
    #[error("{strategy}, seed {seed}: {cause}")]
    Failed {
        /// Which strategy.
        strategy: String,
        /// Which seed.
        seed: u64,
        /// Why.
        cause: String,
    },
    /// The campaigns' own files.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The results have nowhere to go.
    #[error("could not write to {}: make it writable or choose another --out", path.display())]
    Out {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The machine gave no thread, temporary folder or runtime.
    #[error("could not start a campaign")]
    Start(#[source] io::Error),
    /// Stopped from outside.
    #[error("interrupted: nothing was written")]
    Interrupted,
}
