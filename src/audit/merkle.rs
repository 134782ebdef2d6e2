//! The Merkle tree over the records of a store: roots, and proofs that a record is in it and that it only grew.
//!
//! Hashes are those of RFC 6962, section 2.1, with SHA-256:
//!
//! ```text
//! MTH({})      = SHA-256()
//! MTH({d})     = SHA-256(0x00 || d)
//! MTH(D[0:n])  = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n])),  k the largest power of two below n
//! ```
//!
//! so that any verifier of transparency logs can check them. What is a leaf is the caller's choice; for a store it is the
//! hash of a record, which covers its header and its payload.
//!
//! A size alone is not bound by a proof: a tree of 3 and one of 4 leaves have paths of the same shape to their first leaf.
//! Sizes and roots are believed because a checkpoint signs both, which is why they travel together, as a [`TreeHead`].

use crate::domain::digest::Digest;
use std::ops::Range;

const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];

/// The hash of a leaf, SHA-256(0x00 || entry): not to be mistaken for the entry, nor for the hash of two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf(Digest);

impl Leaf {
    /// The leaf of `entry`.
    #[must_use]
    pub fn of(entry: &[u8]) -> Self {
        Self(Digest::of_parts([LEAF, entry]))
    }
}

/// How many leaves a tree has, and its root: all there is to know of it for checking a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// The number of leaves.
    pub size: u64,
    /// The hash of the whole tree.
    pub root: Digest,
}

/// A tree that grows leaf by leaf and keeps one hash for each complete subtree: at most 64, whatever its size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The roots of the complete subtrees, the largest first: one for each bit of `size`.
    complete: Vec<Digest>,
}

impl Frontier {
    /// Adds a leaf at the right end.
    pub fn append(&mut self, leaf: Leaf) {
        let mut hash = leaf.0;
        // As in adding one to a binary number: each carry joins two subtrees of the same size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.complete.pop() {
                hash = node(&left, &hash);
            }
        }
        self.complete.push(hash);
        self.size += 1;
    }

    /// Size and root of the tree so far.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        let root = self.complete.iter().rev().copied().reduce(|right, left| node(&left, &right));
        TreeHead { size: self.size, root: root.unwrap_or_else(|| Digest::of(&[])) }
    }
}

/// Why a proof is refused, or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// No such leaf.
    #[error("leaf {index} is not in a tree of {size}: leaves are counted from 0")]
    Outside {
        /// Which leaf.
        index: u64,
        /// How many there are.
        size: u64,
    },
    /// The tree that should be the later one is the smaller one.
    #[error("a tree of {new} leaves cannot continue one of {old}: was the end cut off?")]
    Shrunk {
        /// The size before.
        old: u64,
        /// The size after.
        new: u64,
    },
    /// Too many hashes or too few.
    #[error("a proof of {have} hashes is too short or too long for a tree of {size} leaves")]
    Length {
        /// How many hashes it has.
        have: usize,
        /// How many leaves the tree has.
        size: u64,
    },
    /// The hashes do not add up.
    #[error("the proof leads to the root {found}, but the tree of {size} leaves has {expected}")]
    Root {
        /// How many leaves the tree has.
        size: u64,
        /// Its root.
        expected: Digest,
        /// Where the proof leads.
        found: Digest,
    },
}

/// The path from leaf `index` to the root of the first `size` leaves: PATH of RFC 6962, section 2.1.1.
///
/// Takes time in proportion to `size` and memory to its logarithm. `leaf` is asked for every other leaf once, in ascending order,
/// so that it may read a log from its start.
///
/// # Errors
/// [`ProofError::Outside`] if there is no such leaf, and whatever `leaf` fails with.
pub fn inclusion_proof<E: From<ProofError>>(
    index: u64,
    size: u64,
    leaf: impl FnMut(u64) -> Result<Leaf, E>,
) -> Result<Vec<Digest>, E> {
    if index >= size {
        return Err(ProofError::Outside { index, size }.into());
    }
    let mut siblings = Vec::new();
    let mut tree = 0..size;
    while tree.end - tree.start > 1 {
        let middle = middle(&tree);
        let (inside, sibling) = if index < middle {
            (tree.start..middle, middle..tree.end)
        } else {
            (middle..tree.end, tree.start..middle)
        };
        siblings.push(sibling);
        tree = inside;
    }
    roots(siblings, leaf)
}

