//! Chance as a function: every random choice derives from (run seed, cycle, purpose, sample), never from call order.
//!
//! So results do not depend on thread count, and any draw can be derived again years later with `sha256sum`.

use super::digest::Digest;
use super::ids::CycleNumber;

/// Where the chance of one purpose in one cycle comes from.
#[derive(Debug, Clone, Copy)]
pub struct Chance<'a> {
    /// The run's seed.
    pub seed: u64,
    /// The cycle that draws; 0 for what happens before the first.
    pub cycle: CycleNumber,
    /// What the draw is for, so that two purposes never share numbers.
    pub purpose: &'a str,
}

impl Chance<'_> {
    /// A uniform 64-bit number for `key` (a sample id, for instance): the first 8 bytes, big-endian, of
    /// SHA-256(seed || cycle || length of purpose || purpose || key), all integers big-endian.
    #[must_use]
    pub fn draw(&self, key: &str) -> u64 {
        let digest = Digest::of_parts([
            self.seed.to_be_bytes().as_slice(),
            self.cycle.0.to_be_bytes().as_slice(),
            (self.purpose.len() as u64).to_be_bytes().as_slice(),
            self.purpose.as_bytes(),
            key.as_bytes(),
        ]);
        let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// A uniform number in [0, 1) for `key`, with 53 bits.
    #[must_use]
    pub fn unit(&self, key: &str) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let numerator = (self.draw(key) >> 11) as f64;
        numerator / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_every_part_and_on_nothing_else() {
        let base = Chance { seed: 7, cycle: CycleNumber(1), purpose: "audit" };
        let draw = base.draw("a");
        assert_eq!(draw, base.draw("a"));
        assert_ne!(draw, base.draw("b"));
        assert_ne!(draw, Chance { seed: 8, ..base }.draw("a"));
        assert_ne!(draw, Chance { cycle: CycleNumber(2), ..base }.draw("a"));
        assert_ne!(draw, Chance { purpose: "split", ..base }.draw("a"));
        assert_ne!(
            Chance { purpose: "ab", ..base }.draw("c"),
            Chance { purpose: "a", ..base }.draw("bc")
        );
    }

    #[test]
    fn units_fill_the_unit_interval_evenly() {
        let chance = Chance { seed: 1, cycle: CycleNumber(0), purpose: "test" };
        let mean = (0..10_000).map(|i| chance.unit(&i.to_string())).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
