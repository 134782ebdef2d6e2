//! "Did you mean ...?": the known word that is nearest to a mistyped one.

/// The word of `known` most like `word`, case aside: one slip away (a letter missing, added, changed or swapped), or else a
/// Jaro-Winkler similarity of at least 0.7; the first of equals.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long texts are no typing mistakes, and comparing them would take quadratic time.
    let lower = (word.len() <= 64).then(|| word.to_lowercase())?;
    let mut best: Option<(f64, &str)> = None;
    for candidate in known.into_iter().filter(|candidate| candidate.len() <= 64) {
        let candidate_lower = candidate.to_lowercase();
        let one_slip = strsim::damerau_levenshtein(&lower, &candidate_lower) <= 1;
        let likeness = if one_slip { 1.0 } else { strsim::jaro_winkler(&lower, &candidate_lower) };
        if likeness >= 0.7 && best.is_none_or(|(highest, _)| likeness > highest) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word_and_nonsense_does_not() {
        let known = ["strategy", "batch", "seed_batch", "audit_fraction"];
        assert_eq!(nearest("stratgey", known), Some("strategy"));
        assert_eq!(nearest("Batch", known), Some("batch"));
        assert_eq!(nearest("audit", known), Some("audit_fraction"));
        assert_eq!(nearest("dgo", ["cat", "dog"]), Some("dog"));
        assert_eq!(nearest("cot", ["cat", "cut"]), Some("cat"), "the first of equals");
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest(&"strategy".repeat(100), known), None);
    }
}
