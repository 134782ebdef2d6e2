//! Base64 as notes and keys are written: the standard alphabet with padding, RFC 4648, section 4.
//!
//! One text for one value: what other decoders let pass (bits left over, line breaks, missing padding) is refused, so that a
//! signed text cannot be changed without changing what it says.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .enumerate()
            .fold(0, |bits, (place, byte)| bits | u32::from(*byte) << (16 - 8 * place));
        for place in 0..4 {
            let six = (bits >> (18 - 6 * place)) & 63;
            let letter = if place > group.len() { None } else { ALPHABET.get(six as usize) };
            text.push(char::from(letter.copied().unwrap_or(b'=')));
        }
    }
    text
}

/// The bytes of `text`; `None` if [`encode`] does not write it so.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    for (number, group) in groups.iter().enumerate() {
        let padding = group.iter().rev().take_while(|letter| **letter == b'=').count();
        if padding > 2 || padding > 0 && number + 1 < groups.len() {
            return None;
        }
        let mut bits = 0;
        for letter in group.iter().take(4 - padding) {
            bits = bits << 6 | value(*letter)?;
        }
        let [_, whole @ ..] = (bits << (6 * padding)).to_be_bytes();
        let (kept, left_over) = whole.split_at(3 - padding);
        if left_over.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

fn value(letter: u8) -> Option<u32> {
    match letter {
        b'A'..=b'Z' => Some(u32::from(letter - b'A')),
        b'a'..=b'z' => Some(u32::from(letter - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(letter - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    #[test]
    fn texts_are_those_of_the_rfc() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(encode(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn other_texts_for_the_same_bytes_are_refused() {
        for text in [
            "Zg", "Zg=", "Zg===", "Z===", "====", "=", "Zh==", "Zm9=", "Zm9v\n", "Zm 9", "Zm-_",
            "Zg==Zg==", "Z=g=", "Zm9vZg=A", "Zmé",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    quickcheck! {
        fn bytes_come_back(bytes: Vec<u8>) -> bool {
            decode(&encode(&bytes)) == Some(bytes)
        }

        fn one_text_for_one_value(text: String) -> bool {
            decode(&text).is_none_or(|bytes| encode(&bytes) == text)
        }

        fn letters_are_one_value_or_none(letters: Vec<u8>) -> bool {
            let text: String = letters.iter().map(|l| char::from(ALPHABET[usize::from(l % 64)])).collect();
            decode(&text).is_none_or(|bytes| encode(&bytes) == text)
        }
    }
}
