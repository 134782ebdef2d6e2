//! Notes that other programs signed, and what must not be taken for one.

use super::*;
use quickcheck::quickcheck;

// The keys, text and signatures of the tests of golang.org/x/mod/sumdb/note.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SEED: [u8; 32] = [
    0x81, 0x0a, 0x14, 0x02, 0xd5, 0x14, 0x6c, 0x8d, 0x84, 0xf2, 0x44, 0x33, 0x30, 0xf5, 0x40, 0x80,
    0xeb, 0xf9, 0x8e, 0xe1, 0x7d, 0x9c, 0x74, 0xf6, 0x25, 0x2f, 0xc5, 0xd5, 0xc7, 0x28, 0x31, 0x73,
];
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
const PETER_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH_LINE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn peter() -> SignerKey {
    SignerKey::from_seed("PeterNeumann".parse().unwrap(), &PETER_SEED).unwrap()
}

fn known(keys: &[&str]) -> Vec<VerifierKey> {
    keys.iter().map(|key| key.parse().unwrap()).collect()
}

fn parse(note: &str) -> Result<Note, NoteError> {
    Note::parse(note.as_bytes())
}

#[test]
fn a_signed_note_is_the_one_that_go_writes() {
    let mut note = Note::new(TEXT).unwrap();
    note.sign(&peter()).unwrap();
    assert_eq!(note.to_string(), format!("{TEXT}\n{PETER_LINE}"));
    // Signing again changes nothing; a second key's signature comes below.
    note.sign(&peter()).unwrap();
    assert_eq!(note.to_string(), format!("{TEXT}\n{PETER_LINE}"));
    note.sign(&SignerKey::generate("b".parse().unwrap()).unwrap()).unwrap();
    assert!(note.to_string().starts_with(&format!("{TEXT}\n{PETER_LINE}— b ")));
}

#[test]
fn known_keys_are_believed_and_unknown_ones_ignored() {
    let note = parse(&format!("{TEXT}\n{PETER_LINE}{ENOCH_LINE}")).unwrap();
    assert_eq!(note.text(), TEXT);
    for keys in [vec![PETER], vec![ENOCH], vec![PETER, ENOCH], vec![PETER, PETER, ENOCH]] {
        let known = known(&keys);
        let signers: Vec<String> =
            note.verify(&known).unwrap().iter().map(|key| key.to_string()).collect();
        let mut once = keys.clone();
        once.dedup();
        assert_eq!(signers, once);
    }
    let twice = parse(&format!("{TEXT}\n{PETER_LINE}{PETER_LINE}")).unwrap();
    assert_eq!(twice.verify(&known(&[PETER])).unwrap().len(), 1);
    let unknown = known(&["sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"]);
    let refused = note.verify(&unknown).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "signed by no known key (1 known), but by PeterNeumann+c74f20a3, EnochRoot+af0cfe78"
    );
    assert!(note.verify(&[]).is_err());
}

#[test]
fn the_example_of_the_form_is_read() {
    // An earlier version of c2sp.org/signed-note.
    let note = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let keys = known(&["example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"]);
    assert_eq!(parse(note).unwrap().verify(&keys).unwrap(), [&keys[0]]);
    // Its present version, with empty lines in the text.
    let note = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let parsed = parse(note).unwrap();
    assert!(parsed.text().ends_with("sole:\n\ned è subito sera.\n"));
    assert_eq!(parsed.signatures()[0].id().to_string(), "367ba04b");
    assert_eq!(parsed.to_string(), note);
}

#[test]
fn one_false_signature_of_a_known_key_spoils_the_note() {
    let forged = PETER_LINE.replace("JkuBS9UG", "JkuBS9UH");
    for note in [format!("{TEXT}\n{ENOCH_LINE}{forged}"), format!("{TEXT}\n{PETER_LINE}{forged}")] {
        let refused = parse(&note).unwrap().verify(&known(&[PETER, ENOCH])).unwrap_err();
        assert!(
            matches!(&refused, NoteError::Forged { name, .. } if name.as_str() == "PeterNeumann")
        );
    }
    // Of an unknown key: not ours to judge.
    let note = parse(&format!("{TEXT}\n{ENOCH_LINE}{forged}")).unwrap();
    assert_eq!(note.verify(&known(&[ENOCH])).unwrap().len(), 1);
}

#[test]
fn a_key_of_the_same_name_or_the_same_id_is_another_key() {
    let other = SignerKey::from_seed("PeterNeumann".parse().unwrap(), &[1; 32]).unwrap();
    let note = parse(&format!("{TEXT}\n{PETER_LINE}")).unwrap();
    let refused = note.verify(&[other.verifier().clone()]).unwrap_err();
    assert!(matches!(refused, NoteError::Unknown { known: 1, .. }), "{refused}");
    let renamed = PETER_LINE.replace("PeterNeumann", "PeterNeumanm");
    let note = parse(&format!("{TEXT}\n{renamed}")).unwrap();
    assert!(matches!(note.verify(&known(&[PETER])), Err(NoteError::Unknown { .. })));
}

