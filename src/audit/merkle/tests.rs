//! Roots and proofs against the published answers, against RFC 6962's own definitions, and against liars.

use super::*;
use quickcheck::quickcheck;

/// The leaves of the tests of certificate-transparency, and the roots of the trees of the first 0 to 8 of them
/// (transparency-dev/merkle, `testonly/constants.go`).
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const H1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const H4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const H23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const H45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const H67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const H4567: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

/// A log: its leaves, and the head of each of its prefixes.
struct Log {
    leaves: Vec<Leaf>,
    heads: Vec<TreeHead>,
}

impl Log {
    fn of(leaves: impl IntoIterator<Item = Leaf>) -> Self {
        let leaves: Vec<Leaf> = leaves.into_iter().collect();
        let mut frontier = Frontier::default();
        let mut heads = vec![frontier.head()];
        for leaf in &leaves {
            frontier.append(*leaf);
            heads.push(frontier.head());
        }
        Self { leaves, heads }
    }

    fn counted(size: u64) -> Self {
        Self::of((0..size).map(|index| Leaf::of(&index.to_be_bytes())))
    }

    fn leaf(&self, index: u64) -> Result<Leaf, ProofError> {
        let size = self.leaves.len() as u64;
        usize::try_from(index)
            .ok()
            .and_then(|at| self.leaves.get(at).copied())
            .ok_or(ProofError::Outside { index, size })
    }

    fn included(&self, index: usize, size: usize) -> Vec<Digest> {
        inclusion_proof(index as u64, size as u64, |at| self.leaf(at)).unwrap()
    }

    fn consistent(&self, old: usize, new: usize) -> Vec<Digest> {
        consistency_proof(old as u64, new as u64, |at| self.leaf(at)).unwrap()
    }
}

// RFC 6962, section 2.1, word for word: slow, and nothing of it is shared with what is tested.

fn split(leaves: &[Leaf]) -> (&[Leaf], &[Leaf]) {
    let mut k = 1;
    while k * 2 < leaves.len() {
        k *= 2;
    }
    leaves.split_at(k)
}

fn mth(leaves: &[Leaf]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [leaf] => leaf.0,
        _ => {
            let (left, right) = split(leaves);
            let bytes =
                [&[1], mth(left).as_bytes().as_slice(), mth(right).as_bytes().as_slice()].concat();
            Digest::of(&bytes)
        }
    }
}

fn path(m: usize, leaves: &[Leaf]) -> Vec<Digest> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = split(leaves);
    if m < left.len() {
        [path(m, left), vec![mth(right)]].concat()
    } else {
        [path(m - left.len(), right), vec![mth(left)]].concat()
    }
}

fn subproof(m: usize, leaves: &[Leaf], known: bool) -> Vec<Digest> {
    if m == leaves.len() {
        return if known { Vec::new() } else { vec![mth(leaves)] };
    }
    let (left, right) = split(leaves);
    if m <= left.len() {
        [subproof(m, left, known), vec![mth(right)]].concat()
    } else {
        [subproof(m - left.len(), right, false), vec![mth(left)]].concat()
    }
}

fn hex(hashes: &[Digest]) -> Vec<String> {
    hashes.iter().map(Digest::to_string).collect()
}

#[test]
fn roots_and_proofs_are_those_of_certificate_transparency() {
    let log = Log::of(LEAVES.map(Leaf::of));
    for (head, root) in log.heads.iter().zip(ROOTS) {
        assert_eq!(head.root.to_string(), root, "{} leaves", head.size);
    }
    for (index, size, expected) in [
        (0, 1, vec![]),
        (0, 8, vec![H1, H23, H4567]),
        (5, 8, vec![H4, H67, ROOTS[4]]),
        (2, 3, vec![ROOTS[2]]),
        (1, 5, vec![ROOTS[1], H23, H4]),
    ] {
        assert_eq!(hex(&log.included(index, size)), expected, "leaf {index} of {size}");
    }
    for (old, new, expected) in [
        (1, 1, vec![]),
        (1, 8, vec![H1, H23, H4567]),
        (6, 8, vec![H45, H67, ROOTS[4]]),
        (2, 5, vec![H23, H4]),
    ] {
        assert_eq!(hex(&log.consistent(old, new)), expected, "{old} to {new}");
    }
}

