//! Checkpoints of real logs and of our own, and what must not be taken for one.

use super::*;
use crate::audit::key::SignerKey;
use crate::audit::merkle::{Frontier, Leaf, consistency_proof, verify_consistency};
use quickcheck::quickcheck;

const GO: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/// Two checkpoints of Go's checksum database, as its server gave them years apart.
const GO_EARLIER: &str = "go.sum database tree\n3935567\nSapHtgdNCeF00Cx8kqztePV24kgzNg++Xovae42HAMw=\n\n— sum.golang.org Az3grsm7Wm4CVNR1RHq9BFnu9jzcRlU2uw7lr0gfUWgO6+rqPNjT+fUTl9gH0NRTgdwW9nItuQSMbhSaLCsk8YeYSAs=\n";
const GO_LATER: &str = "go.sum database tree\n52544510\n+TGlZfnTizQCJgyZR56QixD8+X4dd8Wefy8U1w6k0Ig=\n\n— sum.golang.org Az3grn6d1PSjcypDf9bfcFVU5fvJB7VkLc0MAbz8jqeQVnSbAj9pKcsB5dJt5VdswPDUtiFar5LPRBu+uEQAT1CDfAc=\n";

const OURS: &str = "gleaner.example/runs";

// Made with Python's hashlib, base64 and cryptography: a tree of the 1000 leaves SHA-256("0") to SHA-256("999"), signed
// with the seeds 0, 1, .. 31 and 32, 33, .. 63; and the empty tree, signed with the first.
const SIGNED: &str = "gleaner.example/runs\n1000\nO5O3DtaN54R8+vs5jz3wzyMv4F37EX+KjPncMZkN2zs=\nfirst extension\nsecond\n\n— gleaner.example/runs IfBsuc+By0T7Ea3MIcBQR7h8jFNx7kfCaalfQqNKuaSBPzDjdGoc/0Jxy7pOs0S9rTyiLHA0z8C0Fp/aE5P2TkCZKQY=\n— witness.example fZUMB9+5H2LHfuY7BnmrQANCCbWFq+h6JGInBwUeTwC5+bKi5myMoLmWze/EzageeLdPmHogU+IxZvEP8vtOo8XrhQE=\n";
const EMPTY: &str = "gleaner.example/runs\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— gleaner.example/runs IfBsuWzURFsIMlu2r8+rBx1G+/Pe7KfY/gfHHc9Yy0Sv/SxsewT7mQ+jfEC2TtQwRdLHhce0gKB74VAEN3TJjTEj8gA=\n";

fn signer(name: &str, first: u8) -> SignerKey {
    let seed = std::array::from_fn(|place| first + u8::try_from(place).unwrap());
    SignerKey::from_seed(name.parse().unwrap(), &seed).unwrap()
}

fn ours() -> SignerKey {
    signer(OURS, 0)
}

fn known() -> [VerifierKey; 1] {
    [ours().verifier().clone()]
}

#[test]
fn checkpoints_of_a_real_log_are_believed() {
    let keys = [GO.parse().unwrap()];
    for (note, size) in [(GO_EARLIER, 3_935_567), (GO_LATER, 52_544_510)] {
        let checkpoint = Checkpoint::open(note.as_bytes(), "go.sum database tree", &keys).unwrap();
        assert_eq!(checkpoint.tree().size, size);
        assert!(note.starts_with(&checkpoint.to_string()));
    }
}

#[test]
fn what_is_written_is_what_another_program_writes() {
    let mut frontier = Frontier::default();
    let mut note = Checkpoint::new(OURS, frontier.head()).unwrap().to_note().unwrap();
    note.sign(&ours()).unwrap();
    assert_eq!(note.to_string(), EMPTY);

    for number in 0..1000 {
        let record = Digest::of(number.to_string().as_bytes());
        frontier.append(Leaf::of(record.as_bytes()));
    }
    let mut checkpoint = Checkpoint::new(OURS, frontier.head()).unwrap();
    checkpoint.extensions = vec!["first extension".to_owned(), "second".to_owned()];
    let mut note = checkpoint.to_note().unwrap();
    note.sign(&ours()).unwrap();
    note.sign(&signer("witness.example", 32)).unwrap();
    assert_eq!(note.to_string(), SIGNED);

    let opened = Checkpoint::open(SIGNED.as_bytes(), OURS, &known()).unwrap();
    assert_eq!(opened, checkpoint);
    assert_eq!(opened.extensions(), ["first extension", "second"]);
}

#[test]
fn any_other_byte_anywhere_is_refused() {
    // Without the witness, whom we do not know and who may write what they like.
    let whole = EMPTY.as_bytes();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << bit;
            assert!(Checkpoint::open(&bytes, OURS, &known()).is_err(), "byte {at} bit {bit}");
        }
        assert!(Checkpoint::open(&whole[..at], OURS, &known()).is_err());
    }
}