/// The hashes that lead from the first `old` leaves to the first `new`: PROOF of RFC 6962, section 2.1.2. None are needed
/// if the trees are the same, or the old one is empty.
///
/// Takes time in proportion to `new` and memory to its logarithm. `leaf` is asked for each leaf at most once, in ascending order.
///
/// # Errors
/// [`ProofError::Shrunk`] if `old` is larger than `new`, and whatever `leaf` fails with.
pub fn consistency_proof<E: From<ProofError>>(
    old: u64,
    new: u64,
    leaf: impl FnMut(u64) -> Result<Leaf, E>,
) -> Result<Vec<Digest>, E> {
    if old > new {
        return Err(ProofError::Shrunk { old, new }.into());
    }
    if old == 0 {
        return Ok(Vec::new());
    }
    let mut parts = Vec::new();
    let mut tree = 0..new;
    while tree.end > old {
        let middle = middle(&tree);
        let (inside, other) = if old <= middle {
            (tree.start..middle, middle..tree.end)
        } else {
            (middle..tree.end, tree.start..middle)
        };
        parts.push(other);
        tree = inside;
    }
    // What is left ends where the old tree ends. If it is the old tree, the verifier knows its root.
    if tree.start > 0 {
        parts.push(tree);
    }
    roots(parts, leaf)
}

/// Checks that `leaf` is the one at `index` of `tree`: RFC 9162, section 2.1.3.2.
///
/// # Errors
/// If there is no such leaf, or the proof has the wrong length or leads to another root.
pub fn verify_inclusion(
    leaf: Leaf,
    index: u64,
    tree: &TreeHead,
    proof: &[Digest],
) -> Result<(), ProofError> {
    let TreeHead { size, root } = *tree;
    if index >= size {
        return Err(ProofError::Outside { index, size });
    }
    let length = ProofError::Length { have: proof.len(), size };
    // Where the path and the right edge of the tree are, level by level: `fn`, `sn` and `r` of the RFC.
    let (mut at, mut edge) = (index, size - 1);
    let mut hash = leaf.0;
    for other in proof {
        if edge == 0 {
            return Err(length);
        }
        if at & 1 == 1 || at == edge {
            hash = node(other, &hash);
            skip_levels_without_sibling(&mut at, &mut edge);
        } else {
            hash = node(&hash, other);
        }
        (at, edge) = (at >> 1, edge >> 1);
    }
    if edge != 0 {
        return Err(length);
    }
    same_root(size, root, hash)
}

/// Checks that `new` begins with the leaves of `old`: RFC 9162, section 2.1.4.2. A tree continues itself and the empty tree
/// without any proof.
///
/// # Errors
/// If `new` is smaller, or the proof has the wrong length or leads to another root.
pub fn verify_consistency(
    old: &TreeHead,
    new: &TreeHead,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if old.size > new.size {
        return Err(ProofError::Shrunk { old: old.size, new: new.size });
    }
    let length = ProofError::Length { have: proof.len(), size: new.size };
    if old.size == 0 || old.size == new.size {
        if !proof.is_empty() {
            return Err(length);
        }
        let expected = if old.size == 0 { Frontier::default().head().root } else { new.root };
        return same_root(old.size, old.root, expected);
    }
    // A complete old tree is itself the first part.
    let mut parts = old.size.is_power_of_two().then_some(&old.root).into_iter().chain(proof);
    let Some(first) = parts.next() else { return Err(length) };
    let levels = (old.size - 1).trailing_ones();
    let (mut at, mut edge) = ((old.size - 1) >> levels, (new.size - 1) >> levels);
    let (mut old_root, mut new_root) = (*first, *first);
    for other in parts {
        if edge == 0 {
            return Err(length);
        }
        if at & 1 == 1 || at == edge {
            old_root = node(other, &old_root);
            new_root = node(other, &new_root);
            skip_levels_without_sibling(&mut at, &mut edge);
        } else {
            new_root = node(&new_root, other);
        }
        (at, edge) = (at >> 1, edge >> 1);
    }
    if edge != 0 {
        return Err(length);
    }
    same_root(old.size, old.root, old_root)?;
    same_root(new.size, new.root, new_root)
}

/// The hashes that lead from the leaves in `known` to the root of the first `size`: those of all subtrees without one of
/// them, from left to right. `known` are ranges in ascending order that neither touch nor are empty.
///
/// Takes time in proportion to `size`, and holds as many hashes as the parts between the ranges need: for each about the
/// logarithm of `size`.
///
/// # Errors
/// Whatever `leaf` fails with.
pub fn partial_proof<E>(
    size: u64,
    known: &[Range<u64>],
    mut leaf: impl FnMut(u64) -> Result<Leaf, E>,
) -> Result<Vec<Digest>, E> {
    let mut proof = Vec::new();
    partial(0..size, known, &mut |tree, is_known| {
        if !is_known {
            proof.push(subtree(tree, &mut leaf)?);
        }
        Ok(Digest::ZERO)
    })?;
    Ok(proof)
}

