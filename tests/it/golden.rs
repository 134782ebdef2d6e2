//! Stored bytes are a contract: the log of each released version is kept and must read as it did.
//!
//! `GOLDEN=write cargo test golden` writes the files of today's version. A change of an existing file needs a sentence
//! why in its commit, and a very good one: stores of that version are out there.

use crate::samples::*;
use gleaner::domain::digest::Digest;
use gleaner::domain::event::{Checkpoint, CycleCancelled, Event, Trained};
use gleaner::domain::ids::*;
use gleaner::domain::job::{Job, JobKind, JobStatus, Lease};
use gleaner::store::Recorded;
use gleaner::store::codec::{
    CodecError, PAYLOAD_INLINE_MAX, PAYLOAD_MAX, Payload, QueuedJob, decode_job, decode_record,
    encode_job, encode_record,
};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// What the files hold: each value's bytes, and what they mean.
struct Golden {
    bytes: Vec<u8>,
    meaning: Value,
}

/// The place of a record whose payload is an artifact.
const LARGE: usize = 11;

fn records() -> Vec<Golden> {
    let mut previous = Digest::ZERO;
    let mut events = every_event();
    // Where it stood before there were the events after it.
    events.insert(LARGE, annotated(100));
    (0..)
        .zip(events)
        .map(|(number, event)| {
            let payload = Payload::of(&event).unwrap();
            let mut record = Recorded {
                id: EventId(uuid::Uuid::from_u128(
                    0x0190_0000_0000_7000_8000_0000_0000_0000 + number,
                )),
                cycle: cycle(0x0190_ffff_0000_7000_8000_0000_0000_0001, 3),
                revision: Revision(u64::try_from(number).unwrap()),
                position: Position(u64::try_from(number).unwrap() + 1000),
                recorded: seconds(1_750_000_000),
                causation: (number % 2 == 0).then(|| job_id(number)),
                actor: "worker 1 on höst".into(),
                version: 1,
                workflow: Digest::of(b"workflow"),
                previous,
                hash: Digest::ZERO,
                original: None,
                event,
            };
            let bytes = encode_record(&mut record, &payload, payload.is_large()).unwrap();
            previous = record.hash;
            Golden { bytes, meaning: record_meaning(&record) }
        })
        .collect()
}

fn record_meaning(record: &Recorded) -> Value {
    json!({
        "id": record.id,
        "run": record.cycle.run,
        "cycle": record.cycle.cycle,
        "revision": record.revision,
        "position": record.position,
        "recorded": record.recorded,
        "causation": record.causation,
        "actor": record.actor,
        "version": record.version,
        "workflow": record.workflow,
        "previous": record.previous,
        "hash": record.hash,
        "event": record.event,
    })
}

fn jobs() -> Vec<Golden> {
    let lease = Lease {
        worker: "worker 2".into(),
        token: FencingToken(17),
        epoch: Epoch(3),
        deadline: seconds(1_750_000_030),
    };
    let states = [JobStatus::Ready, JobStatus::Leased(lease), JobStatus::Dead];
    (0..)
        .zip(JobKind::ALL)
        .map(|(number, kind)| {
            let queued = QueuedJob {
                sequence: u64::try_from(number).unwrap(),
                job: Job {
                    id: job_id(number),
                    kind,
                    cycle: cycle(1, 2),
                    priority: -1,
                    not_before: seconds(1_750_000_001),
                    dedupe: (number % 2 == 0).then(|| format!("{kind} 2")),
                    enqueued: seconds(1_750_000_000),
                    failures: 2,
                    crashes: 1,
                    last_error: (number % 3 == 0).then(|| "no space left".into()),
                    status: states[usize::try_from(number).unwrap() % 3].clone(),
                },
            };
            Golden { bytes: encode_job(&queued).unwrap(), meaning: json!(queued) }
        })
        .collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join("golden")
}

/// A file of values: a big-endian length of four bytes before each.
fn join(values: &[Golden]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend_from_slice(&u32::try_from(value.bytes.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&value.bytes);
    }
    bytes
}

fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (value, rest) = rest.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
        values.push(value.to_vec());
        bytes = rest;
    }
    assert!(bytes.is_empty());
    values
}

