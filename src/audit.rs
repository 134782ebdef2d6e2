//! The audit: whether the record is whole, what it proves, and what may be gone of it. Reads a store; only [`erase`] changes
//! something, and removes files.
//!
//! | part | what it does |
//! |---|---|
//! | [`export`] | events and labels in the forms that other programs read |
//! | [`replay`] | a run at any point of its log, and how two points differ |
//! | [`explanation`] | why a sample was picked or not, and what came of its label |
//! | [`futures`] | what each cycle of two runs bought, cost and brought |
//! | [`selection`] | the same batch again, another strategy's batch |
//! | [`inferred`] | the same batch with its model run again |
//! | [`report`] | a run as one page: curve, checks, models, picks and why |
//! | [`erase`] | what is kept of a sample, and how it is forgotten |
//! | [`retention`] | which artifacts may go |
//! | [`verify`] | every event, every pick, every label and every artifact of a store, held against each other |
//! | [`merkle`] | proofs that a record is in a log, and that a log only grew: roots, which need no log to check |
//! | [`checkpoint`] | how long a log was and its root, signed: what shows that its end was cut off, if it is kept elsewhere |
//! | [`proof`] | proofs as texts, with the checkpoint that they lead to |
//! | [`bundle`] | a run in one file, which is verified without its store |
//! | [`tree`] | the tree over the records of a store |
//! | [`note`] | a text, and who signed it |
//! | [`key`] | whose key it is, and the file where its private half lies |
//!
//! A chain of hashes shows that a record in the middle changed. It does not show that the end was cut off: what is left is a
//! whole chain. A signed root that is kept elsewhere does.
//!
//! All but [`verify`], [`bundle`] and [`key::file`] is bytes and values in, bytes and values out.

pub(crate) mod base64;
pub mod bundle;
pub mod checkpoint;
mod ed25519;
pub mod erase;
pub mod explanation;
pub mod export;
pub mod futures;
pub mod inferred;
pub mod key;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod replay;
pub mod report;
pub mod retention;
pub mod selection;
pub mod tree;
pub mod verify;
