//! The audit: whether the record is whole, and what it proves. Reads, and changes nothing.
//!
//! | part | what it does |
//! |---|---|
//! | [`verify`] | every event, every pick, every label and every artifact of a store, held against each other |

pub mod verify;
