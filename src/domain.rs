//! The pure middle: what can happen in active learning, and the rules about it.
//!
//! Nothing in here does IO, reads a clock, draws chance from outside, or knows tokio. Everything is a value or a
//! function from values to values, so every rule can be tested without a disk.
//!
//! | question | file |
//! |---|---|
//! | how are things identified? | [`ids`], [`digest`] |
//! | what can happen? | [`event`] |
//! | what does a log add up to, and which event may follow which? | [`state`] |
//! | do two logs mean the same? | [`meaning`] |
//! | what may be done now, and what follows? | [`decide`], [`command`] |
//! | what is a unit of work, when is it tried again? | [`job`] |
//! | when is a target met? | [`kpi`] |
//! | when does a run end? | [`stop`] |
//! | what did the workflow ask for? | [`definition`] |
//! | what is learnt, and how do labels look? | [`task`], [`label`], [`labelled_set`] |
//! | what can a model be measured by? | [`metric`] |
//! | what is a selection strategy called, and what does it take? | [`strategy`] |
//! | how are numbers held? | [`matrix`], [`rows`], [`table`], [`npy`] |
//! | where does chance come from? | [`chance`] |
//! | how are old events read? | [`upcast`] |
//! | which word was meant? | [`nearest`] |

mod canonical;
pub mod chance;
pub mod command;
pub mod decide;
pub mod definition;
pub mod digest;
pub mod event;
pub mod ids;
pub mod job;
pub mod kpi;
pub mod label;
pub mod labelled_set;
pub mod matrix;
pub mod meaning;
pub mod metric;
pub mod nearest;
pub mod npy;
pub mod rows;
pub mod state;
pub mod stop;
pub mod strategy;
pub mod table;
pub mod task;
pub mod time;
pub mod upcast;
