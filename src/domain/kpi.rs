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

/// What a verdict looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The whole interval: what production needs, where a few lucky labels must not pass.
    Interval,
    /// The measured value alone: what development compares, on a fixed test split. Never inconclusive.
    Value,
}

/// Compares a measurement with a target.
#[must_use]
pub fn verdict(
    basis: Basis,
    value: f64,
    interval: Interval,
    target: f64,
    direction: Direction,
) -> Verdict {
    let interval = match basis {
        Basis::Interval => interval,
        Basis::Value => Interval { low: value, high: value },
    };
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
        let check = |target, direction| verdict(Basis::Interval, 0.95, interval, target, direction);
        assert_eq!(check(0.95, Direction::Max), Verdict::Inconclusive);
        assert_eq!(check(0.90, Direction::Max), Verdict::Met);
        assert_eq!(check(0.97, Direction::Max), Verdict::Inconclusive);
        assert_eq!(check(0.98, Direction::Max), Verdict::Missed);
        assert_eq!(check(0.97, Direction::Min), Verdict::Met);
        assert_eq!(check(0.89, Direction::Min), Verdict::Missed);
    }

    #[test]
    fn a_value_alone_is_never_inconclusive() {
        let interval = Interval { low: 0.90, high: 0.97 };
        let check = |target| verdict(Basis::Value, 0.95, interval, target, Direction::Max);
        assert_eq!(check(0.95), Verdict::Met);
        assert_eq!(check(0.951), Verdict::Missed);
    }
}