#[test]
fn a_checkpoint_of_another_log_is_refused() {
    let refused = Checkpoint::open(SIGNED.as_bytes(), "gleaner.example", &known()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the checkpoint is of \"gleaner.example/runs\", not of \"gleaner.example\": a key may sign for several logs"
    );
    let unknown = [GO.parse().unwrap()];
    let refused = Checkpoint::open(SIGNED.as_bytes(), OURS, &unknown).unwrap_err();
    assert!(matches!(refused, CheckpointError::Note(NoteError::Unknown { .. })), "{refused}");
}

#[test]
fn a_signed_text_that_is_no_checkpoint_is_refused() {
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for (text, line) in [
        ("\n".to_owned(), 2),
        (format!("\n0\n{root}\n"), 1),
        (format!("{OURS}\n"), 2),
        (format!("{OURS}\n\n{root}\n"), 2),
        (format!("{OURS}\n00\n{root}\n"), 2),
        (format!("{OURS}\n+1\n{root}\n"), 2),
        (format!("{OURS}\n-1\n{root}\n"), 2),
        (format!("{OURS}\n 1\n{root}\n"), 2),
        (format!("{OURS}\n0x1\n{root}\n"), 2),
        (format!("{OURS}\n18446744073709551616\n{root}\n"), 2),
        (format!("{OURS}\n1\n"), 3),
        (format!("{OURS}\n1\n{}\n", &root[..40]), 3),
        (format!("{OURS}\n1\n{}\n", root.replace('=', "")), 3),
        (format!("{OURS}\n1\nAAAA{root}\n"), 3),
        (format!("{OURS}\n1\n{root}\n\n"), 4),
        (format!("{OURS}\n1\n{root}\na\n\nb\n"), 5),
    ] {
        let mut note = Note::new(text.clone()).unwrap();
        note.sign(&ours()).unwrap();
        let refused = Checkpoint::open(note.to_string().as_bytes(), OURS, &known()).unwrap_err();
        assert!(
            matches!(refused, CheckpointError::Line { line: found, .. } if found == line),
            "{text:?}: {refused}"
        );
    }
    assert!(format!("{OURS}\n1\n{root}").parse::<Checkpoint>().is_err());
    assert!(Checkpoint::new("", Frontier::default().head()).is_err());
    assert!(Checkpoint::new("a\nb", Frontier::default().head()).is_err());
    let greatest = format!("{OURS}\n18446744073709551615\n{root}\n");
    assert_eq!(greatest.parse::<Checkpoint>().unwrap().tree().size, u64::MAX);
}

/// The reason why checkpoints leave the house: the chain that is left after a cut is whole.
#[test]
fn a_cut_tail_and_a_rewritten_record_show_against_a_checkpoint_kept_elsewhere() {
    let leaves: Vec<Leaf> = (0..50_u32).map(|number| Leaf::of(&number.to_be_bytes())).collect();
    let head = |leaves: &[Leaf]| {
        let mut frontier = Frontier::default();
        leaves.iter().for_each(|leaf| frontier.append(*leaf));
        frontier.head()
    };
    let mut note = Checkpoint::new(OURS, head(&leaves[..40])).unwrap().to_note().unwrap();
    note.sign(&ours()).unwrap();
    let kept = Checkpoint::open(note.to_string().as_bytes(), OURS, &known()).unwrap();

    let proves = |leaves: &[Leaf]| {
        let now = head(leaves);
        let leaf = |at: u64| Ok(leaves[usize::try_from(at).unwrap()]);
        consistency_proof(kept.tree().size, now.size, leaf)
            .and_then(|proof| verify_consistency(kept.tree(), &now, &proof))
    };
    for length in 0..=50 {
        assert_eq!(proves(&leaves[..length]).is_ok(), length >= 40, "cut to {length}");
    }
    for changed in 0..50 {
        let mut leaves = leaves.clone();
        leaves[changed] = Leaf::of(b"another record");
        assert_eq!(proves(&leaves).is_ok(), changed >= 40, "record {changed} changed");
    }
}

quickcheck! {
    fn any_checkpoint_comes_back(size: u64, root: String, origin: String, more: Vec<String>) -> bool {
        let clean = |text: &str| text.replace(|c| c < ' ', "") + "x";
        let tree = TreeHead { size, root: Digest::of(root.as_bytes()) };
        let mut checkpoint = Checkpoint::new(clean(&origin), tree).unwrap();
        checkpoint.extensions = more.iter().map(|line| clean(line)).collect();
        let mut note = checkpoint.to_note().unwrap();
        note.sign(&ours()).unwrap();
        Checkpoint::open(note.to_string().as_bytes(), checkpoint.origin(), &known()) == Ok(checkpoint)
    }

    fn any_text_is_a_checkpoint_or_an_error(text: String) -> bool {
        text.parse::<Checkpoint>().is_ok_and(|checkpoint| checkpoint.to_string() == text)
            || text.parse::<Checkpoint>().is_err()
    }
}
