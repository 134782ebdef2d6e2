//! The audit: whether the record is whole, and what it proves. Reads, and changes nothing.
//!
//! | part | what it does |
//! |---|---|
//! | [`replay`] | a run at any point of its log, and how two points differ |
//! | [`verify`] | every event, every pick, every label and every artifact of a store, held against each other |

pub mod replay;
pub mod verify;
