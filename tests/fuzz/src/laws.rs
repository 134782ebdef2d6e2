//! What must hold inside the store for any bytes. A part of `store` in the fuzz crate only, because it looks at what nobody
//! else may see.

use super::codec::{self, CodecError, Skimmed};
use super::index::Index;
use super::memory::Tree;
use super::salvage::{Found, SavedRun, carve, gaps, salvage};
use super::sled::marks;
use super::writes::{ChunkNumber, Finished, LENGTH, Writes, records};
use super::{StoreError, keys, reader};
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleNumber, Position, Revision};
use std::collections::BTreeMap;

/// Makes an envelope's checksum right, so that what lies behind it is reached.
pub fn seal(envelope: &mut [u8]) {
    if let Some((head, rest)) = envelope.split_first_chunk_mut::<6>() {
        head[..2].copy_from_slice(&[1, 1]);
        head[2..].copy_from_slice(&crc32fast::hash(rest).to_le_bytes());
    }
}

/// The same for every record of a chunk.
fn seal_chunk(mut chunk: &mut [u8]) {
    while let Some((length, rest)) = chunk.split_first_chunk_mut::<LENGTH>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap();
        let Some((record, rest)) = rest.split_at_mut_checked(length) else { return };
        seal(record);
        chunk = rest;
    }
}

/// A counter or a position that is read is written as the same bytes.
pub fn a_counter_is_written_as_it_was_read(bytes: &[u8]) {
    if let Ok(number) = codec::decode::<u64>(bytes) {
        assert_eq!(codec::encode(&number).unwrap(), bytes);
    }
}

/// A chunk is taken apart without loss up to the first damage; and a log that opens can be read whole or is damaged.
pub fn a_chunk_is_read_or_damaged(bytes: &[u8]) {
    let mut chunk = bytes.to_vec();
    seal_chunk(&mut chunk);
    let mut rest = chunk.as_slice();
    for record in records(&chunk).map_while(Result::ok) {
        rest = rest[LENGTH..].strip_prefix(record).unwrap();
    }
    assert!(rest.is_empty() || records(rest).next().is_some_and(|next| next.is_err()));

    let first = records(&chunk)
        .next()
        .and_then(Result::ok)
        .and_then(|record| codec::skim_record(record).ok());
    let Some(Skimmed { position, .. }) = first else { return };
    let mut values = BTreeMap::from([(keys::chunk(ChunkNumber(0)), chunk)]);
    if position > Position(1) {
        let last = Position(position.0 - 1);
        values.insert(keys::gap(Position(1)), codec::encode(&last.0).unwrap());
    }
    let values = Tree(values);
    let Ok(index) = Index::load(&values) else { return };
    for (cycle, head) in index.heads() {
        let stretch = index.stretch(cycle, Revision(0), usize::MAX).unwrap();
        if let Ok(read) = reader::read(&values, cycle, Revision(0), &stretch) {
            assert_eq!(read.len() as u64, head.next.0);
            assert_eq!(read.last().map(|record| record.hash), Some(head.hash));
        }
    }
}

/// Whatever lies in a file: what is saved is whole chains, their order in the file does not matter, and saving what was
/// saved changes nothing. A log made of it opens.
pub fn what_is_salvaged_is_whole(bytes: &[u8]) {
    let mut file = bytes.to_vec();
    for at in 0..file.len() {
        let [a, b, 0, 0, 1, 1, ..] = file[at..] else { continue };
        let length = usize::from(u16::from_le_bytes([a, b]));
        if let Some(record) = file[at + LENGTH..].get_mut(..length) {
            seal(record);
        }
    }
    let found: Vec<Found<(usize, usize)>> = carve(&file)
        .map(|(place, record, skimmed)| Found { record: skimmed, place: (place, record.len()) })
        .collect();
    let saved = salvage(found.iter().copied(), |_| true);
    let all: u64 = saved.runs.iter().map(|run| run.saved + run.unconnected).sum();
    assert!(all <= found.len() as u64);
    assert_eq!(saved.records.len() as u64, saved.runs.iter().map(|run| run.saved).sum::<u64>());

    let backwards = salvage(found.iter().rev().copied(), |_| true);
    let hashes = |records: &BTreeMap<Position, Found<_>>| {
        records.values().map(|found| found.record.hash).collect::<Vec<_>>()
    };
    assert_eq!(hashes(&saved.records), hashes(&backwards.records));
    let again = salvage(saved.records.values().copied(), |_| true);
    assert_eq!(hashes(&saved.records), hashes(&again.records));
    assert!(again.runs.iter().all(|SavedRun { unconnected, .. }| *unconnected == 0));

    let mut writes = Writes::default();
    let mut lost = gaps(&saved.records, Position(0)).into_iter().peekable();
    for (position, Found { record, place: (at, length) }) in &saved.records {
        while let Some((first, last)) = lost.next_if(|(first, _)| first < position) {
            writes.gap(first, last).unwrap();
        }
        writes.record(record.cycle, record.hash, &file[*at..at + length]);
    }
    let Finished { writes, .. } = writes.finish(ChunkNumber(0));
    let values = Tree(writes.into_iter().map(|(key, value)| (key, value.unwrap())).collect());
    let index = Index::load(&values).expect("a salvaged log opens");
    for SavedRun { run, saved, .. } in saved.runs {
        let whole = |cycle| index.stretch(cycle, Revision(0), usize::MAX);
        let mut read = 0;
        let mut count = |_| {
            read += 1;
            true
        };
        if reader::walk(&values, whole, run, CycleNumber(1), &mut count).is_ok() {
            assert_eq!(read, saved);
        }
    }
}

/// The small files beside the log: what is acknowledged reads as it was written, and a name is one line.
pub fn marks_are_read_as_written(bytes: &[u8]) {
    if let Some(position) = marks::acknowledged(bytes) {
        assert_eq!(marks::acknowledgement(position).as_bytes(), bytes);
    }
    if let Some(format) = marks::format(bytes) {
        assert_eq!(marks::format(format!("{format}\n").as_bytes()), Some(format));
    }
    let holder = marks::holder(bytes);
    assert_eq!(
        marks::holder(format!("{}\n", marks::one_line(&holder)).as_bytes()),
        marks::one_line(&holder)
    );
}

/// Skimming agrees with decoding, and costs no event.
pub fn skimming_agrees_with_decoding(bytes: &[u8], payload: &[u8]) {
    let skimmed = codec::skim_record(bytes);
    let Ok(record) = codec::decode_record(bytes, |_| Ok::<_, CodecError>(payload.to_vec())) else {
        return;
    };
    let skimmed = skimmed.expect("what decodes can be skimmed");
    assert_eq!(
        (skimmed.cycle, skimmed.revision, skimmed.position),
        (record.cycle, record.revision, record.position)
    );
    assert_eq!((skimmed.previous, skimmed.recorded), (record.previous, record.recorded));
    assert_eq!(skimmed.hash, record.hash);
    let payload = skimmed.payload.map(|_| payload);
    let decoded = codec::decode_skimmed(bytes, skimmed.hash, payload);
    // In words, because what is not a number is not equal to itself.
    assert_eq!(format!("{decoded:?}"), format!("{:?}", Ok::<_, CodecError>(record)));
}
