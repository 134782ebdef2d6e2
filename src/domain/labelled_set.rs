//! A set of labels, as the bytes that its digest is of: kept in order while labels come, so that the digest of a set that grew
//! costs what hashing it costs.

use super::digest::Digest;
use super::ids::SampleId;
use super::label::Label;

/// What is known of which samples. A later label of a sample takes the place of an earlier one.
#[derive(Debug, Clone, Default)]
pub struct LabelledSet {
    /// `length of id || id || label` of each sample, in the order of ids.
    bytes: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
    /// The room of the set before: the next one is written there, and nothing allocated.
    spare: (Vec<u8>, Vec<usize>),
}

impl LabelledSet {
    /// Takes in more labels. Costs a copy of the bytes, however few come.
    pub fn extend<'a>(&mut self, labels: impl IntoIterator<Item = (&'a SampleId, Label)>) {
        let mut new: Vec<(&SampleId, Label)> = labels.into_iter().collect();
        new.sort_by_key(|(sample, _)| *sample);
        let (bytes, starts) = std::mem::take(&mut self.spare);
        let mut grown = Self { bytes, starts, spare: Default::default() };
        grown.bytes.clear();
        grown.starts.clear();
        let mut copied = 0;
        let mut new = new.into_iter().peekable();
        while let Some((sample, label)) = new.next() {
            if new.peek().is_some_and(|(next, _)| *next == sample) {
                continue; // a later one follows
            }
            let rest = self.starts.get(copied..).unwrap_or_default();
            let before = rest.partition_point(|&start| self.id(start) < sample.as_str().as_bytes());
            let place = copied.saturating_add(before);
            grown.copy(self, copied, place);
            let known = self
                .starts
                .get(place)
                .is_some_and(|&start| self.id(start) == sample.as_str().as_bytes());
            copied = place.saturating_add(usize::from(known));
            grown.push(sample, label);
        }
        grown.copy(self, copied, self.starts.len());
        let before = std::mem::replace(self, grown);
        self.spare = (before.bytes, before.starts);
    }

    /// SHA-256 over `length of id || id || label` in the order of ids, integers big-endian.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The id that stands at `start`, behind its length.
    fn id(&self, start: usize) -> &[u8] {
        let (length, rest) = self
            .bytes
            .get(start..)
            .and_then(|bytes| bytes.split_first_chunk::<8>())
            .unwrap_or((&[0; 8], &[]));
        let length = usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX);
        rest.get(..length).unwrap_or_default()
    }

    fn push(&mut self, sample: &SampleId, label: Label) {
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(&(sample.as_str().len() as u64).to_be_bytes());
        self.bytes.extend_from_slice(sample.as_str().as_bytes());
        label.write(&mut self.bytes);
    }

    /// Appends the samples of `other` from the place `first` up to the place `end`.
    fn copy(&mut self, other: &Self, first: usize, end: usize) {
        let start = |place: usize| other.starts.get(place).copied().unwrap_or(other.bytes.len());
        let (from, to, at) = (start(first), start(end), self.bytes.len());
        let starts = other.starts.get(first..end).unwrap_or_default();
        self.starts.extend(starts.iter().map(|&start| start - from + at));
        self.bytes.extend_from_slice(other.bytes.get(from..to).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeMap;

    quickcheck! {
        fn a_set_that_grew_is_the_set(steps: Vec<Vec<(u8, u32)>>) -> bool {
            let mut grown = LabelledSet::default();
            let mut known = BTreeMap::new();
            for step in steps {
                let name = |sample: u8| SampleId::from("abc".repeat(usize::from(sample % 3)) + &sample.to_string());
                let step: Vec<(SampleId, Label)> =
                    step.into_iter().map(|(sample, class)| (name(sample), Label::Class(class))).collect();
                grown.extend(step.iter().map(|(sample, label)| (sample, *label)));
                known.extend(step);
            }
            let mut bytes = Vec::new();
            for (sample, label) in &known {
                bytes.extend((sample.as_str().len() as u64).to_be_bytes());
                bytes.extend(sample.as_str().bytes());
                label.write(&mut bytes);
            }
            grown.digest() == Digest::of(&bytes)
        }
    }
}