/// Checks that `tree` has these leaves at the places `known`, see [`partial_proof`].
///
/// # Errors
/// If there are more or fewer leaves than places, or one is outside; if the proof has the wrong length or leads to another
/// root.
pub fn verify_partial(
    leaves: &[Leaf],
    known: &[Range<u64>],
    tree: &TreeHead,
    proof: &[Digest],
) -> Result<(), ProofError> {
    let TreeHead { size, root } = *tree;
    let length = || ProofError::Length { have: proof.len(), size };
    let ascend = known.is_sorted_by(|a, b| a.end <= b.start)
        && known.iter().all(|range| range.start < range.end);
    if !ascend {
        return Err(length());
    }
    if let Some(last) = known.last().filter(|last| last.end > size) {
        return Err(ProofError::Outside { index: last.end - 1, size });
    }
    let places: u64 = known.iter().map(|range| range.end - range.start).sum();
    if places != leaves.len() as u64 {
        return Err(length());
    }
    let (mut leaves, mut hashes) = (leaves.iter(), proof.iter());
    let found = partial(0..size, known, &mut |tree, is_known| {
        if is_known {
            subtree(tree, &mut |_| leaves.next().copied().ok_or_else(length))
        } else {
            hashes.next().copied().ok_or_else(length)
        }
    })?;
    if hashes.next().is_some() {
        return Err(length());
    }
    same_root(size, root, found)
}

/// The root of `tree`, of which `root_of` knows the largest subtrees that lie within `known`, and those that lie outside;
/// they are asked for from left to right.
fn partial<E>(
    tree: Range<u64>,
    known: &[Range<u64>],
    root_of: &mut dyn FnMut(Range<u64>, bool) -> Result<Digest, E>,
) -> Result<Digest, E> {
    let known = known.get(known.partition_point(|range| range.end <= tree.start)..);
    let known = known.unwrap_or_default();
    match known.first().filter(|range| range.start < tree.end) {
        None => root_of(tree, false),
        Some(range) if range.start <= tree.start && tree.end <= range.end => root_of(tree, true),
        Some(_) => {
            let middle = middle(&tree);
            let left = partial(tree.start..middle, known, root_of)?;
            let right = partial(middle..tree.end, known, root_of)?;
            Ok(node(&left, &right))
        }
    }
}

/// The root over some leaves that follow each other.
fn subtree<E>(tree: Range<u64>, leaf: &mut dyn FnMut(u64) -> Result<Leaf, E>) -> Result<Digest, E> {
    let mut frontier = Frontier::default();
    for index in tree {
        frontier.append(leaf(index)?);
    }
    Ok(frontier.head().root)
}

/// Climbs from a last node that has no right sibling to the level where it is one.
fn skip_levels_without_sibling(at: &mut u64, edge: &mut u64) {
    while *at & 1 == 0 && *at != 0 {
        (*at, *edge) = (*at >> 1, *edge >> 1);
    }
}

fn same_root(size: u64, expected: Digest, found: Digest) -> Result<(), ProofError> {
    if expected == found { Ok(()) } else { Err(ProofError::Root { size, expected, found }) }
}

fn node(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts([NODE, left.as_bytes(), right.as_bytes()])
}

/// Where a tree of at least two leaves divides: the left side holds the largest power of two below its size.
fn middle(tree: &Range<u64>) -> u64 {
    tree.start + (1 << (tree.end - tree.start - 1).ilog2())
}

/// The roots over `parts`, which stand from the whole tree's root downwards, in the order of a proof: upwards.
fn roots<E>(
    parts: Vec<Range<u64>>,
    mut leaf: impl FnMut(u64) -> Result<Leaf, E>,
) -> Result<Vec<Digest>, E> {
    let mut parts: Vec<(usize, Range<u64>)> = parts.into_iter().rev().enumerate().collect();
    parts.sort_by_key(|(_, part)| part.start);
    let mut roots = Vec::with_capacity(parts.len());
    for (place, part) in parts {
        roots.push((place, subtree(part, &mut leaf)?));
    }
    roots.sort_by_key(|(place, _)| *place);
    Ok(roots.into_iter().map(|(_, root)| root).collect())
}

#[cfg(test)]
mod tests;
