//! The audit: whether the record is whole, what it proves, and what may be gone of it. Reads a store; only [`erase`] changes
//! something, and removes files.
//!
//! | part | what it does |
//! |---|---|
//! | [`replay`] | a run at any point of its log, and how two points differ |
//! | [`selection`] | why a sample was picked or not, the same batch again, another strategy's batch |
//! | [`erase`] | what is kept of a sample, and how it is forgotten |
//! | [`retention`] | which artifacts may go |
//! | [`verify`] | every event, every pick, every label and every artifact of a store, held against each other |
//! | [`merkle`] | proofs that a record is in a log, and that a log only grew: roots, which need no log to check |
//! | [`checkpoint`] | how long a log was and its root, signed: what shows that its end was cut off, if it is kept elsewhere |
//! | [`tree`] | the tree over the records of a store |
//! | [`note`] | a text, and who signed it |
//! | [`key`] | whose key it is, and the file where its private half lies |
//!
//! A chain of hashes shows that a record in the middle changed. It does not show that the end was cut off: what is left is a
//! whole chain. A signed root that is kept elsewhere does.
//!
//! **Not here yet:** the bundle, forks, exports, the report. All but [`verify`] and [`key::file`] is bytes and
//! values in, bytes and values out.

mod base64;
pub mod checkpoint;
mod ed25519;
pub mod erase;
pub mod key;
pub mod merkle;
pub mod note;
pub mod replay;
pub mod retention;
pub mod selection;
pub mod tree;
pub mod verify;
