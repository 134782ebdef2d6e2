//! Promises, tested from outside; one module for each kind of promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test that does not hold ends in a panic, whatever came instead, and one that cannot run says so"
)]

mod architecture;
mod backbone;
mod backup;
mod bad_input;
mod beside_the_kpi;
mod bundle;
mod cli;
mod conformance;
mod crash;
mod disk_trouble;
mod domain;
mod engine;
mod erase;
mod explain;
mod export;
mod forks;
mod golden;
mod hostile;
mod kept_workflow;
mod kill;
mod kpi_bias;
mod label_quality;
mod lease_walk;
mod mlflow;
mod models;
mod program;
mod repair;
mod report;
mod retention;
mod samples;
mod selection;
mod selftest;
mod shipped;
mod simulate;
mod sled_store;
mod support;
mod tasks;
mod training;
mod verify;
