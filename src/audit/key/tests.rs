//! Keys against those that other programs made, and every way to damage their text.

use super::*;

/// From the documentation of golang.org/x/mod/sumdb/note.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_PRIVATE: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

#[test]
fn keys_are_those_of_other_programs() {
    let key = SignerKey::from_private_text(PETER_PRIVATE).unwrap();
    assert_eq!(key.verifier().to_string(), PETER);
    assert_eq!(*key.to_private_text(), PETER_PRIVATE);
    assert_eq!(&PETER.parse::<VerifierKey>().unwrap(), key.verifier());
    // The seed 0, 1, .. 31, with Python's hashlib, base64 and cryptography.
    let seed = std::array::from_fn(|place| u8::try_from(place).unwrap());
    let key = SignerKey::from_seed("gleaner.example/runs".parse().unwrap(), &seed).unwrap();
    assert_eq!(
        key.verifier().to_string(),
        "gleaner.example/runs+21f06cb9+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    );
    assert_eq!(
        *key.to_private_text(),
        "PRIVATE+KEY+gleaner.example/runs+21f06cb9+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
    );
    // The checksum database of Go, from its client; and the example of an earlier version of c2sp.org/signed-note.
    for text in [
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ] {
        assert_eq!(text.parse::<VerifierKey>().unwrap().to_string(), text);
    }
}

#[test]
fn a_damaged_key_is_refused() {
    fn check(text: &str, reads: impl Fn(&str) -> bool) {
        assert!(reads(text));
        for from in 0..text.len() {
            for to in from..=text.len() {
                assert!(!reads(&text[from..to]) || to - from == text.len(), "{from} to {to}");
            }
            for other in (0..=127).filter(|other| *other != text.as_bytes()[from]) {
                let mut bytes = text.as_bytes().to_vec();
                bytes[from] = other;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(!reads(&changed), "{changed}");
            }
        }
        assert!(!reads(&format!("{text} ")) && !reads(&format!(" {text}")));
    }
    check(PETER, |text| text.parse::<VerifierKey>().is_ok());
    check(PETER_PRIVATE, |text| SignerKey::from_private_text(text).is_ok());
}

#[test]
fn a_key_of_the_wrong_kind_is_named_as_such() {
    for (text, expected) in [
        (PETER_PRIVATE, KeyError::NotPublic),
        // Both from the tests of golang.org/x/mod/sumdb/note, with ids that fit.
        (
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            KeyError::NotVerifier,
        ),
        (
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            KeyError::Algorithm(101),
        ),
        (&PETER.replace("c74f", "C74F"), KeyError::Id),
        (&PETER.replace("PeterN", "Peter N"), KeyError::Name),
        ("a+b", KeyError::NotVerifier),
        ("", KeyError::NotVerifier),
        // The neutral element of the curve: every text has a signature for it that anybody can write.
        ("a+00000000+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", KeyError::Point),
    ] {
        assert_eq!(text.parse::<VerifierKey>().unwrap_err(), expected, "{text}");
    }
    assert_eq!(SignerKey::from_private_text(PETER).unwrap_err(), KeyError::NotPrivate);
}

#[test]
fn names_that_would_break_a_line_are_refused() {
    for name in ["", " ", "a b", "a\u{2003}b", "a\u{a0}b", "a\nb", "a+b", "a\0b"] {
        assert_eq!(name.parse::<KeyName>(), Err(KeyError::Name), "{name:?}");
    }
    for name in ["a", "example.org/runs", "Größe/日本", "—"] {
        assert_eq!(name.parse::<KeyName>().unwrap().to_string(), name);
    }
    let longest: KeyName = "é".repeat(NAME_MAX / 2).parse().unwrap();
    let key = SignerKey::generate(longest).unwrap();
    assert!(SignerKey::from_private_text(&key.to_private_text()).is_ok());
    let longer = "é".repeat(NAME_MAX / 2 + 1).parse().unwrap();
    assert_eq!(SignerKey::generate(longer).unwrap_err(), KeyError::NameLength { length: 258 });
}

#[test]
fn two_keys_are_never_the_same() {
    let make = || SignerKey::generate("a".parse().unwrap()).unwrap();
    assert_ne!(make().verifier(), make().verifier());
}

#[test]
fn the_private_part_is_never_shown() {
    let key = SignerKey::from_private_text(PETER_PRIVATE).unwrap();
    assert_eq!(format!("{key:?}"), "SignerKey(PeterNeumann+c74f20a3, private)");
    let secret = &PETER_PRIVATE[PETER_PRIVATE.len() - 44..];
    for text in [
        PETER_PRIVATE.to_owned(),
        PETER_PRIVATE.replace("PRIVATE+KEY+", ""),
        PETER_PRIVATE.replace("c74f20a3", "c74f20a4"),
        PETER_PRIVATE.replace("PeterNeumann+", ""),
        PETER_PRIVATE.replace("+c74f20a3+", "+"),
        format!("{PETER_PRIVATE}="),
    ] {
        let errors = [
            text.parse::<VerifierKey>().map(|key| key.to_string()),
            text.parse::<KeyName>().map(|name| name.to_string()),
            SignerKey::from_private_text(&text).map(|key| format!("{key:?}")),
        ];
        for said in errors.iter().map(|error| format!("{error:?} {error:#?}")) {
            assert!(!said.contains(&secret[..20]) && !said.contains(&secret[20..]), "{said}");
        }
    }
}
