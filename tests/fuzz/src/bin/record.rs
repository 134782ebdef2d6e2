//! An event's record as a store keeps it, and the artifact that holds its payload where that is large:
//! `length of the record (2, big-endian) | record | payload`.
#![no_main]

use gleaner_fuzz::store::codec::{CodecError, Payload, decode_record, encode_record};
use gleaner_fuzz::store::laws;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (record, payload) =
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).unwrap_or((rest, &[]));
    check(record, payload);
    let mut sealed = record.to_vec();
    laws::seal(&mut sealed);
    check(&sealed, payload);
});

/// What decodes is written as the same bytes again.
fn check(bytes: &[u8], elsewhere: &[u8]) {
    laws::skimming_agrees_with_decoding(bytes, elsewhere);
    let mut is_artifact = false;
    let decoded = decode_record(bytes, |_| {
        is_artifact = true;
        Ok::<_, CodecError>(elsewhere.to_vec())
    });
    let Ok(mut record) = decoded else { return };
    let hash = record.hash;
    let payload = Payload::of(&record.event).unwrap();
    if is_artifact {
        assert_eq!(payload.bytes(), elsewhere, "the payload is written as it was read");
        // The name in the record is not the payload's here, because nobody looked into artifacts.
        return;
    }
    assert_eq!(encode_record(&mut record, &payload, false).unwrap(), bytes);
    assert_eq!(record.hash, hash);
}
