//! When a target is met.

use super::definition::Direction;
use serde::{Deserialize, Serialize};

/// A confidence interval, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// What a measurement says about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval reaches the target.
    Met,
    /// No part of the interval reaches it.
    Missed,
    /// The interval holds values on both sides.
    Inconclusive,
}

/// Compares an interval with a target.
#[must_use]
pub fn verdict(interval: Interval, target: f64, direction: Direction) -> Verdict {
    let (worst, best) = match direction {
        Direction::Max => (interval.low, interval.high),
        Direction::Min => (-interval.high, -interval.low),
    };
    let target = match direction {
        Direction::Max => target,
        Direction::Min => -target,
    };
    if worst >= target {
        Verdict::Met
    } else if best < target {
        Verdict::Missed
    } else {
        Verdict::Inconclusive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_inside_the_interval_is_inconclusive() {
        let interval = Interval { low: 0.90, high: 0.97 };
        assert_eq!(verdict(interval, 0.95, Direction::Max), Verdict::Inconclusive);
        assert_eq!(verdict(interval, 0.90, Direction::Max), Verdict::Met);
        assert_eq!(verdict(interval, 0.98, Direction::Max), Verdict::Missed);
        assert_eq!(verdict(interval, 0.97, Direction::Min), Verdict::Met);
        assert_eq!(verdict(interval, 0.89, Direction::Min), Verdict::Missed);
    }
}
