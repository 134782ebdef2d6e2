//! Annotators that the oracle plays: they know the truth and are wrong now and then, so that a workflow can be tried out
//! with the label noise that people make.

use crate::domain::chance::Chance;
use crate::domain::ids::{CycleNumber, SampleId};

/// The name of the annotator of this number, from 1.
#[must_use]
pub fn name(number: usize) -> String {
    format!("annotator-{number}")
}

/// What an annotator says of a sample of class `truth`: another class with the probability `noise`, each of them as
/// probably as the others. The same annotator says the same of the same sample, whenever it is asked.
#[must_use]
pub fn answer(
    truth: u32,
    classes: u32,
    noise: f64,
    seed: u64,
    annotator: &str,
    sample: &SampleId,
) -> u32 {
    let purpose = format!("answer of {annotator}");
    let chance = Chance { seed, cycle: CycleNumber(0), purpose: &purpose };
    if classes < 2 || chance.unit(sample.as_str()) >= noise {
        return truth;
    }
    let purpose = format!("mistake of {annotator}");
    let chance = Chance { seed, cycle: CycleNumber(0), purpose: &purpose };
    let others = u64::from(classes - 1);
    // Below the number of classes.
    let drawn = u32::try_from(chance.draw(sample.as_str()) % others).unwrap_or(0);
    if drawn < truth { drawn } else { drawn + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_as_frequent_as_asked_and_spread_over_the_other_classes() {
        let mut said = [0_u32; 4];
        for number in 0..10_000 {
            let sample = SampleId::from(format!("s{number}"));
            let class = answer(2, 4, 0.3, 7, "annotator-1", &sample);
            assert_eq!(class, answer(2, 4, 0.3, 7, "annotator-1", &sample));
            said[class as usize] += 1;
        }
        // Standard deviations: 46 for the truth, 30 for each other class.
        assert!((6_800..7_200).contains(&said[2]), "{said:?}");
        assert!([said[0], said[1], said[3]].iter().all(|n| (850..1_150).contains(n)), "{said:?}");
    }

    #[test]
    fn annotators_are_wrong_about_different_samples() {
        let wrong = |annotator: &str| -> Vec<u32> {
            let samples = (0..200).map(|number| SampleId::from(format!("s{number}")));
            samples.map(|sample| answer(0, 2, 0.2, 7, annotator, &sample)).collect()
        };
        assert_ne!(wrong("annotator-1"), wrong("annotator-2"));
        assert!(answer(0, 1, 0.9, 7, "annotator-1", &"s".into()) == 0);
    }
}
