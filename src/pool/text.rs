//! Texts as rows of numbers: a hashed bag of words.
//!
//! The *hashing trick* of Weinberger et al. (arXiv 0902.2206): each word of a text, in lower case, adds 1 or -1 to one of
//! `width` numbers; which number and which sign are two hashes of the word, so that words that fall together cancel on
//! average, and no vocabulary has to be kept. The row then has length 1 (L2); a text without words is all zeros. A word is
//! a run of letters and digits. Only single words count: with a thousand numbers, pairs would mostly fall on words.

/// How many numbers a text becomes where the workflow says nothing.
pub(super) const WIDTH: usize = 1024;

/// Adds the row of `text` to `row`.
pub(super) fn hashed(text: &str, width: usize, row: &mut Vec<f32>) {
    let start = row.len();
    row.resize(start + width, 0.0);
    let Some(row) = row.get_mut(start..) else { return };
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash = hash(&word.to_lowercase());
        let place =
            usize::try_from((hash & u64::from(u32::MAX)) % width as u64).unwrap_or_default();
        if let Some(value) = row.get_mut(place) {
            *value += if hash >> 63 == 0 { 1.0 } else { -1.0 };
        }
    }
    // Small whole numbers: exact in any order.
    let square: f64 = row.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    if square > 0.0 {
        let length = square.sqrt();
        #[expect(clippy::cast_possible_truncation, reason = "at most 1")]
        row.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
}

/// FNV-1a over the word's bytes, then the finalizer of SplitMix64, so that every bit depends on every byte.
fn hash(word: &str) -> u64 {
    let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}
