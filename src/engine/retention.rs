//! Artifacts that are no longer kept: recorded first, removed then.

use super::{Engine, EngineError};
use crate::domain::command::Command;
use crate::domain::digest::Digest;
use crate::domain::event::{ArtifactsRemoved, RemovedArtifact};
use crate::domain::ids::RunId;
use crate::domain::time::Timestamp;

impl Engine {
    /// Records in the log of a run that is over that these artifacts of it are no longer kept, as `policy` says. Durable when
    /// it returns. The files are still there: they may go, by [`Artifacts::remove`](crate::artifacts::Artifacts::remove), once
    /// every run that names them has it on record.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if the run is not over or is pinned, or something of it is still needed: a model that was in
    /// production, for example.
    pub async fn record_removal(
        &self,
        run: RunId,
        removed: Vec<RemovedArtifact>,
        policy: String,
    ) -> Result<(), EngineError> {
        let at = self.inner.clock.now();
        self.change(run, Command::RemoveArtifacts(ArtifactsRemoved { removed, policy, at })).await
    }

    /// The artifacts that hold events of a run, as [`Store::payloads`](crate::store::Store::payloads) tells.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the log cannot be read.
    pub async fn payloads(&self, run: RunId) -> Result<Vec<Digest>, EngineError> {
        Ok(self.inner.store.payloads(run).await?)
    }

    /// When an artifact of a run was removed, as its log says; `None` where it was not.
    ///
    /// # Errors
    /// As [`Engine::status`].
    pub async fn removed(
        &self,
        run: RunId,
        artifact: &Digest,
    ) -> Result<Option<Timestamp>, EngineError> {
        let live = self.inner.live(run).await?;
        let live = live.lock().await;
        Ok(live.run.removed.get(artifact).copied())
    }
}
