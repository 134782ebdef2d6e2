//! Gleaner closes the active-learning loop by itself, and can prove what it did.
//!
//! A workflow says what to learn; the engine turns it into cycles: choose the samples worth labelling, get them labelled,
//! measure, train when needed, choose the best model, start again. Each cycle is an append-only, hash-chained event log
//! in an embedded store; each step is a leased job. A crash at any instant costs at most the step in hand.
//!
//! ```text
//!            +------------------------------------------------------------------------------------+
//!            v                                                                                    |
//! CycleStarted -> BatchSelected -> Annotated* -> KpiChecked(gate) --met----------------------> CycleEnded
//!                                                     |                                           ^
//!                                                missed / gate off                                |
//!                                                     v                                           |
//!                                                  Trained -> ModelSelected -> KpiChecked(acceptance)
//! ```
//!
//! **What it is not:** a labelling tool, a training framework, or a distributed scheduler. One process owns a state
//! directory at a time.
//!
//! **Limits today:** pools from CSV and Parquet must fit in memory (`.npy`, JSON lines and images need not); labels of other
//! tasks than classification come from CSV and `.npy` files; an oracle as annotator; small networks as built-in graphs, larger
//! ones from a program or a frozen backbone.
//!
//! # Embedding it
//!
//! ```no_run
//! use gleaner::engine::Engine;
//! use gleaner::store::sled::{SledOptions, SledStore};
//! use std::{path::Path, sync::Arc};
//!
//! # async fn host() -> Result<(), Box<dyn std::error::Error>> {
//! let store = SledStore::open(Path::new(".gleaner"), SledOptions::default())?;
//! let artifacts = store.artifacts().clone();
//! let engine = Engine::builder(Arc::new(store), artifacts).build();
//!
//! let definition = gleaner::workflow::load(Path::new("workflows/digits.toml"), &[])?;
//! let run = engine.start(definition, Path::new("workflows")).await?; // recorded: survives a crash from here on
//! let done = async { drop(engine.settled(run).await) };
//! engine.run(done).await?; // or until the host shuts down
//! println!("{:?}", engine.status(run).await?.ended);
//! # Ok(())
//! # }
//! ```
//!
//! # Where things live
//!
//! | to find | open |
//! |---|---|
//! | what can happen, and every rule about it (pure) | [`domain`] |
//! | the workflow file | [`workflow`] |
//! | what is promised about storage, and the backends | [`store`], [`artifacts`] |
//! | how programs outside of it are run and ended | [`program`] |
//! | what a failing disk does to each durable step | [`faults`] |
//! | where work that blocks is done | `blocking` |
//! | the loop itself, leases, the six steps | [`engine`] |
//! | samples | [`pool`] |
//! | running ONNX models, finding libonnxruntime | [`inference`] |
//! | how a batch is picked | [`data_selector`] |
//! | who labels, how far labels can be trusted | [`annotation`] |
//! | data loader, graph, agent, ONNX export, programs that train | [`training`] |
//! | which checkpoint goes to production | [`model_selector`] |
//! | metrics, intervals, comparisons, learning curves | [`metrics`] |
//! | production models in an MLflow registry | [`mlflow`] |
//! | whether the record is whole, and what it proves | [`audit`] |
//! | strategies side by side on a labelled pool | [`simulate`] |
//! | learning curves as pictures | [`chart`] |
//! | whether this disk keeps what is acknowledged | [`selftest`] |
//! | the command line, and the second terminal | [`cli`], [`control`] |
//!
//! Arrows go one way: `cli -> engine -> store, artifacts, capabilities -> domain`. Capabilities know neither each other nor
//! the store; a test (`tests/it/architecture.rs`) holds that.

pub mod annotation;
pub mod artifacts;
pub mod audit;
mod blocking;
pub mod chart;
pub mod cli;
pub mod control;
pub mod data_selector;
pub mod domain;
pub mod engine;
pub mod faults;
pub mod inference;
pub mod metrics;
pub mod mlflow;
pub mod model_selector;
pub mod pool;
pub mod program;
pub mod selftest;
pub mod simulate;
pub mod store;
pub mod telemetry;
pub mod training;
pub mod workflow;