/// Compares today's bytes and meanings with those kept, and what the kept bytes decode to with their meanings.
#[track_caller]
fn check(name: &str, today: &[Golden], decode: impl Fn(&[u8]) -> Value) {
    let (bytes_file, json_file) =
        (folder().join(format!("{name}.bin")), folder().join(format!("{name}.json")));
    let meanings: Vec<&Value> = today.iter().map(|value| &value.meaning).collect();
    if std::env::var_os("GOLDEN").is_some() {
        fs::write(&bytes_file, join(today)).unwrap();
        let text = serde_json::to_string_pretty(&meanings).unwrap();
        fs::write(&json_file, format!("{text}\n")).unwrap();
    }
    let kept = fs::read(&bytes_file).unwrap();
    let kept_meanings: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(&json_file).unwrap()).unwrap();
    let decoded: Vec<Value> = split(&kept).iter().map(|bytes| decode(bytes)).collect();
    assert_eq!(decoded, kept_meanings, "{name}: stored bytes read differently");
    assert_eq!(join(today), kept, "{name}: the same values give other bytes");
}

#[test]
fn a_log_of_version_1_reads_and_writes_as_it_did() {
    let large = Payload::of(&annotated(100)).unwrap();
    check("log-v1", &records(), |bytes| {
        let record = decode_record(bytes, |digest| {
            assert_eq!(*digest, large.digest());
            Ok::<_, CodecError>(large.bytes().to_vec())
        });
        record_meaning(&record.unwrap())
    });
}

#[test]
fn jobs_of_version_1_read_and_write_as_they_did() {
    check("jobs-v1", &jobs(), |bytes| json!(decode_job(bytes).unwrap()));
}

#[test]
fn both_forms_of_a_payload_have_the_same_hash() {
    let event = annotated(3);
    let payload = Payload::of(&event).unwrap();
    let bytes = &records()[3].bytes;
    let none = |_: &Digest| Err(CodecError::Checksum);
    let mut inline = decode_record(bytes, none).unwrap();
    encode_record(&mut inline, &payload, false).unwrap();
    let mut elsewhere = inline.clone();
    let short = encode_record(&mut elsewhere, &payload, true).unwrap();
    assert_eq!(inline.hash, elsewhere.hash);
    let read = decode_record(&short, |_| Ok::<_, CodecError>(payload.bytes().to_vec())).unwrap();
    assert_eq!(read.hash, inline.hash);
}

#[test]
fn a_payload_that_was_rewritten_leaves_the_hash_as_it_was() {
    let none = |_: &Digest| Err(CodecError::Checksum);
    let before = decode_record(&records()[3].bytes, none).unwrap();
    let original = Payload::of(&before.event).unwrap().digest();
    let event = before.event.without_labels_of(&"digits-0000".into()).unwrap();
    let payload = Payload::of(&event).unwrap();
    for artifact in [false, true] {
        let (event, original) = (event.clone(), Some(original));
        let mut now = Recorded { event, original, ..before.clone() };
        let bytes = encode_record(&mut now, &payload, artifact).unwrap();
        assert_eq!(now.hash, before.hash);
        let read = decode_record(&bytes, |_| Ok::<_, CodecError>(payload.bytes().to_vec()));
        assert_eq!(read.unwrap(), now);
        for end in 0..bytes.len() {
            let mut cut = bytes[..end].to_vec();
            reseal(&mut cut);
            decode_anything(&cut);
        }
    }
}

/// A record of version 1 with this payload, if it can be read.
fn read_payload(payload: &[u8]) -> Result<Recorded, CodecError> {
    // This golden record has its payload in an artifact; here it is a short one.
    let mut bytes = records().remove(LARGE).bytes;
    let name = bytes.len() - 8;
    bytes[name..].copy_from_slice(&u64::try_from(payload.len()).unwrap().to_le_bytes());
    reseal(&mut bytes);
    decode_record(&bytes, |_| Ok(payload.to_vec()))
}

