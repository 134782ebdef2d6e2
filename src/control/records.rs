//! A run's records for those who work with them, page by page, and as they go over the socket: as they are stored.
//!
//! Not as JSON, in which one number of ten comes back with another last bit.

use super::{ControlError, Cursor, PAGE};
use crate::audit::base64;
use crate::domain::ids::{CycleId, CycleNumber, Revision, RunId};
use crate::engine::Engine;
use crate::store::Recorded;
use crate::store::codec::{CodecError, Payload, decode_record, encode_record};

/// The records of a run from a place of its logs on, at most a page of them, and where the next ones are. None where the log
/// ends now.
///
/// # Errors
/// As [`Engine::log`].
pub async fn records_from(
    engine: &Engine,
    run: RunId,
    from: Cursor,
) -> Result<(Vec<Recorded>, Cursor), ControlError> {
    let end = engine.last_cycle(run).await?.0;
    page(engine, run, from, end).await
}

/// As [`records_from`], and none of a cycle after `end`.
pub(super) async fn page(
    engine: &Engine,
    run: RunId,
    from: Cursor,
    end: u32,
) -> Result<(Vec<Recorded>, Cursor), ControlError> {
    let (mut records, mut next) = (Vec::new(), from);
    while next.cycle <= end && records.len() < PAGE {
        let cycle = CycleId { run, cycle: CycleNumber(next.cycle) };
        let mut page = engine.log(cycle, Revision(next.revision), PAGE - records.len()).await?;
        if page.is_empty() {
            if next.cycle == end {
                break;
            }
            next = Cursor { cycle: next.cycle + 1, revision: 0 };
        }
        next.revision += page.len() as u64;
        records.append(&mut page);
    }
    Ok((records, next))
}

/// Records as text.
pub(super) fn encoded(records: Vec<Recorded>) -> Result<Vec<String>, ControlError> {
    let text = |mut recorded: Recorded| {
        let payload = Payload::of(&recorded.event)?;
        let bytes = encode_record(&mut recorded, &payload, false)?;
        Ok::<_, CodecError>(base64::encode(&bytes))
    };
    let all = records.into_iter().map(text).collect::<Result<_, _>>();
    all.map_err(|error| ControlError::BadRecord(error.to_string()))
}

/// Records of [`Response::Records`](super::Response::Records), with hashes that follow from what they hold.
///
/// # Errors
/// [`ControlError::BadRecord`] for texts that are none.
pub fn decoded(texts: &[String]) -> Result<Vec<Recorded>, ControlError> {
    let record = |text: &String| {
        let bytes = base64::decode(text).ok_or_else(|| "it is no base64".to_owned())?;
        let elsewhere = |_: &_| Err(CodecError::Malformed("its event is elsewhere".to_owned()));
        decode_record(&bytes, elsewhere).map_err(|error| error.to_string())
    };
    texts.iter().map(record).collect::<Result<_, _>>().map_err(ControlError::BadRecord)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::event::{Event, LabelsDoubted};
    use crate::domain::ids::{EventId, JobId, Position};
    use crate::domain::time::Timestamp;
    use uuid::Uuid;

    #[test]
    fn a_record_comes_over_to_the_last_bit_and_anything_else_is_refused() {
        let doubted = |error_rate| {
            let (labels, folds, suspects) = (9, 3, 1);
            let evidence = Digest::of(b"evidence");
            Event::LabelsDoubted(LabelsDoubted { labels, folds, suspects, error_rate, evidence })
        };
        // JSON, as it is read here, brings the first of these numbers back with another last bit.
        for rate in [0.992_708_189_761_138_7, 0.1 + 0.2, f64::MIN_POSITIVE] {
            let mut sent = Recorded {
                id: EventId(Uuid::from_u128(1)),
                cycle: CycleId { run: RunId(Uuid::from_u128(2)), cycle: CycleNumber(3) },
                revision: Revision(4),
                position: Position(5),
                recorded: Timestamp(6),
                causation: Some(JobId(Uuid::from_u128(7))),
                actor: "wörker".into(),
                version: 1,
                workflow: Digest::of(b"workflow"),
                previous: Digest::of(b"previous"),
                hash: Digest::ZERO,
                original: None,
                event: doubted(rate),
            };
            let payload = Payload::of(&sent.event).unwrap();
            encode_record(&mut sent, &payload, false).unwrap();
            let texts = encoded(vec![sent.clone()]).unwrap();
            assert_eq!(decoded(&texts).unwrap(), [sent]);
            let cut = texts[0][..texts[0].len() - 4].to_owned();
            for wrong in [cut, "AAAA".to_owned(), "?".to_owned(), String::new()] {
                let refused = decoded(&[wrong]).unwrap_err().to_string();
                assert!(refused.contains("a record does not read"), "{refused}");
            }
        }
    }
}