#[test]
fn the_root_of_a_thousand_leaves_is_that_of_another_program() {
    // Worked out by a Python script from the definition: the leaves are SHA-256("0") to SHA-256("999").
    let records = (0..1000).map(|number: u32| Digest::of(number.to_string().as_bytes()));
    let log = Log::of(records.map(|record| Leaf::of(record.as_bytes())));
    assert_eq!(
        log.heads[1000].root.to_string(),
        "3b93b70ed68de7847cfafb398f3df0cf232fe05dfb117f8a8cf9dc31990ddb3b"
    );
}

#[test]
fn roots_are_those_of_the_definition_and_memory_stays_small() {
    let log = Log::counted(300);
    let mut frontier = Frontier::default();
    for (size, head) in log.heads.iter().enumerate() {
        assert_eq!(*head, TreeHead { size: size as u64, root: mth(&log.leaves[..size]) });
        assert_eq!(frontier.complete.len(), size.count_ones() as usize);
        if let Some(leaf) = log.leaves.get(size) {
            frontier.append(*leaf);
        }
    }
}

#[test]
fn every_leaf_of_every_tree_is_proved_as_the_definition_does() {
    let log = Log::counted(130);
    for size in 1..=130 {
        for index in 0..size {
            let proof = log.included(index, size);
            assert_eq!(proof, path(index, &log.leaves[..size]), "leaf {index} of {size}");
            verify_inclusion(log.leaves[index], index as u64, &log.heads[size], &proof).unwrap();
        }
    }
}

#[test]
fn every_pair_of_trees_is_proved_as_the_definition_does() {
    let log = Log::counted(130);
    for new in 0..=130 {
        for old in 0..=new {
            let proof = log.consistent(old, new);
            if old > 0 {
                assert_eq!(proof, subproof(old, &log.leaves[..new], true), "{old} to {new}");
            }
            verify_consistency(&log.heads[old], &log.heads[new], &proof).unwrap();
        }
    }
}

#[test]
fn leaves_are_asked_for_once_and_in_order() {
    let log = Log::counted(77);
    for at in 0..77 {
        let mut asked = Vec::new();
        let note = |index| {
            asked.push(index);
            log.leaf(index)
        };
        inclusion_proof(at, 77, note).unwrap();
        let others: Vec<u64> = (0..77).filter(|index| *index != at).collect();
        assert_eq!(asked, others);

        let mut asked = Vec::new();
        let note = |index| {
            asked.push(index);
            log.leaf(index)
        };
        consistency_proof(at, 77, note).unwrap();
        assert!(asked.is_sorted_by(|a, b| a < b), "{asked:?}");
    }
}

/// `digest` with one bit of byte `at` turned over.
fn flipped(digest: Digest, at: usize) -> Digest {
    let mut bytes = *digest.as_bytes();
    bytes[at] ^= 1 << (at % 8);
    Digest::from_bytes(bytes)
}

#[test]
fn one_wrong_byte_anywhere_is_refused() {
    let log = Log::counted(21);
    for size in 1..=21 {
        let tree = log.heads[size];
        for index in 0..size {
            let (leaf, proof) = (log.leaves[index], log.included(index, size));
            let index = index as u64;
            for byte in 0..32 {
                let wrong = TreeHead { root: flipped(tree.root, byte), ..tree };
                assert!(verify_inclusion(leaf, index, &wrong, &proof).is_err());
                let wrong = Leaf(flipped(leaf.0, byte));
                assert!(verify_inclusion(wrong, index, &tree, &proof).is_err());
                for place in 0..proof.len() {
                    let mut wrong = proof.clone();
                    wrong[place] = flipped(wrong[place], byte);
                    assert!(verify_inclusion(leaf, index, &tree, &wrong).is_err());
                }
            }
            for wrong in (0..=40).filter(|wrong| *wrong != index) {
                assert!(verify_inclusion(leaf, wrong, &tree, &proof).is_err(), "{index} {wrong}");
            }
        }
    }
    for new in 1..=21 {
        for old in 1..new {
            let (before, after) = (log.heads[old], log.heads[new]);
            let proof = log.consistent(old, new);
            for byte in 0..32 {
                let wrong = TreeHead { root: flipped(before.root, byte), ..before };
                assert!(verify_consistency(&wrong, &after, &proof).is_err());
                let wrong = TreeHead { root: flipped(after.root, byte), ..after };
                assert!(verify_consistency(&before, &wrong, &proof).is_err());
                for place in 0..proof.len() {
                    let mut wrong = proof.clone();
                    wrong[place] = flipped(wrong[place], byte);
                    assert!(verify_consistency(&before, &after, &wrong).is_err());
                }
            }
        }
    }
}

