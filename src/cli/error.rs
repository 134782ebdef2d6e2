//! What a subcommand can fail with, and the exit code that says so.

use crate::audit::erase::EraseError;
use crate::audit::export::ExportError;
use crate::control::ControlError;
use crate::engine::EngineError;
use crate::inference::InferenceError;
use crate::mlflow::MlflowError;
use crate::selftest::SelftestError;
use crate::simulate::SimulateError;
use crate::store::StoreError;
use crate::workflow::WorkflowError;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
    #[error("cannot use the workflow {}", file.display())]
    Start { file: PathBuf, source: EngineError },
    #[error("no models can be run on this machine")]
    Runtime(#[from] InferenceError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(
        "{} is in use by {holder}: `status`, `log`, `replay`, `diff`, `export`, `jobs`, `pause` and `cancel` work beside it, another `run` needs another --state",
        path.display()
    )]
    InUse { path: PathBuf, holder: String },
    #[error(transparent)]
    Store(StoreError),
    #[error("{} holds no runs: start one with `gleaner run WORKFLOW`, or name its directory with --state", path.display())]
    NoState { path: PathBuf },
    #[error(transparent)]
    Erase(EraseError),
    #[error(transparent)]
    Selftest(#[from] SelftestError),
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    #[error(transparent)]
    Mlflow(#[from] MlflowError),
    #[error("nothing is exported to {}", to.display())]
    Export { to: PathBuf, source: ExportError },
    #[error("{0}")]
    Refused(String),
    #[error("input or output failed")]
    Io(#[source] std::io::Error),
    /// Whoever read our output has gone; nothing is left to say.
    #[error("nobody reads the output")]
    BrokenPipe,
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        if let StoreError::Locked { path, holder } = error {
            return Self::InUse { path, holder };
        }
        Self::Store(error)
    }
}

impl From<EraseError> for CliError {
    fn from(error: EraseError) -> Self {
        if let EraseError::Store(error) = error { error.into() } else { Self::Erase(error) }
    }
}

impl CliError {
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::BrokenPipe => 0,
            Self::Workflow(_) | Self::NoState { .. } | Self::Refused(_) => 2,
            Self::Start { source, .. } => engine_code(source, 2),
            Self::Engine(error) => engine_code(error, 1),
            Self::Control(ControlError::Engine(error)) => engine_code(error, 2),
            Self::Control(ControlError::NotWhole { .. }) => 5,
            Self::Control(ControlError::Copy { .. }) => 1,
            Self::Control(_) => 2,
            Self::Erase(error) => erase_code(error),
            Self::InUse { .. } => 4,
            Self::Store(error) | Self::Selftest(SelftestError::Store(error)) => store_code(error),
            Self::Selftest(SelftestError::Engine(error)) => engine_code(error, 1),
            Self::Simulate(error) => simulate_code(error),
            Self::Mlflow(error) => 1 + u8::from(error.is_wrong_usage()),
            Self::Export { source, .. } => export_code(source),
            Self::Selftest(_) | Self::Runtime(_) | Self::Io(_) => 1,
        })
    }
}

fn erase_code(error: &EraseError) -> u8 {
    if let EraseError::Store(error) = error {
        return store_code(error);
    }
    let asked_wrongly = matches!(error, EraseError::Refused { .. } | EraseError::Unknown { .. });
    1 + u8::from(asked_wrongly)
}

fn engine_code(error: &EngineError, otherwise: u8) -> u8 {
    match error {
        EngineError::Store(error) => store_code(error),
        EngineError::Artifact(_)
        | EngineError::IllegalLog { .. }
        | EngineError::UnreadableWorkflow { .. } => 5,
        EngineError::Contended { .. } => 1,
        EngineError::Pool(_)
        | EngineError::Inference(_)
        | EngineError::Answers(_)
        | EngineError::Refused(_)
        | EngineError::Contradiction { .. }
        | EngineError::CycleNotOver { .. }
        | EngineError::UnknownRun { .. }
        | EngineError::Ended { .. } => otherwise,
    }
}

const fn export_code(error: &ExportError) -> u8 {
    match error {
        ExportError::NotBuilt | ExportError::NoCoco { .. } | ExportError::NoSides => 2,
        ExportError::Artifact { .. } | ExportError::MaskSize { .. } => 5,
        ExportError::Write(_) => 1,
    }
}

fn simulate_code(error: &SimulateError) -> u8 {
    match error {
        SimulateError::Workflow(_)
        | SimulateError::Production { .. }
        | SimulateError::Strategy { .. }
        | SimulateError::Twice { .. }
        | SimulateError::NoSeeds
        | SimulateError::Pool(_)
        | SimulateError::Unlabelled { .. }
        | SimulateError::NoTest
        | SimulateError::Out { .. } => 2,
        SimulateError::Engine { source, .. } => engine_code(source, 2),
        SimulateError::Failed { .. } => 3,
        SimulateError::Artifacts(_) | SimulateError::Start(_) => 1,
        SimulateError::Interrupted => 130,
    }
}

const fn store_code(error: &StoreError) -> u8 {
    match error {
        StoreError::Locked { .. } => 4,
        StoreError::Damaged { .. }
        | StoreError::TooNew { .. }
        | StoreError::Link { .. }
        | StoreError::NotWritable { .. }
        | StoreError::Backend { .. }
        | StoreError::Poisoned { .. } => 5,
        StoreError::NoSuchJob { .. } => 2,
        StoreError::Conflict { .. }
        | StoreError::Closed { .. }
        | StoreError::TooLong { .. }
        | StoreError::Fenced { .. } => 1,
    }
}
