//! The door through which time and ids enter. Tests close it and move time by hand.

use crate::domain::time::Timestamp;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Tells the time and mints ids.
pub trait Clock: Send + Sync {
    /// Now, as people tell the time; what events are recorded with. May jump when the machine's clock is set.
    fn now(&self) -> Timestamp;

    /// Now, for leases and retries: about the same, but it goes on evenly for as long as the process lives, so that setting
    /// the machine's clock neither ends a lease nor puts off a retry.
    fn steady(&self) -> Timestamp {
        self.now()
    }

    /// A new id (UUIDv7): later ones sort after earlier ones.
    fn mint(&self) -> Uuid;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[expect(clippy::disallowed_methods, reason = "this is the door")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(chrono::Utc::now().timestamp_micros())
    }

    fn steady(&self) -> Timestamp {
        static START: OnceLock<(Timestamp, Instant)> = OnceLock::new();
        let (start, since) = START.get_or_init(|| (self.now(), Instant::now()));
        start.plus(since.elapsed())
    }

    fn mint(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// A clock that follows tokio's, which tests can pause and move, and that mints the same ids every time.
#[derive(Debug)]
pub struct VirtualClock {
    epoch: tokio::time::Instant,
    minted: AtomicU64,
}

impl VirtualClock {
    /// 2026-01-01, when the clock was made.
    const START: Timestamp = Timestamp(1_767_225_600_000_000);

    /// A clock whose first id is number `first`, so that two clocks in one test mint different ids.
    ///
    /// # Panics
    /// Outside a tokio runtime with its clock paused, tokio may panic.
    #[must_use]
    pub fn starting_at(first: u64) -> Self {
        let epoch = tokio::time::Instant::now();
        Self { epoch, minted: AtomicU64::new(first) }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Self::START.plus(self.epoch.elapsed())
    }

    fn mint(&self) -> Uuid {
        let number = self.minted.fetch_add(1, Ordering::Relaxed);
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        let millis = u64::try_from(self.now().0 / 1000).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &[0, 0, a, b, c, d, e, f, g, h])
            .into_uuid()
    }
}

/// Waits until `instant` has come by `clock`, but never less than a moment, so that a due job which nobody may take yet (its
/// kind is at its limit) does not make its waiters spin.
pub(super) async fn wait_until(clock: &dyn Clock, instant: Option<Timestamp>) {
    const MOMENT: Duration = Duration::from_millis(20);
    match instant {
        Some(instant) => tokio::time::sleep(instant.since(clock.steady()).max(MOMENT)).await,
        None => std::future::pending().await,
    }
}
