//! Setting an engine up: what a host may choose, and what is chosen where it does not.

use super::clock::{Clock, SystemClock};
use super::reactor::Reactor;
use super::{Engine, Inner, reactors};
use crate::artifacts::Artifacts;
use crate::data_selector::Strategy;
use crate::domain::job::JobKind;
use crate::inference::InstallPolicy;
use crate::store::Store;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};

/// Notices that a slow watcher may lag behind before it misses some; a cycle makes about a hundred.
const NOTICES: usize = 1024;

/// Sets an engine up.
#[must_use]
pub struct EngineBuilder {
    store: Arc<dyn Store>,
    artifacts: Artifacts,
    clock: Arc<dyn Clock>,
    reactors: BTreeMap<JobKind, Arc<dyn Reactor>>,
    limits: BTreeMap<JobKind, usize>,
    workers: usize,
    name: String,
    grace: Duration,
    install: InstallPolicy,
    strategies: BTreeMap<String, Arc<dyn Strategy>>,
}

impl EngineBuilder {
    pub(super) fn new(store: Arc<dyn Store>, artifacts: Artifacts) -> Self {
        Self {
            store,
            artifacts,
            clock: Arc::new(SystemClock),
            reactors: reactors::built_in(),
            // A training uses every core by itself; the other steps are short.
            limits: JobKind::ALL
                .into_iter()
                .map(|kind| (kind, if kind == JobKind::Train { 1 } else { 2 }))
                .collect(),
            workers: 2,
            name: format!("process {}", std::process::id()),
            grace: Duration::from_secs(10),
            install: InstallPolicy::Forbidden,
            strategies: BTreeMap::new(),
        }
    }

    /// Another clock than the machine's.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Another reactor for one kind of job than the built-in one.
    pub fn reactor(mut self, kind: JobKind, reactor: impl Reactor + 'static) -> Self {
        self.reactors.insert(kind, Arc::new(reactor));
        self
    }

    /// How many jobs of one kind are worked on at once, over all runs; at least one.
    pub fn limit(mut self, kind: JobKind, most: usize) -> Self {
        self.limits.insert(kind, most.max(1));
        self
    }

    /// How many jobs are worked on at once; at least one.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// What this engine is called in leases and records.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How long a stopping engine waits for steps that do not notice the interruption.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Whether a run that finds no inference runtime may install one.
    pub fn install(mut self, install: InstallPolicy) -> Self {
        self.install = install;
        self
    }

    /// A strategy of the host's own, which workflows call `custom(name="NAME")`. Runs that use it can only be worked on by
    /// engines that have it.
    pub fn strategy(mut self, name: impl Into<String>, strategy: impl Strategy + 'static) -> Self {
        self.strategies.insert(name.into(), Arc::new(strategy));
        self
    }

    /// The engine. Nothing runs until [`Engine::run`].
    pub fn build(self) -> Engine {
        Engine {
            inner: Arc::new(Inner {
                store: self.store,
                artifacts: self.artifacts,
                clock: self.clock,
                reactors: self.reactors,
                limits: self.limits,
                workers: self.workers,
                name: self.name.into(),
                grace: self.grace,
                install: self.install,
                strategies: Arc::new(self.strategies),
                runs: tokio::sync::Mutex::default(),
                pools: Mutex::default(),
                memories: Mutex::default(),
                steps: Mutex::default(),
                wake: Notify::new(),
                notices: broadcast::channel(NOTICES).0,
                housekeeping: tokio::sync::Mutex::default(),
            }),
        }
    }
}
