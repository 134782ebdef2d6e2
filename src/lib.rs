//! Gleaner.

pub mod annotation;
pub mod artifacts;
pub mod cli;
pub mod control;
pub mod data_selector;
pub mod domain;
pub mod engine;
pub mod inference;
pub mod metrics;
pub mod model_selector;
pub mod pool;
pub mod store;
pub mod telemetry;
pub mod training;
pub mod workflow;
