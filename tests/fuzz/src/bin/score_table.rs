//! The table of scores: whatever ids and numbers it is written from, it reads as CSV that gives them back.
//! `number of classes (1) | for each sample: length of its id (1) | id | score (8) | probabilities (4 each)`.
#![no_main]

use gleaner_fuzz::domain::ids::SampleId;
use gleaner_fuzz::domain::matrix::Matrix;
use gleaner_fuzz::engine::score_table::encode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&classes, mut rest)) = bytes.split_first() else { return };
    let classes = usize::from(classes % 8);
    let (mut ids, mut scores, mut values) = (vec![], vec![], vec![]);
    while let Some((id, score, row, after)) = sample(rest, classes) {
        ids.push(SampleId::from(String::from_utf8_lossy(id).into_owned()));
        scores.push(score);
        values.extend(row);
        rest = after;
    }
    let matrix = Matrix::new(ids.len(), classes, values).unwrap();
    let table = encode(&ids, &matrix, &scores);

    let mut reader = csv::Reader::from_reader(table.as_slice());
    let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(read.len(), ids.len());
    for (((cells, id), score), row) in read.iter().zip(&ids).zip(&scores).zip(matrix.iter_rows()) {
        assert_eq!(&cells[0], id.as_str());
        let same = |text: &str, value: f64| {
            let read: f64 = text.parse().unwrap();
            read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan())
        };
        assert!(same(&cells[1], *score), "{} is not {score}", &cells[1]);
        for (cell, value) in cells.iter().skip(2).zip(row) {
            let read: f32 = cell.parse().unwrap();
            assert!(
                read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan()),
                "{cell}"
            );
        }
    }
});

type Sample<'a> = (&'a [u8], f64, Vec<f32>, &'a [u8]);

fn sample(bytes: &[u8], classes: usize) -> Option<Sample<'_>> {
    let (&length, rest) = bytes.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(length))?;
    let (score, mut rest) = rest.split_first_chunk::<8>()?;
    let mut row = Vec::new();
    for _ in 0..classes {
        let (value, after) = rest.split_first_chunk::<4>()?;
        row.push(f32::from_le_bytes(*value));
        rest = after;
    }
    Some((id, f64::from_le_bytes(*score), row, rest))
}
