//! The audit: whether the record is whole, and what it proves. Reads, and changes nothing.
//!
//! | part | what it does |
//! |---|---|
//! | [`replay`] | a run at any point of its log, and how two points differ |
//! | [`verify`] | every event, every pick, every label and every artifact of a store, held against each other |
//! | [`merkle`] | proofs that a record is in a log, and that a log only grew: roots, which need no log to check |
//!
//! A chain of hashes shows that a record in the middle changed. It does not show that the end was cut off: what is left is a
//! whole chain. A root over all records that is kept elsewhere does.
//!
//! **Not here yet:** what signs a root, the roots of a store (trees take values in and give values out), `explain`, `replay`, the bundle.

pub mod merkle;
pub mod replay;
pub mod verify;
