//! Who answers a subcommand: an engine opened here, or the process that has the state directory.

use super::error::CliError;
use crate::control::{self, Cursor, Request, Response};
use crate::domain::ids::RunId;
use crate::engine::{Engine, EngineBuilder};
use crate::inference::InstallPolicy;
use crate::store::sled::{SledOptions, SledStore};
use crate::store::{Recorded, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often, and how long each time, a process that has the state directory and does not answer is waited for: 2 s.
const TRIES: u32 = 40;
const WAIT: Duration = Duration::from_millis(50);

/// An open state directory, here or there.
pub(super) enum Session {
    /// This process has it.
    Here(Engine),
    /// Another process has it.
    There {
        /// Where.
        state: PathBuf,
        /// What to say if nobody answers.
        holder: StoreError,
    },
}

impl Session {
    /// Opens a state directory that exists, to look or to change something.
    pub(super) async fn open_to_ask(state: &Path) -> Result<Self, CliError> {
        Self::open(state, InstallPolicy::Forbidden).await
    }

    /// Opens a state directory that exists.
    pub(super) async fn open(state: &Path, install: InstallPolicy) -> Result<Self, CliError> {
        if !state.join("format").exists() && !state.join("log").exists() {
            return Err(CliError::NoState { path: state.to_owned() });
        }
        match engine(state).await {
            Ok(builder) => Ok(Self::Here(builder.install(install).build())),
            Err(error @ StoreError::Locked { .. }) => {
                Ok(Self::There { state: state.to_owned(), holder: error })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Has a request answered.
    pub(super) async fn ask(self, request: Request) -> Result<Response, CliError> {
        self.ask_again(request).await.map(|(_, response)| response)
    }

    /// Has a request answered, and keeps the session for the next one.
    ///
    /// A process that has just begun does not answer yet, and one that is about to end does so no more: then whoever has
    /// the state directory a moment later is asked.
    pub(super) async fn ask_again(self, request: Request) -> Result<(Self, Response), CliError> {
        let mut session = self;
        let mut tries = 0;
        loop {
            let (state, holder) = match session {
                Self::Here(engine) => {
                    let response = control::handle(&engine, request).await?;
                    return Ok((Self::Here(engine), response));
                }
                Self::There { state, holder } => (state, holder),
            };
            match control::ask(&state, &request).await {
                Some(Response::Refused(text)) => return Err(CliError::Refused(text)),
                Some(response) => return Ok((Self::There { state, holder }, response)),
                None if tries == TRIES => return Err(holder.into()),
                None => {}
            }
            tries += 1;
            tokio::time::sleep(WAIT).await;
            session = Self::open_to_ask(&state).await?;
        }
    }

    /// The records of a run from a place of its logs on, exactly as they are stored, and where the next ones are; none where
    /// the log ends now.
    pub(super) async fn records(
        self,
        run: RunId,
        from: Cursor,
    ) -> Result<(Self, Vec<Recorded>, Cursor), CliError> {
        if let Self::Here(engine) = self {
            let (records, next) = control::records_from(&engine, run, from).await?;
            return Ok((Self::Here(engine), records, next));
        }
        let request = Request::Records { run: run.to_string(), from };
        let (session, response) = self.ask_again(request).await?;
        let Response::Records { records, next } = response else {
            return Ok((session, Vec::new(), from));
        };
        Ok((session, control::decoded(&records)?, next))
    }

    /// Whether another process works on the runs.
    pub(super) const fn is_there(&self) -> bool {
        matches!(self, Self::There { .. })
    }
}

/// An engine on the state directory, which is created if it is missing.
pub(super) async fn engine(state: &Path) -> Result<EngineBuilder, StoreError> {
    let path = state.to_owned();
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&path, options())).await;
    let store = opened.map_err(|join| StoreError::Backend {
        operation: "open the state directory",
        outcome_unknown: false,
        source: Box::new(join),
    })??;
    let artifacts = store.artifacts().clone();
    Ok(Engine::builder(Arc::new(store), artifacts))
}

/// How this process opens a state directory.
pub(super) fn options() -> SledOptions {
    SledOptions { holder: holder(), ..SledOptions::default() }
}

/// This process, for whoever finds the state directory in use.
fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| format!(" on {}", name.trim()))
        .unwrap_or_default();
    let command: Vec<String> = std::env::args().skip(1).take(3).collect();
    format!("process {}{host} (gleaner {})", std::process::id(), command.join(" "))
}