#[test]
fn an_event_that_would_be_written_otherwise_is_refused() {
    let labels = Payload::of(&annotated(1)).unwrap().bytes().to_vec();
    assert!(read_payload(&labels).is_ok());
    let mut overfull = labels.clone();
    let nanoseconds = labels.len() - 4;
    overfull[nanoseconds..].copy_from_slice(&1_000_000_000_u32.to_le_bytes());
    let error = read_payload(&overfull).unwrap_err();
    assert!(error.to_string().contains("more than a second"), "{error}");

    let trained = Event::Trained(Trained {
        train_set: Digest::ZERO,
        train_samples: 1,
        validation_set: Digest::ZERO,
        validation_samples: 1,
        checkpoints: vec![Checkpoint {
            model: Digest::ZERO,
            step: 1,
            metrics: [("aa".into(), 0.5), ("ab".into(), 0.5)].into(),
        }],
    });
    let metrics = Payload::of(&trained).unwrap().bytes().to_vec();
    assert!(read_payload(&metrics).is_ok());
    // The last letter of the last key stands before a number of 8 bytes.
    for letter in [b'a', b'0'] {
        let mut disordered = metrics.clone();
        let place = metrics.len() - 9;
        disordered[place] = letter;
        let error = read_payload(&disordered).unwrap_err();
        assert!(error.to_string().contains("not in order"), "{error}");
    }
}

#[test]
fn an_event_stands_beside_its_header_up_to_the_limit() {
    assert!(!of_length(PAYLOAD_INLINE_MAX).unwrap().is_large());
    assert!(of_length(PAYLOAD_INLINE_MAX + 1).unwrap().is_large());
}

#[test]
fn an_event_of_a_million_labels_can_be_written_and_a_longer_one_is_refused() {
    let most = usize::try_from(PAYLOAD_MAX).unwrap();
    assert!(most > 1_000_000 * 200);
    assert!(of_length(most).is_ok());
    let error = of_length(most + 1).unwrap_err();
    assert!(matches!(error, CodecError::Malformed(_)), "{error}");
}

/// The payload of an event that has so many bytes.
fn of_length(length: usize) -> Result<Payload, CodecError> {
    // A variant's number, and the length of the text.
    let event = Event::CycleCancelled(CycleCancelled { reason: "x".repeat(length - 12) });
    let payload = Payload::of(&event)?;
    assert_eq!(payload.bytes().len(), length);
    Ok(payload)
}

#[test]
fn an_event_names_the_artifacts_that_it_needs() {
    let named: Vec<(&str, Digest)> = every_event()
        .iter()
        .flat_map(|event| event.artifacts().into_iter().map(|digest| (event.name(), digest)))
        .collect();
    let expected = [
        ("RunStarted", "workflow"),
        ("BatchSelected", "model"),
        ("BatchSelected", "scores"),
        ("Trained", "checkpoint"),
        ("Annotated", "mask"),
        ("LabelsDoubted", "probabilities"),
        ("Forked", "workflow of the other run"),
    ];
    assert_eq!(named, expected.map(|(event, what)| (event, Digest::of(what.as_bytes()))));
}

fn decode_anything(bytes: &[u8]) {
    // Whatever it answers; a panic, a hang or a huge allocation would end the test.
    let _record = decode_record(bytes, |_| Ok::<_, CodecError>(bytes.to_vec()));
    let _job = decode_job(bytes);
}

/// Makes the checksum right again, so that what lies behind it is reached.
fn reseal(bytes: &mut [u8]) {
    if let Some((head, rest)) = bytes.split_at_mut_checked(6) {
        head[0] = 1;
        head[1] = 1;
        head[2..].copy_from_slice(&crc32fast::hash(rest).to_le_bytes());
    }
}

#[test]
fn decoding_arbitrary_bytes_never_panics() {
    fn property(mut bytes: Vec<u8>) {
        decode_anything(&bytes);
        reseal(&mut bytes);
        decode_anything(&bytes);
    }
    quickcheck::QuickCheck::new().tests(20_000).quickcheck(property as fn(Vec<u8>));
}

#[test]
fn decoding_mutated_values_never_panics() {
    fn property(which: usize, changes: Vec<(u16, u8)>, cut: Option<u16>, sealed: bool) {
        let mut values = records();
        values.extend(jobs());
        let index = which % values.len();
        let mut bytes = values.swap_remove(index).bytes;
        for (place, value) in changes {
            let place = usize::from(place) % bytes.len();
            bytes[place] = value;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| usize::from(cut) % bytes.len()));
        if sealed {
            reseal(&mut bytes);
        }
        decode_anything(&bytes);
    }
    type Property = fn(usize, Vec<(u16, u8)>, Option<u16>, bool);
    quickcheck::QuickCheck::new().tests(5_000).quickcheck(property as Property);
}