/// How many hashes a proof has follows from the sizes: another number is said to be that, whatever they hash to.
#[test]
fn a_proof_that_lost_or_gained_a_hash_is_refused() {
    fn check(proof: &[Digest], verify: impl Fn(&[Digest]) -> Result<(), ProofError>) {
        verify(proof).unwrap();
        for place in 0..=proof.len() {
            let mut longer = proof.to_vec();
            longer.insert(place, Digest::ZERO);
            let refused = verify(&longer);
            assert!(matches!(refused, Err(ProofError::Length { .. })), "{refused:?}");
        }
        for place in 0..proof.len() {
            let mut shorter = proof.to_vec();
            shorter.remove(place);
            let refused = verify(&shorter);
            assert!(matches!(refused, Err(ProofError::Length { .. })), "{refused:?}");
        }
    }
    let log = Log::counted(40);
    for size in 1..=40 {
        for at in 0..size {
            check(&log.included(at, size), |proof| {
                verify_inclusion(log.leaves[at], at as u64, &log.heads[size], proof)
            });
            check(&log.consistent(at, size), |proof| {
                verify_consistency(&log.heads[at], &log.heads[size], proof)
            });
        }
    }
}

/// A wrong size beside the right root is refused unless the proof has the same shape in both trees, which only a
/// signature over size and root together rules out. The right root of the wrong size is refused always.
#[test]
fn a_wrong_size_passes_only_where_the_path_has_the_same_shape() {
    /// Which way the path turns, from the leaf upwards.
    fn turns(index: u64, size: u64) -> Vec<bool> {
        let (mut tree, mut turns) = (0..size, Vec::new());
        while tree.end - tree.start > 1 {
            let middle = middle(&tree);
            turns.insert(0, index < middle);
            tree = if index < middle { tree.start..middle } else { middle..tree.end };
        }
        turns
    }
    let log = Log::counted(40);
    for size in 1..=40 {
        for index in 0..size {
            let proof = log.included(index, size);
            for wrong in (index + 1..=40).filter(|wrong| *wrong != size) {
                let (leaf, index) = (log.leaves[index], index as u64);
                assert!(verify_inclusion(leaf, index, &log.heads[wrong], &proof).is_err());
                let lied = TreeHead { size: wrong as u64, root: log.heads[size].root };
                let passes = verify_inclusion(leaf, index, &lied, &proof).is_ok();
                assert_eq!(passes, turns(index, size as u64) == turns(index, wrong as u64));
            }
        }
        for old in 1..size {
            let proof = log.consistent(old, size);
            for wrong in (1..size).filter(|wrong| *wrong != old) {
                assert!(verify_consistency(&log.heads[wrong], &log.heads[size], &proof).is_err());
                let lied = TreeHead { size: wrong as u64, root: log.heads[old].root };
                assert!(verify_consistency(&lied, &log.heads[size], &proof).is_err());
            }
        }
    }
}

#[test]
fn a_log_that_was_rewritten_does_not_continue_the_old_one() {
    let honest = Log::counted(64);
    for changed in 0..30 {
        let mut leaves = honest.leaves.clone();
        leaves[changed] = Leaf::of(b"another record");
        let rewritten = Log::of(leaves);
        for old in changed + 1..=30 {
            let proof = rewritten.consistent(old, 64);
            let refused = verify_consistency(&honest.heads[old], &rewritten.heads[64], &proof);
            assert!(matches!(refused, Err(ProofError::Root { .. })), "{refused:?}");
        }
    }
}

#[test]
fn a_tree_without_its_end_is_said_to_be_cut() {
    let log = Log::counted(9);
    let refused = verify_consistency(&log.heads[9], &log.heads[7], &[]).unwrap_err();
    assert_eq!(refused, ProofError::Shrunk { old: 9, new: 7 });
    assert!(refused.to_string().contains("cut off"));
    let refused = consistency_proof(9, 7, |at| log.leaf(at)).unwrap_err();
    assert_eq!(refused, ProofError::Shrunk { old: 9, new: 7 });
    // Same size, other root: the sizes do not tell, the roots do.
    let forged = TreeHead { root: Digest::ZERO, ..log.heads[9] };
    assert!(verify_consistency(&log.heads[9], &forged, &[]).is_err());
    assert!(verify_consistency(&TreeHead { size: 0, root: Digest::ZERO }, &forged, &[]).is_err());
}

