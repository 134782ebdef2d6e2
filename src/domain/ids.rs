//! Who is who: one newtype for every id and every counter.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// One execution of a workflow (UUIDv7).
    RunId
);
uuid_id!(
    /// One recorded event (UUIDv7).
    EventId
);
uuid_id!(
    /// One unit of work (UUIDv7).
    JobId
);

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter!(
    /// A turn of the loop, from 1.
    CycleNumber(u32)
);
counter!(
    /// An event's place in its cycle's log, from 0. As an *expected revision*: how many events the log must hold.
    Revision(u64)
);
counter!(
    /// An event's place among all events of a store, from 1; no gaps.
    Position(u64)
);

impl Position {
    /// No store has so many events: what claims a place beyond is damage.
    pub const MAX: Self = Self(u64::MAX / 2);
}

counter!(
    /// Grows with every lease a store hands out. A result that carries an older token than the job's is refused.
    FencingToken(u64)
);
counter!(
    /// Grows with every opening of a store. Leases of earlier epochs belong to dead processes.
    Epoch(u64)
);

/// The log of one cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CycleId {
    /// The run it belongs to.
    pub run: RunId,
    /// Which of its cycles.
    pub cycle: CycleNumber,
}

impl fmt::Display for CycleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run, self.cycle)
    }
}

// Each name is copied several times on its way through a log. Copies of `SmolStr` allocate nothing, nor do short ones when
// they are read.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(SmolStr);

        impl $name {
            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A sample's stable name in its pool, for example `digits-0042`.
    SampleId
);
name!(
    /// Who holds a lease, for people: host, process and worker number.
    WorkerId
);
name!(
    /// Who did something, or what was measured. Reads like a text; copies are cheap.
    Name
);

impl std::ops::Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_named_by_its_run_and_its_number() {
        let cycle = CycleId { run: RunId(Uuid::from_u128(7)), cycle: CycleNumber(3) };
        assert_eq!(cycle.to_string(), "00000000-0000-0000-0000-000000000007/3");
    }
}
