//! How events of earlier versions are read: each version's events are turned into the next version's, up to today's.
//!
//! There is one version so far. A change of an event's fields adds the old shape here, an arm to [`upcast`], and a golden
//! log of the old version to `tests/golden/`.

use super::event::{EVENT_VERSION, Event};

/// An event as some version wrote it.
#[derive(Debug, Clone, PartialEq)]
pub enum Versioned {
    /// Version 1.
    V1(Event),
}

/// The versions that can be read.
pub const READABLE: std::ops::RangeInclusive<u16> = 1..=EVENT_VERSION;

/// The event as today's version has it.
#[must_use]
pub fn upcast(event: Versioned) -> Event {
    match event {
        Versioned::V1(event) => event,
    }
}