#[test]
fn what_is_no_note_is_refused() {
    let line = PETER_LINE;
    let many = line.repeat(SIGNATURES_MAX + 1);
    for (note, expected) in [
        (String::new(), NoteError::Unsigned),
        (TEXT.to_owned(), NoteError::Unsigned),
        (format!("{TEXT}\n"), NoteError::Unsigned),
        (format!("{TEXT}\n{}", line.trim_end()), NoteError::Unsigned),
        (format!("{TEXT}{line}"), NoteError::Unsigned),
        (format!("\n{line}"), NoteError::Unsigned),
        (format!("{TEXT}\n{line}Unexpected line.\n"), NoteError::Line { number: 2 }),
        (format!("{TEXT}\n{line}\n"), NoteError::Unsigned),
        (format!("{TEXT}\n- PeterNeumann x08g\n"), NoteError::Line { number: 1 }),
        (format!("{TEXT}\n— PeterNeumann x08go/Y\n"), NoteError::Line { number: 1 }),
        (format!("{TEXT}\n— PeterNeumann x08gow==\n"), NoteError::Line { number: 1 }),
        (format!("{TEXT}\n— Peter Neumann x08go/Y=\n"), NoteError::Line { number: 1 }),
        (format!("{TEXT}\n—  x08go/Y=\n"), NoteError::Line { number: 1 }),
        (format!("{TEXT}\n— a+b x08go/Y=\n"), NoteError::Line { number: 1 }),
        (format!("{TEXT}\n{many}"), NoteError::Many),
        (format!("\u{1}{TEXT}\n{line}"), NoteError::Characters),
        (format!("{TEXT}\n{}", line.replace('\n', "\r\n")), NoteError::Characters),
        (
            format!("{}{TEXT}\n{line}", "x".repeat(NOTE_MAX)),
            NoteError::Length { length: NOTE_MAX + TEXT.len() + 1 + line.len() },
        ),
    ] {
        let shown: String = note.chars().take(300).collect();
        assert_eq!(parse(&note).unwrap_err(), expected, "{shown:?}");
    }
    assert_eq!(Note::parse(b"\xff\n\n").unwrap_err(), NoteError::Characters);
    assert!(parse(&format!("{TEXT}\n{}", line.repeat(SIGNATURES_MAX))).is_ok());
    assert_eq!(Note::new("abc").unwrap_err(), NoteError::Unended);
    assert_eq!(Note::new("").unwrap_err(), NoteError::Unended);
    assert_eq!(Note::new("a\tb\n").unwrap_err(), NoteError::Characters);
}

#[test]
fn a_full_note_takes_no_further_signature_and_stays_as_it_was() {
    let mut note = Note::new(TEXT).unwrap();
    for number in 0..SIGNATURES_MAX {
        note.sign(&SignerKey::generate(format!("key{number}").parse().unwrap()).unwrap()).unwrap();
    }
    let full = note.clone();
    assert_eq!(note.sign(&peter()), Err(NoteError::Many));
    assert_eq!(note, full);
    let mut long = Note::new("x".repeat(NOTE_MAX - 1) + "\n").unwrap();
    assert!(matches!(long.sign(&peter()), Err(NoteError::Length { .. })));
    assert!(long.signatures().is_empty());
}

#[test]
fn any_other_byte_anywhere_is_refused() {
    let whole = format!("{TEXT}\n{PETER_LINE}");
    let keys = known(&[PETER]);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let believed = Note::parse(&bytes).and_then(|note| note.verify(&keys).map(drop));
            assert!(believed.is_err(), "byte {at} bit {bit}");
        }
        assert!(Note::parse(&whole.as_bytes()[..at]).is_err());
    }
}

quickcheck! {
    fn any_text_comes_back(lines: Vec<String>) -> bool {
        let text: String = lines.iter().map(|line| line.replace(|c| c < ' ', "") + "\n").collect();
        let text = text + "\n";
        let mut note = Note::new(text.clone()).unwrap();
        note.sign(&peter()).unwrap();
        let read = parse(&note.to_string()).unwrap();
        read == note && read.text() == text && read.verify(&[peter().verifier().clone()]).is_ok()
    }

    fn any_bytes_are_a_note_or_an_error(bytes: Vec<u8>, cut: usize) -> bool {
        let whole = format!("{TEXT}\n{PETER_LINE}");
        let mut mixed = whole.into_bytes();
        mixed.truncate(cut % 250);
        mixed.extend(&bytes);
        [bytes, mixed].iter().all(|bytes| {
            Note::parse(bytes).is_ok_and(|note| note.to_string().as_bytes() == bytes) || Note::parse(bytes).is_err()
        })
    }
}