#[test]
fn absurd_sizes_end_at_once() {
    let root = Digest::ZERO;
    let sizes = [0, 1, 2, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX];
    let proofs = [0, 1, 62, 63, 64, 65, 66, 1000].map(|length| vec![root; length]);
    for size in sizes {
        for other in sizes {
            for proof in &proofs {
                let (tree, before) = (TreeHead { size, root }, TreeHead { size: other, root });
                let leaf = Leaf::of(b"");
                assert!(verify_inclusion(leaf, other, &tree, proof).is_err());
                let same = size == other && proof.is_empty() && size > 0;
                assert_eq!(verify_consistency(&before, &tree, proof).is_ok(), same);
            }
            // A log that ends early ends the making of its proof.
            let short = |index| Err(ProofError::Outside { index, size: 0 });
            if size > 1 {
                assert!(inclusion_proof(other, size, short).is_err());
            }
            assert!(consistency_proof(other, size, short).is_err() || other == 0 || other == size);
        }
    }
}

#[test]
fn any_part_of_any_tree_is_proved_at_once_and_no_other() {
    for size in 1..=9_u64 {
        let log = Log::counted(size);
        for kept in 0..1_u64 << size {
            let mut known: Vec<Range<u64>> = Vec::new();
            for index in (0..size).filter(|index| kept >> index & 1 == 1) {
                match known.last_mut() {
                    Some(last) if last.end == index => last.end += 1,
                    _ => known.push(index..index + 1),
                }
            }
            let leaf = |index: u64| log.leaf(index);
            let leaves: Vec<Leaf> =
                known.iter().cloned().flatten().map(|index| leaf(index).unwrap()).collect();
            let head = log.heads[usize::try_from(size).unwrap()];
            let proof = partial_proof(size, &known, leaf).unwrap();
            verify_partial(&leaves, &known, &head, &proof).unwrap();
            for place in 0..leaves.len() {
                let mut wrong = leaves.clone();
                wrong[place] = Leaf::of(b"another");
                assert!(verify_partial(&wrong, &known, &head, &proof).is_err());
            }
            for place in 0..proof.len() {
                let mut wrong = proof.clone();
                wrong[place] = flipped(wrong[place], place);
                assert!(verify_partial(&leaves, &known, &head, &wrong).is_err());
            }
            let long = [proof.as_slice(), &[Digest::ZERO]].concat();
            assert!(verify_partial(&leaves, &known, &head, &long).is_err());
            if let Some(last) = known.last_mut() {
                *last = last.start + 1..last.end + 1;
                assert!(verify_partial(&leaves, &known, &head, &proof).is_err());
            }
        }
    }
    let (all, head) = (u64::MAX, TreeHead { size: u64::MAX, root: Digest::ZERO });
    for absurd in [&[(0, all)][..], &[(0, all), (0, all)], &[(5, 5)], &[(3, 1)]] {
        let known: Vec<Range<u64>> = absurd.iter().map(|&(from, to)| from..to).collect();
        assert!(verify_partial(&[], &known, &head, &[]).is_err());
    }
}

quickcheck! {
    fn any_leaves_are_proved(entries: Vec<Vec<u8>>, index: usize) -> bool {
        let log = Log::of(entries.iter().map(|entry| Leaf::of(entry)));
        let size = entries.len();
        if size == 0 {
            return log.heads[0].root == mth(&[]);
        }
        let index = index % size;
        let included = log.included(index, size);
        let consistent = log.consistent(index, size);
        log.heads[size].root == mth(&log.leaves)
            && verify_inclusion(Leaf::of(&entries[index]), index as u64, &log.heads[size], &included).is_ok()
            && verify_consistency(&log.heads[index], &log.heads[size], &consistent).is_ok()
    }

    fn any_hashes_are_no_proof(index: u64, size: u64, old: u64, bytes: Vec<u8>) -> bool {
        let proof: Vec<Digest> = bytes.iter().map(|byte| Digest::of(&[*byte])).collect();
        let tree = TreeHead { size, root: Digest::ZERO };
        let before = TreeHead { size: old, root: Digest::of(b"before") };
        verify_inclusion(Leaf::of(&bytes), index, &tree, &proof).is_err()
            && verify_consistency(&before, &tree, &proof).is_err()
    }
}
